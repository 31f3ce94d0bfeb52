package artifact_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/fault"
)

func unpack(data []byte, dir string, maxBytes int64) error {
	return artifact.Unpack(bytes.NewReader(data), int64(len(data)), dir, maxBytes)
}

func TestPackIsDeterministic(t *testing.T) {
	t.Parallel()
	a := artifact.File{Path: "a.js", Data: []byte("a")}
	b := artifact.File{Path: "lib/b.js", Data: []byte("b"), Executable: true}
	one, digestOne := artifacttest.Pack(t, a, b)
	two, digestTwo := artifacttest.Pack(t, b, a)
	if !bytes.Equal(one, two) || digestOne != digestTwo {
		t.Errorf("the order of the files changes the zip: %s and %s", digestOne, digestTwo)
	}
	if _, other := artifacttest.Pack(t, a, artifact.File{Path: b.Path, Data: b.Data}); other == digestOne {
		t.Error("the executable bit does not change the digest")
	}
}

func TestPackRefusesBadPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ".", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", `a\b`, "a\x00b", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x"} {
		if _, _, err := artifact.Pack([]artifact.File{{Path: path}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("Pack with path %.20q = %v, want invalid", path, err)
		}
	}
	for _, twice := range [][]artifact.File{
		{{Path: "a"}, {Path: "a"}},
		{{Path: "a"}, {Path: "a/b"}},
		{{Path: "a/b"}, {Path: "a"}},
	} {
		if _, _, err := artifact.Pack(twice); !fault.Is(err, fault.Invalid) {
			t.Errorf("Pack(%v) = %v, want invalid", twice, err)
		}
	}
}

func TestUnpackGivesBackWhatWasPacked(t *testing.T) {
	t.Parallel()
	data, _ := artifacttest.Pack(t,
		artifact.File{Path: "send.mjs", Data: []byte("export default 1")},
		artifact.File{Path: "node_modules/x/index.js", Data: []byte("x")},
		artifact.File{Path: "bin/run", Data: []byte("#!/bin/sh\n"), Executable: true},
		artifact.File{Path: "empty"},
		artifact.File{Path: "node_modules/@a/y", Link: "../x"},
	)
	dir := filepath.Join(artifacttest.TempDir(t), "out")
	if err := unpack(data, dir, 1<<20); err != nil {
		t.Fatalf("Unpack: %v", err)
	}
	for path, want := range map[string]string{"send.mjs": "export default 1", "node_modules/x/index.js": "x", "bin/run": "#!/bin/sh\n", "empty": "", "node_modules/@a/y/index.js": "x"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]fs.FileMode{"send.mjs": 0, "bin/run": 0o100} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode() & 0o100; got != want {
			t.Errorf("%s: owner's executable bit is %v, want %v", path, got, want)
		}
	}
	if err := unpack(data, dir, 1<<20); !fault.Is(err, fault.Conflict) {
		t.Errorf("Unpack over it = %v, want conflict", err)
	}
}

// entry is one entry of a zip made by hand.
type entry struct {
	name string
	mode fs.FileMode
	data string
}

func handmade(t testing.TB, entries ...entry) []byte {
	t.Helper()
	all := make([]artifacttest.Entry, len(entries))
	for i, e := range entries {
		all[i] = artifacttest.Entry{Name: e.name, Mode: e.mode, Data: e.data}
	}
	return artifacttest.Zip(t, all...)
}

// liar is a zip whose table of contents claims that a long file has one byte.
func liar(t testing.TB) []byte {
	t.Helper()
	content := strings.Repeat("0", 1<<20)
	data := handmade(t, entry{"bomb", 0o644, content})
	size := []byte{0, 0, 0x10, 0} // 1 MiB, little endian
	if bytes.Count(data, size) == 0 {
		t.Fatal("the zip does not state the size as expected")
	}
	return bytes.ReplaceAll(data, size, []byte{1, 0, 0, 0})
}

// hostile are zips that must not be unpacked.
func hostile(t testing.TB) map[string][]byte {
	good := handmade(t, entry{"a.js", 0o644, strings.Repeat("good code ", 100)})
	flipped := bytes.Clone(good)
	flipped[45] ^= 0xff
	return map[string][]byte{
		"not a zip":          []byte("hello"),
		"empty":              nil,
		"cut short":          good[:len(good)-30],
		"flipped bits":       flipped,
		"parent":             handmade(t, entry{"../escaped", 0o644, "x"}),
		"inner parent":       handmade(t, entry{"a/../../escaped", 0o644, "x"}),
		"absolute":           handmade(t, entry{"/escaped", 0o644, "x"}),
		"backslashes":        handmade(t, entry{`..\escaped`, 0o644, "x"}),
		"absolute link":      handmade(t, entry{"link", fs.ModeSymlink | 0o777, "/etc/passwd"}),
		"climbing link":      handmade(t, entry{"a/link", fs.ModeSymlink | 0o777, "../../b"}),
		"link to the parent": handmade(t, entry{"link", fs.ModeSymlink | 0o777, ".."}),
		"empty link":         handmade(t, entry{"link", fs.ModeSymlink | 0o777, ""}),
		"long link":          handmade(t, entry{"link", fs.ModeSymlink | 0o777, strings.Repeat("d/", 2000) + "x"}),
		"link by a link":     handmade(t, entry{"a/b/x", 0o644, ""}, entry{"l", fs.ModeSymlink | 0o777, "a/b"}, entry{"m", fs.ModeSymlink | 0o777, "l/../../etc"}),
		"write through link": handmade(t, entry{"link", fs.ModeSymlink | 0o777, ".."}, entry{"link/escaped", 0o644, "x"}),
		"link upwards":       handmade(t, entry{"a/link", fs.ModeSymlink | 0o777, "../../x"}),
		"link by a detour":   handmade(t, entry{"a/b/up", fs.ModeSymlink | 0o777, "../../c"}, entry{"a/b/out", fs.ModeSymlink | 0o777, "up/../.."}),
		"link in backslash":  handmade(t, entry{"link", fs.ModeSymlink | 0o777, `..\x`}),
		"link to nothing":    handmade(t, entry{"link", fs.ModeSymlink | 0o777, ""}),
		"link as directory":  handmade(t, entry{"link/", fs.ModeSymlink | 0o777, ""}),
		"device":             handmade(t, entry{"tty", fs.ModeDevice | fs.ModeCharDevice | 0o666, ""}),
		"pipe":               handmade(t, entry{"pipe", fs.ModeNamedPipe | 0o666, ""}),
		"twice":              handmade(t, entry{"a", 0o644, "1"}, entry{"a", 0o644, "2"}),
		"file and directory": handmade(t, entry{"a", 0o644, "1"}, entry{"a/b", 0o644, "2"}),
		"directory and file": handmade(t, entry{"a/b", 0o644, "1"}, entry{"a", 0o644, "2"}),
		"long name":          handmade(t, entry{strings.Repeat("n", 300), 0o644, "x"}),
		"deep":               handmade(t, entry{strings.Repeat("d/", 2000) + "x", 0o644, "x"}),
		"bomb":               handmade(t, entry{"bomb", 0o644, strings.Repeat("0", 2<<20)}),
		"many small":         handmade(t, entry{"a", 0o644, strings.Repeat("0", 700<<10)}, entry{"b", 0o644, strings.Repeat("0", 700<<10)}),
		"false size":         liar(t),
	}
}

const fuzzMaxBytes = 1<<20 - 1

func TestUnpackRefusesHostileZips(t *testing.T) {
	t.Parallel()
	for name, data := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := unpackAndLookAround(t, data); !fault.Is(err, fault.Invalid) {
				t.Errorf("Unpack = %v, want invalid", err)
			}
			if err := artifact.Check(bytes.NewReader(data), int64(len(data)), fuzzMaxBytes); !fault.Is(err, fault.Invalid) {
				t.Errorf("Check = %v, want invalid", err)
			}
		})
	}
}

// TestUnpackKeepsLinksInside has the links that a package manager makes between
// packages, the target before and after the link.
func TestUnpackKeepsLinksInside(t *testing.T) {
	t.Parallel()
	data := handmade(t,
		entry{"node_modules/a", fs.ModeSymlink | 0o777, ".store/a/node_modules/a"},
		entry{"node_modules/.store/a/node_modules/a/index.js", 0o644, "a"},
		entry{"node_modules/.store/a/node_modules/b", fs.ModeSymlink | 0o777, "../../b"},
		entry{"node_modules/.store/b/index.js", 0o644, "b"},
	)
	if err := artifact.Check(bytes.NewReader(data), int64(len(data)), fuzzMaxBytes); err != nil {
		t.Errorf("Check = %v", err)
	}
	dir := filepath.Join(artifacttest.TempDir(t), "out")
	if err := artifact.Unpack(bytes.NewReader(data), int64(len(data)), dir, fuzzMaxBytes); err != nil {
		t.Fatalf("Unpack = %v", err)
	}
	for path, want := range map[string]string{"node_modules/a/index.js": "a", "node_modules/.store/a/node_modules/b/index.js": "b"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
}

// What shrinks to nothing is a bomb once it is large, and code is not: the limits
// of the ratio, from both sides.
func TestUnpackRefusesWhatOnlyABombIsPackedLike(t *testing.T) {
	t.Parallel()
	padding := strings.Repeat("\x00", 51<<20)
	noise := make([]byte, 2<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for name, test := range map[string]struct {
		entries []entry
		bomb    bool
	}{
		"small, all padding":    {[]entry{{"a", 0o644, padding}}, false},
		"large, all padding":    {[]entry{{"a", 0o644, padding}, {"b", 0o644, padding}}, true},
		"large, shrunk to 1/60": {[]entry{{"a", 0o644, padding}, {"b", 0o644, padding}, {"c", 0o644, string(noise)}}, false},
	} {
		data := handmade(t, test.entries...)
		err := artifact.Check(bytes.NewReader(data), int64(len(data)), artifact.MaxUnpacked)
		if test.bomb != fault.Is(err, fault.Invalid) || !test.bomb && err != nil {
			t.Errorf("%s: Check of %d bytes = %v, want a bomb: %t", name, len(data), err, test.bomb)
		}
		if !test.bomb {
			continue
		}
		dir := filepath.Join(artifacttest.TempDir(t), "out")
		if err := unpack(data, dir, artifact.MaxUnpacked); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: Unpack = %v, want invalid", name, err)
		}
	}
}

func TestUnpackRefusesTooManyEntries(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range artifact.MaxFiles + 1 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unpackAndLookAround(t, out.Bytes()); !fault.Is(err, fault.Invalid) {
		t.Errorf("Unpack = %v, want invalid", err)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, data := range hostile(f) {
		f.Add(data)
	}
	f.Add(handmade(f, entry{"a/b", 0o644, "code"}, entry{"c/d", fs.ModeSymlink | 0o777, "../a/b"}, entry{"e", fs.ModeSymlink | 0o777, "c"}))
	f.Add(handmade(f, entry{"a.js", 0o644, "code"}, entry{"lib/", fs.ModeDir | 0o755, ""}, entry{"lib/b", 0o755, "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := unpackAndLookAround(t, data); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Unpack = %v; a zip can only be invalid", err)
		}
	})
}

// unpackAndLookAround unpacks, and fails the test if anything stands outside
// of the directory, if the directory is there although there was an error, or
// if more came out than was allowed.
func unpackAndLookAround(t *testing.T, data []byte) error {
	t.Helper()
	parent := artifacttest.TempDir(t)
	dir := filepath.Join(parent, "out")
	err := unpack(data, dir, fuzzMaxBytes)
	entries, readErr := os.ReadDir(parent)
	if readErr != nil {
		t.Fatal(readErr)
	}
	for _, e := range entries {
		if e.Name() != "out" || err != nil {
			t.Errorf("%s was left in the parent directory (error: %v)", e.Name(), err)
		}
	}
	if err != nil {
		return err
	}
	var total int64
	walkErr := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			// One that leads nowhere, or to itself, does no harm.
			if to, err := filepath.EvalSymlinks(path); err == nil && !strings.HasPrefix(to+"/", dir+"/") {
				t.Errorf("%s leads to %s, out of the directory", path, to)
			}
		case !info.Mode().IsRegular() && !info.IsDir():
			t.Errorf("%s is %v; want files, directories and links only", path, info.Mode())
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	if walkErr != nil {
		t.Fatal(walkErr)
	}
	if total > fuzzMaxBytes {
		t.Errorf("%d bytes came out, %d are allowed", total, fuzzMaxBytes)
	}
	return nil
}
