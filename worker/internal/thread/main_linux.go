package thread

import "syscall"

func isMain() bool { return syscall.Gettid() == syscall.Getpid() }
