package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

// edge is a running server and what it refused.
type edge struct {
	*testing.T
	addr string

	mu      sync.Mutex
	refused map[daemon.Refusal]int
}

// serve runs a server with limits. It answers with method, target, host and what
// it reads of the body.
func serve(t *testing.T, change func(*daemon.HTTPConfig)) *edge {
	t.Helper()
	e := &edge{T: t, refused: map[daemon.Refusal]int{}}
	cfg := daemon.HTTPConfig{
		Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			fmt.Fprintf(w, "%s %s at %s: %d bytes", r.Method, r.RequestURI, r.Host, len(body))
		}),
		Refused: func(why daemon.Refusal) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.refused[why]++
		},
	}
	if change != nil {
		change(&cfg)
	}
	server, err := daemon.NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.addr = server.Addr()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil && !strings.Contains(err.Error(), "cut off") {
			t.Errorf("Stop: %v", err)
		}
	})
	return e
}

func (e *edge) count(why daemon.Refusal) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused[why]
}

// dial opens a connection that the test gives up after 20 s.
func (e *edge) dial() (net.Conn, *bufio.Reader) {
	e.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		e.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// ask sends bytes on a connection of their own and returns the status of each
// answer, and whether the server closed the connection after the last one.
func (e *edge) ask(raw string) (statuses []int, closed bool) {
	e.Helper()
	conn, answers := e.dial()
	if _, err := io.WriteString(conn, raw); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		e.Fatal(err)
	}
	for {
		// The last request is one that is known to be answered, so there is no need to guess for how long to wait.
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return statuses, true
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		statuses = append(statuses, response.StatusCode)
		switch {
		case strings.Contains(string(body), "/last"):
			return statuses, response.Close
		case response.StatusCode == http.StatusContinue:
			statuses = statuses[:len(statuses)-1]
		}
	}
}

// last is a request that a connection in good order is still answered.
const last = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n"

func TestDoor(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	many := strings.Repeat("X: y\r\n", 300)
	tests := []struct {
		name, raw string
		want      string // statuses, that of the request behind it included if it is answered
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "[200 200]"},
		{"long URL", "GET /" + strings.Repeat("a", 8191) + " HTTP/1.1\r\nHost: a\r\n\r\n", "[200 200]"},
		{"too long URL", "GET /" + strings.Repeat("a", 8192) + " HTTP/1.1\r\nHost: a\r\n\r\n", "[414]"},
		{"too long query", "GET /?" + strings.Repeat("a=b&", 2048) + " HTTP/1.1\r\nHost: a\r\n\r\n", "[414]"},
		{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + many + "\r\n", "[431]"},
		{"too many bytes", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", "[431]"},
		{"HTTP/2 by its preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "[505]"},
		{"HTTP/2 by upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "[200 200]"},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "[505]"},
		{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "[405]"},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "[405]"},
		{"absolute form", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "[200 200]"},
		{"absolute form, another scheme", "GET gopher://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "[400]"},
		{"absolute form, user", "GET http://u:p@b/x HTTP/1.1\r\nHost: a\r\n\r\n", "[400]"},
		{"authority form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "[400]"},
		{"asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "[400]"},
		{"no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", "[400]"},
		{"HTTP/1.0 without a host, kept alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "[200]"},
		{"HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", "[200]"},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "[200]"},
		{"chunks and a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "[200]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := &edge{T: t, addr: e.addr}
			statuses, closed := e.ask(tt.raw + last)
			if got := fmt.Sprint(statuses); got != tt.want || closed == strings.HasSuffix(tt.want, " 200]") {
				t.Errorf("answers %s, closed %v; want %s, closed unless the last was answered", got, closed, tt.want)
			}
		})
	}
}

func TestDoorHosts(t *testing.T) {
	t.Parallel()
	e := serve(t, nil)
	for host, ok := range map[string]bool{
		"a": true, "A.Example.COM": true, "a.example.": true, "a:80": true, "a:": true, "my_gateway:8888": true, "xn--bcher-kva.example": true,
		"127.0.0.1:8888": true, "[::1]": true, "[::1]:8888": true, "[2001:db8::7]": true,
		"": false, "a:b": false, "a:123456": false, "a:80:80": false, "a:-1": false, "u@a": false, "u:p@a": false, "a/b": false, "a?b": false, "a#b": false,
		"a b": false, "a%41": false, "a,b": false, "a\\b": false, "::1": false, "[::1": false, "[a]": false, "[fe80::1%25eth0]": false, "[::1]x": false, "[1.2.3.4]": false,
		"<script>": false, "b\u00fccher.example": false, "*": false, "a;b": false, "a'b": false, ":80": false, strings.Repeat("a", 300): false,
	} {
		statuses, closed := e.ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + last)
		if ok != (fmt.Sprint(statuses) == "[200 200]") || !ok && (fmt.Sprint(statuses) != "[400]" || !closed) {
			t.Errorf("Host %q: %v, closed %v; want it taken: %v", host, statuses, closed, ok)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limits  daemon.Limits
		trusted func(netip.Addr) bool
		why     daemon.Refusal
		open    int // of ten
	}{
		"in all":                  {daemon.Limits{MaxConnections: 3}, nil, daemon.RefusedConnection, 3},
		"by address":              {daemon.Limits{MaxConnectionsPerAddress: 4}, nil, daemon.RefusedAddress, 4},
		"by address, not a proxy": {daemon.Limits{MaxConnectionsPerAddress: 4, MaxConnections: 6}, netip.Addr.IsLoopback, daemon.RefusedConnection, 6},
		"not at all":              {daemon.Limits{MaxConnectionsPerAddress: -1, MaxConnections: -1}, nil, daemon.RefusedConnection, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, func(c *daemon.HTTPConfig) { c.Limits, c.Trusted = tt.limits, tt.trusted })
			open := func() (conns []net.Conn) {
				for range 10 {
					conn, answers := e.dial()
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					if response, err := http.ReadResponse(answers, nil); err == nil {
						response.Body.Close()
						conns = append(conns, conn)
					}
				}
				return conns
			}
			conns := open()
			if len(conns) != tt.open || e.count(tt.why) != 10-tt.open {
				t.Errorf("%d of 10 connections were served and %d refused; want %d and %d", len(conns), e.count(tt.why), tt.open, 10-tt.open)
			}
			for _, conn := range conns {
				conn.Close()
			}
			// Who leaves makes room: the server sees it a moment later.
			deadline := time.Now().Add(10 * time.Second)
			for left := 0; left != tt.open; {
				again := open()
				left = len(again)
				for _, conn := range again {
					conn.Close()
				}
				if time.Now().After(deadline) {
					t.Fatalf("after all were closed %d of 10 connections are served, want %d again", left, tt.open)
				}
			}
		})
	}
}

func TestRequestsOfAConnectionAreBounded(t *testing.T) {
	t.Parallel()
	e := serve(t, func(c *daemon.HTTPConfig) { c.Limits.MaxRequestsPerConnection = 3 })
	conn, answers := e.dial()
	for i := range 3 {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		if response.StatusCode != 200 || response.Close != (i == 2) {
			t.Errorf("request %d = %d, closes %v", i+1, response.StatusCode, response.Close)
		}
	}
	if _, err := answers.ReadByte(); err != io.EOF {
		t.Errorf("after the last request: %v, want the end", err)
	}
}

// A head that does not come, and a body that comes too slowly or not at all, end.
func TestSlowRequestsEnd(t *testing.T) {
	t.Parallel()
	e := serve(t, func(c *daemon.HTTPConfig) {
		c.Limits = daemon.Limits{HeaderTimeout: 300 * time.Millisecond, BodyTimeout: 300 * time.Millisecond, MinBodyRate: 1 << 20, IdleTimeout: 300 * time.Millisecond}
	})
	for name, tt := range map[string]struct{ first, drip string }{
		"nothing is sent":    {"", ""},
		"a head that stalls": {"GET / HTTP/1.1\r\nHost", ""},
		"a head that drips":  {"GET / HTTP/1.1\r\nHost: a\r\nX: ", "y"},
		"a body that stalls": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx", ""},
		"a body that drips":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx", "x"},
		"chunks that drip":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"},
		"an idle connection": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, answers := (&edge{T: t, addr: e.addr}).dial()
			_, _ = io.WriteString(conn, tt.first)
			ended := make(chan struct{})
			if tt.drip != "" {
				go func() {
					tick := time.NewTicker(10 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-ended:
							return
						case <-tick.C:
							_, _ = io.WriteString(conn, tt.drip)
						}
					}
				}()
			}
			_, err := io.Copy(io.Discard, answers)
			close(ended)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Error("the connection is still open after 20 s")
			}
		})
	}
	t.Cleanup(func() {
		if n := e.count(daemon.RefusedSlow); n != 3 {
			t.Errorf("%d slow bodies are counted, want 3", n)
		}
	})
}

// A handler may take longer than a body: once that is there, nothing bounds it,
// and a client that hangs up is noticed.
func TestHandlersOutliveTheBody(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	ended := make(chan error, 1)
	e := serve(t, func(c *daemon.HTTPConfig) {
		c.Limits = daemon.Limits{BodyTimeout: timeout}
		c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			select {
			case <-r.Context().Done():
				ended <- r.Context().Err()
			case <-time.After(3 * timeout):
				ended <- nil
			}
		})
	})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	} {
		conn, answers := e.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the handler of %q was ended: %v", request, err)
		}
		if response, err := http.ReadResponse(answers, nil); err != nil || response.StatusCode != 200 {
			t.Errorf("%q = %v, %v", request, response, err)
		}
	}
}

// A body at its pace passes, however long it takes; one that falls behind does not.
func TestPace(t *testing.T) {
	t.Parallel()
	pace := daemon.Limits{}.Pace()
	begun := time.Now()
	for _, tt := range []struct {
		after  time.Duration
		passed int64
		want   time.Duration // left
	}{
		{0, 0, 30 * time.Second},
		{0, 6 << 20, 30 * time.Second},                             // fast, and then no longer than that without anything
		{10 * time.Minute, 6 << 20, 30 * time.Second},              // 6 MiB at 10 KiB a second
		{10 * time.Minute, 10 * 60 * 8 << 10, 30 * time.Second},    // just the rate
		{10 * time.Minute, 10*60*8<<10 - 80<<10, 20 * time.Second}, // 10 s behind it
		{10 * time.Minute, 4 << 20, -58 * time.Second},             // too slow
	} {
		if got := pace.Deadline(begun, begun.Add(tt.after), tt.passed).Sub(begun.Add(tt.after)); got != tt.want {
			t.Errorf("after %v, with %d bytes: %v are left, want %v", tt.after, tt.passed, got, tt.want)
		}
	}
}

func TestLimitsAreValidated(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]daemon.Limits{
		"MAX_CONNECTIONS": {MaxConnections: -2}, "MAX_CONNECTIONS_PER_ADDRESS": {MaxConnectionsPerAddress: -2}, "MAX_REQUESTS_PER_CONNECTION": {MaxRequestsPerConnection: -2},
		"MAX_URL": {MaxURL: 10}, "MAX_HEADER_BYTES": {MaxHeaderBytes: 10}, "MAX_HEADER_FIELDS": {MaxHeaderFields: 1}, "HEADER_TIMEOUT": {HeaderTimeout: -1},
		"BODY_TIMEOUT": {BodyTimeout: -1}, "IDLE_TIMEOUT": {IdleTimeout: -1}, "MIN_BODY_RATE": {MinBodyRate: -1},
	} {
		_, err := daemon.NewHTTP(daemon.HTTPConfig{Addr: "127.0.0.1:0", Limits: l})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "NIGHTSHIFT_"+name) {
			t.Errorf("%+v: %v, want invalid with %s", l, err, name)
		}
	}
}
