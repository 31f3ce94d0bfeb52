// Package s3 keeps artifacts in a store that speaks S3 over HTTP, and breaks it
// while it is written to.
package s3

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/test/harness"
)

func TestMain(m *testing.M) {
	// Nothing of this machine's own settings of AWS: the environment is where
	// services have their credentials, and it is the process's.
	for _, key := range []string{"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"} {
		_ = os.Unsetenv(key)
	}
	for _, setting := range append(harness.S3Env(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true") {
		key, value, _ := strings.Cut(setting, "=")
		_ = os.Setenv(key, value)
	}
	os.Exit(m.Run())
}

func start(t testing.TB) *harness.S3 {
	t.Helper()
	s, err := harness.StartS3()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Errorf("ending the store: %v", err)
		}
	})
	return s
}

func open(t testing.TB, url string) *artifact.Store {
	t.Helper()
	s, err := artifact.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("Open(%s): %v", url, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Each store of the suite is a folder of one bucket: folders see nothing of each other.
func TestContract(t *testing.T) {
	t.Parallel()
	server := start(t)
	var folders atomic.Int32
	artifacttest.Run(t, func(t testing.TB) *artifact.Store {
		return open(t, server.URL(fmt.Sprintf("/folder/%d", folders.Add(1))))
	})
}

// Lists come in pages of a thousand.
func TestListOfManyPages(t *testing.T) {
	t.Parallel()
	server := start(t)
	s, other := open(t, server.URL("")), open(t, server.URL("other"))
	const files = 1100
	for i := range files {
		content := fmt.Appendf(nil, "file %d", i)
		if err := s.PutFile(t.Context(), artifacttest.Digest(content), bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.PutFile(t.Context(), artifacttest.Digest([]byte("x")), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	names := artifacttest.Names(t, s)
	if n := len(slices.Compact(names)); n != files {
		t.Errorf("List gave %d files, want the %d of its own folder", n, files)
	}
	if names := artifacttest.Names(t, other); len(names) != 1 {
		t.Errorf("List of the other folder gave %v, want its one file", names)
	}
}

// noise does not shrink, so that an artifact of it has its size.
func noise(size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// Put in a store that breaks is unavailable; there is the whole artifact then or
// nothing, and doing it again is all that is needed.
func TestPutThatFails(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"in one piece": 1 << 20, "in parts": 20 << 20} {
		for faultName, broken := range map[string]harness.S3Fault{"dies": harness.S3Dies, "loses replies": harness.S3LosesReplies} {
			t.Run(faultName+", "+name, func(t *testing.T) {
				t.Parallel()
				server := start(t)
				s := open(t, server.URL("a"))
				data, digest := artifacttest.Pack(t, artifact.File{Path: "f.js", Data: noise(size)})

				server.Break(broken)
				err := s.Put(t.Context(), digest, bytes.NewReader(data))
				if server.Broke() == 0 {
					t.Fatal("nothing broke")
				}
				if !fault.Is(err, fault.Unavailable) {
					t.Errorf("Put = %v, want unavailable", err)
				}
				if _, after := fault.Public(err); after == 0 {
					t.Errorf("Put = %v without a time to try again after", err)
				}
				server.Break(harness.S3Works)
				if broken == harness.S3Dies {
					if there, err := s.Has(t.Context(), digest); !fault.Is(err, fault.Unavailable) {
						t.Errorf("Has without a server = %v, %v; want unavailable", there, err)
					}
					if err := server.Kill(); err != nil {
						t.Fatal(err)
					}
					if err := server.Restart(); err != nil {
						t.Fatal(err)
					}
				}

				// In one piece a lost reply is a stored artifact; of parts it is none.
				want := []string{}
				if broken == harness.S3LosesReplies && size < 5<<20 {
					want = append(want, artifact.Code.Name(digest))
				}
				if got := artifacttest.Names(t, s); !slices.Equal(got, want) {
					t.Errorf("after the failure the store holds %v, want %v", got, want)
				}
				if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
					t.Errorf("Put again: %v", err)
				}
				if runtime, entry, err := s.PutForeign(t.Context(), digest, "f", bytes.NewReader(data)); err != nil || entry != "f.js" {
					t.Errorf("PutForeign = %s, %s, %v; want f.js", runtime, entry, err)
				}
			})
		}
	}
}

func TestWithoutServerOrBucketEverythingIsUnavailable(t *testing.T) {
	t.Parallel()
	server := start(t)
	digest := artifacttest.Digest([]byte("x"))
	noBucket := open(t, strings.Replace(server.URL(""), harness.S3Bucket, "elsewhere", 1))
	gone := start(t)
	noServer := open(t, gone.URL(""))
	if err := gone.Kill(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*artifact.Store{"no bucket": noBucket, "no server": noServer} {
		for call, err := range map[string]error{
			"PutFile": s.PutFile(t.Context(), digest, strings.NewReader("x")),
			"List":    s.List(t.Context(), func(artifact.Blob) error { return nil }),
		} {
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s with %s = %v, want unavailable", call, name, err)
			}
		}
	}
}
