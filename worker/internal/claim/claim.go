// Package claim gives each of several workers on one machine a folder of its
// own in a folder that they share.
package claim

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gofrs/flock" // file locks that end with the process, on all systems
	"github.com/nightshift/nightshift/shared/fault"
)

// maxWorkers is how many workers may share one folder.
const maxWorkers = 64

// Folder is a folder that nobody else has claimed.
type Folder struct {
	// Path of the folder; it may hold what a former owner left.
	Path string
	lock *flock.Flock
}

// Take makes and locks the first numbered folder of parent that is free, with
// the given permissions for both. The lock is on the folder itself because that
// also keeps systemd-tmpfiles from cleaning it up under us when it stands in /tmp.
func Take(parent string, mode fs.FileMode) (*Folder, error) {
	for n := range maxWorkers {
		dir := filepath.Join(parent, strconv.Itoa(n))
		err := os.MkdirAll(dir, mode)
		if err == nil {
			err = errors.Join(os.Chmod(parent, mode), os.Chmod(dir, mode)) // made by a version or under a mask that gave others
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the data directory %s cannot be used; choose one that the worker may write to", parent)
		}
		lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
		free, err := lock.TryLock()
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the data directory %s cannot be locked", dir)
		}
		if free {
			return &Folder{Path: dir, lock: lock}, nil
		}
	}
	return nil, fault.New(fault.Invalid, "the data directory %s serves %d workers already; give this one another", parent, maxWorkers)
}

// Release gives the folder free. What is in it stays.
func (f *Folder) Release() error { return f.lock.Close() }
