//go:build amd64 || arm64

package jail

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/internal/thread"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// bad is an address that nothing is at.
const bad = ^uintptr(0) - 4095

// behind makes a system call on a thread with the filter, or without.
func behind(t *testing.T, filtered bool, call uintptr, args ...uintptr) (errno unix.Errno) {
	t.Helper()
	args = append(args, make([]uintptr, 6-len(args))...)
	thread.Do(func() {
		if filtered {
			if err := errors.Join(noNewPrivileges(), newFilter(guarded{}).load()); err != nil {
				t.Error(err)
				return
			}
		}
		_, _, errno = unix.RawSyscall6(call, args[0], args[1], args[2], args[3], args[4], args[5])
	})
	return errno
}

func TestNoCallOfTheListGetsThrough(t *testing.T) {
	t.Parallel()
	for _, r := range rules(guarded{}) {
		if r.rows != nil {
			continue
		}
		if got := behind(t, true, r.call, bad, bad, bad, bad, bad, bad); got != r.errno {
			t.Errorf("call %d: %v, want %v", r.call, got, r.errno)
		}
	}
}

// Calls that are refused or not by their arguments, with what the kernel says
// without the filter.
func TestFilteredArguments(t *testing.T) {
	t.Parallel()
	limit := unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}
	limitAt := uintptr(unsafe.Pointer(&limit))
	const upper = 1 << 32 // which the kernel does not look at where it takes an int
	const ok = unix.Errno(0)
	for _, tc := range []struct {
		name          string
		call          uintptr
		args          []uintptr
		want, without unix.Errno
	}{
		{"a namespace by unshare", unix.SYS_UNSHARE, []uintptr{0}, unix.EPERM, ok},
		{"a namespace by clone", unix.SYS_CLONE, []uintptr{unix.CLONE_NEWUSER | unix.CLONE_FS}, unix.EPERM, unix.EINVAL},
		{"a namespace by clone3", unix.SYS_CLONE3, []uintptr{bad, 88}, unix.ENOSYS, unix.EFAULT},
		{"reading a process's memory", unix.SYS_PROCESS_VM_READV, []uintptr{uintptr(os.Getpid())}, unix.EPERM, ok},
		{"tracing", unix.SYS_PTRACE, []uintptr{unix.PTRACE_ATTACH, 1 << 29}, unix.EPERM, unix.ESRCH},
		{"tracing, upper bits set", unix.SYS_PTRACE, []uintptr{upper | unix.PTRACE_SEIZE, 1 << 29}, unix.EPERM, unix.ESRCH},
		{"ending a trace", unix.SYS_PTRACE, []uintptr{unix.PTRACE_DETACH, 1 << 29}, unix.ESRCH, unix.ESRCH},
		{"a key", unix.SYS_KEYCTL, []uintptr{unix.KEYCTL_GET_KEYRING_ID, bad}, unix.EPERM, unix.EINVAL},
		{"io_uring", unix.SYS_IO_URING_SETUP, []uintptr{1, bad}, unix.ENOSYS, unix.EFAULT},
		{"a file without a name", unix.SYS_MEMFD_CREATE, []uintptr{bad}, unix.ENOSYS, unix.EFAULT},
		{"shared memory", unix.SYS_SHMGET, []uintptr{0x4e53, 0, 0}, unix.ENOSYS, unix.ENOENT},
		{"another personality", unix.SYS_PERSONALITY, []uintptr{0x0040000}, unix.EPERM, ok},
		{"which personality", unix.SYS_PERSONALITY, []uintptr{math.MaxUint32}, ok, ok},

		{"the brand by setrlimit", unix.SYS_SETRLIMIT, []uintptr{unix.RLIMIT_RTTIME, bad}, unix.EPERM, unix.EFAULT},
		{"the brand by setrlimit, upper bits set", unix.SYS_SETRLIMIT, []uintptr{upper | unix.RLIMIT_RTTIME, bad}, unix.EPERM, unix.EFAULT},
		{"the brand by prlimit", unix.SYS_PRLIMIT64, []uintptr{0, unix.RLIMIT_RTTIME, bad}, unix.EPERM, unix.EFAULT},
		{"the brand by prlimit, upper bits set", unix.SYS_PRLIMIT64, []uintptr{0, upper | unix.RLIMIT_RTTIME, bad}, unix.EPERM, unix.EFAULT},
		{"reading the brand", unix.SYS_PRLIMIT64, []uintptr{0, unix.RLIMIT_RTTIME, 0, limitAt}, ok, ok},
		{"a limit of another process", unix.SYS_PRLIMIT64, []uintptr{1 << 29, unix.RLIMIT_CPU, bad}, unix.EPERM, unix.EFAULT},
		{"a limit of another process, upper bits of the address", unix.SYS_PRLIMIT64, []uintptr{1 << 29, unix.RLIMIT_CPU, 1 << 63}, unix.EPERM, unix.EFAULT},
		{"reading a limit of another process", unix.SYS_PRLIMIT64, []uintptr{1 << 29, unix.RLIMIT_CPU, 0, limitAt}, unix.ESRCH, unix.ESRCH},
		{"another process's priority", unix.SYS_SETPRIORITY, []uintptr{unix.PRIO_PROCESS, 1 << 29, 0}, unix.EPERM, unix.ESRCH},
		{"the priority of all of a user's", unix.SYS_SETPRIORITY, []uintptr{unix.PRIO_USER, 0, 99}, unix.EPERM, ok},
		{"its own priority", unix.SYS_SETPRIORITY, []uintptr{unix.PRIO_PROCESS, 0, 0}, ok, ok},
		{"another process's processors", unix.SYS_SCHED_SETAFFINITY, []uintptr{1 << 29, 8, limitAt}, unix.EPERM, unix.ESRCH},
		{"another process's scheduler", unix.SYS_SCHED_SETSCHEDULER, []uintptr{1 << 29, 0, bad}, unix.EPERM, unix.EFAULT},
		{"another process's disk priority", unix.SYS_IOPRIO_SET, []uintptr{1, 1 << 29, 0}, unix.EPERM, unix.ESRCH},
		{"watching files", unix.SYS_INOTIFY_INIT1, []uintptr{1}, unix.ENOSYS, unix.EINVAL},
		{"cutting off a file by its path", unix.SYS_TRUNCATE, []uintptr{bad, 0}, unix.EPERM, unix.EFAULT},
		{"cutting off a file by opening it to read", unix.SYS_OPENAT, []uintptr{0, bad, unix.O_TRUNC}, unix.EPERM, unix.EFAULT},
		{"the same with no mode at all", unix.SYS_OPENAT, []uintptr{0, bad, unix.O_TRUNC | unix.O_ACCMODE}, unix.EPERM, unix.EFAULT},
		{"opening a file to write it anew", unix.SYS_OPENAT, []uintptr{0, bad, unix.O_TRUNC | unix.O_WRONLY}, unix.EFAULT, unix.EFAULT},
		{"another limit", unix.SYS_PRLIMIT64, []uintptr{0, unix.RLIMIT_NOFILE, bad}, unix.EFAULT, unix.EFAULT},

		{"a unix socket", unix.SYS_SOCKET, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, unix.EAFNOSUPPORT, ok},
		{"a unix socket, upper bits set", unix.SYS_SOCKET, []uintptr{upper | unix.AF_UNIX, unix.SOCK_STREAM}, unix.EAFNOSUPPORT, ok},
		{"a packet socket", unix.SYS_SOCKET, []uintptr{unix.AF_PACKET, 99}, unix.EAFNOSUPPORT, unix.EINVAL},
		{"a raw socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET, unix.SOCK_RAW | unix.SOCK_CLOEXEC, 0}, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT},
		{"a netlink socket for auditing", unix.SYS_SOCKET, []uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}, unix.EAFNOSUPPORT, ok},
		{"a netlink socket for addresses", unix.SYS_SOCKET, []uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, ok, ok},
		{"a TCP socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET, unix.SOCK_STREAM}, ok, ok},
		{"a UDP socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET, unix.SOCK_DGRAM}, ok, ok},
		{"a pair of streams", unix.SYS_SOCKETPAIR, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0, bad}, unix.EFAULT, unix.EFAULT},
		{"a pair that can be connected elsewhere", unix.SYS_SOCKETPAIR, []uintptr{unix.AF_UNIX, unix.SOCK_DGRAM, 0, bad}, unix.EAFNOSUPPORT, unix.EFAULT},
		{"the same by its other name", unix.SYS_SOCKETPAIR, []uintptr{unix.AF_UNIX, unix.SOCK_RAW | unix.SOCK_NONBLOCK, 0, bad}, unix.EAFNOSUPPORT, unix.EFAULT},
	} {
		if got := behind(t, true, tc.call, tc.args...); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		got := behind(t, false, tc.call, tc.args...)
		// The kernel may have its own reasons, which is no fault of the filter.
		if got != tc.without && got != unix.EPERM && got != unix.EACCES && got != unix.ENOSYS {
			t.Errorf("%s without the filter: %v, want %v", tc.name, got, tc.without)
		}
	}
}

// Programs for 32 bits make the same calls by other numbers.
func TestNoOtherABI(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		return // the filter's first test is the same; a program for it is made for amd64 here
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"ran\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building a program for 32 bits: %v\n%s", err, out)
	}
	run := func(confine func() error) (string, process.Exit) {
		var out strings.Builder
		p, err := process.Start(process.Config{Path: program, Confine: confine, MaxOutput: 1 << 10, Log: func(_, text string) { out.WriteString(text) }})
		if err != nil {
			return err.Error(), process.Exit{Code: -1}
		}
		<-p.Done()
		return out.String(), p.Exit()
	}
	if out, exit := run(func() error { return errors.Join(noNewPrivileges(), newFilter(guarded{}).load()) }); exit.Code == 0 || strings.Contains(out, "ran") {
		t.Errorf("behind the filter a program for 32 bits %s: %s", exit, out)
	}
	if out, exit := run(nil); exit.Code == 0 != strings.Contains(out, "ran") {
		t.Errorf("without it, it %s: %s", exit, out)
	}
}

// Not every kernel can run such programs, so the filter itself is asked too.
func TestTheFilterKnowsOneABI(t *testing.T) {
	t.Parallel()
	var program []bpf.Instruction
	for _, in := range newFilter(guarded{}) {
		program = append(program, bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}.Disassemble())
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	const refuse = unix.SECCOMP_RET_ERRNO | int(unix.ENOSYS)
	for _, tc := range []struct {
		name       string
		call, arch uint32
		want       int
	}{
		{"its own", unix.SYS_GETPID, auditArch, unix.SECCOMP_RET_ALLOW},
		{"32 bits", unix.SYS_GETPID, unix.AUDIT_ARCH_I386, refuse},
		{"32 bits of Arm", unix.SYS_GETPID, unix.AUDIT_ARCH_ARM, refuse},
		{"x32", x32Bit | unix.SYS_GETPID, auditArch, refuse},
		{"a negative number", math.MaxUint32, auditArch, refuse},
	} {
		data := make([]byte, 64) // the machine for tests reads as networks do
		binary.BigEndian.PutUint32(data[offCall:], tc.call)
		binary.BigEndian.PutUint32(data[offArch:], tc.arch)
		if got, err := vm.Run(data); err != nil || got != tc.want {
			t.Errorf("%s: %#x, %v, want %#x", tc.name, got, err, tc.want)
		}
	}
}

// Landlock keeps abstract sockets and signals inside.
func TestScopes(t *testing.T) {
	t.Parallel()
	r := newRuleset(Config{})
	if !r.scopes() {
		t.Logf("Landlock version %d has no scopes", r.abi)
		return
	}
	name := "@nightshift-" + filepath.Base(t.TempDir()) + t.Name()
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sleep := exec.Command("/bin/sleep", "300")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	tmp := t.TempDir()
	for _, inside := range []bool{true, false} {
		var connect, kill error
		thread.Do(func() {
			if inside {
				if err := errors.Join(noNewPrivileges(), r.restrict(nil, tmp)); err != nil {
					t.Error(err)
					return
				}
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(fd)
			connect = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
			kill = unix.Kill(sleep.Process.Pid, 0)
		})
		if got := connect == nil && kill == nil; got == inside || inside && (connect == nil || !errors.Is(kill, syscall.EPERM)) {
			t.Errorf("inside a domain: %v; connecting: %v, killing: %v", inside, connect, kill)
		}
	}
}

// The brand cannot be shed, and who has tried is found.
func TestTheBrandStays(t *testing.T) {
	t.Parallel()
	if os.Getenv("NIGHTSHIFT_TEST_BRAND") != "" {
		limit := unix.Rlimit{Cur: 1, Max: 1}
		_ = unix.Prlimit(0, unix.RLIMIT_RTTIME, &limit, nil)
		_, _, _ = unix.RawSyscall(unix.SYS_SETRLIMIT, 1<<32|unix.RLIMIT_RTTIME, uintptr(unsafe.Pointer(&limit)), 0)
		os.Clearenv()
		_, _ = os.Stdout.WriteString("tried\n")
		_ = unix.Exec("/bin/sleep", []string{"sleep", "300"}, nil)
	}
	for _, filtered := range []bool{true, false} {
		cfg := process.Config{
			Path: "/proc/self/exe", Args: []string{"-test.run=^TestTheBrandStays$"}, Env: []string{"NIGHTSHIFT_TEST_BRAND=1"}, MaxOutput: 1 << 20,
		}
		if filtered {
			cfg.Confine = func() error { return errors.Join(noNewPrivileges(), newFilter(guarded{}).load()) }
		}
		tried := make(chan struct{}, 1)
		cfg.Log = func(_, text string) {
			if text == "tried" {
				tried <- struct{}{}
			} else {
				t.Log(text)
			}
		}
		p, err := process.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		<-tried
		if found := len(process.Branded()[p.Brand()]) > 0; found != filtered {
			t.Errorf("with the filter: %v; found by its brand: %v", filtered, found)
		}
		p.Stop(0)
	}
}
