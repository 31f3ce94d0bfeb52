package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/gateway/internal/static"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
)

// edge is the data plane as the internet sees it, on a socket, before a queue and
// a worker that take everything.
type edge struct {
	addr   string
	events chan []byte // what functions are called with
}

func (e *edge) took(event []byte) {
	select {
	case e.events <- event:
	default:
	}
}

// Enqueue is part of intake.Queue.
func (e *edge) Enqueue(context.Context, queue.Task, ...redisdb.Step) (int, error) { return 0, nil }

// Create is part of intake.Records.
func (e *edge) Create(_ invocation.Invocation, event []byte) redisdb.Step {
	e.took(event)
	return redisdb.Step{}
}

func (e *edge) Once(function.Kind, string, string, string, string, time.Duration) redisdb.Step {
	return redisdb.Step{}
}

func (e *edge) OnceID(context.Context, function.Kind, string, string, string) (string, error) {
	return "", nil
}
func (e *edge) Room(function.Kind, string, int) redisdb.Step { return redisdb.Step{} }

// GetFile is part of static.Blobs.
func (e *edge) GetFile(context.Context, string) (io.ReadSeekCloser, error) {
	return nil, errors.New("there are no files")
}

// Deploy is part of route.Deploys.
func (e *edge) Deploy(context.Context, string) (deploy.Deploy, error) {
	return deploy.Deploy{}, fault.New(fault.NotFound, "no such deploy")
}

// noInvocations are records of which none is there.
type (
	noInvocations struct{ records }
	records       = Invocations // the field would hide the method of that name
)

func (noInvocations) Invocation(context.Context, string) (invocation.Invocation, error) {
	return invocation.Invocation{}, fault.New(fault.NotFound, "no such invocation")
}

type oneWorker string

func (w oneWorker) Workers(context.Context) ([]store.Worker, error) {
	return []store.Worker{{ID: "w", Addr: string(w), Capacity: 100}}, nil
}

// Wait is part of invoke.Waiters: nothing ends.
func (e *edge) Wait(context.Context, string, time.Duration) (invocation.Invocation, bool) {
	return invocation.Invocation{}, false
}

func newEdge(f *testing.F) *edge {
	f.Helper()
	log := slog.New(slog.DiscardHandler)
	e := &edge{events: make(chan []byte, 64)}
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := io.ReadAll(r.Body)
		e.took(event)
		w.Header().Set(dispatch.HeaderOutcome, string(invocation.OK))
		_, _ = io.WriteString(w, "hello")
	}))
	f.Cleanup(worker.Close)
	router := route.New(route.Options{BaseDomain: "localhost", DefaultSite: "default"}, e)
	router.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{"default": {
		ID: "aaaaaaaaaaaaaaaaaaaaaaaa", Site: "default", State: deploy.Ready,
		Functions: []function.Function{{Name: "hello", Kind: function.Sync, Paths: []string{"/hello"}}, {Name: "job", Kind: function.Background, Paths: []string{"/job"}}},
		Redirects: []deploy.Redirect{{From: "/old/*", To: "/:splat", Status: 301}},
		Headers:   []deploy.HeaderRule{{For: "/job", Values: map[string]string{allowOrigin: "*"}}},
	}}})
	workers := fleet.New(fleet.Config{Workers: oneWorker(strings.TrimPrefix(worker.URL, "http://")), Logger: log})
	loop := daemon.NewLoop(workers.Run)
	if err := loop.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	invoker := invoke.New(invoke.Config{
		Keys:   edgeKeys{},
		Intake: intake.New(intake.Config{Queue: e, Records: e}), Fleet: workers, Logger: log, Waiters: e,
		CheckCallback: func(string) error { return nil }, Now: func(context.Context) (time.Time, error) { return time.Now(), nil },
	})
	data, _ := New(Config{
		Router: router, Limiter: limit.New(nil, limit.Rates{}, log), Static: static.New(e, daemon.Limits{}.Pace()), Invoker: invoker,
		Invocations: noInvocations{}, PublicStatus: StatusOn, Logger: log, Metrics: http.NotFoundHandler(),
	})
	server, err := daemon.NewHTTP(daemon.HTTPConfig{
		Addr: "127.0.0.1:0", Handler: data, Logger: log,
		Limits: daemon.Limits{HeaderTimeout: time.Second, BodyTimeout: time.Second, IdleTimeout: time.Second},
	})
	if err != nil {
		f.Fatal(err)
	}
	if err := server.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Stop(ctx)
		_ = loop.Stop(ctx)
		invoker.Close()
	})
	e.addr = server.Addr()
	return e
}

// send sends bytes and returns all that comes back until the connection ends. A
// server that waits for more sees the end of the bytes a moment later.
func (e *edge) send(t *testing.T, raw []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0) // else a million connections wait for their time to end
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(raw) // an early answer may have closed it
	var got bytes.Buffer
	for _, patience := range []time.Duration{20 * time.Millisecond, 20 * time.Second} {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, err = got.ReadFrom(conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return got.Bytes() // its end, or a reset
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	t.Fatalf("the connection is still open 20 s after %q; so far came %q", raw, got.Bytes())
	return nil
}

// FuzzEdge sends bytes to the data plane. Whatever they are, what comes back are
// whole HTTP answers, none of which tells of a failure of ours, and the
// connection ends. What functions are called with is an event, in which nothing
// of the platform's own is the caller's.
func FuzzEdge(f *testing.F) {
	e := newEdge(f)
	for _, seed := range []string{
		"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /job HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
		"POST /hello HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Nf-Site-Id\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Nf-Site-Id: other\r\n\r\n",
		"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /job HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS /job HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://localhost/hello HTTP/1.1\r\nHost: other\r\n\r\n", "GET /old/%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /hello HTTP/1.0\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: a\r\nX-Nf-Site-Id: other\r\nX-Forwarded-For: 192.0.2.1\r\nClient-Ip: 192.0.2.1\r\nNightshift-Site: x\r\nConnection: host, x-nf-site-id\r\n\r\n",
		"POST /job HTTP/1.1\r\nHost: a\r\nPrefer: wait=1\r\nIdempotency-Key: k\r\nNightshift-Not-Before: 1h\r\nNightshift-Callback: https://a.example\r\nContent-Length: 0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST /job HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "GET / HTTP/1.1\nHost: a\n\n", "\x16\x03\x01\x00\xa5", "",
		"GET /.nightshift/invocations/x HTTP/1.1\r\nHost: a\r\n\r\nDELETE /.nightshift/invocations/x/logs HTTP/1.1\r\nHost: a\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := e.send(t, raw)
		answers := bufio.NewReader(bytes.NewReader(got))
		asked := bufio.NewReader(bytes.NewReader(raw))
		method := ""
		for next := true; ; {
			if next { // of a HEAD, only that tells that there is no body
				method = http.MethodGet
				if r, err := http.ReadRequest(asked); err == nil && r.ProtoMajor == 1 { // else it is refused unseen
					method = r.Method
					_, _ = io.Copy(io.Discard, r.Body)
				}
			}
			if _, err := answers.Peek(1); err != nil {
				break
			}
			response, err := http.ReadResponse(answers, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q is answered %q, which is no HTTP: %v", raw, got, err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatalf("%q is answered %q, which breaks off: %v", raw, got, err)
			}
			if known := []int{http.StatusNotImplemented, http.StatusHTTPVersionNotSupported}; response.StatusCode >= 500 && !slices.Contains(known, response.StatusCode) {
				t.Fatalf("%q is answered %d %s", raw, response.StatusCode, body)
			}
			next = response.StatusCode != http.StatusContinue
		}
		for {
			select {
			case event := <-e.events:
				checkEvent(t, raw, event)
				continue
			default:
			}
			break
		}
	})
}

// checkEvent looks for what a caller must not be able to say.
func checkEvent(t *testing.T, raw, event []byte) {
	t.Helper()
	var seen struct {
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
	}
	if err := json.Unmarshal(event, &seen); err != nil {
		t.Fatalf("%q became the event %s: %v", raw, event, err)
	}
	for name, want := range map[string]string{
		"x-nf-site-id": "default", "x-nf-client-connection-ip": "127.0.0.1", "client-ip": "127.0.0.1", "x-forwarded-for": "127.0.0.1",
		"x-nf-deploy-id": "aaaaaaaaaaaaaaaaaaaaaaaa", "connection": "", "transfer-encoding": "", "x-real-ip": "", "forwarded": "", "trailer": "", "upgrade": "",
	} {
		if got := seen.Headers[name]; got != want {
			t.Fatalf("%q: the function sees %s = %q, want %q", raw, name, got, want)
		}
	}
	for name, value := range seen.Headers {
		if strings.HasPrefix(name, "nightshift-") || strings.ContainsAny(name+value, "\r\n\x00") || name != strings.ToLower(name) {
			t.Fatalf("%q: the function sees %q = %q", raw, name, value)
		}
	}
}

// edgeKeys sign calls that nobody checks.
type edgeKeys struct{}

func (edgeKeys) Current(context.Context) (dispatch.Key, time.Time, error) {
	return dispatch.Key{ID: "1", Secret: "of nobody"}, time.Now(), nil
}

func (edgeKeys) Renew(context.Context) {}
