//go:build linux || darwin

package process

import (
	"syscall"
	"unsafe"
)

// awaitExit returns when the process is a zombie, and leaves it one.
func awaitExit(pid int) {
	const waitPID = 1  // P_PID
	var info [128]byte // siginfo_t, which nobody reads
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPID, uintptr(pid),
			uintptr(unsafe.Pointer(&info[0])), syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}
