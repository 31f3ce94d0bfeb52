// Package golang builds a Go program that is a function: a main package that
// hands its handler to github.com/aws/aws-lambda-go.
//
// The compiler is the user's own go command, so everything that go.mod,
// workspaces and GOFLAGS say counts. cgo is off and no version control is
// stamped in: the program is static, equal sources give equal programs, and
// none of the site's code runs.
package golang

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/artifact"
)

// Input is what is built.
type Input struct {
	Root   string // of the site, absolute
	Dir    string // of the main package, absolute
	Target executable.Target
	// Scratch is a directory where programs may stay between builds, so that go
	// links again only what has changed. Empty: none.
	Scratch string
}

// Output is a built program.
type Output struct {
	Files []artifact.File // none after a problem that is an error
	// Inputs are the files that people edit: those of the package, and of the
	// packages of its own module that it uses.
	Inputs   []string
	Problems []problem.Problem
}

// Build compiles.
func Build(ctx context.Context, in Input) Output {
	out := Output{Inputs: filesOf(in.Dir)}
	at := problem.Position{File: in.show(in.Dir)}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return out.failed(at, "is written in Go, and there is no go command on the PATH; install Go, or put a program that is built for %s here instead", in.Target)
	}
	out.Inputs = in.inputs(ctx, goCommand, out.Inputs)
	scratch := in.Scratch
	if scratch == "" {
		if scratch, err = os.MkdirTemp("", "nightshift-go-"); err != nil {
			return out.failed(at, "cannot be built: %v", err)
		}
		defer os.RemoveAll(scratch)
	}
	sum := sha256.Sum256([]byte(in.Dir))
	program := filepath.Join(scratch, hex.EncodeToString(sum[:8]))
	// norpc leaves out the protocol of Lambda's retired go1.x runtime, as Netlify does.
	cmd := in.command(ctx, goCommand, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", program, ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		out.Problems = in.explain(stderr.String())
		return out
	}
	if err != nil {
		return out.failed(at, "cannot be built: running %s: %v", goCommand, err)
	}
	data, err := os.ReadFile(program)
	if err != nil || bytes.HasPrefix(data, []byte("!<arch>")) { // what go makes of a library
		return out.failed(at, "is not a main package, so there is no program to run; a function needs package main with func main")
	}
	out.Files = []artifact.File{{Path: executable.Entry, Data: data, Executable: true}}
	return out
}

func (o Output) failed(at problem.Position, format string, args ...any) Output {
	o.Problems = append(o.Problems, problem.Errorf(at, format, args...))
	return o
}

// command runs the user's go for the target.
func (in Input) command(ctx context.Context, goCommand string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, goCommand, args...)
	cmd.Dir = in.Dir
	// Of a variable that stands twice, the last one counts.
	cmd.Env = append(os.Environ(), "PWD="+in.Dir, "CGO_ENABLED=0", "GOOS="+in.Target.OS, "GOARCH="+in.Target.Arch)
	return cmd
}

// filesOf lists the files of a directory.
func filesOf(dir string) []string {
	entries, _ := os.ReadDir(dir) // what cannot be read is not edited either
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// inputs adds the files of the module that the program uses. What go cannot
// list, because something is wrong with it, the build reports.
func (in Input) inputs(ctx context.Context, goCommand string, files []string) []string {
	list, err := in.command(ctx, goCommand, "list", "-e", "-deps", "-json=Dir,GoFiles,EmbedFiles,Standard,Module", ".").Output()
	if err != nil {
		return files
	}
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var pkg struct {
			Dir                 string
			GoFiles, EmbedFiles []string
			Standard            bool
			Module              *struct {
				Main  bool
				GoMod string
			}
		}
		if err := decoder.Decode(&pkg); err != nil {
			if errors.Is(err, io.EOF) {
				slices.Sort(files)
				return slices.Compact(files)
			}
			return files
		}
		if pkg.Standard || pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		for _, name := range slices.Concat(pkg.GoFiles, pkg.EmbedFiles) {
			files = append(files, filepath.Join(pkg.Dir, name))
		}
		files = append(files, pkg.Module.GoMod, strings.TrimSuffix(pkg.Module.GoMod, "go.mod")+"go.sum")
	}
}

// place is file:line:column of a message; the column may be missing.
var place = regexp.MustCompile(`^(\S.*?\.(?:go|mod|sum|work)):(\d+)(?::(\d+))?: (.*)$`)

// explain makes problems of what the go command writes. Lines that begin with a
// tab go on with the message before; lines without a place are about the
// program as a whole.
func (in Input) explain(stderr string) []problem.Problem {
	var out []problem.Problem
	var rest []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, "\r\n")
		switch m := place.FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "# ") || strings.HasSuffix(line, ": too many errors"):
		case m != nil:
			out = append(out, problem.Errorf(in.position(m[1], m[2], m[3]), "%s", m[4]))
		case strings.HasPrefix(line, "\t") && len(out) > 0:
			out[len(out)-1].Message += " " + strings.TrimSpace(line)
		case strings.HasPrefix(line, "go: downloading "):
		default:
			rest = append(rest, strings.TrimSpace(line))
		}
	}
	if len(out) > 0 {
		return out
	}
	return []problem.Problem{problem.Errorf(problem.Position{File: in.show(in.Dir)}, "cannot be built: %s", strings.Join(rest, " "))}
}

// position reads the place of a message, with the line that it is about.
func (in Input) position(file, line, column string) problem.Position {
	if !filepath.IsAbs(file) {
		file = filepath.Join(in.Dir, filepath.FromSlash(file))
	}
	at := problem.Position{File: in.show(file)}
	at.Line, _ = strconv.Atoi(line) // digits, by the pattern
	at.Column, _ = strconv.Atoi(column)
	if data, err := os.ReadFile(file); err == nil {
		if lines := strings.Split(string(data), "\n"); at.Line >= 1 && at.Line <= len(lines) {
			at.Text = strings.TrimRight(lines[at.Line-1], "\r")
		}
	}
	return at
}

// show is a path as problems name it: relative to the site, with slashes.
func (in Input) show(path string) string {
	rel, err := filepath.Rel(in.Root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
