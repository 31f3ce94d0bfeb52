package jail

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/worker/internal/cgroup"
	"github.com/nightshift/nightshift/worker/internal/process"
)

// maxFill is how many files and folders code may have to be linked into a cell.
// That many take a quarter of the time that starting Node takes.
const maxFill = 2000

// Cell is the folder of one process: Tmp is for the process to write to, Code
// for us to put its code into.
type Cell struct {
	jail  *Jail
	dir   string
	brand process.Brand
	user  int           // the user and group ID of the process; 0: ours
	group *cgroup.Group // nil: none
}

// Cell makes an empty cell.
func (j *Jail) Cell() (*Cell, error) {
	brand := process.NewBrand()
	c := &Cell{jail: j, brand: brand, user: j.walls.newUser(), dir: filepath.Join(j.folder.Path, cellName(brand))}
	err := c.build()
	if err == nil && j.groups != nil {
		c.group, err = j.groups.Group(brand.String())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a folder for a function's process: %w", err), c.Remove())
	}
	return c, nil
}

// cellName is that of a process's cell: its brand, by which what it leaves is found,
// and what no other function can guess, since brands can be seen.
func cellName(brand process.Brand) string { return brand.String() + nameEnd + rand.Text() }

const nameEnd = "-" // of the brand

func (c *Cell) build() error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(c.Tmp(), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(c.Code(), 0o755); err != nil {
		return err
	}
	if c.user == 0 {
		return nil
	}
	// The process may enter the cell, and write to Tmp only.
	return errors.Join(os.Chown(c.Tmp(), c.user, c.user), os.Chown(c.dir, -1, c.user), os.Chmod(c.dir, 0o710))
}

// Tmp is the process's own folder, to be its TMPDIR.
func (c *Cell) Tmp() string { return filepath.Join(c.dir, "tmp") }

// Code is a folder that the process may read; empty until it is filled.
func (c *Cell) Code() string { return filepath.Join(c.dir, "code") }

// Lock has a process that is about to be started live in the cell. readable are
// files and folders that it may read beside those of the jail's Config.
func (c *Cell) Lock(cfg *process.Config, readable ...string) {
	cfg.Brand = c.brand
	if c.jail.cfg.Open {
		return
	}
	cfg.Confine = func() error { return c.jail.walls.confine(c, readable) }
	cfg.Limits = c.jail.walls.limits(c.jail.cfg.Limits)
	cfg.Owner = c.user
	if c.group != nil {
		cfg.Held = c.group.Add
	}
}

// OutOfMemory reports whether the kernel has ended the process because it, and
// what it had started, used up their memory. That is known until Remove.
func (c *Cell) OutOfMemory() bool { return c.group != nil && c.group.OutOfMemory() }

// CanAdopt reports whether a process that was started without code can be
// given the code in a folder. It may look through the folder.
func (j *Jail) CanAdopt(code string) bool {
	if !j.walls.hides() {
		return true
	}
	if fits, ok := j.fits.Get(code); ok {
		return fits
	}
	entries := 0
	err := filepath.WalkDir(code, func(_ string, _ fs.DirEntry, err error) error {
		if entries++; err == nil && entries > maxFill {
			err = fs.SkipAll
		}
		return err
	})
	fits := err == nil && entries <= maxFill && sameDisk(code, j.folder.Path)
	j.fits.Add(code, fits)
	return fits
}

// Adopt makes code visible to a process that was started without any, and
// returns where the process finds it. Files are linked into the cell, not
// copied: nobody may change them.
func (c *Cell) Adopt(code string) (dir string, err error) {
	if !c.jail.walls.hides() {
		return code, nil
	}
	err = filepath.WalkDir(code, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == code {
			return err
		}
		to := c.Code() + path[len(code):]
		if entry.IsDir() {
			return os.Mkdir(to, 0o755)
		}
		return os.Link(path, to)
	})
	if err != nil {
		return "", fmt.Errorf("putting code into a function's folder: %w", err)
	}
	return c.Code(), nil
}

// Remove removes the cell. Its process must have ended.
func (c *Cell) Remove() error {
	var err error
	if c.group != nil {
		err = c.group.Remove()
	}
	return errors.Join(err, artifact.Remove(c.dir))
}
