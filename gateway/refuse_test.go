package gateway_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// refuser is a gateway with a site on which something is published.
type refuser struct {
	*bundle
	dir  string // of the blobs
	live api.Deploy
}

func setupRefuser(t *testing.T) *refuser {
	t.Helper()
	dir := t.TempDir()
	r := &refuser{bundle: setup(t, func(c *gateway.Config) { c.BlobURL = "file://" + dir }), dir: dir}
	r.live = r.deploy("shop", function.Function{Name: "hello"})
	return r
}

// call makes a call of the control plane.
func (r *refuser) call(method, path string, body any) answer {
	r.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	case []byte:
		reader = bytes.NewReader(body)
	case io.Reader:
		reader = body
	default:
		data, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req := r.request(method, r.control("/api/v1"+path), reader)
	req.Header.Set("Authorization", "Bearer "+token)
	return r.do(req)
}

// state is all that a refusal must leave as it is.
func (r *refuser) state() string {
	r.t.Helper()
	blobs, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	catalog, err := r.store.Catalog(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	deploys, err := r.store.DeploySummaries(r.t.Context(), "shop", 0, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	text := fmt.Sprint("blobs ", blobs, " version ", catalog.Version, " published ", catalog.Published["shop"].ID, " deploys")
	for _, d := range deploys {
		text += fmt.Sprint(" ", d.ID, " ", d.State)
	}
	return text
}

// refused checks an answer: its status, and a message that says all of want.
func (r *refuser) refused(name string, got answer, status int, want ...string) {
	r.t.Helper()
	if got.status != status || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		r.t.Errorf("%s = %d %.300s, want %d", name, got.status, got.body, status)
		return
	}
	e := decode[api.Error](r.t, got.body)
	if e.Code != status || e.Kind != string(fault.KindOfStatus(status)) {
		r.t.Errorf("%s: code %d, kind %s", name, e.Code, e.Kind)
	}
	for _, part := range want {
		if !strings.Contains(e.Message, part) {
			r.t.Errorf("%s: %q, want %q in it", name, e.Message, part)
		}
	}
	if strings.Contains(e.Message, "goroutine") || strings.Contains(e.Message, "Go ") || strings.Contains(e.Message, ".go:") {
		r.t.Errorf("%s: %q is not for people", name, e.Message)
	}
}

// goodDeploy makes sure that the site can be deployed to.
func (r *refuser) goodDeploy() {
	r.t.Helper()
	r.live = r.deploy("shop", function.Function{Name: "hello"})
}

// Descriptions that are wrong, in our words: nothing of them is there afterwards.
func TestRefusesDescriptions(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	digest := strings.Repeat("a", 64)
	with := func(f function.Function) api.CreateDeploy {
		return api.CreateDeploy{Functions: []function.Function{fn(f, digest)}}
	}
	many := make([]function.Function, deploy.MaxFunctions+1)
	for i := range many {
		many[i] = fn(function.Function{Name: fmt.Sprint("f", i)}, digest)
	}
	files := map[string]deploy.File{}
	for i := range deploy.MaxFiles + 1 {
		files[fmt.Sprint(i)] = deploy.File{Digest: digest}
	}
	file := func(path string, f deploy.File) api.CreateDeploy {
		return api.CreateDeploy{Files: map[string]deploy.File{path: f}}
	}
	good := deploy.File{Digest: digest, Size: 1}
	tests := []struct {
		name string
		body any
		want []string
	}{
		{"too many functions", api.CreateDeploy{Functions: many}, []string{"1001 functions are too many; 1000 are allowed"}},
		{"too many files", api.CreateDeploy{Files: files}, []string{"20001 static files are too many; 20000 are allowed"}},
		{"a function with #", with(function.Function{Name: "a#b"}), []string{"a#b", "only letters, digits"}},
		{"a function that climbs", with(function.Function{Name: "../b"}), []string{"../b", "only letters, digits"}},
		{"a function without a name", with(function.Function{}), []string{"only letters, digits"}},
		{"a reserved name", with(function.Function{Name: function.ReservedName}), []string{"reserved"}},
		{"a function twice", api.CreateDeploy{Functions: []function.Function{fn(function.Function{Name: "a"}, digest), fn(function.Function{Name: "a"}, digest)}}, []string{"a stands twice"}},
		{"no cron", with(function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "not a cron"}), []string{"function tick", "not a cron"}},
		{"a cron that never fires", with(function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "0 0 31 2 *"}), []string{"function tick"}},
		{"no zone", with(function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily", Timezone: "Mars/Olympus"}), []string{"function tick", "Mars/Olympus"}},
		{"no pattern", with(function.Function{Name: "a", Paths: []string{"/a/:b("}}), []string{"function a", "/a/:b("}},
		{"no digest", api.CreateDeploy{Functions: []function.Function{fn(function.Function{Name: "a"}, "x")}}, []string{"function a", "not a SHA-256"}},
		{"a timeout", with(function.Function{Name: "a", TimeoutMS: 900_001}), []string{"function a", "1 to 900 seconds"}},
		{"a file that climbs", file("../etc/passwd", good), []string{"../etc/passwd", "must be relative"}},
		{"a file that climbs inside", file("a/../b", good), []string{"a/../b", "must be relative"}},
		{"an absolute file", file("/etc/passwd", good), []string{"/etc/passwd", "must be relative"}},
		{"a file with a backslash", file(`a\b`, good), []string{"must be relative, with slashes"}},
		{"a file without a name", file("", good), []string{"must be relative"}},
		{"a file with a zero byte", file("a\x00b", good), []string{"must be relative"}},
		{"a file without a digest", file("a", deploy.File{}), []string{"static file a", "not a SHA-256"}},
		{"a bad SHA-1", file("a", deploy.File{SHA1: "x"}), []string{"static file a", "not a SHA-1"}},
		{"a file that is too large", file("a", deploy.File{Digest: digest, Size: deploy.MaxFileSize + 1}), []string{"static file a", "250 MiB are allowed"}},
		{"a file of less than nothing", file("a", deploy.File{Digest: digest, Size: -1}), []string{"static file a"}},
		{"a redirect to nowhere", api.CreateDeploy{Redirects: []deploy.Redirect{{From: "/a", Status: 301}}}, []string{"redirect /a"}},
		{"a header of the server", api.CreateDeploy{Headers: []deploy.HeaderRule{{For: "/*", Values: map[string]string{"Content-Length": "1"}}}}, []string{"Content-Length"}},
		{"a read-only variable", api.CreateDeploy{Environment: []api.EnvironmentVariable{{Key: "URL", Value: "x"}}}, []string{"URL is read-only"}},
		{"a branch without letters", api.CreateDeploy{Branch: "---", Draft: true}, []string{"branch", "host name"}},
		{"a long title", api.CreateDeploy{Title: strings.Repeat("x", 1001)}, []string{"1000 bytes"}},
		{"nothing", "", []string{"not the JSON that is expected"}},
		{"nonsense", "nonsense", []string{"not the JSON that is expected"}},
		{"half of it", `{"functions": [`, []string{"not the JSON that is expected"}},
		{"two of it", `{}{}`, []string{"more than one value"}},
		{"a bracket too much", `{}}`, []string{"more than one value"}},
		{"a list", `[]`, []string{"it cannot be a JSON array"}},
		{"another type", `{"functions": 1}`, []string{"functions cannot be a JSON number"}},
	}
	before := r.state()
	for _, tt := range tests {
		r.refused(tt.name, r.call("POST", "/sites/shop/deploys", tt.body), 400, tt.want...)
		if after := r.state(); after != before {
			t.Fatalf("%s: it was\n%s\nand is\n%s", tt.name, before, after)
		}
	}
	r.refused("variables without a key to seal them", r.call("POST", "/sites/shop/deploys", api.CreateDeploy{Environment: []api.EnvironmentVariable{{Key: "A", Value: "x"}}}), 409, "NIGHTSHIFT_SECRET_KEY")
	large := `{"title":"` + strings.Repeat("x", 8<<20) + `"}`
	r.refused("a body over the limit", r.call("POST", "/sites/shop/deploys", large), 413, "8 MiB")
	r.refused("the same in chunks", r.call("POST", "/sites/shop/deploys", io.MultiReader(strings.NewReader(large))), 413, "8 MiB")
	if after := r.state(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	r.goodDeploy()
}

func sha1Of(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// The same for what clients of Netlify's API say, who have announced before.
func TestRefusesNetlifyDescriptions(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	d := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{"draft":false,"include_upload_url":false,"deploy_source":"cli"}`).body)
	digest, sum := strings.Repeat("a", 64), strings.Repeat("b", 40)
	path := "/sites/shop/deploys/" + d.ID
	before := r.state()
	names := func(n int, value string) string {
		var out strings.Builder
		for i := range n {
			fmt.Fprintf(&out, `,"n%d":%q`, i, value)
		}
		return "{" + strings.TrimPrefix(out.String(), ",") + "}"
	}
	for _, tt := range []struct{ name, body, want string }{
		{"edge functions", `{"edge_functions":{"manifest.json":"x"}}`, "there are none here; make them functions"},
		{"too many functions", `{"functions":` + names(1001, digest) + `}`, "1001 functions are too many"},
		{"too many files", `{"files":` + names(20001, sum) + `}`, "20001 static files are too many"},
		{"cron", `{"functions":{"tick":"` + digest + `"},"function_schedules":[{"name":"tick","cron":"not a cron"}]}`, "function tick"},
		{"pattern", `{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"routes":[{"pattern":"/a/:b("}]}}}`, "/a/:b("},
		{"excluded pattern", `{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"routes":[{"pattern":"/a"}],"excluded_routes":[{"pattern":"/{"}]}}}`, "/{"},
		{"rate limit that overflows to an allowed one", `{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"traffic_rules":{"action":{"type":"rate_limit","config":{"rate_limit_config":{"window_limit":1,"window_size":18446744073709552}}}}}}}`, "1 to 180 seconds"},
		{"rate limit", `{"functions":{"a":"` + digest + `"},"functions_config":{"a":{"traffic_rules":{"action":{"type":"rate_limit","config":{"rate_limit_config":{"window_limit":1,"window_size":9223372036854775800}}}}}}}`, "1 to 180 seconds"},
		{"function name", `{"functions":{"a.b":"` + digest + `"}}`, "only letters, digits"},
		{"function digest", `{"functions":{"a":"` + sum + `"}}`, "not a SHA-256"},
		{"file digest", `{"files":{"a":"` + digest + `"}}`, "not a SHA-1"},
		{"file that climbs", `{"files":{"../a":"` + sum + `"}}`, "must be relative"},
		{"backslash", `{"files":{"a\\b":"` + sum + `"}}`, "must be relative"},
		{"variable", `{"environment":[{"key":"a-b","value":"x"}]}`, "environment variable"},
		{"nonsense", `{"files":[]}`, "files cannot be a JSON array"},
		{"nothing", ``, "not the JSON"},
	} {
		r.refused(tt.name, r.call("PUT", path, tt.body), 400, tt.want)
		if after := r.state(); after != before {
			t.Fatalf("%s: it was\n%s\nand is\n%s", tt.name, before, after)
		}
	}
	// The announced deploy is as good as it was.
	if got := r.call("PUT", path, `{"files":{"a.txt":"`+sha1Of([]byte("a"))+`"},"draft":false}`); got.status != 200 || decode[api.Deploy](t, got.body).Required[0] != sha1Of([]byte("a")) {
		t.Errorf("a good description afterwards = %d %s", got.status, got.body)
	}
	if got := r.call("PUT", "/deploys/"+d.ID+"/files/a.txt", "a"); got.status != 200 {
		t.Errorf("its upload = %d %s", got.status, got.body)
	}
	if got := decode[api.Deploy](t, r.call("GET", path, nil).body); got.State != "ready" || !got.Published {
		t.Errorf("the deploy afterwards = %+v", got)
	}
}

// claims is a zip with an entry that claims to be as large as that.
func claims(t *testing.T, sizes ...uint64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, size := range sizes {
		f, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint("f", i, ".js"), Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(nil), UncompressedSize64: size, CompressedSize64: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte{3, 0}); err != nil { // nothing, deflated
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Uploads that are wrong, of clients of both kinds: no blob is there afterwards,
// and the deploy still waits.
func TestRefusesUploads(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	good := artifacttest.Zip(t, artifacttest.Entry{Name: "f.js", Mode: 0o644, Data: "exports.handler = 1"})
	damaged := artifacttest.Zip(t, artifacttest.Entry{Name: "f.js", Mode: 0o644, Data: strings.Repeat("good code ", 100)})
	damaged[45] ^= 0xff
	entries := make([]uint64, artifact.MaxFiles+1)
	zips := []struct {
		name    string
		zip     []byte
		want    string
		netlify bool // only there the zip must say what it starts with
	}{
		{"no zip", []byte("hello"), "not a complete zip", false},
		{"half a zip", good[:len(good)-10], "not a complete zip", false},
		{"a damaged zip", damaged, "damaged", false},
		{"zip slip", artifacttest.Zip(t, artifacttest.Entry{Name: "f.js", Mode: 0o644, Data: "x"}, artifacttest.Entry{Name: "../../escaped", Mode: 0o644, Data: "x"}), "cannot stand in an artifact", false},
		{"an absolute path", artifacttest.Zip(t, artifacttest.Entry{Name: "/etc/passwd", Mode: 0o644, Data: "x"}), "cannot stand in an artifact", false},
		{"a backslash", artifacttest.Zip(t, artifacttest.Entry{Name: `..\escaped`, Mode: 0o644, Data: "x"}), "cannot stand in an artifact", false},
		{"a link out", artifacttest.Zip(t, artifacttest.Entry{Name: "l", Mode: fs.ModeSymlink | 0o777, Data: "../../etc/passwd"}), "must lead to a place inside", false},
		{"a device", artifacttest.Zip(t, artifacttest.Entry{Name: "d", Mode: fs.ModeDevice | 0o666}), "special file", false},
		{"a bomb by size", claims(t, artifact.MaxUnpacked+1), "more than 512 MiB unpacked", false},
		{"a bomb by many sizes", claims(t, 300<<20, 300<<20), "more than 512 MiB unpacked", false},
		{"a bomb by sizes that overflow", claims(t, 1<<63, 1<<63, 100), "more than 512 MiB unpacked", false},
		{"a bomb by count", claims(t, entries...), "100000 are allowed", false},
		{"a bomb by ratio", claims(t, 101<<20), "that is padding, not code", false},
		{"nothing to start", artifacttest.Zip(t, artifacttest.Entry{Name: "other.js", Mode: 0o644, Data: "x"}), "the zip has nothing to start", true},
		{"a program that cannot be executed", artifacttest.Zip(t, artifacttest.Entry{Name: "bootstrap", Mode: 0o644, Data: "x"}), "chmod +x", true},
	}
	before, _, _ := strings.Cut(r.state(), " deploys")
	unchanged := func(name string) {
		t.Helper()
		if after, _, _ := strings.Cut(r.state(), " deploys"); after != before {
			t.Fatalf("%s: it was\n%s\nand is\n%s", name, before, after)
		}
	}
	for _, tt := range zips {
		digest := artifacttest.Digest(tt.zip)
		if !tt.netlify {
			d, err := r.api.CreateDeploy(t.Context(), "shop", api.CreateDeploy{Functions: []function.Function{fn(function.Function{Name: "f"}, digest)}})
			if err != nil {
				t.Fatal(err)
			}
			r.refused(tt.name, r.call("PUT", "/deploys/"+d.ID+"/functions/f", tt.zip), 400, "function f: ", tt.want)
			unchanged(tt.name)
		}
		d := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{}`).body)
		if got := r.call("PUT", "/sites/shop/deploys/"+d.ID, `{"functions":{"f":"`+digest+`"}}`); got.status != 200 {
			t.Fatalf("%s: description = %d %s", tt.name, got.status, got.body)
		}
		r.refused(tt.name+", Netlify's way", r.call("PUT", "/deploys/"+d.ID+"/functions/f?runtime=js", io.MultiReader(bytes.NewReader(tt.zip))), 400, "function f", tt.want)
		unchanged(tt.name + ", Netlify's way")
		if got := decode[api.Deploy](t, r.call("GET", "/deploys/"+d.ID, nil).body); got.State != "uploading" || !slices.Equal(got.RequiredFunctions, []string{digest}) {
			t.Errorf("%s: the deploy is %q and waits for %v, want it to wait for the function", tt.name, got.State, got.RequiredFunctions)
		}
	}

	digest, sum := artifacttest.Digest(good), sha1Of([]byte("home"))
	d := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{}`).body)
	if got := r.call("PUT", "/sites/shop/deploys/"+d.ID, `{"functions":{"f":"`+digest+`"},"files":{"index.html":"`+sum+`","sub dir/ü.txt":"`+sum+`"}}`); got.status != 200 {
		t.Fatalf("description = %d %s", got.status, got.body)
	}
	own, err := r.api.CreateDeploy(t.Context(), "shop", api.CreateDeploy{Files: map[string]deploy.File{"a": {Digest: artifacttest.Digest([]byte("home")), Size: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	announced := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{}`).body)
	failed := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{}`).body)
	r.call("POST", "/deploys/"+failed.ID+"/cancel", nil)
	none := strings.Repeat("e", 24)
	function, files := "/deploys/"+d.ID+"/functions/", "/deploys/"+d.ID+"/files/"
	tests := []struct {
		name, path string
		body       any
		status     int
		want       []string
	}{
		{"other code", function + "f", artifacttest.Zip(t, artifacttest.Entry{Name: "f.js", Mode: 0o644, Data: "other"}), 400, []string{"function f", "upload it again"}},
		{"no code", function + "f", "", 400, []string{"function f"}},
		{"a timeout of nothing", function + "f?timeout=0", good, 400, []string{"function f", "1 to 900 seconds"}},
		{"a long timeout", function + "f?timeout=901", good, 400, []string{"function f", "1 to 900 seconds"}},
		{"no timeout", function + "f?timeout=soon", good, 400, []string{"soon", "1 to 900 seconds"}},
		{"a function that the deploy has not", function + "g", good, 404, []string{d.ID, `no function "g"`}},
		{"code of no deploy", "/deploys/" + none + "/functions/f", good, 404, []string{none}},
		{"code of what is no ID", "/deploys/" + strings.Repeat("x", 100) + "/functions/f", good, 404, []string{"no deploy"}},
		{"code before the description", "/deploys/" + announced.ID + "/functions/f", good, 400, []string{"not been described"}},
		{"code of a failed deploy", "/deploys/" + failed.ID + "/functions/f", good, 400, []string{"make another one"}},
		{"another file", files + "index.html", "hole", 400, []string{"index.html", "SHA-1", "upload it again"}},
		{"a file that the deploy has not", files + "nope.html", "home", 404, []string{"nope.html"}},
		{"a file by a path that climbs", files + "sub/../index.html", "home", 404, []string{"no static file"}},
		{"a file of no deploy", "/deploys/" + none + "/files/index.html", "home", 404, []string{none}},
		{"a file before the description", "/deploys/" + announced.ID + "/files/index.html", "home", 400, []string{"not been described"}},
		{"a file of a failed deploy", "/deploys/" + failed.ID + "/files/index.html", "home", 400, []string{"make another one"}},
		{"a file with another digest", "/deploys/" + own.ID + "/files/a", "hole", 400, []string{"file a", "upload it again"}},
		{"a file that is longer", "/deploys/" + own.ID + "/files/a", "home!", 400, []string{"file a", "4 bytes"}},
		{"a file that is shorter", "/deploys/" + own.ID + "/files/a", "hom", 400, []string{"file a", "4 bytes"}},
		{"a file in chunks without an end", files + "index.html", io.LimitReader(zeros{}, deploy.MaxFileSize+1), 400, []string{"index.html", "250 MiB"}},
	}
	for _, tt := range tests {
		r.refused(tt.name, r.call("PUT", tt.path, tt.body), tt.status, tt.want...)
		unchanged(tt.name)
	}
	for _, path := range []string{function + "f", files + "index.html"} {
		r.refused("declared too large: "+path, r.declares(path, deploy.MaxFileSize+1, ""), 400, "250 MiB")
		r.refused("truncated: "+path, r.declares(path, 1000, "half"), 400, "ended early")
		unchanged("truncated: " + path)
	}

	// What was refused all the time succeeds as soon as it is right.
	if got := r.call("PUT", function+"f?runtime=js&timeout=20", good); got.status != 200 {
		t.Errorf("the right code = %d %s", got.status, got.body)
	}
	if got := r.call("PUT", files+"sub%20dir/%C3%BC.txt", "home"); got.status != 200 || decode[api.File](t, got.body).Path != "sub dir/ü.txt" {
		t.Errorf("the right file = %d %s", got.status, got.body)
	}
	if got := decode[api.Deploy](t, r.call("GET", "/deploys/"+d.ID, nil).body); got.State != "ready" || !got.Published || got.Functions[0].TimeoutMS != 20_000 {
		t.Errorf("the deploy afterwards = %+v", got)
	}
	// A ready deploy takes its own uploads again, and no others.
	for path, status := range map[string]int{function + "f": 200, files + "index.html": 200, function + "g": 404, files + "nope": 404} {
		if got := r.call("PUT", path, strings.Repeat("x", 1<<20)); got.status != status {
			t.Errorf("PUT %s to the ready deploy = %d %s, want %d", path, got.status, got.body, status)
		}
	}
	r.goodDeploy()
}

// declares sends a PUT that says how long it is, and then something else.
func (r *refuser) declares(path string, length int64, body string) answer {
	r.t.Helper()
	conn, err := new(net.Dialer).DialContext(r.t.Context(), "tcp", r.gateway.AdminAddr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /api/v1%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", path, token, length, body)
	if body != "" {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	var raw bytes.Buffer
	if _, err := io.Copy(&raw, conn); err != nil && raw.Len() == 0 {
		r.t.Fatalf("%s: %v", path, err)
	}
	text := raw.String()
	head, rest, _ := strings.Cut(text, "\r\n\r\n")
	got := answer{header: http.Header{}, body: rest}
	fmt.Sscanf(head, "HTTP/1.1 %d", &got.status)
	for line := range strings.SplitSeq(head, "\r\n") {
		if key, value, ok := strings.Cut(line, ": "); ok {
			got.header.Add(key, value)
		}
	}
	return got
}

// Pointers that must not move.
func TestRefusesPublishing(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	other := r.deploy("other", function.Function{Name: "hello"})
	draft, err := r.api.CreateDeploy(t.Context(), "shop", api.CreateDeploy{Draft: true, Functions: []function.Function{}})
	if err != nil || draft.State != "ready" {
		t.Fatalf("draft = %+v, %v", draft, err)
	}
	half := decode[api.Deploy](t, r.call("POST", "/sites/shop/deploys", `{"files":{"a":{"digest":"`+strings.Repeat("a", 64)+`","size":1}}}`).body)
	none := strings.Repeat("e", 24)
	const create, unlock = "nightshift sites create", "nightshift unlock --site shop"
	type refusal struct {
		name, method, path string
		body               any
		status             int
		want               []string
	}
	check := func(tests ...refusal) {
		t.Helper()
		before := r.state()
		for _, tt := range tests {
			r.refused(tt.name, r.call(tt.method, tt.path, tt.body), tt.status, tt.want...)
			if after := r.state(); after != before {
				t.Fatalf("%s: it was\n%s\nand is\n%s", tt.name, before, after)
			}
		}
	}
	check(
		refusal{"a deploy of another site", "POST", "/sites/shop/deploys/" + other.ID + "/restore", nil, 404, []string{other.ID}},
		refusal{"half a deploy", "POST", "/sites/shop/deploys/" + half.ID + "/restore", nil, 409, []string{"not complete", "deploy again"}},
		refusal{"no deploy", "POST", "/sites/shop/deploys/" + none + "/restore", nil, 404, []string{none}},
		refusal{"a deploy on no site", "POST", "/sites/nowhere/deploys/" + draft.ID + "/restore", nil, 404, []string{"nowhere", create}},
		refusal{"back to nothing", "PUT", "/sites/shop/rollback", nil, 409, []string{"nothing was published", "nightshift publish"}},
		refusal{"back on no site", "PUT", "/sites/nowhere/rollback", nil, 404, []string{create}},
		refusal{"no site to unpublish", "PUT", "/sites/nowhere/unpublish", nil, 404, []string{create}},
		refusal{"no site", "GET", "/sites/nowhere", nil, 404, []string{create}},
		refusal{"no site, by its ID", "GET", "/sites/site_nowhere", nil, 404, []string{create}},
		refusal{"deploys of no site", "GET", "/sites/nowhere/deploys", nil, 404, []string{create}},
		refusal{"functions of no site", "GET", "/sites/nowhere/functions", nil, 404, []string{create}},
		refusal{"a deploy to no site", "POST", "/sites/nowhere/deploys", `{}`, 404, []string{create}},
		refusal{"a deploy of no site", "GET", "/sites/nowhere/deploys/" + draft.ID, nil, 404, []string{create}},
		refusal{"a description on no site", "PUT", "/sites/nowhere/deploys/" + half.ID, `{}`, 404, []string{create}},
		refusal{"a deploy by way of another site", "GET", "/sites/shop/deploys/" + other.ID, nil, 404, []string{other.ID}},
		refusal{"a lock to no deploy", "POST", "/deploys/" + none + "/lock", nil, 404, []string{none}},
		refusal{"a lock to another deploy", "POST", "/deploys/" + draft.ID + "/lock", nil, 409, []string{"not the published one", "publish it first"}},
		refusal{"the end of no lock", "POST", "/deploys/" + none + "/unlock", nil, 404, []string{none}},
		refusal{"cancelling what is ready", "POST", "/deploys/" + draft.ID + "/cancel", nil, 409, []string{"cannot be given up"}},
		refusal{"cancelling nothing", "POST", "/deploys/" + none + "/cancel", nil, 404, []string{none}},
		refusal{"a description of what is ready", "PUT", "/sites/shop/deploys/" + draft.ID, `{"files":{"a":"` + strings.Repeat("b", 40) + `"}}`, 409, []string{"make another one"}},
		refusal{"a page before the first", "GET", "/sites/shop/deploys?page=0", nil, 400, []string{"page"}},
		refusal{"a page of nothing", "GET", "/sites?per_page=nope", nil, 400, []string{"per_page", "1 to 100"}},
		refusal{"no account", "POST", "/other/sites", `{"name":"x"}`, 404, []string{`"nightshift"`}},
		refusal{"a name that is none", "POST", "/sites", `{"name":"A_b"}`, 400, []string{"A_b", "lower-case letters"}},
		refusal{"a name that is taken", "POST", "/nightshift/sites", `{"name":"shop"}`, 409, []string{"choose another name"}},
	)

	if got := r.call("POST", "/deploys/"+r.live.ID+"/lock", nil); got.status != 200 || !decode[api.Deploy](t, got.body).Locked {
		t.Fatalf("lock = %d %s", got.status, got.body)
	}
	// Announced before the lock, and a deploy that becomes ready under it, is kept back.
	check(
		refusal{"publishing on a locked site", "POST", "/sites/shop/deploys/" + draft.ID + "/restore", nil, 409, []string{unlock}},
		refusal{"rolling a locked site back", "PUT", "/sites/shop/rollback", nil, 409, []string{unlock}},
		refusal{"unpublishing a locked site", "PUT", "/sites/site_shop/unpublish", nil, 409, []string{unlock}},
		refusal{"a lock of a locked site to another deploy", "POST", "/deploys/" + draft.ID + "/lock", nil, 409, []string{"not the published one"}},
		refusal{"a production deploy", "POST", "/sites/shop/deploys", `{"draft":false}`, 409, []string{unlock, "make a draft"}},
		refusal{"a production deploy of a branch", "POST", "/sites/shop/deploys", `{"branch":"main","production":true}`, 409, []string{unlock}},
		refusal{"a whole production deploy", "POST", "/sites/shop/deploys", `{"files":{"b":{"digest":"` + strings.Repeat("b", 64) + `","size":1}}}`, 409, []string{unlock}},
	)
	if got := r.call("POST", "/sites/shop/deploys", `{"draft":true,"functions":[]}`); got.status != 201 || decode[api.Deploy](t, got.body).State != "ready" {
		t.Errorf("a draft on a locked site = %d %s", got.status, got.body)
	}
	if got := r.call("POST", "/sites/shop/deploys/"+r.live.ID+"/restore", nil); got.status != 200 {
		t.Errorf("publishing what a locked site is at = %d %s", got.status, got.body)
	}
	if got := r.call("POST", "/deploys/"+draft.ID+"/unlock", nil); got.status != 200 {
		t.Errorf("unlock, by any deploy of the site = %d %s", got.status, got.body)
	}
	r.goodDeploy()
}

// Without the token nothing is told, and nothing stored.
func TestRefusesWithoutToken(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	before := r.state()
	for i, tt := range []struct{ method, path, body string }{
		{"POST", "/sites", `{"name":"new"}`},
		{"POST", "/nightshift/sites", `{"name":"new"}`},
		{"POST", "/sites/shop/deploys", `{"functions":[]}`},
		{"PUT", "/sites/shop/deploys/" + r.live.ID, `{}`},
		{"PUT", "/sites/shop/rollback", ""},
		{"PUT", "/sites/shop/unpublish", ""},
		{"POST", "/deploys/" + r.live.ID + "/lock", ""},
		{"PUT", "/deploys/" + r.live.ID + "/files/a", "a"},
		{"POST", "/accounts/nightshift/env?site_id=shop", `[]`},
	} {
		headers := []string{"", "Basic " + token}
		if i < 4 { // wrong tokens are few: those of one address are limited
			headers = []string{"", "Bearer wrong", "Bearer " + token[1:]}
		}
		for _, header := range headers {
			req := r.request(tt.method, r.control("/api/v1"+tt.path), strings.NewReader(tt.body))
			req.Header.Set("Authorization", header)
			r.refused(tt.method+" "+tt.path+" with "+header, r.do(req), 401, "NIGHTSHIFT_TOKEN")
		}
	}
	if after := r.state(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if _, err := r.store.Site(context.WithoutCancel(t.Context()), "new"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the site was made: %v", err)
	}
}
