package system

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// diskSize is room for all deploys of a run, and little more.
const diskSize = 64 << 20

// disk is where the blob store is: a small file system in memory if the test may
// make one, else a folder.
type disk struct {
	path string
	root *os.File // of the file system; nil for a folder
	why  error    // why it cannot be filled
}

func newDisk(folder string) (*disk, error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	d := &disk{path: folder}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		d.why = fmt.Errorf("no file system can be mounted here: %w", err)
		return d, nil
	}
	// Unmounted at once, it lives as long as we hold it open: a test that is
	// killed leaves no mount behind.
	root, err := os.Open(folder)
	if detached := syscall.Unmount(folder, syscall.MNT_DETACH); err == nil {
		err = detached
	}
	if err != nil {
		return nil, err
	}
	d.root, d.path = root, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), root.Fd())
	return d, nil
}

func (d *disk) close() error {
	if d.root == nil {
		return nil
	}
	return d.root.Close()
}

// CanFill says why the disk of the blob store cannot be filled, or nil.
func (s *System) CanFill() error { return s.disk.why }

// Fill fills the disk of the blob store to the last byte, until free is called.
func (s *System) Fill() (free func() error, err error) {
	name := filepath.Join(s.disk.path, ".filler")
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(file, zeros{}, 2*diskSize)
	_ = file.Close() // what could not be written need not be
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, errors.Join(fmt.Errorf("filling the disk ended with %v", err), os.Remove(name))
	}
	return func() error { return os.Remove(name) }, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
