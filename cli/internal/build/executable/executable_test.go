package executable_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/executable"
)

// program is what a program has that matters here.
type program struct {
	machine elf.Machine
	kind    elf.Type
	entry   uint64
	loader  string // of a dynamic one
}

// image makes an ELF file of 64 bits with the headers of a program, and no code.
func image(t *testing.T, p program) []byte {
	t.Helper()
	const headers, segment = 64, 56
	header := elf.Header64{
		Type: uint16(p.kind), Machine: uint16(p.machine), Version: 1, Entry: p.entry,
		Phoff: headers, Ehsize: headers, Phentsize: segment, Shentsize: 64,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	var out bytes.Buffer
	write := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if p.loader == "" {
		write(header)
		return out.Bytes()
	}
	header.Phnum = 1
	write(header)
	write(elf.Prog64{Type: uint32(elf.PT_INTERP), Off: headers + segment, Filesz: uint64(len(p.loader) + 1), Memsz: uint64(len(p.loader) + 1)})
	out.WriteString(p.loader + "\x00")
	return out.Bytes()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	amd64 := executable.Target{OS: "linux", Arch: "amd64"}
	tests := map[string]struct {
		data    []byte
		warning string // a part
		problem string // a part
	}{
		"static":               {data: image(t, program{elf.EM_X86_64, elf.ET_EXEC, 0x400000, ""})},
		"static, at any place": {data: image(t, program{elf.EM_X86_64, elf.ET_DYN, 0x1000, ""})},
		"dynamic": {data: image(t, program{elf.EM_X86_64, elf.ET_DYN, 0x1000, "/lib64/ld-linux-x86-64.so.2"}),
			warning: "is linked dynamically"},
		"dynamic, other C library": {data: image(t, program{elf.EM_X86_64, elf.ET_DYN, 0x1000, "/lib/ld-musl-x86_64.so.1"}),
			problem: "needs ld-musl-x86_64.so.1, which workers do not have"},
		"other processor": {data: image(t, program{elf.EM_AARCH64, elf.ET_EXEC, 0x400000, ""}),
			problem: "is a program for linux/arm64, and functions run on linux/amd64"},
		"rare processor": {data: image(t, program{elf.EM_S390, elf.ET_EXEC, 0x400000, ""}),
			problem: "is a program for linux/s390, and"},
		"library": {data: image(t, program{elf.EM_X86_64, elf.ET_DYN, 0, ""}), problem: executable.ErrLibrary.Error()},
		"object":  {data: image(t, program{elf.EM_X86_64, elf.ET_REL, 0, ""}), problem: executable.ErrLibrary.Error()},
		"damaged": {data: []byte("\x7fELF\x02\x01\x01"), problem: "is damaged"},
		"macOS":   {data: []byte{0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1}, problem: "is a program for macOS, and functions run on linux/amd64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			warning, err := executable.Check(test.data, amd64)
			if !strings.Contains(warning, test.warning) || (warning == "") != (test.warning == "") {
				t.Errorf("warning %q, want %q", warning, test.warning)
			}
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %v, want %q", err, test.problem)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	amd64 := executable.Target{OS: "linux", Arch: "amd64"}
	tests := map[string]struct {
		data []byte
		want string // the problem
		read bool
	}{
		"a program": {data: image(t, program{elf.EM_X86_64, elf.ET_EXEC, 1, ""}), read: true},
		"another one": {data: image(t, program{elf.EM_386, elf.ET_EXEC, 1, ""}),
			want: "fn/tool: is a program for linux/386, and functions run on linux/amd64; build it for that. It is left out"},
		"a library, in silence": {data: image(t, program{elf.EM_X86_64, elf.ET_DYN, 0, ""})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "tool")
			if err := os.WriteFile(path, test.data, 0o644); err != nil {
				t.Fatal(err)
			}
			if !executable.Is(path) {
				t.Error("Is = false, want true")
			}
			data, problems := executable.Read(path, "fn/tool", amd64)
			if (data != nil) != test.read {
				t.Errorf("read %d bytes, want some: %t", len(data), test.read)
			}
			var got string
			for _, p := range problems {
				got += p.Error()
				if !p.Warning {
					t.Errorf("%v is an error, want a warning", p)
				}
			}
			if got != test.want {
				t.Errorf("problems %q, want %q", got, test.want)
			}
		})
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "short": "\x7fE", "text": "#!/bin/sh\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if executable.Is(path) {
			t.Errorf("Is(%s) = true, want false", name)
		}
	}
	if executable.Is(filepath.Join(dir, "missing")) || executable.Is(dir) {
		t.Error("a missing file or a directory is a program, want none")
	}
}
