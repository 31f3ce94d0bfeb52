package meter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nightshift/nightshift/worker/internal/process"
	"golang.org/x/sys/unix"
)

// maxDepth bounds the folders in folders: each has a file descriptor of ours while
// its insides are counted. Real programs stay far below.
const maxDepth = 128

// tmp counts the temporary folder, and the files that are only open any more.
func (m *Meter) tmp(w *Watch, tree []process.Member) usage {
	c := counter{limits: m.limits, seen: map[inode]struct{}{}}
	if w.tmp != "" {
		c.folder(w.tmp)
	}
	for _, member := range tree {
		if c.over(m.limits) {
			break
		}
		if !member.Zombie {
			c.deleted(member.PID)
		}
	}
	return c.usage
}

// free is what is left of a file system, in bytes.
func free(path string) int64 {
	var stat unix.Statfs_t
	if path == "" || unix.Statfs(path, &stat) != nil {
		return 0
	}
	return int64(stat.Bfree) * stat.Bsize
}

type inode struct{ device, number uint64 }

// counter counts what takes room, until it is more than the limits.
type counter struct {
	usage
	limits Limits
	seen   map[inode]struct{} // files that may be met again
	device uint64             // of the folder; others are not its file system
}

// folder counts what is below a folder, which the function changes meanwhile: no
// name is followed, and each step starts at an open folder.
func (c *counter) folder(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		fd, err = unlock(unix.AT_FDCWD, path)
	}
	if err != nil {
		if !errors.Is(err, unix.ENOENT) {
			c.hidden = fmt.Sprintf("opening it: %v", err)
		}
		return
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err == nil {
		c.device = stat.Dev
	}
	c.walk(os.NewFile(uintptr(fd), path), 1)
}

// batch is how many names are read at once.
const batch = 256

func (c *counter) walk(dir *os.File, depth int) {
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			c.entry(dir, name, depth)
			if c.over(c.limits) {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ENOENT) {
				c.hidden = fmt.Sprintf("reading a folder: %v", err)
			}
			return
		}
	}
}

func (c *counter) entry(dir *os.File, name string, depth int) {
	var stat unix.Stat_t
	if unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return // it is gone again
	}
	c.files++
	c.count(stat)
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || stat.Dev != c.device {
		return
	}
	if depth == maxDepth {
		c.hidden = fmt.Sprintf("folders are nested more than %d deep", maxDepth)
		return
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		fd, err = unlock(int(dir.Fd()), name)
	}
	switch {
	case err == nil:
		c.walk(os.NewFile(uintptr(fd), name), depth+1)
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP): // replaced meanwhile
	default:
		c.hidden = fmt.Sprintf("opening the folder %.100q: %v", name, err)
	}
}

// count adds a file's blocks; holes take none. A file with several names, or
// open several times, counts once.
func (c *counter) count(stat unix.Stat_t) (added int64) {
	if stat.Nlink != 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		id := inode{stat.Dev, stat.Ino}
		if _, again := c.seen[id]; again {
			return 0
		}
		c.seen[id] = struct{}{}
	}
	added = 512 * stat.Blocks // whatever the file system's own blocks are
	c.bytes += added
	return added
}

// unlock opens a folder that its owner, who is us or less than us, has closed to
// everybody. Links are not followed here either.
func unlock(dir int, name string) (int, error) {
	at, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(at)
	self := "/proc/self/fd/" + strconv.Itoa(at)
	if err := os.Chmod(self, 0o700); err != nil {
		return 0, errors.Unwrap(err)
	}
	return unix.Open(self, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// deleted counts the files that a process has open and that have no name any
// more: nobody finds them by walking. Those in memory (memfd) are such files, too.
func (c *counter) deleted(pid int) {
	dir, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		return // it has ended, or we are not let in
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			var stat unix.Stat_t
			if unix.Fstatat(int(dir.Fd()), name, &stat, 0) != nil || stat.Nlink > 0 || stat.Mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			c.open += c.count(stat)
			if c.over(c.limits) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
