package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/rogpeppe/go-internal/testscript"
)

// Netlify's programs are installed once per user and lock file, because they are
// a hundred times larger than what they make.
var (
	// bundler is the directory with Netlify's bundler in node_modules.
	bundler = sync.OnceValues(func() (string, error) { return installed("bundler") })
	// netlifyCLI is the same with the netlify CLI, and a Node that runs it.
	netlifyCLI = sync.OnceValues(func() (string, error) { return installed("netlify") })
)

// installed has npm install what a lock file in a directory beside this file
// says, and returns the directory that has it in node_modules.
func installed(name string) (string, error) {
	from := filepath.Join(harness.Root(), "test", "e2e", name)
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "nightshift-test", name+"-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".install-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := os.CopyFS(temp, os.DirFS(from)); err != nil {
		return "", err
	}
	// They ask for a newer Node than the oldest that runs functions. The bundler
	// does without it, and the CLI brings one along.
	npm := exec.Command("npm", "ci", "--no-engine-strict", "--loglevel=error")
	npm.Dir = temp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing what %s needs: %w\n%s", from, err, out)
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, fs.ErrExist) { // somebody else was first
		return "", err
	}
	return dir, nil
}

// verbNetlify makes `exec netlify` the netlify CLI, told by nothing but
// environment variables where to go, as people do. What is started later runs
// with its Node too, so services come first.
func verbNetlify(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 0 || ts.Getenv("ADMIN") == "" {
		usage(ts, "netlify, after services")
	}
	dir, err := netlifyCLI()
	ts.Check(err)
	modules := filepath.Join(dir, "node_modules")
	ts.Setenv("NETLIFY_MODULES", modules)
	ts.Setenv("PATH", filepath.Join(modules, ".bin")+string(filepath.ListSeparator)+ts.Getenv("PATH"))
	ts.Setenv("NETLIFY_API_URL", ts.Getenv("ADMIN")+"/api/v1")
	ts.Setenv("NETLIFY_AUTH_TOKEN", token)
	ts.Setenv("CI", "1") // no questions, no telemetry
	ts.Setenv("NO_UPDATE_NOTIFIER", "1")
}

func verbZips(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		usage(ts, "zips FROM TO")
	}
	dir, err := bundler()
	ts.Check(err)
	from, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	modules := filepath.Join(filepath.Dir(from), "node_modules")
	if err := os.Symlink(filepath.Join(dir, "node_modules"), modules); err != nil && !errors.Is(err, fs.ErrExist) {
		ts.Check(err)
	}
	ts.Check(ts.Exec("node", filepath.Join(dir, "node_modules", "@netlify", "zip-it-and-ship-it", "bin.js"),
		from, to, "--manifest", filepath.Join(to, "manifest.json")))
}

func verbSameBlob(ts *testscript.TestScript, _ bool, files []string) {
	if len(files) == 0 {
		usage(ts, "sameblob FILE...")
	}
	for _, file := range files {
		data := ts.ReadFile(file)
		sum := sha256.Sum256([]byte(data))
		if stored := ts.ReadFile(filepath.Join("blobs", hex.EncodeToString(sum[:])+".zip")); stored != data {
			ts.Fatalf("the store has other bytes than %s", file)
		}
	}
}
