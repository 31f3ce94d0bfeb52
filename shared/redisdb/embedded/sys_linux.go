package embedded

import "syscall"

// sysProcAttr puts the server into a group of its own, because Ctrl-C in a
// terminal goes to our whole group and the database must outlive us; and if we
// are killed, it must not stay behind.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
