package jail

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// neverHere are calls that only this architecture has.
var neverHere = []uintptr{
	unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS__SYSCTL, unix.SYS_SYSFS, unix.SYS_USTAT,
	unix.SYS_CREATE_MODULE, unix.SYS_QUERY_MODULE, unix.SYS_GET_KERNEL_SYMS, unix.SYS_KEXEC_FILE_LOAD,
}

// opens are the calls that open files, with the argument that has the flags.
var opens = map[uintptr]int{unix.SYS_OPEN: 1, unix.SYS_OPENAT: 2}
