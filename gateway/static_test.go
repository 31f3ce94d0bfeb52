package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// manifest describes files by path and content.
func manifest(files map[string]string) map[string]deploy.File {
	out := map[string]deploy.File{}
	for path, text := range files {
		out[path] = deploy.File{Digest: digestOf(text), Size: int64(len(text))}
	}
	return out
}

// deployFiles deploys static files and functions to the default site.
func (b *bundle) deployFiles(draft bool, files map[string]string, functions ...function.Function) (d api.Deploy, uploaded int) {
	b.t.Helper()
	zip, digest := code(b.t, "export default () => new Response('hi')")
	for i := range functions {
		functions[i] = fn(functions[i], digest)
	}
	d, err := b.api.CreateDeploy(b.t.Context(), "default", api.CreateDeploy{Draft: draft, Functions: functions, Files: manifest(files)})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, wanted := range d.Required {
		for path, text := range files {
			if digestOf(text) != wanted {
				continue
			}
			file, err := b.api.UploadFile(b.t.Context(), d.ID, path, strings.NewReader(text))
			if err != nil || file.Path != path || file.Digest != wanted {
				b.t.Fatalf("UploadFile(%s) = %+v, %v", path, file, err)
			}
			uploaded++
			break // one path of each digest is enough
		}
	}
	if len(d.RequiredFunctions) > 0 {
		if _, err = b.api.UploadFunction(b.t.Context(), d.ID, functions[0].Name, strings.NewReader(string(zip))); err != nil {
			b.t.Fatal(err)
		}
	}
	if d, err = b.api.Deploy(b.t.Context(), "default", d.ID); err != nil || d.State != "ready" || d.Published == draft {
		b.t.Fatalf("deploy = %+v, %v; want ready", d, err)
	}
	return d, uploaded
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	large := strings.Repeat("0123456789", 10_000)
	b.deployFiles(false, map[string]string{
		"index.html": "<h1>home</h1>", "about.html": "about", "docs/index.html": "docs", "a b/ü.txt": "umlaut",
		"app.js": "js", "large.bin": large, "empty.txt": "", "style.CSS": "css", "data.json": "{}", "LICENSE": "<html>",
	}, function.Function{Name: "own", Paths: []string{"/own"}, Methods: []string{"POST"}})
	etag := `"` + digestOf(large) + `"`
	tests := []struct {
		name, method, path string
		header             [2]string
		status             int
		body               string
		want               map[string]string
	}{
		{"root", "GET", "/", [2]string{}, 200, "<h1>home</h1>", map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "public, max-age=0", "Age": "0", "Etag": `"` + digestOf("<h1>home</h1>") + `"`, "Content-Length": "13", "Last-Modified": ""}},
		{"page", "GET", "/about?x=1", [2]string{}, 200, "about", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{"directory", "GET", "/docs?x=1", [2]string{}, 200, "docs", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{"escaped", "GET", "/a%20b/%C3%BC.txt", [2]string{}, 200, "umlaut", map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		{"script", "GET", "/app.js", [2]string{}, 200, "js", map[string]string{"Content-Type": "application/javascript; charset=utf-8"}},
		{"upper-case extension", "GET", "/style.CSS", [2]string{}, 200, "css", map[string]string{"Content-Type": "text/css; charset=utf-8"}},
		{"json", "GET", "/data.json", [2]string{}, 200, "{}", map[string]string{"Content-Type": "application/json; charset=utf-8"}},
		{"empty", "GET", "/empty.txt", [2]string{}, 200, "", map[string]string{"Content-Length": "0"}},
		{"large", "GET", "/large.bin", [2]string{}, 200, large, map[string]string{"Content-Length": "100000", "Accept-Ranges": "bytes"}},
		{"head", "HEAD", "/large.bin", [2]string{}, 200, "", map[string]string{"Content-Length": "100000", "Etag": etag}},
		{"range of a large one", "GET", "/large.bin", [2]string{"Range", "bytes=50001-50003"}, 206, "123", map[string]string{"Content-Range": "bytes 50001-50003/100000"}},
		{"last bytes of a small one", "GET", "/about.html", [2]string{"Range", "bytes=-2"}, 206, "ut", nil},
		{"range beyond", "GET", "/about.html", [2]string{"Range", "bytes=9-"}, 416, "invalid range: failed to overlap\n", nil},
		{"type not known", "GET", "/LICENSE", [2]string{}, 200, "<html>", map[string]string{"Content-Type": "application/octet-stream"}},
		{"unchanged", "GET", "/large.bin", [2]string{"If-None-Match", etag}, 304, "", map[string]string{"Etag": etag, "Cache-Control": "public, max-age=0"}},
		{"changed", "GET", "/about.html", [2]string{"If-None-Match", etag}, 200, "about", nil},
		{"missing", "GET", "/own", [2]string{}, 404, "404 Not Found", map[string]string{"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "public, max-age=0, must-revalidate", "Age": "0"}},
		{"post", "POST", "/about", [2]string{}, 405, "Method Not Allowed", map[string]string{"Allow": "GET, HEAD", "Age": "0", "Cache-Control": "public, max-age=0, must-revalidate", "Content-Type": "text/plain; charset=utf-8"}},
		{"post to nothing", "POST", "/.netlify/functions/own", [2]string{}, 405, "Method Not Allowed", nil},
		{"options", "OPTIONS", "/", [2]string{}, 405, "Method Not Allowed", nil},
		{"unknown function", "POST", "/.netlify/functions/nope", [2]string{}, 404, "", nil},
	}
	check := func(t *testing.T) {
		for _, tt := range tests {
			req := b.request(tt.method, tt.path, nil)
			if tt.header[0] != "" {
				req.Header.Set(tt.header[0], tt.header[1])
			}
			got := b.do(req)
			if got.status != tt.status || got.err != nil || tt.name != "unknown function" && got.body != tt.body {
				t.Errorf("%s: %s %s = %d %.60q, %v; want %d %.60q", tt.name, tt.method, tt.path, got.status, got.body, got.err, tt.status, tt.body)
			}
			for key, want := range tt.want {
				if value := got.header.Get(key); value != want {
					t.Errorf("%s: %s = %q, want %q", tt.name, key, value, want)
				}
			}
		}
	}
	check(t)
	check(t) // again, now from memory
	b.server.Stop()
	check(t) // and without Redis
}

func TestOwnPageForWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deployFiles(false, map[string]string{"404.html": "<h1>gone</h1>"})
	for _, method := range []string{"GET", "HEAD"} {
		got := b.do(b.request(method, "/nothing", nil))
		if got.status != 404 || got.header.Get("Content-Type") != "text/html; charset=utf-8" || got.header.Get("Content-Length") != "13" || got.header.Get("Etag") != "" {
			t.Errorf("%s of nothing = %d %v", method, got.status, got.header)
		}
		if want := map[string]string{"GET": "<h1>gone</h1>"}[method]; got.body != want {
			t.Errorf("%s of nothing = %q, want %q", method, got.body, want)
		}
	}
}

// TestDeployOfFiles: nothing of a deploy is there before all of it is, the
// second one uploads nothing, and each stays on its permalink.
func TestDeployOfFiles(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := t.Context()
	at := func(host, path string) answer {
		req := b.request("GET", path, nil)
		req.Host = host
		return b.do(req)
	}
	one := map[string]string{"index.html": "one", "same.txt": "same", "sub/same.txt": "same"}
	_, digest := code(t, "export default () => new Response('hi')")
	d, err := b.api.CreateDeploy(ctx, "default", api.CreateDeploy{Files: manifest(one), Functions: []function.Function{fn(job, digest)}})
	if err != nil || d.State != "uploading" || len(d.Required) != 2 || len(d.RequiredFunctions) != 1 || d.Files != 3 {
		t.Fatalf("new deploy = %+v, %v; want two files and one function missing", d, err)
	}
	host := d.ID + "--default.localhost"
	if _, err := b.api.UploadFile(ctx, d.ID, "index.html", strings.NewReader("two")); !fault.Is(err, fault.Invalid) {
		t.Errorf("other bytes: %v, want invalid", err)
	}
	if _, err := b.api.UploadFile(ctx, d.ID, "index.html", strings.NewReader("longer")); !fault.Is(err, fault.Invalid) {
		t.Errorf("more bytes: %v, want invalid", err)
	}
	if _, err := b.api.UploadFile(ctx, d.ID, "other.html", strings.NewReader("one")); !fault.Is(err, fault.NotFound) {
		t.Errorf("a file that the deploy does not have: %v, want not found", err)
	}
	if _, err := b.api.UploadFile(ctx, strings.Repeat("e", 24), "index.html", strings.NewReader("one")); !fault.Is(err, fault.NotFound) {
		t.Errorf("a file of no deploy: %v, want not found", err)
	}
	zip, _ := code(t, "export default () => new Response('hi')")
	half, err := b.api.UploadFunction(ctx, d.ID, job.Name, strings.NewReader(string(zip)))
	if err != nil || half.State != "uploading" || len(half.RequiredFunctions) != 0 || len(half.Required) != 2 {
		t.Fatalf("with its code = %+v, %v; want two files missing", half, err)
	}
	for range 2 { // a lost answer makes a client send it again
		if _, err := b.api.UploadFile(ctx, d.ID, "sub/same.txt", strings.NewReader("same")); err != nil {
			t.Fatal(err)
		}
	}
	if got := at(host, "/same.txt"); got.status != 404 || !strings.Contains(got.body, "Deploy not found") {
		t.Errorf("half a deploy answers %d %q", got.status, got.body)
	}
	if _, err := b.api.UploadFile(ctx, d.ID, "index.html", strings.NewReader("one")); err != nil {
		t.Fatal(err)
	}
	if d, err = b.api.Deploy(ctx, "default", d.ID); err != nil || d.State != "ready" || !d.Published || len(d.Required) != 0 {
		t.Fatalf("whole deploy = %+v, %v; want published", d, err)
	}
	if got := at("localhost", "/"); got.body != "one" {
		t.Errorf("right after the last upload: %d %q", got.status, got.body)
	}

	again, err := b.api.CreateDeploy(ctx, "default", api.CreateDeploy{Files: manifest(one)})
	if err != nil || again.State != "ready" || len(again.Required) != 0 {
		t.Errorf("the same again = %+v, %v; want ready without an upload", again, err)
	}
	one["index.html"] = "changed"
	draft, uploaded := b.deployFiles(true, one)
	if uploaded != 1 {
		t.Errorf("%d files uploaded after a change of one", uploaded)
	}
	for name, want := range map[string]string{"localhost": "one", host: "one", draft.ID + "--default.localhost": "changed"} {
		if got := at(name, "/"); got.body != want {
			t.Errorf("%s = %d %q, want %q", name, got.status, got.body, want)
		}
	}
}

// TestForgottenList: what a deploy waits for is a memo. Without it, the blob
// store is asked.
func TestForgottenList(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	files := map[string]string{"a.txt": "a", "b.txt": "b"}
	d, err := b.api.CreateDeploy(t.Context(), "default", api.CreateDeploy{Files: manifest(files)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.redis.Del(t.Context(), "nightshift:{catalog}:missing:"+d.ID).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.api.UploadFile(t.Context(), d.ID, "a.txt", strings.NewReader("a")); err != nil {
		t.Fatal(err)
	}
	if d, err = b.api.Deploy(t.Context(), "default", d.ID); err != nil || d.State != "uploading" || len(d.Required) != 1 {
		t.Fatalf("with one of two files = %+v, %v; want one missing", d, err)
	}
	if _, err := b.api.UploadFile(t.Context(), d.ID, "b.txt", strings.NewReader("b")); err != nil {
		t.Fatal(err)
	}
	if d, err = b.api.Deploy(t.Context(), "default", d.ID); err != nil || d.State != "ready" {
		t.Errorf("with both = %+v, %v; want ready", d, err)
	}
}

// TestBlobStoreFails: a file that cannot be read, or is not what it should be,
// is never sent as if it were.
func TestBlobStoreFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setup(t, func(c *gateway.Config) { c.BlobURL = "file://" + dir })
	b.deployFiles(false, map[string]string{"gone.txt": "gone", "other.txt": "right"})
	if err := os.Remove(filepath.Join(dir, digestOf("gone")+".file")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, digestOf("right")+".file"), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/gone.txt", "/other.txt"} {
		if got := b.get(path); got.status != 503 || got.header.Get("Retry-After") == "" || got.header.Get("Cache-Control") != "no-store" || strings.Contains(got.body, "wrong") {
			t.Errorf("GET %s = %d %q %v, want 503", path, got.status, got.body, got.header)
		}
	}
}

// A client that asks for a file and does not read it is cut off.
func TestStaticReaderThatDoesNotRead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) {
		c.Limits = daemon.Limits{BodyTimeout: 2 * time.Second}
	})
	b.deployFiles(false, map[string]string{"large.bin": strings.Repeat("0123456789abcdef", 2<<20)}) // more than the kernel buffers
	conn, err := net.Dial("tcp", b.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is cut", func() bool {
		_, err := io.WriteString(conn, "\r")
		return err != nil
	})
	if got := b.get("/large.bin"); got.status != 200 || len(got.body) != 32<<20 || got.err != nil {
		t.Errorf("somebody who reads gets %d, %d bytes, %v", got.status, len(got.body), got.err)
	}
}
