package jail

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/internal/thread"
	"golang.org/x/sys/unix"
)

// walls are those that can be put up on this machine.
type walls struct {
	privileges bool     // no_new_privs, and no capabilities
	files      *ruleset // Landlock; nil: none
	calls      filter   // of system calls; nil: none
	user       bool     // a user ID for each process
	root       bool     // we are root, and so is a function without a user ID of its own
	tasks      uint64   // RLIMIT_NPROC beside the limit of one process
}

// Processes of functions get user IDs from here on, at random, so that workers
// need not agree on them and none is used again soon. Distributions and
// container engines stay far below.
const (
	firstUser = 0x4E000000
	users     = 1 << 24
)

// hides reports whether a process sees no files but those that it is let see.
func (w *walls) hides() bool { return w.files != nil }

func (w *walls) newUser() int {
	if !w.user {
		return 0
	}
	return firstUser + rand.IntN(users) // #nosec G404 -- it is no secret
}

// confine puts up the walls on the calling thread. The order counts: each takes
// away what is needed for those before it.
func (w *walls) confine(c *Cell, readable []string) error {
	if w.privileges {
		if err := noNewPrivileges(); err != nil {
			return err
		}
	}
	if w.files != nil {
		if err := w.files.restrict(append(readable, c.Code()), c.Tmp()); err != nil {
			return fmt.Errorf("restricting a function's process to its files: %w", err)
		}
	}
	if w.root && !w.user && w.privileges {
		if err := dropBounds(); err != nil {
			return err
		}
	}
	if c.user != 0 {
		if err := process.Become(c.user, c.user); err != nil {
			return err
		}
	}
	if w.privileges {
		if err := dropCapabilities(); err != nil {
			return err
		}
	}
	if w.calls != nil {
		return w.calls.load()
	}
	return nil
}

// limits are the resource limits of a process.
func (w *walls) limits(l Limits) []process.Limit {
	limits := []process.Limit{{Resource: unix.RLIMIT_CORE}}
	add := func(resource int, value uint64) {
		if value > 0 {
			limits = append(limits, process.Limit{Resource: resource, Value: value})
		}
	}
	add(unix.RLIMIT_NOFILE, uint64(l.Files))
	add(unix.RLIMIT_FSIZE, uint64(l.Tmp))
	if l.Processes > 0 {
		// A last stop for what grows faster than it is counted (package meter): one
		// that holds at the limit itself would only keep a fork bomb at work.
		add(unix.RLIMIT_NPROC, uint64(l.Processes)*5/4+w.tasks)
	}
	if l.Memory > 0 {
		// A last stop for what grows faster than it is measured. What counts here
		// is address space that can be written to, which is more than what is
		// used: stacks of threads, heaps with room to grow.
		add(unix.RLIMIT_DATA, 2*uint64(l.Memory)+1<<30)
	}
	return limits
}

func noNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges for good: %w", err)
	}
	return nil
}

// dropBounds keeps root from having its capabilities back when it executes a
// program.
func dropBounds() error {
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, capability, 0, 0, 0)
		if err != nil || has == 0 { // the kernel does not know it, or it is gone
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("giving up capability %d: %w", capability, err)
		}
	}
	return nil
}

// dropCapabilities takes all capabilities from the calling thread, ambient ones
// included.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	return nil
}

// probe tries each wall on a thread that is thrown away.
func probe(cfg Config, dir string) (walls, []Wall) {
	w := walls{root: os.Geteuid() == 0}
	if cfg.Open {
		return w, nil
	}
	var report []Wall
	add := func(wall Wall, err error) bool {
		if err != nil {
			wall.Why = err.Error()
		}
		report = append(report, wall)
		return err == nil
	}

	w.files = newRuleset(cfg)
	if !add(Wall{
		Name:    "files (Landlock)",
		Follows: "functions can read whatever the worker's user can, other sites' code and temporary files among it",
		Remedy:  "use Linux 5.13 or newer with landlock in the kernel's list of security modules (lsm=), and let the container's seccomp profile allow landlock_*",
	}, try(func() error {
		return errors.Join(noNewPrivileges(), w.files.restrict([]string{dir}, dir))
	})) {
		w.files = nil
	}

	userErr := usersPossible(cfg, dir)
	w.user = userErr == nil
	user := Wall{
		Name: "own user ID", Spare: !w.root,
		Follows: "functions of different sites share a user ID; where a wall above is missing, nothing takes its place",
		Remedy:  "start the worker as root with CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_KILL and CAP_DAC_OVERRIDE, a umask of 022, and its data directory where all users may go",
	}
	add(user, userErr)

	w.calls = newFilter(guarded{unixSockets: w.files.handles(resolveUnix), truncation: w.files.handles(unix.LANDLOCK_ACCESS_FS_TRUNCATE)})
	if !add(Wall{
		Name:    "system calls (seccomp)",
		Follows: "functions can use the whole of the kernel, and connect to sockets in the file system, such as Redis' or Docker's",
		Remedy:  "use a kernel with CONFIG_SECCOMP_FILTER, on amd64 or arm64",
	}, try(func() error { return errors.Join(noNewPrivileges(), w.calls.load()) })) {
		w.calls = nil
	}

	w.privileges = add(Wall{
		Name:    "no privileges",
		Follows: "functions have the worker's capabilities, and programs with the set-user-ID bit work for them",
		Remedy:  "give a worker that runs as root CAP_SETPCAP, or better run it as another user",
	}, try(func() error {
		if err := noNewPrivileges(); err != nil {
			return err
		}
		if w.root && !w.user {
			if err := dropBounds(); err != nil {
				return err
			}
		}
		return dropCapabilities()
	}))

	var signalsErr error
	if !w.user && !w.files.scopes() {
		signalsErr = errors.New("the kernel's Landlock cannot do it, which is there from Linux 6.12 on")
	}
	add(Wall{
		Name:    "signals",
		Follows: "a function can end other functions' processes, and the worker",
		Remedy:  "use Linux 6.12 or newer, or start the worker as root",
	}, signalsErr)

	var limitsErr error
	if w.root && !w.user {
		limitsErr = errors.New("the kernel does not count root's")
	} else if !w.user {
		w.tasks = tasksOf(os.Getuid()) + uint64(max(0, cfg.Max-1))*uint64(cfg.Limits.Processes)
	}
	add(Wall{
		Name: "number of processes", Spare: true, // they are counted, too
		Follows: "the number of a function's processes is bound only by the worker's counting",
		Remedy:  "run the worker as another user than root, or as root with the capabilities above",
	}, limitsErr)
	return w, report
}

// try runs f on a thread of its own.
func try(f func() error) (err error) {
	thread.Do(func() { err = f() })
	return err
}

// usersPossible says why processes cannot have user IDs of their own; nil: they can.
func usersPossible(cfg Config, dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("the worker does not run as root")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("reading the worker's capabilities: %w", err)
	}
	for name, bit := range map[string]int{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_KILL": unix.CAP_KILL,
		"CAP_SETGID": unix.CAP_SETGID, "CAP_SETUID": unix.CAP_SETUID,
	} {
		if have[0].Effective&(1<<bit) == 0 {
			return fmt.Errorf("the worker has not %s", name)
		}
	}
	if mask := umask(); mask&0o005 != 0 {
		return fmt.Errorf("the worker's umask, %#o, hides the code of functions from other users", mask)
	}
	return try(func() error {
		if err := process.Become(firstUser, firstUser); err != nil {
			return fmt.Errorf("user ID %d cannot be had here: %w", firstUser, err)
		}
		paths := []string{dir}
		if cfg.Node != "" {
			paths = append(paths, cfg.Node)
		}
		for _, path := range paths {
			if err := reachable(path); err != nil {
				return err
			}
		}
		return nil
	})
}

// reachable says which part of a path keeps the calling thread's user from
// what it leads to.
func reachable(path string) error {
	if unix.Access(path, unix.X_OK) == nil {
		return nil
	}
	part := "/"
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		part = filepath.Join(part, name)
		if err := unix.Access(part, unix.X_OK); err != nil {
			return fmt.Errorf("other users cannot enter %s: %w", part, err)
		}
	}
	return fmt.Errorf("other users cannot enter %s", path)
}

// umask reads ours without changing it, which would be seen by other threads.
func umask() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(status, []byte("\nUmask:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0o022
	}
	mask, err := strconv.ParseUint(string(fields[0]), 8, 32)
	if err != nil {
		return 0o022
	}
	return mask
}

// tasksOf counts the tasks of a user, as RLIMIT_NPROC does.
func tasksOf(uid int) (tasks uint64) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != uid {
			continue
		}
		threads, _ := os.ReadDir(filepath.Join(dir, "task"))
		tasks += uint64(len(threads))
	}
	return tasks
}

func sameDisk(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Dev == other.Dev
}

// inMemory reports whether files of a folder are kept in memory.
func inMemory(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC
}

// Shield keeps other processes of our user, functions among them, from reading
// our memory, environment and open files, whatever other walls there are.
func Shield() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping other processes out of ours: %w", err)
	}
	return nil
}
