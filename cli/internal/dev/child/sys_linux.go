package child

import "syscall"

// attributes puts the command in its own group, so that a Ctrl-C reaches it
// through us only, and lets it die with us, however we end.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
