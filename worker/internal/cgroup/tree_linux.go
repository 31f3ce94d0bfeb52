package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the groups that are made. Several workers may share a home, so each
// has a branch that is named by its process.
const (
	branchPrefix = "nightshift-"
	leaf         = "worker"
	group        = "functions"
)

// inUse is held by the one Tree that a process may have: it moves the process.
var inUse sync.Mutex

// Tree is the worker's part of the tree. It is safe for concurrent use.
type Tree struct {
	home   string // the group that was the worker's
	branch string // what is made in it
	limits Limits
	shared []string // controllers that home did not share out before
}

// Open shapes the tree around this process. The error says what is missing; then
// nothing has been changed. A process may have one Tree at a time.
func Open(limits Limits) (*Tree, error) {
	if !inUse.TryLock() {
		return nil, errors.New("another worker of this process has them")
	}
	t, err := open(limits)
	if err != nil {
		inUse.Unlock()
	}
	return t, err
}

func open(limits Limits) (*Tree, error) {
	home, err := ownGroup()
	if err != nil {
		return nil, err
	}
	t := &Tree{home: home, branch: filepath.Join(home, branchPrefix+strconv.Itoa(os.Getpid())), limits: limits}
	if err := t.has(limits.controllers()); err != nil {
		return nil, err
	}
	if err := t.shape(); err != nil {
		return nil, errors.Join(err, t.undo())
	}
	return t, nil
}

// has checks that the group may share out what is to be limited.
func (t *Tree) has(controllers []string) error {
	text, err := os.ReadFile(filepath.Join(t.home, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading what the worker's control group may limit: %w", err)
	}
	have := strings.Fields(string(text))
	for _, c := range controllers {
		if !slices.Contains(have, c) {
			return fmt.Errorf("the worker's control group cannot limit %s", c)
		}
	}
	return nil
}

// shape makes the groups and moves the worker.
func (t *Tree) shape() error {
	if err := t.clean(); err != nil {
		return err
	}
	for _, dir := range []string{t.branch, t.leaf(), t.functions()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	if err := write(t.leaf(), "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	shared, err := os.ReadFile(filepath.Join(t.home, "cgroup.subtree_control"))
	if err != nil {
		return fmt.Errorf("reading what the worker's control group shares out: %w", err)
	}
	missing := slices.DeleteFunc(t.limits.controllers(), func(c string) bool { return slices.Contains(strings.Fields(string(shared)), c) })
	if err := share(t.home, "+", missing); err != nil {
		return err
	}
	t.shared = missing
	return errors.Join(share(t.branch, "+", t.limits.controllers()), share(t.functions(), "+", t.limits.controllers()))
}

func (t *Tree) leaf() string      { return filepath.Join(t.branch, leaf) }
func (t *Tree) functions() string { return filepath.Join(t.branch, group) }

// share lets a group share out what is limited, or not any more.
func share(dir, sign string, controllers []string) error {
	if len(controllers) == 0 {
		return nil
	}
	err := write(dir, "cgroup.subtree_control", sign+strings.Join(controllers, " "+sign))
	if errors.Is(err, unix.EBUSY) {
		return errBusy
	}
	return err
}

var errBusy = errors.New("other processes are in the worker's control group, or use what it shares out")

// clean removes what workers that were killed have left.
func (t *Tree) clean() error {
	branches, err := filepath.Glob(filepath.Join(t.home, branchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, branch := range branches {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(branch), branchPrefix))
		if err != nil || pid != os.Getpid() && unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		err = errors.Join(fell(filepath.Join(branch, group)), remove(filepath.Join(branch, leaf)), remove(branch))
		if err != nil {
			return err
		}
	}
	return nil
}

// fell ends all functions and removes their groups, and the one above them.
func fell(functions string) error {
	left, err := os.ReadDir(functions)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for control groups that are left: %w", err)
	}
	for _, entry := range left {
		if !entry.IsDir() {
			continue
		}
		g := Group{dir: filepath.Join(functions, entry.Name())}
		if err := g.Remove(); err != nil {
			return err
		}
	}
	return remove(functions)
}

// Close moves the worker back and removes the groups. No Group may be in use.
func (t *Tree) Close() error {
	defer inUse.Unlock()
	return t.undo()
}

func (t *Tree) undo() error {
	if _, err := os.Stat(t.branch); err != nil {
		return nil // nothing was made
	}
	if err := fell(t.functions()); err != nil {
		return err
	}
	// From the leaf to the root: a group that shares something out cannot be taken
	// it away, and may hold no process.
	errs := []error{share(t.branch, "-", t.limits.controllers())}
	if err := share(t.home, "-", t.shared); !errors.Is(err, errBusy) { // another worker needs them
		errs = append(errs, err)
	}
	err := write(t.home, "cgroup.procs", strconv.Itoa(os.Getpid()))
	if errors.Is(err, unix.EBUSY) {
		return errors.Join(errs...) // we stay in our leaf, and the next worker clears it away
	}
	return errors.Join(append(errs, err, remove(t.leaf()), remove(t.branch))...)
}

// Group is the control group of one function process.
type Group struct {
	dir string
}

// Group makes one with the limits of the tree. Names differ.
func (t *Tree) Group(name string) (*Group, error) {
	g := &Group{dir: filepath.Join(t.functions(), name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making a control group: %w", err)
	}
	for _, s := range t.limits.settings() {
		if err := write(g.dir, s.file, s.value); err != nil && !(s.optional && errors.Is(err, fs.ErrNotExist)) {
			return nil, errors.Join(err, g.Remove())
		}
	}
	return g, nil
}

// Add moves a process into the group, and with it all that it will start.
func (g *Group) Add(pid int) error { return write(g.dir, "cgroup.procs", strconv.Itoa(pid)) }

// OutOfMemory reports whether the kernel has ended the group, or one of its
// processes, because it had used up its memory.
func (g *Group) OutOfMemory() bool {
	events, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(events)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(count) != "0"
		}
	}
	return false
}

// Remove ends what is left in the group, and removes it.
func (g *Group) Remove() error {
	if err := g.kill(); err != nil {
		return err
	}
	return remove(g.dir)
}

// kill ends all at once; kernels before 5.14 know no way to do that, and the
// processes are ended by whoever started them.
func (g *Group) kill() error {
	err := write(g.dir, "cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeTime bounds how long the dead may take to leave a group.
const removeTime = 2 * time.Second

// remove removes a group as soon as the last of its processes, killed already,
// has left it.
func remove(dir string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(removeTime); ; <-tick.C {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("removing a control group: %w", err)
		}
	}
}

// write writes to a file of a group, which is there or not, and is never made.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("setting %s of a control group: %w", file, err)
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("setting %s of a control group to %s: %w", file, value, err)
	}
	return nil
}

// ownGroup finds the group of this process, and checks that it may be shaped.
func ownGroup() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("looking for the worker's control group: %w", err)
	}
	path := ""
	for line := range strings.Lines(string(text)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = own
		}
	}
	mount, err := mountPoint()
	if err != nil {
		return "", err
	}
	if path == "" || mount == "" {
		return "", errors.New("there is no cgroup v2")
	}
	home := filepath.Join(mount, path)
	if err := unix.Access(home, unix.W_OK); err != nil {
		return "", fmt.Errorf("the worker's control group %s cannot be written to: %w", path, err)
	}
	// The root of what a container or a machine without an init system sees is
	// nobody else's. For all others, it is who manages them that gives them away.
	if path != "/" && !delegated(home) {
		return "", fmt.Errorf("the worker's control group %s is not delegated to it", path)
	}
	return home, nil
}

// delegated reports whether systemd, or who follows its rules, has given a group
// to the service that is in it.
func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// mountPoint finds where the whole of cgroup v2 is to be seen; empty: nowhere.
func mountPoint() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("looking for control groups: %w", err)
	}
	for line := range bytes.Lines(text) {
		before, after, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(before)
		if ok && len(fields) > 4 && fields[3] == "/" && strings.HasPrefix(after, "cgroup2 ") {
			return fields[4], nil
		}
	}
	return "", nil
}
