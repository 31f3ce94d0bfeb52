package process

import (
	"os"
	"syscall"
)

// Without Linux's parent-death signal, resource limits of other processes and
// /proc, a worker that is killed leaves its children behind, and so does a
// child its detached ones; the rest holds.

// Holds is false: nothing has to be done to a child before it runs.
func Holds() bool { return false }

func attributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func holdRefused(error) bool { return false }

func holdNoMore() {}

func letGo(int) {}

func closeInherited() {}

func reopen(w *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), w.Name()), nil
}

// isEmpty is not known.
func isEmpty(int) bool { return false }

func setLimits(int, Brand, []Limit) error { return nil }

// KillStrays does nothing.
func KillStrays(Brand) {}

// Branded is empty: there are no brands.
func Branded() map[Brand][]int { return nil }
