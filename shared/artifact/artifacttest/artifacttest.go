// Package artifacttest is what every blob store must do that artifacts are kept
// in, as tests. One suite runs on all of them, so that an installation can
// choose, and what holds of a directory holds of a bucket.
package artifacttest

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha1" // #nosec G505 -- what the netlify CLI states
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
)

// Run runs the suite. open gives a new and empty store each time.
func Run(t *testing.T, open func(testing.TB) *artifact.Store) {
	for name, test := range map[string]func(*testing.T, *artifact.Store){
		"keeps what matches its digest":  keepsWhatMatches,
		"keeps nothing of a bad upload":  keepsNothingBad,
		"keeps nothing of a hostile zip": keepsNothingHostile,
		"tells code and files apart":     tellsKindsApart,
		"takes files by their SHA-1":     takesSHA1,
		"takes zips made elsewhere":      takesForeign,
		"lists what is there":            lists,
		"deletes":                        deletes,
		"refuses what is no digest":      refusesNoDigest,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Pack makes an artifact.
func Pack(t testing.TB, files ...artifact.File) (data []byte, digest string) {
	t.Helper()
	data, digest, err := artifact.Pack(files)
	if err != nil {
		t.Fatalf("Pack: %v", err)
	}
	return data, digest
}

// TempDir is a directory for the test in which artifacts may be unpacked: that
// they are read-only does not keep it from being removed.
func TempDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { // before the cleanup of t.TempDir
		if err := artifact.Remove(dir); err != nil {
			t.Errorf("removing what was unpacked: %v", err)
		}
	})
	return dir
}

// Digest is the digest of any bytes.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Names lists what a store holds, sorted.
func Names(t testing.TB, s *artifact.Store) []string {
	t.Helper()
	names := []string{}
	err := s.List(t.Context(), func(b artifact.Blob) error {
		names = append(names, b.Name())
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	slices.Sort(names)
	return names
}

func keepsWhatMatches(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "hello.mjs", Data: []byte("export default 1")})
	if there, err := s.Has(t.Context(), digest); there || err != nil {
		t.Fatalf("Has before Put = %v, %v; want false, nil", there, err)
	}
	if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.NotFound) {
		t.Fatalf("Get before Put = %v, want not_found", err)
	}
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatalf("Put: %v", err)
	}
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatalf("second Put: %v", err)
	}
	// Nobody is told that it is there who does not have it.
	if err := s.Put(t.Context(), digest, strings.NewReader("the digest is all that is known")); !fault.Is(err, fault.Invalid) {
		t.Fatalf("Put of other bytes under a stored digest = %v, want invalid", err)
	}
	if there, err := s.Has(t.Context(), digest); !there || err != nil {
		t.Fatalf("Has after Put = %v, %v; want true, nil", there, err)
	}
	r, err := s.Get(t.Context(), digest)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("Get gave %d bytes, %v; want the %d that were put", len(got), err, len(data))
	}
}

func keepsNothingBad(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "hello.mjs", Data: bytes.Repeat([]byte("hello "), 10_000)})
	for name, upload := range map[string]func() io.Reader{
		"other bytes": func() io.Reader { return strings.NewReader("something else") },
		"cut short":   func() io.Reader { return bytes.NewReader(data[:len(data)/2]) },
		"empty":       func() io.Reader { return strings.NewReader("") },
		"too long":    func() io.Reader { return io.MultiReader(bytes.NewReader(data), strings.NewReader("x")) },
		"broken off": func() io.Reader {
			return io.MultiReader(bytes.NewReader(data[:10]), iotest.ErrReader(errors.New("connection reset")))
		},
	} {
		if err := s.Put(t.Context(), digest, upload()); !fault.Is(err, fault.Invalid) {
			t.Errorf("Put of an upload that is %s = %v, want invalid", name, err)
		}
		if err := s.PutFile(t.Context(), digest, upload()); !fault.Is(err, fault.Invalid) {
			t.Errorf("PutFile of an upload that is %s = %v, want invalid", name, err)
		}
		if got := Names(t, s); len(got) != 0 {
			t.Errorf("after an upload that is %s the store holds %v, want nothing", name, got)
		}
	}
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Errorf("Put of the good bytes afterwards: %v", err)
	}
}

// Entry is one entry of a zip made by hand.
type Entry struct {
	Name string
	Mode fs.FileMode
	Data string
}

// Zip makes a zip that [artifact.Pack] would not make.
func Zip(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) { return flate.NewWriter(to, flate.BestSpeed) })
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.Name, Method: zip.Deflate}
		header.SetMode(e.Mode)
		f, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.Data)); err != nil && e.Data != "" {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func keepsNothingHostile(t *testing.T, s *artifact.Store) {
	damaged := Zip(t, Entry{"f.js", 0o644, strings.Repeat("good code ", 100)})
	damaged[45] ^= 0xff
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"no zip":         {[]byte("hello"), "not a complete zip"},
		"damaged":        {damaged, "damaged"},
		"zip slip":       {Zip(t, Entry{"../escaped", 0o644, "x"}), "cannot stand in an artifact"},
		"absolute path":  {Zip(t, Entry{"/escaped", 0o644, "x"}), "cannot stand in an artifact"},
		"link out":       {Zip(t, Entry{"l", fs.ModeSymlink | 0o777, "/etc/passwd"}), "must lead to a place inside"},
		"device":         {Zip(t, Entry{"tty", fs.ModeDevice | fs.ModeCharDevice | 0o666, ""}), "special file"},
		"twice the same": {Zip(t, Entry{"a", 0o644, "1"}, Entry{"a", 0o644, "2"}), "twice"},
		"bomb":           {Zip(t, Entry{"f.js", 0o644, strings.Repeat("\x00", 101<<20)}), "padding"},
	} {
		err := s.Put(t.Context(), Digest(test.data), bytes.NewReader(test.data))
		message, _ := fault.Public(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(message, test.want) {
			t.Errorf("%s: Put = %v, want invalid with %q", name, err, test.want)
		}
	}
	if got := Names(t, s); len(got) != 0 {
		t.Errorf("the store holds %v, want nothing", got)
	}
}

func tellsKindsApart(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	// The same bytes, once as code and once as a file that somebody downloads.
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if there, err := s.HasFile(t.Context(), digest); there || err != nil {
		t.Fatalf("HasFile after Put = %v, %v; want false: code is not served", there, err)
	}
	if _, err := s.GetFile(t.Context(), digest); !fault.Is(err, fault.NotFound) {
		t.Fatalf("GetFile after Put = %v, want not_found", err)
	}
	if err := s.PutFile(t.Context(), digest, strings.NewReader("other")); !fault.Is(err, fault.Invalid) {
		t.Fatalf("PutFile of other bytes = %v, want invalid", err)
	}
	if err := s.PutFile(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	r, err := s.GetFile(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, offset := range []int64{0, 5, 0} {
		if _, err := r.Seek(offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[offset:]) {
			t.Errorf("from %d: %d bytes, %v; want %d", offset, len(got), err, len(data)-int(offset))
		}
	}
	if size, err := r.Seek(0, io.SeekEnd); err != nil || size != int64(len(data)) {
		t.Errorf("the end is at %d, %v; want %d", size, err, len(data))
	}
}

func takesSHA1(t *testing.T, s *artifact.Store) {
	for _, content := range []string{"", "hello", strings.Repeat("x", 17<<20)} { // the last in parts, on a store that has parts
		sum := sha1.Sum([]byte(content)) // #nosec G401 -- the same
		one, two := hex.EncodeToString(sum[:]), Digest([]byte(content))
		limit := int64(len(content))
		if _, _, err := s.PutUpload(t.Context(), strings.NewReader(content+"x"), limit+1, one); !fault.Is(err, fault.Invalid) {
			t.Errorf("PutUpload of other bytes = %v, want invalid", err)
		}
		if _, _, err := s.PutUpload(t.Context(), strings.NewReader(content+"x"), limit, one); !fault.Is(err, fault.TooLarge) {
			t.Errorf("PutUpload over the limit = %v, want too_large", err)
		}
		if _, _, err := s.PutUpload(t.Context(), io.MultiReader(strings.NewReader(content), iotest.ErrReader(errors.New("reset"))), limit, one); !fault.Is(err, fault.Invalid) {
			t.Errorf("PutUpload that broke off = %v, want invalid", err)
		}
		if there, err := s.HasFile(t.Context(), two); there || err != nil {
			t.Fatalf("HasFile after refusals = %v, %v; want false", there, err)
		}
		for range 2 {
			digest, size, err := s.PutUpload(t.Context(), strings.NewReader(content), limit, one)
			if err != nil || digest != two || size != limit {
				t.Errorf("PutUpload of %d bytes = %.12s, %d, %v; want %.12s, %d", limit, digest, size, err, two, limit)
			}
		}
		r, err := s.GetFile(t.Context(), two)
		if err != nil {
			t.Fatalf("GetFile: %v", err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != content {
			t.Errorf("GetFile gave %d bytes, %v; want %d", len(got), err, len(content))
		}
		_ = r.Close()
	}
}

func takesForeign(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "f.mjs", Data: []byte("export const handler = 1")})
	_, _, err := s.PutForeign(t.Context(), digest, "g", bytes.NewReader(data))
	if message, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || !strings.Contains(message, "function g cannot be deployed: the zip has nothing to start") {
		t.Errorf("PutForeign as another function = %v, want invalid", err)
	}
	if _, _, err := s.PutForeign(t.Context(), digest, "f", bytes.NewReader(data[1:])); !fault.Is(err, fault.Invalid) {
		t.Errorf("PutForeign of other bytes = %v, want invalid", err)
	}
	if got := Names(t, s); len(got) != 0 {
		t.Errorf("after refusals the store holds %v, want nothing", got)
	}
	for range 2 {
		if runtime, entry, err := s.PutForeign(t.Context(), digest, "f", bytes.NewReader(data)); err != nil || runtime != "node" || entry != "f.mjs" {
			t.Errorf("PutForeign = %s, %s, %v; want node, f.mjs", runtime, entry, err)
		}
	}
	if got, want := Names(t, s), []string{artifact.Code.Name(digest)}; !slices.Equal(got, want) {
		t.Errorf("the store holds %v, want %v", got, want)
	}
}

func lists(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	want := []string{artifact.Code.Name(digest)}
	for _, content := range []string{"one", "two"} {
		if err := s.PutFile(t.Context(), Digest([]byte(content)), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		want = append(want, artifact.Static.Name(Digest([]byte(content))))
	}
	slices.Sort(want)
	if got := Names(t, s); !slices.Equal(got, want) {
		t.Errorf("List gave %v, want %v", got, want)
	}
	err := s.List(t.Context(), func(b artifact.Blob) error {
		if age := time.Since(b.ModTime); age < -time.Minute || age > time.Hour {
			t.Errorf("%s was stored %v ago, want just now", b.Name(), age)
		}
		if size := map[artifact.Kind]int64{artifact.Code: int64(len(data)), artifact.Static: 3}[b.Kind]; b.Size != size {
			t.Errorf("%s has %d bytes, want %d", b.Name(), b.Size, size)
		}
		return nil
	})
	if err != nil {
		t.Errorf("List: %v", err)
	}
	enough := errors.New("enough")
	calls := 0
	if err := s.List(t.Context(), func(artifact.Blob) error { calls++; return enough }); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("List = %v after %d calls, want what the first call returned", err, calls)
	}
}

func deletes(t *testing.T, s *artifact.Store) {
	data, digest := Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	for range 2 { // what was deleted can be put again
		if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if err := s.PutFile(t.Context(), digest, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // what is not there is deleted
			if err := s.Delete(t.Context(), digest, artifact.Code); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}
		if got, want := Names(t, s), []string{artifact.Static.Name(digest)}; !slices.Equal(got, want) {
			t.Errorf("after Delete the store holds %v, want %v", got, want)
		}
		if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.NotFound) {
			t.Errorf("Get after Delete = %v, want not_found", err)
		}
	}
}

func refusesNoDigest(t *testing.T, s *artifact.Store) {
	for _, digest := range []string{"", "abc", "../../etc/passwd", strings.Repeat("A", 64)} {
		if err := s.Put(t.Context(), digest, strings.NewReader("x")); !fault.Is(err, fault.Invalid) {
			t.Errorf("Put(%q) = %v, want invalid", digest, err)
		}
		if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.Invalid) {
			t.Errorf("Get(%q) = %v, want invalid", digest, err)
		}
		if err := s.Delete(t.Context(), digest, artifact.Code); !fault.Is(err, fault.Invalid) {
			t.Errorf("Delete(%q) = %v, want invalid", digest, err)
		}
	}
	if err := s.Delete(t.Context(), strings.Repeat("a", 64), "zip"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Delete of no kind = %v, want invalid", err)
	}
}
