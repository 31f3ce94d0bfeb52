// Package bundle keeps unpacked artifacts on the worker's disk, so that a
// function's code is fetched once and not once per process.
//
// An artifact is fetched by its digest, compared with it, and unpacked into a
// directory of that name, which appears complete or not at all, and read-only: a
// function finds its code as it was deployed, whatever ran before it. It may be
// removed, least recently used first, as soon as nobody holds a [Handle] to it
// and the directories together are larger than they may be. What is on disk is
// used again after a restart of the worker, but not after a restart of the
// machine: a power cut may have left holes in files.
//
// Several workers of one machine may be given the same directory; each takes a
// numbered directory of its own in it, and locks it.
package bundle

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/worker/internal/claim"
)

// Source is where artifacts come from.
type Source interface {
	// Get opens a zip, or fault.NotFound, or fault.Unavailable if trying again helps.
	Get(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Config configures a Cache.
type Config struct {
	// Dir is made if it is missing.
	Dir    string
	Source Source
	// MaxBytes bounds the unpacked artifacts together; those in use stay even
	// if they are more. Default 2 GiB.
	MaxBytes int64
	// MaxUnpacked bounds one unpacked artifact. Default 512 MiB.
	MaxUnpacked int64
	// FetchTimeout bounds fetching and unpacking one artifact. Default 2 min.
	FetchTimeout time.Duration
	// Enterable lets other users of the machine into the directory, who know the
	// digest of an artifact: functions that have a user ID of their own.
	Enterable bool
	// Discard removes all artifacts at Close, so that who owns the directory can
	// remove it as any other, read-only as artifacts are.
	Discard bool
	// Evicted, if not nil, is told each artifact that is removed, while its
	// files are still readable by those that have them open.
	Evicted func(digest string)
	Logger  *slog.Logger
}

// Cache is safe for concurrent use.
type Cache struct {
	cfg    Config
	dir    string
	folder *claim.Folder
	ctx    context.Context // of the fetches
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry
	idle    *list.List // of *entry: unpacked and unused, least recently used first
	bytes   int64      // of all unpacked entries
	removed int        // names the directories on their way out
}

// entry is one artifact, unpacked or on its way.
type entry struct {
	digest string
	ready  chan struct{} // closed once size or err is set
	err    error
	size   int64
	users  int           // handles and those who wait for one
	idle   *list.Element // nil while it is used or not ready
}

// Open takes a directory and looks through what a former run left in it.
func Open(cfg Config) (*Cache, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 2 << 30
	}
	if cfg.MaxUnpacked == 0 {
		cfg.MaxUnpacked = artifact.MaxUnpacked
	}
	if cfg.FetchTimeout == 0 {
		cfg.FetchTimeout = 2 * time.Minute
	}
	mode := fs.FileMode(0o700)
	if cfg.Enterable {
		mode = 0o711
	}
	folder, err := claim.Take(cfg.Dir, mode)
	if err != nil {
		return nil, err
	}
	c := &Cache{cfg: cfg, dir: folder.Path, folder: folder, entries: map[string]*entry{}, idle: list.New()}
	if err := c.recover(); err != nil {
		return nil, errors.Join(err, folder.Release())
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.evict()
	return c, nil
}

// Handle keeps an unpacked artifact on disk.
type Handle struct {
	// Dir holds the artifact's files. No package.json above it has a say in
	// how Node reads them.
	Dir     string
	release func()
}

// Release lets go of the artifact. Idempotent.
func (h *Handle) Release() { h.release() }

// Acquire returns the artifact's directory and fetches it first if need be;
// callers that want the same one at the same time share the fetch, which goes
// on when one of them gives up. Errors are the Source's, fault.Invalid if the
// bytes are not what the digest says or cannot be unpacked, and
// fault.Unavailable if the disk, the time or ctx ran out.
func (c *Cache) Acquire(ctx context.Context, digest string) (*Handle, error) {
	e, err := c.enter(digest)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.ready:
	case <-ctx.Done():
		c.leave(e)
		return nil, fault.Wrap(context.Cause(ctx), fault.Unavailable, "waiting for artifact %s", digest)
	}
	if e.err != nil {
		c.leave(e)
		return nil, e.err
	}
	return &Handle{Dir: c.path(digest), release: sync.OnceFunc(func() { c.leave(e) })}, nil
}

// Close ends the fetches that run and gives the directory free. Handles must
// have been released.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
	return errors.Join(c.discard(), c.folder.Release())
}

// discard removes all artifacts if it is configured so.
func (c *Cache) discard() error {
	if !c.cfg.Discard {
		return nil
	}
	var errs []error
	for digest := range c.entries {
		if err := artifact.Remove(c.path(digest)); err != nil {
			errs = append(errs, fmt.Errorf("removing artifact %s: %w", digest, err))
		}
	}
	return errors.Join(errs...)
}

// enter counts a user in, and starts the fetch if it is the first one.
func (c *Cache) enter(digest string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fault.New(fault.Unavailable, "the worker is shutting down")
	}
	e, known := c.entries[digest]
	if !known {
		e = &entry{digest: digest, ready: make(chan struct{})}
		c.entries[digest] = e
		c.wg.Go(func() { c.fill(e) })
	}
	if e.idle != nil {
		c.idle.Remove(e.idle)
		e.idle = nil
	}
	e.users++
	return e, nil
}

// leave counts a user out.
func (c *Cache) leave(e *entry) {
	c.mu.Lock()
	e.users--
	c.rest(e)
	c.mu.Unlock()
	c.evict()
}

// rest puts an entry that nobody uses into the line for eviction. Under mu.
func (c *Cache) rest(e *entry) {
	select {
	case <-e.ready:
		if e.users == 0 && e.err == nil {
			e.idle = c.idle.PushBack(e)
		}
	default: // it still comes; fill calls again
	}
}

// fill fetches an entry's files and tells those who wait.
func (c *Cache) fill(e *entry) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.FetchTimeout)
	defer cancel()
	started := time.Now()
	size, err := c.fetch(ctx, e.digest)
	c.mu.Lock()
	e.size, e.err = size, err
	if err != nil {
		delete(c.entries, e.digest) // the next one tries again
	} else {
		c.bytes += size
	}
	close(e.ready)
	c.rest(e)
	c.mu.Unlock()
	if err == nil {
		c.cfg.Logger.Debug("artifact unpacked", "artifact", e.digest, "bytes", size, "duration", time.Since(started))
	}
	c.evict()
}

// evict removes unused artifacts while there are too many bytes.
func (c *Cache) evict() {
	for {
		digest, doomed, err := c.takeOldest()
		if err != nil {
			c.cfg.Logger.Error("artifact cannot be removed from the disk", "artifact", digest, "error", err)
		}
		if doomed == "" {
			return
		}
		if c.cfg.Evicted != nil {
			c.cfg.Evicted(digest)
		}
		if err := artifact.Remove(doomed); err != nil {
			c.cfg.Logger.Error("artifact cannot be removed from the disk", "artifact", digest, "error", err)
		}
	}
}

// takeOldest renames the least recently used artifact, if one has to go, so
// that a fetch of the same one can begin while its files are being removed.
func (c *Cache) takeOldest() (digest, doomed string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	front := c.idle.Front()
	if c.bytes <= c.cfg.MaxBytes || front == nil {
		return "", "", nil
	}
	e := c.idle.Remove(front).(*entry)
	delete(c.entries, e.digest)
	c.bytes -= e.size
	c.removed++
	doomed = filepath.Join(c.dir, doomedName(c.removed))
	if err := os.Rename(c.path(e.digest), doomed); err != nil {
		return e.digest, "", err
	}
	return e.digest, doomed, nil
}

func (c *Cache) path(digest string) string { return filepath.Join(c.dir, digest) }
