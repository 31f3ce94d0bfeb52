package process

import (
	"os"
	"syscall"
)

// Without Linux's parent-death signal and /proc, a worker that is killed leaves
// its children behind, and so does a child its detached ones; the rest holds.

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func reopen(w *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), w.Name()), nil
}

func killStrays(string) {}
