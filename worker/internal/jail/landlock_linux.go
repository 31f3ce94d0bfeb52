package jail

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a rule may allow.
const (
	onFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // what makes sense for a file
	toRead  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	toUse   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	toWrite = ^uint64(0) // everything that is handled

	resolveUnix = unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

// handled are the rights that each version of Landlock adds.
var handled = []struct {
	abi    int
	rights uint64
}{
	{1, unix.LANDLOCK_ACCESS_FS_REFER - 1}, // all below it
	{2, unix.LANDLOCK_ACCESS_FS_REFER},
	{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
	{5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
	{9, unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX},
}

// scopesABI is the first that keeps signals and abstract sockets inside.
const scopesABI = 6

// system is what every program needs: programs, libraries, and what the C
// library reads to find names, users, time zones and certificates. Of /proc
// what matters is guarded by the kernel: a process sees memory, environment and
// files of its own domain only.
var system = []string{
	"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/nix/store",
	"/etc/alternatives", "/etc/ca-certificates", "/etc/ca-certificates.conf", "/etc/crypto-policies", "/etc/fonts", "/etc/gai.conf",
	"/etc/group", "/etc/host.conf", "/etc/hostname", "/etc/hosts", "/etc/ImageMagick-6", "/etc/ImageMagick-7", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/ld.so.conf.d", "/etc/localtime", "/etc/magic", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/pki",
	"/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl", "/etc/timezone",
	"/run/systemd/resolve", // where resolv.conf leads to, anew with each network
	"/proc", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup", "/sys/kernel/mm",
}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// grant is a path with what may be done below it.
type grant struct {
	path   string
	rights uint64
}

// ruleset is what all processes have in common.
type ruleset struct {
	abi    int
	grants []grant
}

func newRuleset(cfg Config) *ruleset {
	r := &ruleset{}
	r.abi = landlockABI()
	for _, path := range slices.Concat(system, nodeFiles(cfg.Node), cfg.Readable) {
		r.grants = append(r.grants, grant{path, toRead})
	}
	for _, path := range devices {
		r.grants = append(r.grants, grant{path, toUse})
	}
	return r
}

// nodeFiles are the executable and, where it is an installation of its own, its
// libraries.
func nodeFiles(node string) []string {
	if node == "" {
		return nil
	}
	real, err := filepath.EvalSymlinks(node)
	if err != nil {
		return []string{node}
	}
	files := []string{real}
	prefix := filepath.Dir(filepath.Dir(real))
	if _, err := os.Stat(filepath.Join(prefix, "include", "node")); err == nil {
		files = append(files, filepath.Join(prefix, "lib"))
	}
	return files
}

func (r *ruleset) handles(right uint64) bool { return r != nil && r.rights()&right != 0 }

func (r *ruleset) scopes() bool { return r != nil && r.abi >= scopesABI }

// rights are all that this kernel's Landlock can forbid.
func (r *ruleset) rights() (all uint64) {
	for _, h := range handled {
		if r.abi >= h.abi {
			all |= h.rights
		}
	}
	return all
}

// restrict puts the calling thread into a domain of its own, in which it may
// read what is readable and write to tmp.
func (r *ruleset) restrict(readable []string, tmp string) error {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: r.rights()}
	if r.abi >= scopesABI {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	fd, err := createRuleset(&attr)
	if err != nil {
		return unavailable(err)
	}
	defer unix.Close(fd)
	for _, g := range r.grants {
		if err := allow(fd, g.path, g.rights&attr.Handled_access_fs, false); err != nil {
			return err
		}
	}
	for _, path := range readable {
		if err := allow(fd, path, toRead&attr.Handled_access_fs, true); err != nil {
			return err
		}
	}
	if err := allow(fd, tmp, toWrite&attr.Handled_access_fs, true); err != nil {
		return err
	}
	if err := restrictSelf(fd); err != nil {
		return fmt.Errorf("entering the domain: %w", err)
	}
	return nil
}

// unavailable words why there is no Landlock.
func unavailable(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return errors.New("the kernel has no Landlock, or a container's filter hides it")
	case errors.Is(err, unix.EOPNOTSUPP):
		return errors.New("the kernel's Landlock is switched off")
	default:
		return err
	}
}

// allow adds a rule. A path that is not there, or is not ours to look at, has
// nothing to allow, unless it is needed.
func allow(ruleset int, path string, rights uint64, needed bool) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil && !needed {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= onFile
	}
	if err := addRule(ruleset, &unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}); err != nil {
		return fmt.Errorf("allowing %s: %w", path, err)
	}
	return nil
}

// The system calls themselves, for the calling thread. The library go-landlock
// restricts all threads of a process.

// landlockABI is 0 if there is no Landlock; restrict says why.
func landlockABI() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

func createRuleset(attr *unix.LandlockRulesetAttr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func addRule(ruleset int, attr *unix.LandlockPathBeneathAttr) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func restrictSelf(ruleset int) error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
