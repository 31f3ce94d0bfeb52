// Package node holds the bootstrap that runs functions in Node: a client of the
// Lambda Runtime API that loads the user's module and calls its handler, for
// both calling conventions. It is plain JavaScript without dependencies,
// embedded and written out by [Install].
//
// The same process can be started before it is known which function it will
// run; index.cjs tells how that goes.
package node

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

//go:embed *.cjs
var sources embed.FS

// SpareArg is the argument, after the bootstrap's path, of a process that is
// started before it is needed: it then loads all of Node that it may come to use.
const SpareArg = "spare"

// MinVersion is the oldest major version of Node that is supported.
const MinVersion = 20

// EnvVar names the Node executable to use instead of the one on PATH.
const EnvVar = "NIGHTSHIFT_NODE"

// Install writes the bootstrap into a directory, which must exist, and returns
// the path of the file that Node is to be started with.
func Install(dir string) (string, error) {
	rest, err := joined()
	if err != nil {
		return "", err
	}
	var first []byte
	for _, name := range []string{heap, start} {
		source, err := sources.ReadFile(name)
		if err != nil {
			return "", err
		}
		first = append(first, source...)
	}
	alone, err := sources.ReadFile(standIn)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bootstrap.cjs")
	err = errors.Join(os.WriteFile(path, first, 0o444),
		os.WriteFile(filepath.Join(dir, entry), rest, 0o444), os.WriteFile(filepath.Join(dir, standIn), alone, 0o444))
	if err != nil {
		return "", fmt.Errorf("writing the Node bootstrap: %w", err)
	}
	return path, nil
}

// Compile has Node compile what [Install] wrote to the path, so that processes
// started later need not. Those started meanwhile, and all if it fails, compile it
// themselves. It takes a tenth of a second, and at most 10 s.
func Compile(ctx context.Context, node, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, path, "compile")
	cmd.Env = []string{} // nil would mean ours
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the Node bootstrap: %w: %s", err, out)
	}
	return nil
}

const (
	heap    = "heap.cjs"
	start   = "start.cjs"
	entry   = "index.cjs"
	standIn = "stand-in.cjs" // loaded as a function's module is
)

// joined is the bootstrap, but for what runs before it, as one file, because finding,
// reading and compiling a file of its own for each module takes Node as long as all
// that they do.
func joined() ([]byte, error) {
	entries, err := sources.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	all.WriteString("'use strict'\nconst own = {\n")
	for _, file := range entries {
		if slices.Contains([]string{heap, start, standIn}, file.Name()) {
			continue
		}
		source, err := sources.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "'./%s': (module, require) => {\n%s},\n", file.Name(), source)
	}
	fmt.Fprintf(&all, `}
const loaded = {}
function load(name) {
  if (!Object.hasOwn(own, name)) return require(name)
  if (!loaded[name]) own[name]((loaded[name] = { exports: {} }), load)
  return loaded[name].exports
}
load('./%s')
`, entry)
	return all.Bytes(), nil
}

// FindNode returns the path and version ("20.11.1") of the Node executable that
// NIGHTSHIFT_NODE names, or that is on PATH. Missing or too old is an error of
// kind Invalid, in one line that says what to do.
func FindNode(ctx context.Context) (path, version string, err error) {
	path = os.Getenv(EnvVar)
	if path == "" {
		path = "node"
	}
	found, err := exec.LookPath(path)
	switch {
	case err != nil && path == "node":
		return "", "", fault.New(fault.Invalid, "Node.js is not on PATH; install Node %d or newer, or name its executable in %s", MinVersion, EnvVar)
	case err != nil:
		return "", "", fault.New(fault.Invalid, "%s names %s, which is not an executable; install Node %d or newer there, or unset it", EnvVar, path, MinVersion)
	}
	if found, err = filepath.Abs(found); err != nil {
		return "", "", err
	}
	version, err = versionOf(ctx, found)
	if err != nil {
		return "", "", fault.New(fault.Invalid, "%s does not answer --version as Node does (%v); install Node %d or newer", found, err, MinVersion)
	}
	if major(version) < MinVersion {
		return "", "", fault.New(fault.Invalid, "%s is Node %s, which is too old; install Node %d or newer, or name another executable in %s", found, version, MinVersion, EnvVar)
	}
	return found, version, nil
}

func versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "v")
	if !ok || major(version) == 0 {
		return "", errors.New("unknown version")
	}
	return version, nil
}

// major is 0 for anything but a version.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}
