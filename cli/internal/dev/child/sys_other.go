//go:build !linux

package child

import "syscall"

// attributes puts the command in its own group, so that a Ctrl-C reaches it
// through us only.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
