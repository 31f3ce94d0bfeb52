package abuse

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
)

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// announce describes a deploy of the default site.
func (in *installation) announce(description map[string]any) answer {
	in.Helper()
	return in.api(root, "POST", "/sites/default/deploys", description)
}

// pending describes a deploy that must be taken, and returns its ID.
func (in *installation) pending(description map[string]any) string {
	in.Helper()
	var d api.Deploy
	in.decode(in.announce(description), http.StatusCreated, &d)
	return d.ID
}

func file(data []byte) map[string]any {
	return map[string]any{"digest": digestOf(data), "size": len(data)}
}

func function(name string, zip []byte) map[string]any {
	return map[string]any{"name": name, "artifact": digestOf(zip), "runtime": "node", "api": 1, "entry": name + ".js", "kind": "sync"}
}

// upload sends the head of an upload and what write writes behind it, over a
// connection of its own, and returns what comes back. It ends when the other side
// has enough, and says how much that was.
func (in *installation) upload(path, head string, write func(io.Writer) error) (reply string, sent int64) {
	in.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(in.services.Admin[0], "http://"))
	in.must(err)
	defer conn.Close()
	in.must(conn.SetDeadline(time.Now().Add(time.Minute)))
	counted := &counter{to: conn}
	fmt.Fprintf(counted, "PUT /api/v1%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", path, root, head)
	read := make(chan string, 1)
	go func() {
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		read <- string(buf[:n])
	}()
	if write(counted) == nil { // else nobody takes it any more
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	return <-read, counted.n
}

// counter counts what it passes on.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// zeros is a zip with an entry of so many zero bytes.
func zeros(t *testing.T, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	entry, err := w.Create("bomb.js")
	if err == nil {
		_, err = io.CopyN(entry, zero{}, size)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// overlapping is a zip whose table of contents names one entry many times, so
// that it unpacks to many times what it holds.
func overlapping(t *testing.T, size int64, times int) []byte {
	t.Helper()
	data := zeros(t, size)
	at := bytes.LastIndex(data, []byte("PK\x01\x02"))
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	entry := data[at:end]
	out := bytes.Clone(data[:at])
	for i := range times {
		one := bytes.Clone(entry)
		copy(one[46:], fmt.Sprintf("%07d", i)) // as long as bomb.js
		out = append(out, one...)
	}
	tail := bytes.Clone(data[end:])
	binary.LittleEndian.PutUint16(tail[8:], uint16(times))
	binary.LittleEndian.PutUint16(tail[10:], uint16(times))
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(entry)*times))
	return append(out, tail...)
}

// crowded is a zip with so many entries.
func crowded(t *testing.T, entries int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range entries {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Whoever may deploy and means no good is refused in bounded memory, and leaves
// nothing: the deploy waits as before, and the store holds what was uploaded whole.
func TestHostileUploads(t *testing.T) {
	t.Parallel()
	in := install(t)
	content := []byte("the content")
	id := in.pending(map[string]any{"files": map[string]any{"a.txt": file(content), "dir/b.txt": file([]byte("another"))}})
	before := in.resident("gateway1")

	refused := func(what string, a answer) {
		t.Helper()
		if a.status < 400 || a.status > 499 || !strings.Contains(a.body, `"message"`) {
			t.Errorf("%s: %d %.300s", what, a.status, a.body)
		}
	}
	refused("other bytes", in.api(root, "PUT", "/deploys/"+id+"/files/a.txt", []byte("other bytes")))
	refused("more bytes", in.api(root, "PUT", "/deploys/"+id+"/files/a.txt", append(bytes.Clone(content), 'x')))
	refused("no bytes", in.api(root, "PUT", "/deploys/"+id+"/files/a.txt", []byte{}))
	refused("a file that was not described", in.api(root, "PUT", "/deploys/"+id+"/files/c.txt", content))
	refused("an unknown deploy", in.api(root, "PUT", "/deploys/"+strings.Repeat("0", 24)+"/files/a.txt", content))
	for _, path := range []string{"../a.txt", "..%2fa.txt", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "dir/../a.txt", "a.txt%00", "dir%5cb.txt", "dir//b.txt"} {
		refused("the path "+path, in.ask("PUT", in.services.Admin[0]+"/api/v1/deploys/"+id+"/files/"+path, content, "Authorization: Bearer "+root))
	}
	for _, path := range []string{"../x", "/x", "a/../../x", "a//b", "a\\b", "a\x00b", ".", "", strings.Repeat("x", 5000)} {
		refused(fmt.Sprintf("announcing %.20q", path), in.announce(map[string]any{"files": map[string]any{path: file(content)}}))
	}
	many := map[string]any{}
	for i := range 100_000 {
		many[fmt.Sprint(i)] = map[string]any{"digest": strings.Repeat("a", 64)}
	}
	refused("100,000 files", in.announce(map[string]any{"files": many}))
	refused("a file of 2^62 bytes", in.announce(map[string]any{"files": map[string]any{"a": map[string]any{"digest": strings.Repeat("a", 64), "size": 1 << 62}}}))
	refused("deep JSON", in.api(root, "POST", "/sites/default/deploys", []byte(`{"files":`+strings.Repeat("[", 1_000_000))))
	refused("endless JSON", in.api(root, "POST", "/sites/default/deploys", bytes.Repeat([]byte(" "), 9<<20)))

	if _, sent := in.upload("/deploys/"+id+"/files/a.txt", "Transfer-Encoding: chunked", endless); sent > 600<<20 {
		t.Errorf("%d MiB of an endless upload were taken", sent>>20)
	}
	_, _ = in.upload("/deploys/"+id+"/files/a.txt", "Content-Length: 1000000", func(w io.Writer) error {
		_, err := w.Write(content) // and no more
		return err
	})
	for what, bomb := range map[string][]byte{
		"600 MiB of zeros": zeros(t, 600<<20), "200 MiB of zeros": zeros(t, 200<<20), "a thousand times one entry": overlapping(t, 1<<20, 1000),
		"too many entries": crowded(t, 100_001), "no zip": []byte("PK\x03\x04 and nothing else"),
	} {
		bombed := in.pending(map[string]any{"functions": []any{function("bomb", bomb)}})
		refused(what, in.api(root, "PUT", "/deploys/"+bombed+"/functions/bomb", bomb))
	}
	if after := in.resident("gateway1"); after > before+200 {
		t.Errorf("the gateway held %d MiB and holds %d MiB", before, after)
	}

	var d api.Deploy
	in.decode(in.api(root, "GET", "/deploys/"+id, nil), http.StatusOK, &d)
	if d.State != "uploading" || len(d.Required) != 2 {
		t.Errorf("the deploy is %s and needs %v; want that nothing has changed", d.State, d.Required)
	}
	if blobs, err := os.ReadDir(filepath.Join(in.dir, "blobs")); err != nil || len(blobs) != 0 {
		t.Errorf("the store holds %v, %v; want nothing", blobs, err)
	}

	// Twenty at once bring one file, and then it is there once.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if a := in.api(root, "PUT", "/deploys/"+id+"/files/a.txt", content); a.status != http.StatusOK {
				t.Errorf("one of many uploads: %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	in.decode(in.api(root, "PUT", "/deploys/"+id+"/files/dir/b.txt", []byte("another")), http.StatusOK, nil)
	in.decode(in.api(root, "GET", "/deploys/"+id, nil), http.StatusOK, &d)
	if blobs, err := os.ReadDir(filepath.Join(in.dir, "blobs")); err != nil || len(blobs) != 2 || d.State != "ready" {
		t.Errorf("the deploy is %s, and the store holds %v, %v; want 2 blobs", d.State, blobs, err)
	}
	if a := in.ask("GET", "http://localhost/a.txt", nil); a.status != http.StatusOK || a.body != string(content) {
		t.Errorf("the file: %d %q", a.status, a.body)
	}
}

// endless writes chunks until nobody takes them.
func endless(w io.Writer) error {
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("x", 1<<20))
	for {
		if _, err := io.WriteString(w, chunk); err != nil {
			return err
		}
	}
}

// However many hosts, paths, deploys and keys somebody makes up, the gateway's
// memory does not grow with them.
func TestAFloodOfNames(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.deploy("default", map[string]string{
		"netlify.toml": "[build]\npublish = \"public\"\n", "public/index.html": "home",
		"netlify/functions/job-background.mjs": "export default async () => {}\n",
		"netlify/functions/hello.mjs":          "export default async () => new Response('hello')\nexport const config = { path: '/hello/:name', rateLimit: { windowLimit: 100000, windowSize: 60, aggregateBy: ['ip', 'domain'] } }\n",
	})
	in.eventually(20*time.Second, func() error {
		if a := in.ask("GET", "http://localhost/", nil); a.body != "home" {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	flood := func(from, to int) {
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := from + worker; i < to; i += 8 {
					tag := fmt.Sprintf("%024x", i)
					switch i % 5 {
					case 0:
						in.ask("GET", "http://localhost/", nil, "Host: made-up-"+tag+".localhost")
					case 1:
						in.ask("GET", "http://localhost/", nil, "Host: "+tag+"--default.localhost")
					case 2:
						in.ask("GET", "http://localhost/no/"+tag+"?"+strings.Repeat(tag, 40), nil, "Cookie: "+tag+"="+strings.Repeat("x", 1000))
					case 3:
						in.ask("GET", "http://localhost/.nightshift/invocations/01ARZ3NDEK"+strings.ToUpper(tag[8:]), nil)
					case 4:
						in.ask("POST", "http://localhost/.netlify/functions/job-background", nil, "Idempotency-Key: "+tag)
					}
				}
			})
		}
		all.Wait()
	}
	flood(0, 3000) // what caches hold, and what a busy gateway needs
	before := in.resident("gateway1")
	flood(3000, 12_000)
	after := in.resident("gateway1")
	t.Logf("the gateway held %d MiB after 3,000 requests and holds %d MiB after 12,000", before, after)
	if after > before+40 {
		t.Errorf("the gateway held %d MiB and holds %d MiB after 9,000 more names", before, after)
	}
}
