//go:build amd64 || arm64

package jail

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf" // writes filter programs
	"golang.org/x/sys/unix"
)

// filter is a filter of system calls, as the kernel takes it.
type filter []unix.SockFilter

// Offsets into the data that a filter sees; amd64 and arm64 are little-endian.
const (
	offCall = 0
	offArch = 4
	offArgs = 16
)

// x32Bit marks calls of amd64's other ABI, which have numbers of their own.
const x32Bit = 0x40000000

// test looks at half of an argument. Where the kernel takes an int, the upper
// half must not count: it may hold anything, and the call works all the same.
type test struct {
	arg   int
	upper bool
	mask  uint32 // 0: all bits
	value uint32
	not   bool
}

// rule refuses a call with an error: always, or if all tests of one of the rows
// hold.
type rule struct {
	call  uintptr
	errno unix.Errno
	rows  [][]test
}

// never are calls that no function has a use for: they change the system, look
// into other processes, or are how many of the kernel's holes were reached.
var never = append([]uintptr{
	// Other processes.
	unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// Mounts and namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
	unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	// Files past their paths.
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE,
	// The kernel itself.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	// The machine.
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_ACCT, unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SYSLOG,
	unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL,
}, neverHere...)

// missing are calls that programs can do without if the kernel does not have
// them: ways to do something faster, and memory that belongs to no process or
// has a name that others know.
var missing = []uintptr{
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_INOTIFY_INIT1, // tells the names of files in folders that may not be listed
	unix.SYS_CLONE3,        // its flags are in memory, where a filter cannot look
	unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET,
	unix.SYS_SHMGET, unix.SYS_SEMGET, unix.SYS_MSGGET, unix.SYS_MQ_OPEN,
}

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// ioprioWhoUser means all processes of a user, as PRIO_USER does elsewhere.
const ioprioWhoUser = 3

// sockType is the part of a socket's type that is not flags.
const sockType = 0xf

// guarded is what the kernel's Landlock sees to itself, if it is new enough.
type guarded struct {
	unixSockets bool // in the file system
	truncation  bool // of files that a process may not write
}

// nobodyElse refuses a call that is about another process, named by the argument
// who, or by its own number: 0 is the caller itself. Some of what may be changed
// that way ends a process (a limit of processor time) or holds it up for good, and
// user IDs are all that the kernel asks for.
func nobodyElse(call uintptr, who int, more ...[]test) rule {
	return rule{call, unix.EPERM, append([][]test{{{arg: who, value: 0, not: true}}}, more...)}
}

// rules are all of them.
func rules(by guarded) []rule {
	var all []rule
	for _, call := range never {
		all = append(all, rule{call: call, errno: unix.EPERM})
	}
	for _, call := range missing {
		all = append(all, rule{call: call, errno: unix.ENOSYS})
	}
	families := []test{
		{arg: 0, value: unix.AF_INET, not: true},
		{arg: 0, value: unix.AF_INET6, not: true},
		{arg: 0, value: unix.AF_NETLINK, not: true}, // lists addresses, for names and os.networkInterfaces
	}
	if !by.truncation {
		// Landlock then looks at what a file is opened for, and cutting one off is not
		// among that.
		all = append(all,
			rule{call: unix.SYS_TRUNCATE, errno: unix.EPERM},
			rule{call: unix.SYS_OPENAT2, errno: unix.ENOSYS}) // its flags are in memory
		for call, flags := range opens {
			const mode = unix.O_TRUNC | unix.O_ACCMODE
			all = append(all, rule{call, unix.EPERM, [][]test{
				{{arg: flags, mask: mode, value: unix.O_TRUNC}},
				{{arg: flags, mask: mode, value: mode}},
			}})
		}
	}
	if by.unixSockets {
		families = append(families, test{arg: 0, value: unix.AF_UNIX, not: true})
	}
	brand := test{arg: 0, value: unix.RLIMIT_RTTIME}
	return append(all,
		rule{unix.SYS_CLONE, unix.EPERM, [][]test{{{arg: 0, mask: namespaces, value: 0, not: true}}}},
		// A child asks to be traced so that it can be held; that lets nobody in.
		rule{unix.SYS_PTRACE, unix.EPERM, [][]test{{
			{arg: 0, value: unix.PTRACE_TRACEME, not: true}, {arg: 0, value: unix.PTRACE_DETACH, not: true},
		}}},
		// Asking is allowed, and so is what is the case already.
		rule{unix.SYS_PERSONALITY, unix.EPERM, [][]test{{{arg: 0, value: 0, not: true}, {arg: 0, value: ^uint32(0), not: true}}}},
		// The brand of a process stays, see process.Brand.
		rule{unix.SYS_SETRLIMIT, unix.EPERM, [][]test{{brand}}},
		rule{unix.SYS_PRLIMIT64, unix.EPERM, [][]test{
			{{arg: 1, value: unix.RLIMIT_RTTIME}, {arg: 2, value: 0, not: true}},
			{{arg: 1, value: unix.RLIMIT_RTTIME}, {arg: 2, upper: true, value: 0, not: true}},
			// Nor are limits of other processes anybody's to set.
			{{arg: 0, value: 0, not: true}, {arg: 2, value: 0, not: true}},
			{{arg: 0, value: 0, not: true}, {arg: 2, upper: true, value: 0, not: true}},
		}},
		nobodyElse(unix.SYS_SETPRIORITY, 1, []test{{arg: 0, value: unix.PRIO_USER}}),
		nobodyElse(unix.SYS_IOPRIO_SET, 1, []test{{arg: 0, value: ioprioWhoUser}}),
		nobodyElse(unix.SYS_SCHED_SETAFFINITY, 0),
		nobodyElse(unix.SYS_SCHED_SETSCHEDULER, 0),
		nobodyElse(unix.SYS_SCHED_SETPARAM, 0),
		nobodyElse(unix.SYS_SCHED_SETATTR, 0),
		rule{unix.SYS_SOCKET, unix.EAFNOSUPPORT, [][]test{
			families,
			{{arg: 0, value: unix.AF_NETLINK}, {arg: 2, value: unix.NETLINK_ROUTE, not: true}},
			{{arg: 0, value: unix.AF_INET}, {arg: 1, mask: sockType, value: unix.SOCK_RAW}},
			{{arg: 0, value: unix.AF_INET6}, {arg: 1, mask: sockType, value: unix.SOCK_RAW}},
		}},
		// A pair of datagram sockets can be connected elsewhere (and raw ones are that too).
		rule{unix.SYS_SOCKETPAIR, unix.EAFNOSUPPORT, [][]test{
			{{arg: 1, mask: sockType, value: unix.SOCK_DGRAM}},
			{{arg: 1, mask: sockType, value: unix.SOCK_RAW}},
		}},
	)
}

// newFilter makes the filter; load says if it could not be made.
func newFilter(by guarded) filter {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		deny(unix.ENOSYS), // another ABI, with other numbers: programs for 32 bits
		bpf.LoadAbsolute{Off: offCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32Bit, SkipTrue: 1},
		deny(unix.ENOSYS),
	}
	for _, r := range rules(by) {
		program = append(program, r.instructions()...)
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
	if err != nil {
		return nil
	}
	f := make(filter, len(raw))
	for i, in := range raw {
		f[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return f
}

func deny(errno unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

// instructions of a rule expect the call's number to be loaded, and leave it so.
func (r rule) instructions() []bpf.Instruction {
	var body []bpf.Instruction
	for _, row := range r.rows {
		body = append(body, instructions(row, r.errno)...)
	}
	if r.rows == nil {
		body = append(body, deny(r.errno))
	} else {
		body = append(body, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}) // there is one rule for a call
	}
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(r.call), SkipFalse: uint8(len(body))}}, body...)
}

// instructions of a row refuse the call if all tests hold, else go on behind it.
func instructions(row []test, errno unix.Errno) []bpf.Instruction {
	program := []bpf.Instruction{deny(errno)}
	for i := len(row) - 1; i >= 0; i-- { // backwards, because jumps go forwards
		t := row[i]
		offset := uint32(offArgs + 8*t.arg)
		if t.upper {
			offset += 4
		}
		head := []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: 4}}
		if t.mask != 0 {
			head = append(head, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: t.mask})
		}
		jump := bpf.JumpIf{Cond: bpf.JumpEqual, Val: t.value, SkipFalse: uint8(len(program))}
		if t.not {
			jump.SkipTrue, jump.SkipFalse = jump.SkipFalse, 0
		}
		program = append(append(head, jump), program...)
	}
	return program
}

// load puts the filter on the calling thread, which must have no_new_privs.
func (f filter) load() error {
	if len(f) == 0 {
		return errors.New("the filter of system calls could not be made")
	}
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("loading a filter of system calls: %w", errno)
	}
	return nil
}
