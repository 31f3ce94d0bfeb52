// Package executable takes a program that was built elsewhere, in any language,
// as a function: it must speak the Lambda Runtime API by itself.
//
// Programs are known by their content, as on Netlify. One for another system or
// another processor cannot run where it is going and is left out with a
// warning that says what would.
package executable

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/artifact"
)

// Entry is what a program is called in an artifact, as Lambda has it.
const Entry = artifact.Program

// Target is what programs are built for, in Go's words.
type Target struct{ OS, Arch string }

// String is os/arch.
func (t Target) String() string { return t.OS + "/" + t.Arch }

// Host is the target that runs on this machine.
func Host() Target { return Target{OS: runtime.GOOS, Arch: runtime.GOARCH} }

// Workers is the target of a deploy: Linux, on the processor that GOARCH names,
// or on this machine's.
func Workers() Target {
	t := Target{OS: "linux", Arch: os.Getenv("GOARCH")}
	if t.Arch == "" {
		t.Arch = runtime.GOARCH
	}
	return t
}

// magics are how programs start: ELF (Linux), Mach-O of 64 bits (macOS).
var magics = [][]byte{[]byte("\x7fELF"), {0xcf, 0xfa, 0xed, 0xfe}}

// Is reports whether a file starts as a program does.
func Is(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, 4)
	if _, err := file.Read(head); err != nil {
		return false
	}
	return slices.ContainsFunc(magics, func(m []byte) bool { return bytes.HasPrefix(head, m) })
}

// base are the libraries that any Linux with the GNU C library has.
var base = []string{
	"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "libresolv.so.2", "librt.so.1",
}

// ErrLibrary is that a file is in the format of programs, and none.
var ErrLibrary = errors.New("is a library, not a program")

// Check says why a program cannot be a function of a target, in a predicate
// that follows its name. The warning is that it may not run on every worker.
func Check(data []byte, target Target) (warning string, err error) {
	if !bytes.HasPrefix(data, magics[0]) {
		return "", fmt.Errorf("is a program for macOS, and functions run on %s; build it for that", target)
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("starts as a Linux program does, but is damaged: %w", err)
	}
	defer file.Close()
	if file.Type != elf.ET_EXEC && (file.Type != elf.ET_DYN || file.Entry == 0) {
		return "", ErrLibrary
	}
	if got := (Target{OS: "linux", Arch: arch(file)}); got != target {
		return "", fmt.Errorf("is a program for %s, and functions run on %s; build it for that", got, target)
	}
	loader := interpreter(file)
	if loader == "" {
		return "", nil
	}
	needs, _ := file.ImportedLibraries() // a damaged table has none, and the loader will say so
	needs = append(needs, path.Base(loader))
	if extra := slices.DeleteFunc(needs, func(name string) bool { return slices.Contains(base, name) }); len(extra) > 0 {
		return "", fmt.Errorf("needs %s, which workers do not have; link it statically (CGO_ENABLED=0 in Go, a …-linux-musl target in Rust)", strings.Join(extra, ", "))
	}
	return "is linked dynamically, so it runs only on workers whose C library is not older than that of the machine it was built on; a static program (CGO_ENABLED=0 in Go, a …-linux-musl target in Rust) runs on all", nil
}

// arch is the processor of a program, in Go's words where Go has one.
func arch(file *elf.File) string {
	switch file.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_386:
		return "386"
	case elf.EM_ARM:
		return "arm"
	default:
		return strings.ToLower(strings.TrimPrefix(file.Machine.String(), "EM_"))
	}
}

// interpreter is the path of the loader that a dynamic program asks for, or "".
func interpreter(file *elf.File) string {
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		loader := make([]byte, p.Filesz)
		if _, err := p.ReadAt(loader, 0); err == nil {
			return strings.TrimRight(string(loader), "\x00")
		}
	}
	return ""
}

// Read reads a program that was found at source, which is how problems call
// it. Without data and without an error it is no function.
func Read(file, source string, target Target) (data []byte, problems []problem.Problem) {
	at := problem.Position{File: source}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, []problem.Problem{problem.Errorf(at, "cannot be read: %v", err)}
	}
	warning, err := Check(data, target)
	switch {
	case errors.Is(err, ErrLibrary):
		return nil, nil
	case err != nil:
		return nil, []problem.Problem{problem.Warnf(at, "%v. It is left out", err)}
	case warning != "":
		return data, []problem.Problem{problem.Warnf(at, "%s", warning)}
	default:
		return data, nil
	}
}
