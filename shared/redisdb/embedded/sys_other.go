//go:build !linux

package embedded

import "syscall"

// sysProcAttr puts the server into a group of its own, because Ctrl-C in a
// terminal goes to our whole group and the database must outlive us. Only Linux
// ends it with us when we are killed.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
