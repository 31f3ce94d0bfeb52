package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/fault"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is an artifact store whose answers the test writes.
type source struct {
	mu    sync.Mutex
	blobs map[string]func() (io.ReadCloser, error)
	gets  atomic.Int32
}

func newSource() *source { return &source{blobs: map[string]func() (io.ReadCloser, error){}} }

func (s *source) Get(_ context.Context, digest string) (io.ReadCloser, error) {
	s.gets.Add(1)
	s.mu.Lock()
	open, ok := s.blobs[digest]
	s.mu.Unlock()
	if !ok {
		return nil, fault.New(fault.NotFound, "no such artifact")
	}
	return open()
}

// add stores one file of a size and returns the artifact's digest.
func (s *source) add(t *testing.T, content string, size int) string {
	t.Helper()
	data, digest, err := artifact.Pack([]artifact.File{{Path: "f.js", Data: []byte(content + strings.Repeat(" ", size-len(content)))}})
	if err != nil {
		t.Fatal(err)
	}
	s.put(digest, data)
	return digest
}

// put stores a zip.
func (s *source) put(digest string, data []byte) {
	s.set(digest, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

func (s *source) set(digest string, open func() (io.ReadCloser, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = open
}

func open(t *testing.T, cfg Config) *Cache {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	c, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func acquire(t *testing.T, c *Cache, digest string) *Handle {
	t.Helper()
	h, err := c.Acquire(t.Context(), digest)
	if err != nil {
		t.Fatalf("Acquire(%.8s): %v", digest, err)
	}
	return h
}

// onDisk lists the artifacts that are there.
func onDisk(t *testing.T, c *Cache) (digests []string) {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "package.json" && e.Name() != bootFile {
			digests = append(digests, e.Name())
		}
	}
	return digests
}

func TestAcquireFetchesOnce(t *testing.T) {
	t.Parallel()
	s := newSource()
	digest := s.add(t, "code", 100)
	c := open(t, Config{Dir: artifacttest.TempDir(t), Source: s})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			h, err := c.Acquire(t.Context(), digest)
			if err != nil {
				t.Errorf("Acquire: %v", err)
				return
			}
			defer h.Release()
			if got, err := os.ReadFile(filepath.Join(h.Dir, "f.js")); err != nil || !strings.HasPrefix(string(got), "code") {
				t.Errorf("f.js holds %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got := s.gets.Load(); got != 1 {
		t.Errorf("fetched %d times, want once", got)
	}
	if got := onDisk(t, c); len(got) != 1 || got[0] != digest {
		t.Errorf("on disk: %v, want the artifact alone", got)
	}
}

func TestFailuresLeaveNothingAndAreNotRemembered(t *testing.T) {
	t.Parallel()
	s := newSource()
	digest := s.add(t, "code", 100)
	good := s.blobs[digest]
	whole, _ := good()
	data, _ := io.ReadAll(whole)
	noZip := sha256.Sum256([]byte("no zip"))
	reader := func(r io.Reader) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	}
	tests := map[string]struct {
		digest string
		open   func() (io.ReadCloser, error)
		want   fault.Kind
	}{
		"missing":       {hex.EncodeToString(make([]byte, 32)), nil, fault.NotFound},
		"no digest":     {"../../etc", nil, fault.Invalid},
		"out of reach":  {digest, func() (io.ReadCloser, error) { return nil, fault.New(fault.Unavailable, "away") }, fault.Unavailable},
		"other bytes":   {digest, reader(strings.NewReader("other bytes")), fault.Invalid},
		"cut short":     {digest, reader(bytes.NewReader(data[:len(data)-1])), fault.Invalid},
		"broken off":    {digest, reader(io.MultiReader(bytes.NewReader(data[:10]), iotest.ErrReader(errors.New("reset")))), fault.Unavailable},
		"is not a zip":  {hex.EncodeToString(noZip[:]), reader(strings.NewReader("no zip")), fault.Invalid},
		"too large":     {s.add(t, "large", 2000), nil, fault.Invalid},
		"is good again": {digest, good, ""},
	}
	c := open(t, Config{Dir: artifacttest.TempDir(t), Source: s, MaxUnpacked: 1000})
	for _, name := range []string{"missing", "no digest", "out of reach", "other bytes", "cut short", "broken off", "is not a zip", "too large", "is good again"} {
		test := tests[name]
		if test.open != nil {
			s.set(test.digest, test.open)
		}
		h, err := c.Acquire(t.Context(), test.digest)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: Acquire = %v", name, err)
				continue
			}
			h.Release()
			continue
		}
		if !fault.Is(err, test.want) {
			t.Errorf("%s: Acquire = %v, want %s", name, err, test.want)
		}
		if left := onDisk(t, c); len(left) != 0 {
			t.Errorf("%s: %v was left on disk", name, left)
		}
	}
}

func TestEvictionSparesWhatIsInUse(t *testing.T) {
	t.Parallel()
	s := newSource()
	a, b, d := s.add(t, "a", 400), s.add(t, "b", 400), s.add(t, "d", 400)
	var evicted []string
	c := open(t, Config{Dir: artifacttest.TempDir(t), Source: s, MaxBytes: 1000, Evicted: func(digest string) { evicted = append(evicted, digest) }})
	ha := acquire(t, c, a)
	acquire(t, c, b).Release()
	hd := acquire(t, c, d) // 1200 bytes: b is the only one that may go
	waitFor(t, c, func() bool { return len(evicted) == 1 })
	if evicted[0] != b {
		t.Fatalf("evicted %v, want b", evicted)
	}
	if got := onDisk(t, c); slices.Contains(got, b) || len(got) != 2 {
		t.Errorf("on disk: %v, want a and d", got)
	}
	hb := acquire(t, c, b) // all three in use: over the limit, and nothing may go
	for _, h := range []*Handle{ha, hb, hd} {
		if _, err := os.Stat(filepath.Join(h.Dir, "f.js")); err != nil {
			t.Errorf("a file in use is gone: %v", err)
		}
	}
	hd.Release()
	hd.Release() // idempotent
	if len(evicted) != 2 || evicted[1] != d {
		t.Errorf("evicted %v, want d after b", evicted)
	}
	ha.Release()
	hb.Release()
	if got := onDisk(t, c); len(got) != 2 {
		t.Errorf("on disk: %v, want a and b", got)
	}
}

// waitFor waits for the fetch's own goroutine, which evicts after it has
// answered.
func waitFor(t *testing.T, c *Cache, ready func() bool) {
	t.Helper()
	c.wg.Wait()
	if !ready() {
		t.Fatal("not ready after all fetches ended")
	}
}

func TestARestartKeepsWhatIsWhole(t *testing.T) {
	t.Parallel()
	dir, s := artifacttest.TempDir(t), newSource()
	digest := s.add(t, "code", 100)
	first := open(t, Config{Dir: dir, Source: s})
	acquire(t, first, digest).Release()
	for _, rest := range []string{".unpack-1", ".download-1", ".removed-1"} {
		if err := os.Mkdir(filepath.Join(first.dir, rest), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, Config{Dir: dir, Source: s})
	if got := onDisk(t, second); len(got) != 1 || got[0] != digest {
		t.Errorf("after a restart: %v, want the artifact alone", got)
	}
	acquire(t, second, digest).Release()
	if got := s.gets.Load(); got != 1 {
		t.Errorf("fetched %d times, want once", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}

	// A restart of the machine.
	if err := os.WriteFile(filepath.Join(second.dir, bootFile), []byte("another boot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/sys/kernel/random/boot_id"); err == nil {
		third := open(t, Config{Dir: dir, Source: s})
		if got := onDisk(t, third); len(got) != 0 {
			t.Errorf("after a restart of the machine: %v, want nothing", got)
		}
		_ = third.Close()
	}

	// A smaller limit.
	fourth := open(t, Config{Dir: dir, Source: s})
	acquire(t, fourth, digest).Release()
	_ = fourth.Close()
	fifth := open(t, Config{Dir: dir, Source: s, MaxBytes: 50})
	if got := onDisk(t, fifth); len(got) != 0 {
		t.Errorf("over the limit after a restart: %v, want nothing", got)
	}
}

func TestWorkersDoNotShare(t *testing.T) {
	t.Parallel()
	dir, s := artifacttest.TempDir(t), newSource()
	one, two := open(t, Config{Dir: dir, Source: s}), open(t, Config{Dir: dir, Source: s})
	if one.dir == two.dir {
		t.Errorf("both use %s", one.dir)
	}
}

func TestGivingUpAndClosing(t *testing.T) {
	t.Parallel()
	s := newSource()
	digest := s.add(t, "code", 100)
	arrived, release := make(chan struct{}), make(chan struct{})
	good := s.blobs[digest]
	s.set(digest, func() (io.ReadCloser, error) {
		close(arrived)
		<-release
		return good()
	})
	c := open(t, Config{Dir: artifacttest.TempDir(t), Source: s})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := c.Acquire(ctx, digest); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire = %v, want unavailable because of the cancellation", err)
	}
	close(release) // the fetch goes on
	acquire(t, c, digest).Release()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := c.Acquire(t.Context(), digest); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Acquire after Close = %v, want unavailable", err)
	}
}

func TestOpenNeedsADirectoryItMayWriteTo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(artifacttest.TempDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: file}); !fault.Is(err, fault.Invalid) {
		t.Errorf("Open on a file = %v, want invalid", err)
	}
}

// TestNodeDoesNotLookUpwards has a package.json above the cache that would turn
// every .js file into a module.
func TestNodeDoesNotLookUpwards(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("the worker's tests need node: %v", err)
	}
	dir, s := artifacttest.TempDir(t), newSource()
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := s.add(t, "module.exports = 1; console.log('common')", 100)
	c := open(t, Config{Dir: filepath.Join(dir, "cache"), Source: s})
	h := acquire(t, c, digest)
	defer h.Release()
	cmd := exec.CommandContext(t.Context(), node, filepath.Join(h.Dir, "f.js"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "common\n" {
		t.Errorf("node says %q, %v; want that f.js is CommonJS", out, err)
	}
}
