package artifact_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/fault"
)

func TestContract(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"memory":    func(testing.TB) string { return "mem://" },
		"directory": func(t testing.TB) string { return "file://" + filepath.Join(t.TempDir(), "made", "if", "missing") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			artifacttest.Run(t, func(t testing.TB) *artifact.Store { return open(t, url(t)) })
		})
	}
}

func open(t testing.TB, url string) *artifact.Store {
	t.Helper()
	s, err := artifact.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("Open(%s): %v", url, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close of %s: %v", url, err)
		}
	})
	return s
}

func TestDirectoryHasNoLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := artifact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data, digest := artifacttest.Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
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

func TestNamesOfBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := artifact.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	data, digest := artifacttest.Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	for _, put := range []func() error{
		func() error { return s.Put(t.Context(), digest, bytes.NewReader(data)) },
		func() error { return s.PutFile(t.Context(), digest, bytes.NewReader(data)) },
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
	data, digest := artifacttest.Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Put = %v, want unavailable", err)
	}
	if _, err := s.Get(t.Context(), digest); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Get = %v, want unavailable", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// What this machine's owner has set for AWS must not answer for the URL.
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", file)
	for url, want := range map[string]string{
		"":                                "looks like file:///",
		"/var/lib":                        "looks like file:///",
		"gs://bucket":                     "s3://bucket?region=",
		"://":                             "looks like file:///",
		"file://relative/dir":             "three slashes",
		"file:relative":                   "three slashes",
		"file:///dir?no_tmp_dir=1":        "three slashes",
		"file://" + file:                  "cannot be used",
		"s3://bucket":                     "names no region",
		"s3://?region=x":                  "must name a bucket",
		"s3://bucket/folder?region=x":     "must name a bucket and nothing behind it",
		"s3://key:secret@bucket?region=x": "credentials come from the environment",
		"s3://bucket?region=x&use_path_style=true":     "use_path_style",
		"s3://bucket?region=x&region=y":                "once each",
		"s3://bucket?region=x&endpoint=localhost:9000": "endpoint=https://host:9000",
		"s3://bucket?region=x&endpoint=https://":       "endpoint=https://host:9000",
	} {
		s, err := artifact.Open(t.Context(), url)
		message, _ := fault.Public(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(message, want) || strings.Contains(message, "secret@") {
			t.Errorf("Open(%q) = %v, %v; want invalid with %q", url, s, err, want)
		}
	}
	for _, url := range []string{"s3://bucket?region=eu-central-1", "s3://bucket?endpoint=http://127.0.0.1:1&prefix=a/b"} {
		open(t, url) // does not call
	}
}

// What a writer leaves that is killed is no artifact, and does not stay for ever.
func TestTidy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, "file://"+dir)
	data, digest := artifacttest.Pack(t, artifact.File{Path: "a.js", Data: []byte("a")})
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		digest + ".zip.18aa52.tmp": 2 * time.Hour, digest + ".file.18aa53.tmp": time.Minute, "somebody's": 2 * time.Hour, digest + ".zip": 2 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		if name != digest+".zip" {
			if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := artifacttest.Names(t, s), []string{artifact.Code.Name(digest)}; !slices.Equal(got, want) {
		t.Errorf("List gave %v, want %v", got, want)
	}
	if err := s.Tidy(t.Context(), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{digest + ".file.18aa53.tmp", digest + ".zip", "somebody's"}; !slices.Equal(names, want) {
		t.Errorf("after Tidy the directory holds %v, want %v", names, want)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("0a", 32)
	for _, want := range []artifact.Kind{artifact.Code, artifact.Static} {
		if kind, got, ok := artifact.ParseName(want.Name(digest)); kind != want || got != digest || !ok {
			t.Errorf("ParseName(%s) = %s, %s, %t", want.Name(digest), kind, got, ok)
		}
	}
	for _, name := range []string{"", "code", "code:", "code:abc", "zip:" + digest, digest, "code:" + digest + "/.."} {
		if kind, got, ok := artifact.ParseName(name); ok {
			t.Errorf("ParseName(%s) = %s, %s; want that it is none", name, kind, got)
		}
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		entries        []artifacttest.Entry
		runtime, entry string // or
		problem        string
	}{
		"handler":       {entries: []artifacttest.Entry{{Name: "f.js", Mode: 0o644}}, runtime: "node", entry: "f.js"},
		"module":        {entries: []artifacttest.Entry{{Name: "f.mjs", Mode: 0o644}}, runtime: "node", entry: "f.mjs"},
		"commonjs":      {entries: []artifacttest.Entry{{Name: "f.cjs", Mode: 0o644}}, runtime: "node", entry: "f.cjs"},
		"order":         {entries: []artifacttest.Entry{{Name: "f.cjs", Mode: 0o644}, {Name: "f.mjs", Mode: 0o644}, {Name: "f.js", Mode: 0o644}}, runtime: "node", entry: "f.js"},
		"netlify":       {entries: []artifacttest.Entry{{Name: "f.mjs", Mode: 0o644}, {Name: artifact.NetlifyEntry, Mode: 0o644}}, runtime: "node", entry: artifact.NetlifyEntry},
		"program":       {entries: []artifacttest.Entry{{Name: "f.js", Mode: 0o644}, {Name: "bootstrap", Mode: 0o755}}, runtime: "provided", entry: "bootstrap"},
		"no mode":       {entries: []artifacttest.Entry{{Name: "bootstrap", Mode: 0o644}}, problem: "bootstrap in the zip is not executable"},
		"a directory":   {entries: []artifacttest.Entry{{Name: "f.js/x", Mode: 0o644}}, problem: "nothing to start: at its root there must be f.js (a handler), ___netlify-entry-point.mjs"},
		"a link":        {entries: []artifacttest.Entry{{Name: "f.js", Mode: 0o777 | os.ModeSymlink, Data: "x"}}, problem: "nothing to start"},
		"another name":  {entries: []artifacttest.Entry{{Name: "g.js", Mode: 0o644}}, problem: "nothing to start"},
		"nothing in it": {problem: "nothing to start"},
	} {
		data := artifacttest.Zip(t, test.entries...)
		runtime, entry, err := artifact.Inspect(bytes.NewReader(data), int64(len(data)), "f")
		message, _ := fault.Public(err)
		switch {
		case test.problem == "" && (err != nil || runtime != test.runtime || entry != test.entry):
			t.Errorf("%s: Inspect = %s, %s, %v; want %s, %s", name, runtime, entry, err, test.runtime, test.entry)
		case test.problem != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(message, test.problem)):
			t.Errorf("%s: Inspect = %v, want invalid with %q", name, err, test.problem)
		}
	}
	if _, _, err := artifact.Inspect(strings.NewReader("x"), 1, "f"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Inspect of no zip = %v, want invalid", err)
	}
}

// Uploads are looked at in the temporary directory, and nothing stays there.
func TestUploadsLeaveNothingInTheTemporaryDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := open(t, "mem://")
	data, digest := artifacttest.Pack(t, artifact.File{Path: "f.js", Data: []byte("a")})
	_ = s.Put(t.Context(), digest, strings.NewReader("wrong"))
	_ = s.Put(t.Context(), artifacttest.Digest([]byte("no zip")), strings.NewReader("no zip"))
	_, _, _ = s.PutUpload(t.Context(), strings.NewReader("wrong"), 100, strings.Repeat("0", 40))
	if err := s.Put(t.Context(), digest, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.PutForeign(t.Context(), digest, "f", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("the temporary directory holds %v, want nothing", entries)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "missing"))
	if err := s.PutFile(t.Context(), artifacttest.Digest([]byte("x")), strings.NewReader("x")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("PutFile without a temporary directory = %v, want unavailable", err)
	}
}
