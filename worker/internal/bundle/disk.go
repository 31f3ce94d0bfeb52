package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
)

// Names in a worker's directory, beside the artifacts.
const (
	downloadPrefix = ".download-"
	doomedPrefix   = ".removed-"
	bootFile       = ".boot"
)

var digestName = regexp.MustCompile(`^[0-9a-f]{64}$`)

func doomedName(n int) string { return doomedPrefix + strconv.Itoa(n) }

// recover removes what a crash left half-done and takes over the rest, oldest
// first.
func (c *Cache) recover() error {
	// Node looks upwards for the nearest package.json to learn whether a .js
	// file is a module. This one ends the search before it leaves our directory.
	if err := os.WriteFile(filepath.Join(c.dir, "package.json"), []byte("{}\n"), 0o600); err != nil {
		return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be written to", c.dir)
	}
	trusted, err := c.sameBoot()
	if err != nil {
		return err
	}
	found, err := os.ReadDir(c.dir)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be read", c.dir)
	}
	age := map[string]time.Time{}
	for _, f := range found {
		path := filepath.Join(c.dir, f.Name())
		isArtifact := digestName.MatchString(f.Name())
		isRest := strings.HasPrefix(f.Name(), downloadPrefix) || strings.HasPrefix(f.Name(), doomedPrefix) || strings.HasPrefix(f.Name(), artifact.TempPrefix)
		if isArtifact && trusted {
			size, err := treeSize(path)
			info, infoErr := f.Info()
			if err != nil || infoErr != nil {
				return fault.Wrap(errors.Join(err, infoErr), fault.Invalid, "the data directory %s cannot be read", c.dir)
			}
			age[f.Name()] = info.ModTime()
			c.adopt(f.Name(), size)
		} else if isArtifact || isRest {
			if err := artifact.Remove(path); err != nil {
				return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be cleaned up", c.dir)
			}
		}
	}
	c.lineUp(age)
	return nil
}

// adopt enters an artifact that is on disk already.
func (c *Cache) adopt(digest string, size int64) {
	e := &entry{digest: digest, ready: make(chan struct{}), size: size}
	close(e.ready)
	c.entries[digest] = e
	c.bytes += size
}

// lineUp puts adopted entries into the line for eviction.
func (c *Cache) lineUp(age map[string]time.Time) {
	digests := make([]string, 0, len(age))
	for digest := range age {
		digests = append(digests, digest)
	}
	slices.SortFunc(digests, func(a, b string) int { return cmp.Or(age[a].Compare(age[b]), cmp.Compare(a, b)) })
	for _, digest := range digests {
		c.rest(c.entries[digest])
	}
}

// sameBoot reports whether the machine has been up since the directory was
// last used, and notes that it is used now. Where the system has no boot ID,
// the answer is yes.
func (c *Cache) sameBoot() (bool, error) {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return true, nil
	}
	file := filepath.Join(c.dir, bootFile)
	then, err := os.ReadFile(file)
	if err == nil && string(then) == string(now) {
		return true, nil
	}
	if err := os.WriteFile(file, now, 0o600); err != nil {
		return false, fault.Wrap(err, fault.Invalid, "the data directory %s cannot be written to", c.dir)
	}
	return false, nil
}

// fetch downloads, compares and unpacks an artifact, and returns its size on disk.
func (c *Cache) fetch(ctx context.Context, digest string) (int64, error) {
	if !digestName.MatchString(digest) {
		return 0, fault.New(fault.Invalid, "%q is not the digest of an artifact", digest)
	}
	zip, err := os.CreateTemp(c.dir, downloadPrefix+"*")
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "the worker's disk does not take artifact %s", digest)
	}
	defer os.Remove(zip.Name())
	defer zip.Close()
	n, err := c.download(ctx, zip, digest)
	if err != nil {
		return 0, err
	}
	if err := artifact.Unpack(zip, n, c.path(digest), c.cfg.MaxUnpacked); err != nil {
		if fault.Is(err, fault.Invalid) {
			return 0, fault.Wrap(err, fault.Invalid, "artifact %s cannot be unpacked; deploy again", digest)
		}
		return 0, fault.Wrap(err, fault.Unavailable, "the worker's disk does not take artifact %s", digest)
	}
	size, err := treeSize(c.path(digest))
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "reading artifact %s on the worker's disk", digest)
	}
	return size, nil
}

func (c *Cache) download(ctx context.Context, to *os.File, digest string) (int64, error) {
	from, err := c.cfg.Source.Get(ctx, digest)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, artifact.MaxSize+1))
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "fetching artifact %s", digest)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return 0, fault.New(fault.Invalid, "artifact %s is damaged in the artifact store (its SHA-256 is %s); deploy again", digest, got)
	}
	return n, nil
}

// treeSize adds up the files under dir.
func treeSize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("looking at a file: %w", err)
		}
		total += info.Size()
		return nil
	})
	return total, err
}
