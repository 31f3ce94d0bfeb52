package jail

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// neverHere are calls that not all architectures have.
var neverHere = []uintptr{unix.SYS_KEXEC_FILE_LOAD}
