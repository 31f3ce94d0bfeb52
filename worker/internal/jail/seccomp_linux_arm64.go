package jail

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// neverHere are calls that not all architectures have.
var neverHere = []uintptr{unix.SYS_KEXEC_FILE_LOAD}

// opens are the calls that open files, with the argument that has the flags.
var opens = map[uintptr]int{unix.SYS_OPENAT: 2}
