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

// bundler is the directory with Netlify's bundler in node_modules, as the lock
// file in bundler/ has it. It is installed once per user and lock file, because
// it is a hundred times larger than what it makes.
var bundler = sync.OnceValues(func() (string, error) {
	from := filepath.Join(harness.Root(), "test", "e2e", "bundler")
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "nightshift-test", "bundler-"+hex.EncodeToString(sum[:8]))
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
	// The bundler asks for a newer Node than the oldest that runs functions, and
	// does without it.
	npm := exec.Command("npm", "ci", "--no-engine-strict", "--loglevel=error")
	npm.Dir = temp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing Netlify's bundler: %w\n%s", err, out)
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, fs.ErrExist) { // somebody else was first
		return "", err
	}
	return dir, nil
})

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
