package process

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/worker/internal/thread"
	"golang.org/x/sys/unix" // has prlimit, which package syscall does not
)

// BrandLimit is the resource whose limit carries the brand.
const BrandLimit = unix.RLIMIT_RTTIME

// strayTime bounds how long KillStrays tries.
const strayTime = 10 * time.Second

// noHold is set once the system has refused to hold a child.
var noHold atomic.Bool

// Holds reports whether children are held before their first instruction. The
// first start may find out that they are not.
func Holds() bool { return !noHold.Load() }

// attributes: a held child asks to be traced, and is stopped when it has
// executed its program.
func attributes(hold bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Ptrace: hold}
}

// holdRefused reports whether a start may have failed because tracing is
// forbidden, by Yama or by a container's filter.
func holdRefused(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) }

// holdNoMore is called when a start worked only without holding the child.
func holdNoMore() { noHold.Store(true) }

// closeInherited keeps from children what our own parent, or code that is not
// Go's, left open; Go itself opens nothing that they inherit.
func closeInherited() { _ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }

// letGo ends the tracing. The one error there may be is that the child is dead.
func letGo(pid int) { _ = syscall.PtraceDetach(pid) }

// reopen opens a pipe's writing end once more. A duplicate would share its
// blocking mode with the child, and a full pipe could then block us.
func reopen(w *os.File) (*os.File, error) {
	raw, err := w.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f *os.File
	var openErr error
	err = raw.Control(func(fd uintptr) {
		f, openErr = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, err
	}
	return f, openErr
}

// isEmpty reports whether nothing is in a pipe.
func isEmpty(fd int) bool {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return err == nil && n == 0
}

// setLimits gives a child its brand and its limits.
func setLimits(pid int, brand Brand, limits []Limit) error {
	err := prlimits(pid, brand, limits)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	// It has another user ID than we, and we are a root without CAP_SYS_RESOURCE,
	// as containers have it. Who has the same user ID may do it.
	uid, gid, ownerErr := owner(pid)
	if ownerErr != nil {
		return errors.Join(err, ownerErr)
	}
	thread.Do(func() {
		if err = Become(uid, gid); err == nil {
			err = prlimits(pid, brand, limits)
		}
	})
	return err
}

func prlimits(pid int, brand Brand, limits []Limit) error {
	for _, l := range limits {
		var now unix.Rlimit
		if err := unix.Prlimit(pid, l.Resource, nil, &now); err != nil {
			return fmt.Errorf("reading limit %d: %w", l.Resource, err)
		}
		value := min(l.Value, now.Max)
		if err := unix.Prlimit(pid, l.Resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("setting limit %d: %w", l.Resource, err)
		}
	}
	if err := unix.Prlimit(pid, BrandLimit, &unix.Rlimit{Cur: uint64(brand), Max: uint64(brand)}, nil); err != nil {
		return fmt.Errorf("branding it: %w", err)
	}
	return nil
}

// Become gives the calling thread, and no other, a user and a group ID without
// supplementary groups. The system calls are made directly, because Go's
// wrappers change all threads.
func Become(uid, gid int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("giving up supplementary groups: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return fmt.Errorf("taking group ID %d: %w", gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return fmt.Errorf("taking user ID %d: %w", uid, errno)
	}
	return nil
}

// owner reads the real user and group ID of a process.
func owner(pid int) (uid, gid int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch string(fields[0]) {
		case "Uid:":
			uid, err = strconv.Atoi(string(fields[1]))
		case "Gid:":
			gid, err = strconv.Atoi(string(fields[1]))
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}

// KillStrays kills the processes that carry the brand: descendants that left
// the group, as Node's "detached" children do. Again and again, because one may
// fork while we look.
func KillStrays(brand Brand) {
	for deadline := time.Now().Add(strayTime); time.Now().Before(deadline); {
		pids := Branded()[brand]
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			killBranded(pid, brand)
		}
	}
}

// killBranded kills a process if it carries the brand still: since it was seen its
// ID may have become another's, soon where processes are made by the thousand.
func killBranded(pid int, brand Brand) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	if now, ok := brandAt(strconv.Itoa(pid)); !ok || now != brand {
		return
	}
	if err != nil { // a system without it, or a process that has just ended
		_ = syscall.Kill(pid, syscall.SIGKILL)
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// Branded lists the living processes that carry brands, anybody's.
func Branded() map[Brand][]int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	found := map[Brand][]int{}
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if brand, ok := brandAt(name); ok && living(name) {
			found[brand] = append(found[brand], pid)
		}
	}
	return found
}

// brandAt reads the brand of the process with an ID.
func brandAt(pid string) (Brand, bool) {
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	if err != nil {
		return 0, false
	}
	return brandOf(limits)
}

var brandLine = []byte("\nMax realtime timeout")

// brandOf finds the brand in /proc/PID/limits.
func brandOf(limits []byte) (Brand, bool) {
	_, rest, ok := bytes.Cut(limits, brandLine)
	if !ok {
		return 0, false
	}
	fields := bytes.Fields(rest[:min(len(rest), 64)])
	if len(fields) < 2 {
		return 0, false
	}
	value, err := strconv.ParseUint(string(fields[1]), 10, 64) // the hard one
	return Brand(value), err == nil && value&^(brandBit-1) == brandBit
}

// living reports whether a process is no zombie: those are dead, and wait for
// a parent that may never ask.
func living(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return len(state) > 1 && state[1] != 'Z' && state[1] != 'X'
}
