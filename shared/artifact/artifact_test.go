package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
)

// stores are the kinds of store that one suite runs on.
func stores(t *testing.T) map[string]*artifact.Store {
	t.Helper()
	urls := map[string]string{
		"memory":    "mem://",
		"directory": "file://" + filepath.Join(t.TempDir(), "made", "if", "missing"),
	}
	opened := map[string]*artifact.Store{}
	for name, url := range urls {
		s, err := artifact.Open(t.Context(), url)
		if err != nil {
			t.Fatalf("Open(%s): %v", url, err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close of %s: %v", name, err)
			}
		})
		opened[name] = s
	}
	return opened
}

func pack(t testing.TB, files ...artifact.File) ([]byte, string) {
	t.Helper()
	data, digest, err := artifact.Pack(files)
	if err != nil {
		t.Fatalf("Pack: %v", err)
	}
	return data, digest
}

func TestStoreKeepsWhatMatchesItsDigest(t *testing.T) {
	t.Parallel()
	data, digest := pack(t, artifact.File{Path: "hello.mjs", Data: []byte("export default 1")})
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if there, err := s.Has(t.Context(), digest); there || err != nil {
				t.Fatalf("Has before Put = %v, %v; want false, nil", there, err)
			}
			if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.NotFound) {
				t.Fatalf("Get before Put = %v, want not_found", err)
			}
			if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
				t.Fatalf("Put: %v", err)
			}
			if err := s.Put(t.Context(), digest, iotest.ErrReader(errors.New("read although it is there"))); err != nil {
				t.Fatalf("second Put: %v", err)
			}
			r, err := s.Get(t.Context(), digest)
			if err != nil {
				t.Fatalf("Get: %v", err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("Get gave %d bytes, %v; want the %d that were put", len(got), err, len(data))
			}
		})
	}
}

func TestStoreKeepsNothingOfABadUpload(t *testing.T) {
	t.Parallel()
	data, digest := pack(t, artifact.File{Path: "hello.mjs", Data: bytes.Repeat([]byte("hello "), 10_000)})
	uploads := map[string]io.Reader{
		"other bytes": strings.NewReader("something else"),
		"cut short":   bytes.NewReader(data[:len(data)/2]),
		"empty":       strings.NewReader(""),
		"too long":    io.MultiReader(bytes.NewReader(data), strings.NewReader("x")),
		"broken off":  io.MultiReader(bytes.NewReader(data), iotest.ErrReader(errors.New("connection reset"))),
	}
	for storeName, s := range stores(t) {
		for name, upload := range uploads {
			if seeker, ok := upload.(io.Seeker); ok {
				_, _ = seeker.Seek(0, io.SeekStart)
			}
			if err := s.Put(t.Context(), digest, upload); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: Put of an upload that is %s = %v, want invalid", storeName, name, err)
			}
			if there, err := s.Has(t.Context(), digest); there || err != nil {
				t.Errorf("%s: Has after an upload that is %s = %v, %v; want false, nil", storeName, name, there, err)
			}
		}
	}
}

func TestDirectoryHasNoLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := artifact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data, digest := pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	_ = s.Put(t.Context(), digest, strings.NewReader("wrong"))
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("after a refused upload the directory holds %v, want nothing", entries)
	}
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("after one upload the directory holds %v, want one file", entries)
	}
}

func TestStoreRefusesWhatIsNoDigest(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		for _, digest := range []string{"", "abc", "../../etc/passwd", strings.Repeat("A", 64)} {
			if err := s.Put(t.Context(), digest, strings.NewReader("x")); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: Put(%q) = %v, want invalid", name, digest, err)
			}
			if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: Get(%q) = %v, want invalid", name, digest, err)
			}
		}
	}
}

func TestStoreOutOfReachIsUnavailable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s, err := artifact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// A file where the directory was, as good as a lost mount.
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	data, digest := pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Put = %v, want unavailable", err)
	}
	if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Get = %v, want unavailable", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"", "/var/lib", "s3://bucket", "file://relative/dir", "file:relative", "file:///dir?no_tmp_dir=1", "file://" + file, "://"} {
		if s, err := artifact.Open(t.Context(), url); !fault.Is(err, fault.Invalid) {
			t.Errorf("Open(%q) = %v, %v; want invalid", url, s, err)
		}
	}
}
