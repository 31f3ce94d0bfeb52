package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/cli/internal/deploy"
	"github.com/nightshift/nightshift/shared/api"
	apideploy "github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// server is a control plane in memory. Its hooks, if not nil, run before the
// call and can fail it.
type server struct {
	mu       sync.Mutex
	required []string
	files    []string          // digests of static files that are required
	uploaded map[string]string // name → content
	busy     int
	maxBusy  int
	states   []string // that Deploy answers, the last one again and again
	onUpload func(name string, try int) error
	tries    map[string]int
	created  api.CreateDeploy

	cancelled []string // deploys that were given up
	late      bool     // it is too late to give one up
	lost      int      // reads of the deploy that fail
	ready     bool     // from the beginning
	reads     int
}

func (s *server) CreateDeploy(_ context.Context, site string, body api.CreateDeploy) (api.Deploy, error) {
	s.created = body
	if site == "full" {
		return api.Deploy{}, fault.New(fault.TooLarge, "too many functions")
	}
	if s.ready {
		return api.Deploy{ID: "d1", Site: site, State: "ready"}, nil
	}
	return api.Deploy{ID: "d1", Site: site, State: "uploading", RequiredFunctions: s.required, Required: s.files}, nil
}

func (s *server) UploadFile(_ context.Context, _, path string, content io.Reader) (api.File, error) {
	data, err := io.ReadAll(content)
	if err != nil {
		return api.File{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[path]++
	if s.onUpload != nil {
		if err := s.onUpload(path, s.tries[path]); err != nil {
			return api.File{}, err
		}
	}
	s.uploaded[path] = string(data)
	return api.File{Path: path}, nil
}

func (s *server) UploadFunction(ctx context.Context, id, name string, zip io.Reader) (api.Deploy, error) {
	s.mu.Lock()
	s.busy++
	s.maxBusy = max(s.maxBusy, s.busy)
	s.tries[name]++
	try := s.tries[name]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.busy--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return api.Deploy{}, ctx.Err()
	}
	if s.onUpload != nil {
		if err := s.onUpload(name, try); err != nil {
			return api.Deploy{}, err
		}
	}
	data, err := io.ReadAll(zip)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploaded[name] = string(data)
	return api.Deploy{ID: id}, err
}

func (s *server) CancelDeploy(ctx context.Context, id string) (api.Deploy, error) {
	if ctx.Err() != nil {
		return api.Deploy{}, ctx.Err()
	}
	if s.late {
		return api.Deploy{}, fault.New(fault.Conflict, "deploy %s is ready", id)
	}
	s.cancelled = append(s.cancelled, id)
	return api.Deploy{ID: id, State: "error"}, nil
}

func (s *server) Deploy(_ context.Context, site, id string) (api.Deploy, error) {
	s.reads++
	if s.lost > 0 {
		s.lost--
		return api.Deploy{}, fault.New(fault.Unavailable, "a moment")
	}
	state := s.states[0]
	if len(s.states) > 1 {
		s.states = s.states[1:]
	}
	return api.Deploy{ID: id, Site: site, State: state, Published: true}, nil
}

func newServer(required ...string) *server {
	return &server{required: required, uploaded: map[string]string{}, tries: map[string]int{}, states: []string{"ready"}}
}

func functions(n int) []build.Function {
	var out []build.Function
	for i := range n {
		out = append(out, build.Function{Function: function.Function{Name: fmt.Sprintf("f%d", i), Artifact: fmt.Sprintf("digest%d", i)}, Zip: fmt.Appendf(nil, "zip%d", i)})
	}
	return out
}

func TestRunUploadsWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer("digest1", "digest3")
		s.states = []string{"uploading", "uploading", "ready"}
		told := -1
		list := functions(4)
		list[2].Artifact = "digest1" // the same code twice is sent once
		d, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Branch: "main", Draft: true, Functions: list, Uploading: func(u deploy.Uploads) { told = u.Artifacts }})
		if err != nil || d.State != "ready" || d.ID != "d1" {
			t.Fatalf("Run = %+v, %v", d, err)
		}
		if want := map[string]string{"f1": "zip1", "f3": "zip3"}; fmt.Sprint(s.uploaded) != fmt.Sprint(want) {
			t.Errorf("uploaded %v, want %v", s.uploaded, want)
		}
		if told != 2 {
			t.Errorf("told %d uploads, want 2", told)
		}
		if !s.created.Draft || s.created.Branch != "main" || len(s.created.Functions) != 4 {
			t.Errorf("announced %+v", s.created)
		}
	})
}

func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list := functions(20)
		var digests []string
		for _, f := range list {
			digests = append(digests, f.Artifact)
		}
		s := newServer(digests...)
		if _, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Functions: list}); err != nil {
			t.Fatal(err)
		}
		if len(s.uploaded) != 20 || s.maxBusy != 8 {
			t.Errorf("uploaded %d, %d at once; want 20, 8", len(s.uploaded), s.maxBusy)
		}
	})
}

func TestUploadFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind  fault.Kind
		until int // tries that fail
		tries int
		ok    bool
	}{
		"unavailable for a moment": {fault.Unavailable, 2, 3, true},
		"throttled for a moment":   {fault.Throttled, 1, 2, true},
		"unavailable for good":     {fault.Unavailable, 99, 4, false},
		"refused":                  {fault.Invalid, 99, 1, false},
		"unauthorized":             {fault.Unauthorized, 99, 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer("digest0")
				s.onUpload = func(_ string, try int) error {
					if try <= test.until {
						return fault.New(test.kind, "no").After(time.Second)
					}
					return nil
				}
				_, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Functions: functions(1)})
				if (err == nil) != test.ok || err != nil && !fault.Is(err, test.kind) {
					t.Errorf("Run: %v, want ok %t, kind %s", err, test.ok, test.kind)
				}
				if s.tries["f0"] != test.tries {
					t.Errorf("%d tries, want %d", s.tries["f0"], test.tries)
				}
				if gaveUp := len(s.cancelled) == 1; gaveUp == test.ok {
					t.Errorf("given up: %v, want %t", s.cancelled, !test.ok)
				}
			})
		})
	}
}

func TestRunFailures(t *testing.T) {
	t.Parallel()
	failed := newServer()
	failed.states = []string{"uploading", "error"}
	tests := map[string]struct {
		server *server
		site   string
		kind   fault.Kind
	}{
		"announcing":      {newServer(), "full", fault.TooLarge},
		"server gives up": {failed, "shop", fault.Conflict},
		"unknown digest":  {newServer("something else"), "shop", fault.Internal},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, err := deploy.Run(t.Context(), test.server, deploy.Request{Site: test.site, Functions: functions(1)})
				if !fault.Is(err, test.kind) {
					t.Errorf("Run: %v, want kind %s", err, test.kind)
				}
			})
		})
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.states = []string{"uploading"}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := deploy.Run(ctx, s, deploy.Request{Site: "shop", Functions: functions(1)})
		if err == nil || time.Since(begun) != 3*time.Second {
			t.Errorf("Run ended after %v with %v, want the end of the context", time.Since(begun), err)
		}
		if !slices.Equal(s.cancelled, []string{"d1"}) {
			t.Errorf("given up: %v, want d1", s.cancelled)
		}
	})
}

// TestInterruptedUpload ends the context while uploads are under way.
func TestInterruptedUpload(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		late  bool // the deploy is ready by then
		state string
	}{
		"in time":  {false, "error"},
		"too late": {true, "ready"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer("digest0", "digest1", "digest2")
				s.late = test.late
				ctx, cancel := context.WithCancel(t.Context())
				s.onUpload = func(string, int) error {
					cancel()
					return fault.New(fault.Unavailable, "what a broken connection looks like")
				}
				d, err := deploy.Run(ctx, s, deploy.Request{Site: "shop", Functions: functions(3)})
				if !errors.Is(err, context.Canceled) || d.ID != "d1" || d.State != test.state {
					t.Errorf("Run = %s in state %q, %v; want d1 in %q and the end of the context", d.ID, d.State, err, test.state)
				}
				if gaveUp := len(s.cancelled) == 1; gaveUp == test.late {
					t.Errorf("given up: %v, want %t", s.cancelled, !test.late)
				}
			})
		})
	}
}

func TestAnnouncedAsItIs(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.ready = true
	d, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Branch: "main", Production: true, Title: "a title", Functions: functions(1)})
	if err != nil || d.State != "ready" || s.reads != 0 {
		t.Errorf("Run = %+v, %v after %d reads; want what was answered at once", d, err, s.reads)
	}
	if got := s.created; got.Branch != "main" || !got.Production || got.Draft || got.Title != "a title" {
		t.Errorf("announced %+v", got)
	}
}

func TestServerThatIsAwayForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer("digest0")
		s.lost = 3
		if d, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Functions: functions(1)}); err != nil || d.State != "ready" {
			t.Errorf("Run = %+v, %v; want it ready", d, err)
		}
	})
}

// file writes a static file and describes it.
func file(t *testing.T, path, digest, text string) static.File {
	t.Helper()
	source := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return static.File{Path: path, Source: source, File: apideploy.File{Digest: digest, Size: int64(len(text))}}
}

// sized is a file that was announced with another size.
func sized(f static.File, size int64) static.File {
	f.Size = size
	return f
}

func TestRunUploadsFiles(t *testing.T) {
	t.Parallel()
	files := []static.File{file(t, "a.txt", "digest-a", "a"), file(t, "copy.txt", "digest-a", "a"), file(t, "b.txt", "digest-b", "b"), file(t, "c.txt", "digest-c", "c")}
	synctest.Test(t, func(t *testing.T) {
		s := newServer("digest0")
		s.files = []string{"digest-a", "digest-c"}
		s.onUpload = func(path string, try int) error {
			if path == "c.txt" && try == 1 {
				return fault.New(fault.Unavailable, "a moment") // and the file is read anew
			}
			return nil
		}
		var told deploy.Uploads
		var sent atomic.Int64
		_, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Functions: functions(1), Files: files,
			Redirects: []apideploy.Redirect{{From: "/a", To: "/b", Status: 301}}, Headers: []apideploy.HeaderRule{{For: "/*"}}, Uploading: func(u deploy.Uploads) { told = u }, Sent: func(n int64) { sent.Add(n) }})
		if want := (deploy.Uploads{Artifacts: 1, Files: 2, Bytes: 6}); err != nil || told != want || sent.Load() != want.Bytes {
			t.Fatalf("Run: %v, told %+v and sent %d bytes; want %+v", err, told, sent.Load(), want)
		}
		if want := map[string]string{"f0": "zip0", "a.txt": "a", "c.txt": "c"}; fmt.Sprint(s.uploaded) != fmt.Sprint(want) {
			t.Errorf("uploaded %v, want %v", s.uploaded, want)
		}
		if got := s.created.Files; len(got) != 4 || got["copy.txt"].Digest != "digest-a" || got["b.txt"].Size != 1 {
			t.Errorf("announced %+v", got)
		}
		if got := s.created; len(got.Redirects) != 1 || got.Redirects[0].To != "/b" || len(got.Headers) != 1 || got.Headers[0].For != "/*" {
			t.Errorf("announced the rules %+v and %+v", got.Redirects, got.Headers)
		}
	})
}

func TestFileThatChanges(t *testing.T) {
	t.Parallel()
	gone := static.File{Path: "gone.txt", Source: filepath.Join(t.TempDir(), "gone"), File: apideploy.File{Digest: "digest-a"}}
	for name, test := range map[string]struct {
		file   static.File
		answer error
	}{
		"gone":   {gone, nil},
		"other":  {file(t, "a.txt", "digest-a", "b"), fault.New(fault.Invalid, "the bytes have another SHA-256")},
		"longer": {file(t, "a.txt", "digest-a", "longer"), fault.New(fault.TooLarge, "longer than stated")},
		"grown":  {sized(file(t, "a.txt", "digest-a", "text"), 3), nil},
		"shrunk": {sized(file(t, "a.txt", "digest-a", "text"), 5), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			s.files = []string{"digest-a"}
			s.onUpload = func(string, int) error { return test.answer }
			_, err := deploy.Run(t.Context(), s, deploy.Request{Site: "shop", Files: []static.File{test.file}})
			if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "has changed while it was deployed") {
				t.Errorf("Run: %v, want that the file has changed", err)
			}
		})
	}
}
