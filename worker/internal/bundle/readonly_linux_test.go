package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
)

// ordinary makes the calling goroutine an ordinary user as far as files are
// concerned, to whom read-only means something, and gives it a directory.
func ordinary(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bundle-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = artifact.Remove(dir) })
	if os.Geteuid() != 0 {
		return dir
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// For this thread alone, which ends with the goroutine because it is never unlocked.
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	return dir
}

// What is unpacked cannot be written to, and it is no burden: it is evicted,
// removed after a crash, and discarded, by a worker that is no superuser.
func TestArtifactsAreReadOnlyAndCanBeRemoved(t *testing.T) {
	t.Parallel()
	s := newSource()
	data, digest, err := artifact.Pack([]artifact.File{
		{Path: "f.js", Data: []byte("code")}, {Path: "lib/deep/bin", Data: []byte("#!"), Executable: true}, {Path: "lib/link", Link: "deep"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.put(digest, data)
	dir := ordinary(t)
	// unpack is a fetch without the cache's own goroutine, which is not ordinary.
	unpack := func(c *Cache) {
		t.Helper()
		if _, err := c.fetch(t.Context(), digest); err != nil {
			t.Fatalf("fetch: %v", err)
		}
	}

	c := open(t, Config{Dir: dir, Source: s})
	unpack(c)
	code := c.path(digest)
	for path, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o555, "f.js": 0o444, "lib": fs.ModeDir | 0o555, "lib/deep": fs.ModeDir | 0o555, "lib/deep/bin": 0o555} {
		if info, err := os.Lstat(filepath.Join(code, path)); err != nil || info.Mode()|0o055 != want|0o055 || info.Mode()&0o222 != 0 {
			t.Errorf("%q has the mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	for name, write := range map[string]func() error{
		"overwriting a file": func() error { return os.WriteFile(filepath.Join(code, "f.js"), []byte("x"), 0o600) },
		"making a file":      func() error { return os.WriteFile(filepath.Join(code, "new"), nil, 0o600) },
		"making one below":   func() error { return os.WriteFile(filepath.Join(code, "lib", "link", "new"), nil, 0o600) },
		"removing a file":    func() error { return os.Remove(filepath.Join(code, "lib", "deep", "bin")) },
	} {
		if err := write(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s = %v, want that it is not permitted", name, err)
		}
	}

	// Evicted.
	c.adopt(digest, 100)
	c.rest(c.entries[digest])
	c.cfg.MaxBytes = 50
	c.evict()
	if got := onDisk(t, c); len(got) != 0 {
		t.Errorf("after the eviction: %v, want nothing", got)
	}

	// Left by a crash in the middle of a removal, and from before a restart of the machine.
	unpack(c)
	if err := os.Rename(code, filepath.Join(c.dir, doomedName(1))); err != nil {
		t.Fatal(err)
	}
	unpack(c)
	if err := os.WriteFile(filepath.Join(c.dir, bootFile), []byte("another boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, Config{Dir: dir, Source: s, Discard: true})
	if got := onDisk(t, c); len(got) != 0 {
		t.Errorf("after a restart: %v, want nothing", got)
	}

	// Discarded.
	unpack(c)
	c.adopt(digest, 100)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := onDisk(t, c); len(got) != 0 {
		t.Errorf("after Close: %v, want nothing", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("the data directory cannot be removed: %v", err)
	}
}
