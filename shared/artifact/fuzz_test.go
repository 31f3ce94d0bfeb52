package artifact_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io/fs"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzEntries: zips whose structure is sound and whose entries are not: names,
// kinds, sizes and counts of somebody's choice. One line is one entry: its
// type, its name, and its content.
func FuzzEntries(f *testing.F) {
	for _, seed := range []string{
		"f a.js code\nd lib\nf lib/b.js b", "f ../x code", "f /etc/passwd code", "f a code\nf a code", "f A code\nf a code", "f a code\nf a/b code",
		"l a /etc\nf a/passwd x", "l a ../../x", "l a b\nl b a", "c dev x", "b dev x", "p pipe x", "s socket x", `f C:\x code`, `f \\host\share\x code`,
		"f a/../../b code", "f . code", "f  code", "d ..", "f a\x00b code", "f NUL code", "f a:stream code", "l a .", "l . a", "l a/b ../..", "u setuid x",
	} {
		f.Add(seed, uint32(0), uint8(0))
		f.Add(seed, uint32(1<<31), uint8(20))
	}
	types := map[byte]fs.FileMode{
		'f': 0o644, 'x': 0o755, 'd': fs.ModeDir | 0o755, 'l': fs.ModeSymlink | 0o777, 'c': fs.ModeDevice | fs.ModeCharDevice | 0o666,
		'b': fs.ModeDevice | 0o666, 'p': fs.ModeNamedPipe | 0o666, 's': fs.ModeSocket | 0o666, 'u': fs.ModeSetuid | 0o755,
	}
	f.Fuzz(func(t *testing.T, text string, falseSize uint32, method uint8) {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for i, line := range strings.Split(text, "\n") {
			if i == 200 || line == "" {
				break
			}
			name, content, _ := strings.Cut(strings.TrimPrefix(line[1:], " "), " ")
			header := &zip.FileHeader{Name: name, Method: uint16(method%2) * zip.Deflate}
			header.SetMode(types[line[0]])
			entry, err := w.CreateHeader(header)
			if err != nil {
				return
			}
			if _, err := entry.Write([]byte(content)); err != nil {
				return // a directory has no content
			}
		}
		if w.Close() != nil {
			return
		}
		data := out.Bytes()
		if at := bytes.LastIndex(data, []byte("PK\x01\x02")); falseSize != 0 && at >= 0 {
			binary.LittleEndian.PutUint32(data[at+24:], falseSize) // what the last entry claims to be unpacked
		}
		err := unpackAndLookAround(t, data)
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Unpack = %v; a zip can only be invalid", err)
		}
		// What is stored can be unpacked.
		if checked := artifact.Check(bytes.NewReader(data), int64(len(data)), fuzzMaxBytes); checked == nil && err != nil {
			t.Errorf("Check passes what Unpack refuses: %v", err)
		}
		if _, _, err := artifact.Inspect(bytes.NewReader(data), int64(len(data)), "a"); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Inspect = %v; a zip can only be invalid", err)
		}
	})
}

// FuzzPut: what is uploaded under a digest is stored if it has that digest, as a
// zip only if it is one, and in no other case.
func FuzzPut(f *testing.F) {
	good, digest := artifacttest.Pack(f, artifact.File{Path: "a.js", Data: []byte("code")})
	f.Add(good, digest)
	f.Add(good[:len(good)-1], digest)
	f.Add([]byte("text"), artifacttest.Digest([]byte("text")))
	f.Add([]byte("text"), "../../etc/passwd")
	f.Add([]byte(""), strings.ToUpper(artifacttest.Digest(nil)))
	f.Fuzz(func(t *testing.T, data []byte, announced string) {
		store, err := artifact.Open(t.Context(), "mem://")
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		for _, digest := range []string{announced, artifacttest.Digest(data)} {
			right := digest == artifacttest.Digest(data)
			err := store.Put(t.Context(), digest, bytes.NewReader(data))
			if err != nil && !fault.Is(err, fault.Invalid) || err == nil && !right {
				t.Errorf("Put under %q = %v", digest, err)
			}
			err = store.PutFile(t.Context(), digest, bytes.NewReader(data))
			if (err == nil) != right || err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("PutFile under %q = %v", digest, err)
			}
		}
		for _, name := range artifacttest.Names(t, store) {
			if !strings.Contains(name, artifacttest.Digest(data)) {
				t.Errorf("%s is stored", name)
			}
		}
	})
}
