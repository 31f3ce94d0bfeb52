package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// What a caller sends comes back in errors, and is never a page.
func TestErrorsAreNoPages(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const script = "%3Cscript%3Ealert(1)%3C/script%3E"
	b.deployRules(false, "[[redirects]]\nfrom = '/old/*'\nto = '/new/:splat'\n", map[string]string{"index.html": "home"}, function.Function{Name: "hello"}, job)
	b.worker(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Nightshift-Outcome", string(invocation.Error))
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, `{"type":"<script>alert(1)</script>","message":"</strong><script>alert(1)</script>","stack":"<img onerror=alert(1)>"}`)
	})
	for _, path := range []string{
		"/.netlify/functions/" + script, "/.netlify/functions/nothing" + script, "/.nightshift/" + script, "/.nightshift/invocations/" + script,
		"/old/" + script, "/" + script, "/.netlify/functions/hello?" + script,
	} {
		for _, accept := range []string{"*/*", "text/html"} {
			req := b.request("GET", path, nil)
			req.Header.Set("Accept", accept)
			req.Host = script[:3] + ".localhost" // no host at all
			if got := b.do(req); got.status != 400 {
				t.Errorf("%s at a host that is none = %d", path, got.status)
			}
			req.Host = "localhost"
			got := b.do(req)
			kind := got.header.Get("Content-Type")
			if got.header.Get("X-Content-Type-Options") != "nosniff" || strings.HasPrefix(kind, "text/html") && !strings.HasPrefix(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s = %d, %v", path, got.status, got.header)
			}
			if strings.HasPrefix(kind, "text/html") && (strings.Contains(got.body, "<script") || strings.Contains(got.body, "<img")) {
				t.Errorf("%s = %s", path, got.body)
			}
			if location := got.header.Get("Location"); location != "" && !strings.HasPrefix(location, "/new/%3C") {
				t.Errorf("%s leads to %q", path, location)
			}
		}
	}
}

// lastBody is a file whose request stands behind others, to see whether their
// connection is still in good order.
const lastBody = "the last one"

// exchange sends bytes to the data plane and reads answers until the connection
// ends or is idle. The bodies of all answers are in text.
func (b *bundle) exchange(raw string) (statuses []int, text string, closed bool) {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.gateway.Addr())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		b.t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return statuses, text, true
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		statuses, text = append(statuses, response.StatusCode), text+string(body)
		if string(body) == lastBody {
			return statuses, text, response.Close
		}
	}
}

// TestBodiesAreBounded: however a body that is too large comes, it is answered 413,
// and what is behind it is not taken for a request.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deployFiles(false, map[string]string{"last": lastBody}, function.Function{Name: "hello"}, job)
	const last = "GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n"
	head := func(path, fields string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n"
	}
	chunk := "40000\r\n" + strings.Repeat("x", 256<<10) + "\r\n"
	const sync = "/.netlify/functions/hello"
	for _, tt := range []struct {
		name, raw, want string
	}{
		{"background, length", head(jobURL, "Content-Length: 262145\r\n") + strings.Repeat("x", 262145), "[413]"},
		{"background, just fits", head(jobURL, "Content-Length: 262144\r\n") + strings.Repeat("x", 262144), "[202 200]"},
		{"background, chunks", head(jobURL, "Transfer-Encoding: chunked\r\n") + chunk + "1\r\nx\r\n0\r\n\r\n", "[413]"},
		{"background, chunks that fit", head(jobURL, "Transfer-Encoding: chunked\r\n") + chunk + "0\r\n\r\n", "[202]"},
		{"background, asked before", head(jobURL, "Content-Length: 262145\r\nExpect: 100-continue\r\n"), "[413]"},
		{"background, compressed", head(jobURL, "Content-Encoding: gzip\r\nContent-Length: 3\r\n") + "\x1f\x8b\x08", "[202 200]"},
		{"sync, length", head(sync, "Content-Length: 6291457\r\nExpect: 100-continue\r\n"), "[413]"},
		{"sync, chunks", head(sync, "Transfer-Encoding: chunked\r\n") + strings.Repeat(chunk, 24) + "1\r\nx\r\n0\r\n\r\n", "[413]"},
		{"redirect or file", head("/nothing", "Content-Length: 5\r\n") + "12345", "[405 200]"},
		{"status", head("/.nightshift/invocations/x", "Content-Length: 5\r\n") + "12345", "[404 200]"},
		{"file, a body that nobody reads", head("/nothing", "Content-Length: 300000\r\n") + strings.Repeat("x", 300000), "[405]"},
		{"unknown expectation", head(jobURL, "Expect: miracles\r\nContent-Length: 1\r\n") + "x", "[417]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			statuses, text, closed := b.exchange(tt.raw + last)
			if got := fmt.Sprint(statuses); got != tt.want || closed == strings.HasSuffix(tt.want, " 200]") {
				t.Errorf("answers %s (%.100q), closed %v; want %s", got, text, closed, tt.want)
			}
		})
	}
}

// A body may take its time, and a call longer than a body may stall.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	b := setup(t, func(c *gateway.Config) { c.Limits = daemon.Limits{BodyTimeout: timeout, MinBodyRate: 1} })
	b.deploy("default", function.Function{Name: "hello", TimeoutMS: 30_000}, job)
	release := make(chan struct{})
	b.worker(func(w http.ResponseWriter, r *http.Request) {
		<-release
		echo(w, r)
	})
	conn, err := net.Dial("tcp", b.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 12
	if _, err := fmt.Fprintf(conn, "POST /.netlify/functions/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n", size); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(timeout / 4)
	defer tick.Stop()
	for range size { // three times as long as nothing may come, a byte at a time
		<-tick.C
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatalf("a slow body was cut off: %v", err)
		}
	}
	for range 6 {
		<-tick.C
	}
	close(release)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != 200 || !strings.Contains(string(body), strings.Repeat("x", size)) {
		t.Errorf("a slow body = %d %.200s", response.StatusCode, body)
	}

	statuses, text, closed := b.exchange("POST " + jobURL + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
	if fmt.Sprint(statuses) != "[400]" || !strings.Contains(text, "too slowly") || !closed {
		t.Errorf("a body that stalls: %v %q, closed %v; want 400", statuses, text, closed)
	}
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != 0 {
		t.Errorf("%d calls of half a body are queued", n)
	}
}
