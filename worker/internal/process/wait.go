//go:build linux || darwin

package process

import (
	"syscall"
	"unsafe"
)

// awaitExit returns when the process is a zombie, and leaves it one.
func awaitExit(pid int) { await(pid, syscall.WEXITED) }

// awaitStop returns when the process has stopped, or is a zombie.
func awaitStop(pid int) { await(pid, syscall.WEXITED|syscall.WSTOPPED) }

func await(pid, what int) {
	const waitPID = 1  // P_PID
	var info [128]byte // siginfo_t, which nobody reads
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPID, uintptr(pid),
			uintptr(unsafe.Pointer(&info[0])), uintptr(what|syscall.WNOWAIT), 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}
