package abuse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// edge is an installation as the internet sees it: one gateway, and sites on it.
type edge struct {
	*testing.T
	fleet    *harness.Fleet
	services *harness.Services
	dir      string
	addr     string // host:port of the data plane
}

// launchEdge starts one with further settings of the gateway.
func launchEdge(t *testing.T, settings ...string) *edge {
	t.Helper()
	e := &edge{T: t, fleet: &harness.Fleet{}}
	var err error
	e.dir, err = os.MkdirTemp("", "edge") // the unpacked code is read-only, which is more than t.TempDir can remove
	e.must(err)
	var redis *harness.Redis
	t.Cleanup(func() {
		err := e.fleet.Close()
		if t.Failed() {
			for _, p := range e.fleet.All() {
				t.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(40))
			}
		}
		if redis != nil {
			err = errors.Join(err, redis.Remove())
		}
		if err := errors.Join(err, harness.RemoveReadOnly(e.dir)); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	redis, err = e.fleet.StartRedis(t.Context(), harness.EverySecond)
	e.must(err)
	e.services, err = e.fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1,
		Env: append([]string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(e.dir, "blobs"),
			"NIGHTSHIFT_TOKEN=edge-0123456789abcdef0123456789abcdef", "NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(e.dir, "data"),
		}, settings...),
	})
	e.must(err)
	e.addr = strings.TrimPrefix(e.services.Data[0], "http://")
	return e
}

func (e *edge) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// deploy publishes files on a site.
func (e *edge) deploy(site string, files map[string]string) {
	e.Helper()
	root := filepath.Join(e.dir, "sites", site)
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		e.must(os.MkdirAll(filepath.Dir(file), 0o755))
		e.must(os.WriteFile(file, []byte(text), 0o644))
	}
	ctx, cancel := context.WithTimeout(e.Context(), 2*time.Minute)
	defer cancel()
	if site != "default" {
		_, err := e.services.Nightshift(ctx, "sites", "create", site)
		e.must(err)
	}
	_, err := e.services.Nightshift(ctx, "deploy", root, "--prod", "--site", site)
	e.must(err)
}

// said is what came back on a connection.
type said struct {
	statuses []int
	bodies   []string
	headers  []http.Header
	closed   bool // by the server, at the end
}

// lastRequest is one whose answer tells that the connection is in good order.
const lastRequest = "GET /end HTTP/1.1\r\nHost: localhost\r\n\r\n"

// say sends bytes, and lastRequest behind them, and reads until that is answered or the
// connection ends. What comes back must be HTTP.
func (e *edge) say(t *testing.T, raw string) (out said) {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, raw+lastRequest) // an early answer may have closed it
	answers := bufio.NewReader(conn)
	for {
		if _, err := answers.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("no end after %v: the server waits for more", out.statuses)
			}
			out.closed = true
			return out
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("what came back after %v is no HTTP: %v", out.statuses, err)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("an answer broke off: %v", err)
		}
		out.statuses, out.bodies, out.headers = append(out.statuses, response.StatusCode), append(out.bodies, string(body)), append(out.headers, response.Header)
		if strings.HasPrefix(string(body), `{"path":"/end"`) {
			out.closed = response.Close
			return out
		}
	}
}

const echoCode = `export default async (request, context) => Response.json({
  path: new URL(request.url).pathname, method: request.method, body: await request.text(), ip: context.ip, headers: Object.fromEntries(request.headers),
});
export const config = { path: ['/end', '/echo', '/echo/*', '/smuggled'] };`

// wildCode answers as nobody should. v1, because there headers are plain values.
const wildCode = `const cases = {
  crlf: () => ({ headers: { 'x-own': 'a\r\nset-cookie: evil=1' } }),
  lf: () => ({ headers: { 'x-own': 'a\n\nHTTP/1.1 200 OK\n\n' } }),
  nul: () => ({ headers: { 'x-own': 'a\u0000b' } }),
  name: () => ({ headers: { 'x-own: 1\r\nset-cookie': 'evil=1' } }),
  length: () => ({ headers: { 'content-length': '3' } }),
  longer: () => ({ headers: { 'content-length': '3000' } }),
  lengths: () => ({ multiValueHeaders: { 'content-length': ['3', '4'] } }),
  chunked: () => ({ headers: { 'transfer-encoding': 'chunked' } }),
  gzip: () => ({ headers: { 'transfer-encoding': 'gzip, chunked', 'content-length': '1' } }),
  hops: () => ({ headers: { connection: 'close, x-own', 'x-own': '1', 'keep-alive': 'timeout=999', 'proxy-authenticate': 'Basic', te: 'trailers', trailer: 'x-late', upgrade: 'h2c', 'proxy-connection': 'x' } }),
  ours: () => ({ headers: { 'x-nf-request-id': 'forged', 'nightshift-outcome': 'busy', 'nightshift-hint': 'forged', date: 'yesterday' } }),
  cookies: () => ({ multiValueHeaders: { 'set-cookie': Array.from({ length: 2000 }, (_, i) => 'c' + i + '=' + 'x'.repeat(50)) } }),
  bomb: () => ({ headers: { 'x-own': 'x'.repeat(4 << 20) } }),
  many: () => ({ headers: Object.fromEntries(Array.from({ length: 20000 }, (_, i) => ['x-' + i, 'y'])) }),
  continue: () => ({ statusCode: 100 }),
  switch: () => ({ statusCode: 101, headers: { connection: 'upgrade', upgrade: 'websocket' } }),
  nocontent: () => ({ statusCode: 204, body: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n' }),
  notmodified: () => ({ statusCode: 304, body: 'x' }),
};
export const handler = async (event) => ({ statusCode: 200, body: 'body', ...cases[event.queryStringParameters.case]() });`

// TestSmuggling sends what gateways, proxies and servers have read in different
// ways. Nothing that is inside of a request is ever taken for one.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	e := launchEdge(t)
	e.deploy("default", map[string]string{
		"netlify/functions/echo.mjs": echoCode, "netlify/functions/wild.mjs": wildCode, "netlify/functions/job-background.mjs": "export default async () => {};",
		"netlify.toml": "[build]\npublish = 'public'\n", "public/index.html": "home", "secret.txt": "secret",
	})
	const hidden = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
	post := func(fields, body string) string {
		return "POST /echo HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" + body
	}
	get := func(target, fields string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n"
	}
	chunks := func(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }
	const ok, once = "[200 200]", "[200]" // kept open, and closed after the answer
	requests := []struct{ name, raw, want string }{
		{"plain", get("/echo", ""), ok},
		{"body", post("Content-Length: 2\r\n", "{}"), ok},
		{"a request as a body", get("/echo", fmt.Sprintf("Content-Length: %d\r\n", len(hidden))) + hidden, ok},

		{"length, twice the same", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), ok},
		{"length, twice", post(fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", len(hidden)), hidden), "[400]"},
		{"length, a list", post("Content-Length: 2, 2\r\n", "{}"), "[400]"},
		{"length, signed", post("Content-Length: +2\r\n", "{}"), "[400]"},
		{"length, negative", post("Content-Length: -1\r\n", hidden), "[400]"},
		{"length, hexadecimal", post("Content-Length: 0x2\r\n", "{}"), "[400]"},
		{"length, too large for a number", post("Content-Length: 99999999999999999999\r\n", "{}"), "[400]"},
		{"length, empty", post("Content-Length:\r\n", hidden), "[400]"},
		{"length, name with a space", post("Content-Length : 2\r\n", "{}"), "[400]"},
		{"length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), once},
		{"chunks and length", post(fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n", 5+len(hidden)), "0\r\n\r\n"+hidden), once},
		{"length and chunks of HTTP/1.0", "POST /echo HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden, once},
		{"background, length and chunks", "POST /.netlify/functions/job-background HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "[202]"},

		{"encoding, unknown", post("Transfer-Encoding: gzip\r\n", hidden), "[501]"},
		{"encoding, two in a line", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "[501]"},
		{"encoding, two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+hidden), "[501]"},
		{"encoding, nearly", post("Transfer-Encoding: xchunked\r\n", hidden), "[501]"},
		{"encoding, quoted", post("Transfer-Encoding: \"chunked\"\r\n", hidden), "[501]"},
		{"encoding, vertical tab", post("Transfer-Encoding: \vchunked\r\n", hidden), "[400]"},
		{"encoding, name with a space", post("Transfer-Encoding : chunked\r\n", hidden), "[400]"},
		{"encoding, folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+hidden), once},
		{"encoding, in capitals", post("Transfer-Encoding: CHUNKED\r\n", "1\r\na\r\n0\r\n\r\n"), once},

		{"chunks", chunks("3\r\nabc\r\n0\r\n\r\n"), once},
		{"chunk, extension", chunks("3;a=\"b\"\r\nabc\r\n0\r\n\r\n"), once},
		{"chunk, extension with a line end", chunks("3;a\nb\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, extension without end", chunks("3;" + strings.Repeat("a", 20<<10) + "\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, bare line end", chunks("3\nabc\n0\n\n"), "[400]"},
		{"chunk, bare carriage return", chunks("3\rabc\r0\r\r"), "[400]"},
		{"chunk, negative", chunks("-3\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, signed", chunks("+3\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, prefix", chunks("0x3\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, no number", chunks("zz\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, too large for a number", chunks("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"), "[400]"},
		{"chunk, longer than it says", chunks("3\r\nabcdef\r\n0\r\n\r\n" + hidden), "[400]"},
		{"chunk, too large for a call", chunks("600001\r\n" + strings.Repeat("x", 6<<20+1) + "\r\n0\r\n\r\n" + hidden), "[413]"},
		{"trailers", chunks("3\r\nabc\r\n0\r\nX-Nf-Site-Id: other\r\nHost: other\r\nContent-Length: 9\r\nX-Late: 1\r\n\r\n"), once},
		{"trailers without end", chunks("0\r\n" + strings.Repeat("X-Late: 1\r\n", 20_000) + "\r\n"), "[400]"},

		{"bare line ends", "GET /echo HTTP/1.1\nHost: localhost\n\n", ok},
		{"carriage return in a value", get("/echo", "X-Own: a\rb\r\n"), "[400]"},
		{"NUL in a value", get("/echo", "X-Own: a\x00b\r\n"), "[400]"},
		{"NUL in a name", get("/echo", "X-O\x00wn: a\r\n"), "[400]"},
		{"no name", get("/echo", ": a\r\n"), "[400]"},
		{"no colon", get("/echo", "X-Own\r\n"), "[400]"},
		{"folded value", get("/echo", "X-Own: a\r\n b\r\n"), ok},
		{"folded first line", "GET /echo HTTP/1.1\r\n Host: localhost\r\n\r\n", "[400]"},
		{"folded host", "GET /echo HTTP/1.1\r\nHost: localhost\r\n\tX: y\r\n\r\n", "[400]"},

		{"no host", "GET /echo HTTP/1.1\r\n\r\n", "[400]"},
		{"two hosts", get("/echo", "Host: other\r\n"), "[400]"},
		{"host with a user", "GET /echo HTTP/1.1\r\nHost: localhost@other\r\n\r\n", "[400]"},
		{"host with a path", "GET /echo HTTP/1.1\r\nHost: localhost/other\r\n\r\n", "[400]"},
		{"host and another in the target", "GET http://localhost/echo HTTP/1.1\r\nHost: other\r\n\r\n", ok},
		{"target with a user", "GET http://u@localhost/echo HTTP/1.1\r\nHost: localhost\r\n\r\n", "[400]"},
		{"CONNECT", "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n", "[405]"},
		{"TRACE", "TRACE /echo HTTP/1.1\r\nHost: localhost\r\nCookie: secret\r\n\r\n", "[405]"},
		{"HTTP/2 by its preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "[505]"},
		{"HTTP/0.9", "GET /echo\r\n\r\n", "[400]"},
		{"two spaces in the first line", "GET  /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", "[400]"},
		{"space in the path", "GET /echo /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", "[400]"},
		{"line end in the path", "GET /echo\r/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", "[400]"},
		{"TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", "[400]"},

		{"escaped line ends in the path", get("/echo/a%0d%0aSet-Cookie:%20evil=1", ""), ok},
		{"escaped NUL in the path", get("/echo/%00", ""), ok},
		{"escaped NUL in a file", get("/index.html%00.txt", ""), "[404 200]"},
		{"up and away", get("/../secret.txt", ""), "[404 200]"},
		{"up and away, escaped", get("/%2e%2e/secret.txt", ""), "[404 200]"},
		{"up and away, slashes escaped", get("/..%2fsecret.txt", ""), "[404 200]"},
		{"up and away, backslashes", get("/..%5c..%5csecret.txt", ""), "[404 200]"},
		{"up and away, twice escaped", get("/%252e%252e%252fsecret.txt", ""), "[404 200]"},
		{"up and away in a function's name", get("/.netlify/functions/..%2f..%2fsecret", ""), "[400 200]"},
		{"double slashes", get("//secret.txt", ""), "[404 200]"},
		{"another machine's path", get("//other.example/%2e%2e", ""), "[404 200]"},
		{"very many parameters", get("/echo?"+strings.Repeat("a&", 4000), ""), ok},
		{"a URL that is too long", get("/echo?"+strings.Repeat("a", 9000), "") + hidden, "[414]"},
		{"very many fields", get("/echo", strings.Repeat("X-Own: a\r\n", 1000)) + hidden, "[431]"},
		{"a large head", get("/echo", "X-Own: "+strings.Repeat("a", 100<<10)+"\r\n") + hidden, "[431]"},
		{"a body that is too large, and a request in it", post("Content-Length: 7000000\r\nExpect: 100-continue\r\n", hidden), "[413]"},
	}
	for _, tt := range requests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := e.say(t, tt.raw)
			if fmt.Sprint(got.statuses) != tt.want || got.closed == strings.HasSuffix(tt.want, " 200]") {
				t.Errorf("answers %v, closed %v: %.200q; want %s", got.statuses, got.closed, got.bodies, tt.want)
			}
			for _, body := range got.bodies {
				if strings.HasPrefix(body, `{"path":"/smuggled"`) || strings.Contains(body, "secret") && !strings.Contains(body, "Not Found") && !strings.Contains(body, "should consist only") {
					t.Errorf("something was smuggled: %.300s", body)
				}
			}
			for _, header := range got.headers {
				if header.Get("Set-Cookie") != "" {
					t.Errorf("a cookie was injected: %v", header)
				}
			}
		})
	}

	answers := map[string]struct {
		status int
		body   string // begins with it
	}{
		"crlf": {500, "TypeError: Invalid character in header content"}, "lf": {500, "TypeError: Invalid character"}, "nul": {500, "TypeError: Invalid character"},
		"name": {500, "TypeError: Header name must be a valid HTTP token"}, "length": {200, "body"}, "longer": {200, "body"}, "lengths": {200, "body"},
		"chunked": {200, "body"}, "gzip": {200, "body"}, "hops": {200, "body"}, "ours": {200, "body"},
		"cookies": {500, "the function answered with"}, "bomb": {500, "the function answered with"}, "many": {500, "the function answered with"},
		"continue": {500, "the function answered with the status 100"}, "switch": {500, "the function answered with the status 101"},
		"nocontent": {204, ""}, "notmodified": {304, ""},
	}
	for name, want := range answers {
		t.Run("answer "+name, func(t *testing.T) {
			t.Parallel()
			got := e.say(t, get("/.netlify/functions/wild?case="+name, ""))
			if fmt.Sprint(got.statuses) != fmt.Sprint([]int{want.status, 200}) || got.closed || !strings.HasPrefix(got.bodies[0], want.body) || want.body == "" && got.bodies[0] != "" {
				t.Fatalf("answers %v, closed %v: %.300q; want %d %q, and the connection kept", got.statuses, got.closed, got.bodies, want.status, want.body)
			}
			h := got.headers[0]
			for _, name := range []string{"X-Own", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailer", "Upgrade", "Proxy-Connection", "Nightshift-Outcome", "Nightshift-Hint", "Set-Cookie"} {
				if h.Get(name) != "" {
					t.Errorf("%s = %q was passed on", name, h.Get(name))
				}
			}
			if id := h.Values("X-Nf-Request-Id"); len(id) != 1 || id[0] == "forged" || len(h.Values("Content-Length")) > 1 || len(h.Values("Date")) != 1 || h.Get("Date") == "yesterday" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// TestSlowloris: a thousand connections that send a byte now and then, in a head
// or in a body, do not keep anybody else waiting.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	e := launchEdge(t)
	e.deploy("default", map[string]string{"netlify/functions/echo.mjs": echoCode, "netlify/functions/job-background.mjs": "export default async () => {};"})
	http.DefaultClient.CloseIdleConnections()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: 30 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	// honest makes calls of both kinds and returns the slowest 1 in 100 of each.
	honest := func() (sync, background time.Duration) {
		took := map[string][]time.Duration{}
		for range 200 {
			for path, want := range map[string]int{"/echo": 200, "/.netlify/functions/job-background": 202} {
				begun := time.Now()
				response, err := client.Post("http://"+e.addr+path, "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != want {
					t.Fatalf("%s = %d, want %d", path, response.StatusCode, want)
				}
				took[path] = append(took[path], time.Since(begun))
			}
		}
		p99 := func(path string) time.Duration {
			slices.Sort(took[path])
			return took[path][len(took[path])*99/100]
		}
		return p99("/echo"), p99("/.netlify/functions/job-background")
	}
	honest() // processes are started, connections opened
	syncBefore, backgroundBefore := honest()

	const slow = 1000
	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var opened sync.WaitGroup
	opened.Add(slow)
	for i := range slow {
		attackers.Go(func() {
			head := "GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
			if i%2 == 1 {
				head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
			}
			first := true
			for ctx.Err() == nil { // as often as the gateway cuts it off
				conn, err := net.Dial("tcp", e.addr)
				if err == nil {
					_, err = io.WriteString(conn, head)
				}
				if first {
					first = false
					opened.Done()
				}
				tick := time.NewTicker(time.Second)
				for err == nil {
					select {
					case <-ctx.Done():
						err = ctx.Err()
					case <-tick.C:
						_, err = io.WriteString(conn, "x")
					}
				}
				tick.Stop()
				if conn != nil {
					conn.Close()
				}
			}
		})
	}
	opened.Wait()
	syncDuring, backgroundDuring := honest()
	stop()
	attackers.Wait()
	t.Logf("p99 of honest calls before and beside %d slow connections: sync %v and %v, background %v and %v", slow, syncBefore, syncDuring, backgroundBefore, backgroundDuring)
	if limit := 5 * time.Second; syncDuring > limit || backgroundDuring > limit {
		t.Errorf("honest calls wait %v and %v, more than %v", syncDuring, backgroundDuring, limit)
	}
}

// TestConnectionFlood: one address cannot take all connections; another one is
// served meanwhile.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	e := launchEdge(t, "NIGHTSHIFT_MAX_CONNECTIONS_PER_ADDRESS=50", "NIGHTSHIFT_MAX_CONNECTIONS=100")
	e.deploy("default", map[string]string{"netlify/functions/echo.mjs": echoCode})
	http.DefaultClient.CloseIdleConnections()
	from := func(ip string) (net.Conn, bool) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 10 * time.Second}
		conn, err := dialer.DialContext(t.Context(), "tcp", e.addr)
		if err != nil {
			return nil, false
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return conn, false
		}
		response.Body.Close()
		return conn, response.StatusCode == http.StatusNotFound
	}
	served := func(ip string, tries int) (n int) {
		for range tries {
			if _, ok := from(ip); ok {
				n++
			}
		}
		return n
	}
	if n := served("127.0.0.2", 80); n != 50 {
		t.Errorf("%d of 80 connections of one address were served, want 50", n)
	}
	if n := served("127.0.0.3", 20); n != 20 {
		t.Errorf("%d of 20 connections of another address were served, want all", n)
	}
}
