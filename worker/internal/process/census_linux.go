package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix" // pidfds, netlink, openat: what package syscall does not have
)

// Census counts the processes of trees in one pass over /proc. To a tree belong
// the leader, its descendants, and processes that carry its brand: those whose
// parents have ended are nobody's descendants any more. It is safe for
// concurrent use.
type Census struct {
	mu     sync.Mutex
	proc   *os.File
	page   int64
	buf    []byte
	brands map[identity]carried // of processes that are nobody's descendants
	round  uint64
}

// identity names a process for good: pids are used again.
type identity struct {
	pid     int
	started uint64
}

// carried is the brand of a process, which never changes: reading it is several
// times the work of all the rest.
type carried struct {
	brand Brand  // 0: none
	seen  uint64 // the last round
}

// NewCensus opens /proc.
func NewCensus() (*Census, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	c := &Census{proc: proc, page: int64(os.Getpagesize()), buf: make([]byte, 4<<10), brands: map[identity]carried{}}
	if _, err := c.stat(os.Getpid()); err != nil {
		_ = proc.Close()
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	return c, nil
}

// Close ends the use of a Census.
func (c *Census) Close() error { return c.proc.Close() }

// Root looks up a leader, which must be a child of ours.
func (c *Census) Root(pid int, brand Brand) (Root, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.stat(pid)
	if err == nil && m.Parent != os.Getpid() {
		err = fmt.Errorf("process %d is not a child of ours", pid)
	}
	return Root{PID: pid, Started: m.Started, Brand: brand}, err
}

// Take counts. The answer has a tree for each root, in its order, and none of
// them holds a process twice. A tree whose leader is gone has its strays only.
func (c *Census) Take(roots []Root) ([][]Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.all()
	if err != nil {
		return nil, err
	}
	t := tracer{all: all, trees: make(map[int]int, len(all)), brands: make(map[Brand]int, len(roots)), brand: c.brand}
	for n, root := range roots {
		if m, ok := all[root.PID]; ok && m.Started == root.Started {
			t.trees[root.PID] = n
		}
		if root.Brand != 0 {
			t.brands[root.Brand] = n
		}
	}
	c.round++
	t.trees[os.Getpid()] = none
	found := make([][]Member, len(roots))
	for pid, m := range all {
		if n := t.tree(pid); n != none {
			found[n] = append(found[n], m)
		}
	}
	for id, b := range c.brands {
		if b.seen != c.round {
			delete(c.brands, id)
		}
	}
	return found, nil
}

// all reads the stat of every process.
func (c *Census) all() (map[int]Member, error) {
	if _, err := c.proc.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	names, err := c.proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("counting processes: %w", err)
	}
	all := make(map[int]Member, len(names))
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if m, err := c.stat(pid); err == nil { // else it has ended meanwhile
			all[pid] = m
		}
	}
	return all, nil
}

// read reads a small file of a process. The bytes are good until the next read.
func (c *Census) read(pid int, name string) ([]byte, error) {
	fd, err := unix.Openat(int(c.proc.Fd()), strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, c.buf)
	if err != nil {
		return nil, err
	}
	return c.buf[:n], nil
}

// Fields of /proc/PID/stat, counted from the one behind the name, as proc(5)
// has them less 3.
const (
	stateField = iota
	parentField
	threadsField  = 17
	startedField  = 19
	residentField = 21
)

func (c *Census) stat(pid int) (Member, error) {
	text, err := c.read(pid, "stat")
	if err != nil {
		return Member{}, err
	}
	// The name stands in parentheses and may hold any, so the last one ends it.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 || end+2 >= len(text) {
		return Member{}, fmt.Errorf("process %d has no stat", pid)
	}
	m := Member{PID: pid}
	field := 0
	for word := range bytes.SplitSeq(text[end+2:], []byte{' '}) {
		switch field {
		case stateField:
			m.Zombie = word[0] == 'Z' || word[0] == 'X'
		case parentField:
			m.Parent = int(number(word))
		case threadsField:
			m.Threads = max(1, int(number(word)))
		case startedField:
			m.Started = number(word)
		case residentField:
			m.Resident = int64(number(word)) * c.page
			return m, nil
		}
		field++
	}
	return Member{}, fmt.Errorf("process %d has a short stat", pid)
}

// number reads decimal digits; strconv would have it as a string.
func number(digits []byte) (n uint64) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + uint64(d-'0')
	}
	return n
}

// brand is what a process carries, or 0.
func (c *Census) brand(m Member) Brand {
	id := identity{m.PID, m.Started}
	found, known := c.brands[id]
	if !known {
		if limits, err := c.read(m.PID, "limits"); err == nil {
			found.brand, _ = brandOf(limits)
		}
	}
	found.seen = c.round
	c.brands[id] = found
	return found.brand
}

// none is the tree of a process that belongs to none.
const none = -1

// tracer tells which tree a process belongs to.
type tracer struct {
	all    map[int]Member
	trees  map[int]int   // what is known, by pid
	brands map[Brand]int // of the roots
	brand  func(Member) Brand
}

// tree asks the parents first, because that costs nothing.
func (t *tracer) tree(pid int) int {
	if n, known := t.trees[pid]; known {
		return n
	}
	m, there := t.all[pid]
	if !there { // it has ended meanwhile
		return none
	}
	t.trees[pid] = none // no circle, should pids have been used again meanwhile
	n := t.tree(m.Parent)
	if n == none && len(t.brands) > 0 {
		if of, ours := t.brands[t.brand(m)]; ours {
			n = of
		}
	}
	t.trees[pid] = n
	return n
}

// Is reports whether a process is still there, and not another one under its pid.
func (c *Census) Is(m Member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.stat(m.PID)
	return err == nil && now.Started == m.Started
}

// ErrHidden is the error for what the kernel does not let us see of another
// user's process.
var ErrHidden = errors.New("the process is not ours to look into")

// HasSocket reports whether a process has a socket open.
func HasSocket(pid int, inode uint64) (bool, error) {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(folder)
	if err == nil {
		defer dir.Close()
		want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
		var names []string
		names, err = dir.Readdirnames(-1)
		for _, name := range names {
			if target, _ := os.Readlink(folder + "/" + name); target == want {
				return true, nil
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return false, ErrHidden
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it has ended
		return false, nil
	default:
		return false, fmt.Errorf("looking for a socket of process %d: %w", pid, err)
	}
}

// User is the user ID that a process has.
func User(pid int) (int, error) {
	uid, _, err := owner(pid)
	return uid, err
}
