package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
)

func TestStaticFilesStandBesideCode(t *testing.T) {
	t.Parallel()
	data, digest := pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
		})
	}
}

func TestNamesOfBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := artifact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sum := sha256.Sum256([]byte("x"))
	digest := hex.EncodeToString(sum[:])
	for _, put := range []func() error{
		func() error { return s.Put(t.Context(), digest, strings.NewReader("x")) },
		func() error { return s.PutFile(t.Context(), digest, strings.NewReader("x")) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{digest + ".file", digest + ".zip"}; !slices.Equal(names, want) {
		t.Errorf("the directory holds %q, want %q", names, want)
	}
}
