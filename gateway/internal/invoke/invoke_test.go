package invoke_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// worker is a fake worker: what it was asked, and how it answers.
type worker struct {
	server *httptest.Server
	mu     sync.Mutex
	calls  []http.Header
}

// newWorker starts a worker that answers so, with the outcome "succeeded" unless
// the answer sets another one; nil says "hello".
func newWorker(t *testing.T, answer http.HandlerFunc) *worker {
	t.Helper()
	if answer == nil {
		answer = func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") }
	}
	w := &worker{}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != dispatch.Path || r.Method != http.MethodPost {
			t.Errorf("the worker was asked %s %s", r.Method, r.URL.Path)
		}
		if s, ok, err := dispatch.ReadSignature(r.Header); err != nil || !ok || !s.Fresh(time.Now()) || r.Header.Get(dispatch.HeaderWorker) != w.addr() {
			t.Errorf("the worker was asked with the signature %q for %q: %v", r.Header.Get(dispatch.HeaderSignature), r.Header.Get(dispatch.HeaderWorker), err)
		} else if key := testKey(s.Key); !s.Verify(key, r) {
			t.Errorf("the signature is not that of key %s", s.Key)
		}
		w.mu.Lock()
		w.calls = append(w.calls, r.Header)
		w.mu.Unlock()
		rw.Header().Set(dispatch.HeaderOutcome, string(invocation.OK))
		answer(rw, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

// testKey is the key with an ID.
func testKey(id string) dispatch.Key {
	return dispatch.Key{ID: id, Secret: "secret of " + secret.Text(id)}
}

// keys counts how often it was renewed, and has another key each time.
type keys struct{ renewed atomic.Int32 }

func (k *keys) Current(context.Context) (dispatch.Key, time.Time, error) {
	return testKey(fmt.Sprint("K", k.renewed.Load())), time.Now(), nil
}

func (k *keys) Renew(context.Context) { k.renewed.Add(1) }

// times is how often the worker was called.
func (w *worker) times() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

func (w *worker) addr() string { return strings.TrimPrefix(w.server.URL, "http://") }

// fail answers with a failure, as a worker does.
func fail(outcome invocation.Outcome, f invocation.Failure) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(dispatch.HeaderOutcome, string(outcome))
		_ = json.NewEncoder(w).Encode(f)
	}
}

func busy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(dispatch.HeaderOutcome, dispatch.Busy)
	w.WriteHeader(http.StatusServiceUnavailable)
}

// workers is a fixed list, first ones less loaded.
type workers []string

func (ws workers) Workers(context.Context) ([]store.Worker, error) {
	var out []store.Worker
	for i, addr := range ws {
		out = append(out, store.Worker{ID: addr, Addr: addr, Busy: 10 * i, Capacity: 100})
	}
	return out, nil
}

// fakeQueue notes tasks and answers as it is told.
type fakeQueue struct {
	mu      sync.Mutex
	tasks   []queue.Task
	steps   []redisdb.Step
	verdict int
	err     error
}

func (q *fakeQueue) Enqueue(_ context.Context, t queue.Task, steps ...redisdb.Step) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tasks, q.steps = append(q.tasks, t), append(q.steps, steps...)
	return q.verdict, q.err
}

// records makes steps that carry what they are about.
type records struct{}

func (records) Create(inv invocation.Invocation, event []byte) redisdb.Step {
	return redisdb.Step{Keys: []string{inv.ID}, Args: []any{event, inv}}
}

func (records) Once(_ function.Kind, _, _, key, _ string, _ time.Duration) redisdb.Step {
	return redisdb.Step{Keys: []string{"once"}, Args: []any{key}}
}

func (records) OnceID(context.Context, function.Kind, string, string, string) (string, error) {
	return firstID, nil
}

func (records) Room(function.Kind, string, int) redisdb.Step {
	return redisdb.Step{Keys: []string{"room"}}
}

// firstID is what the first call with a key was accepted as.
const firstID = "01M806MVMKT0J5BYFM7KEAVBDK"

// bundle is an Invoker behind a server.
type bundle struct {
	t      *testing.T
	server *httptest.Server
	queue  *fakeQueue
	errs   chan error // what Serve returned
	http   *http.Client
}

// setup serves one function by way of the workers.
func setup(t *testing.T, f function.Function, addrs ...string) *bundle {
	t.Helper()
	return setupReading(t, 0, f, addrs...)
}

// setupReading is setup with a limit for reading one request.
func setupReading(t *testing.T, readTimeout time.Duration, f function.Function, addrs ...string) *bundle {
	t.Helper()
	return setupConfig(t, readTimeout, invoke.Config{}, f, addrs...)
}

// setupConfig is setup with what else is to be configured.
func setupConfig(t *testing.T, readTimeout time.Duration, cfg invoke.Config, f function.Function, addrs ...string) *bundle {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	fl := fleet.New(fleet.Config{Workers: workers(addrs), Logger: log, Wait: 300 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { fl.Run(ctx) })
	b := &bundle{t: t, queue: &fakeQueue{verdict: queue.Queued}, errs: make(chan error, 16), http: &http.Client{Transport: &http.Transport{}}}
	cfg.Fleet, cfg.Logger, cfg.Slack = fl, log, 200*time.Millisecond
	cfg.Intake = intake.New(intake.Config{Queue: b.queue, Records: records{}})
	if cfg.Keys == nil {
		cfg.Keys = &keys{}
	}
	inv := invoke.New(cfg)
	target := route.Target{Site: "main", Deploy: "d1", Published: true, Context: "production", Branch: "main", Function: &f}
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := inv.Serve(w, r, target, invoke.Origin{ClientIP: "192.0.2.1", BaseURL: "http://main.localhost"})
		b.errs <- err
		if errors.Is(err, invoke.ErrCut) || errors.Is(err, invoke.ErrGone) {
			panic(http.ErrAbortHandler)
		}
		if failed, ok := errors.AsType[*invoke.Failed](err); ok {
			http.Error(w, failed.Text, failed.Status)
		} else if err != nil {
			message, _ := fault.Public(err)
			http.Error(w, message, fault.KindOf(err).HTTPStatus())
		}
	}))
	b.server.Config.ReadTimeout = readTimeout
	b.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	b.server.Start()
	t.Cleanup(func() {
		b.http.CloseIdleConnections()
		b.server.Close()
		inv.Close()
		cancel()
		wg.Wait()
	})
	return b
}

var syncFunction = function.Function{Name: "hello", Kind: function.Sync, TimeoutMS: 3000}

// call calls the function and reads the answer.
func (b *bundle) call(method, body string) (*http.Response, string, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+"/.netlify/functions/hello?q=1", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Authorization", "Bearer e30.eyJzdWIiOiIxIn0.x")
	req.Header.Set("Idempotency-Key", "k") // must not make the transport repeat anything
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func TestSyncPassesThrough(t *testing.T) {
	t.Parallel()
	w := newWorker(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, part := range []string{`"httpMethod":"PUT"`, `"body":"ping"`, `"client-ip":"192.0.2.1"`, `"x-nf-request-id":"` + r.Header.Get(dispatch.HeaderInvocation) + `"`} {
			if !strings.Contains(string(body), part) {
				t.Errorf("event %s does not hold %s", body, part)
			}
		}
		h := rw.Header()
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2")
		h.Set("X-Own", "kept")
		h.Set("Nightshift-Secret", "ours")
		h.Set("X-Nf-Request-Id", "forged")
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=5")
		h["Content-Type"] = nil
		rw.WriteHeader(418)
		_, _ = io.WriteString(rw, "<html>tea")
	})
	b := setup(t, syncFunction, w.addr())
	resp, text, err := b.call("PUT", "ping")
	if err != nil || resp.StatusCode != 418 || text != "<html>tea" {
		t.Fatalf("answer = %d %q, %v", resp.StatusCode, text, err)
	}
	if got := resp.Header["Set-Cookie"]; len(got) != 2 || got[0] != "a=1" || got[1] != "b=2" {
		t.Errorf("Set-Cookie = %v", got)
	}
	if resp.Header.Get("X-Own") != "kept" {
		t.Error("a header of the function was lost")
	}
	for _, name := range []string{"Nightshift-Secret", dispatch.HeaderOutcome, "X-Hop", "Keep-Alive", "Content-Type"} {
		if v, ok := resp.Header[name]; ok {
			t.Errorf("%s: %v reached the caller", name, v)
		}
	}
	if got := resp.Header["X-Nf-Request-Id"]; len(got) != 1 || got[0] != w.calls[0].Get(dispatch.HeaderInvocation) {
		t.Errorf("X-Nf-Request-Id = %v, want the invocation's", got)
	}
	for name, want := range map[string]string{dispatch.HeaderSite: "main", dispatch.HeaderDeploy: "d1", dispatch.HeaderFunction: "hello"} {
		if got := w.calls[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestSyncEdges(t *testing.T) {
	t.Parallel()
	t.Run("HEAD", func(t *testing.T) {
		t.Parallel()
		b := setup(t, syncFunction, newWorker(t, nil).addr())
		if resp, text, err := b.call("HEAD", ""); err != nil || resp.StatusCode != 200 || text != "" || resp.ContentLength != 5 {
			t.Errorf("answer = %d %q length %d, %v", resp.StatusCode, text, resp.ContentLength, err)
		}
	})
	t.Run("HEAD lets the function end", func(t *testing.T) {
		t.Parallel()
		cut := make(chan error, 1)
		b := setup(t, syncFunction, newWorker(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(make([]byte, 1<<20))
			cut <- r.Context().Err()
		}).addr())
		if resp, _, err := b.call("HEAD", ""); err != nil || resp.StatusCode != 200 {
			t.Errorf("answer = %d, %v", resp.StatusCode, err)
		}
		if err := <-cut; err != nil {
			t.Errorf("the worker was hung up on: %v", err)
		}
	})
	t.Run("204", func(t *testing.T) {
		t.Parallel()
		b := setup(t, syncFunction, newWorker(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }).addr())
		if resp, text, err := b.call("GET", ""); err != nil || resp.StatusCode != 204 || text != "" {
			t.Errorf("answer = %d %q, %v", resp.StatusCode, text, err)
		}
	})
	t.Run("large event", func(t *testing.T) {
		t.Parallel()
		w := newWorker(t, func(rw http.ResponseWriter, r *http.Request) {
			event, _ := io.ReadAll(r.Body)
			_, _ = rw.Write(event)
		})
		b := setup(t, syncFunction, w.addr())
		if resp, text, err := b.call("POST", strings.Repeat("x", 5<<20)); err != nil || resp.StatusCode != 200 || len(text) < 5<<20 {
			t.Errorf("answer = %d with %d bytes, %v", resp.StatusCode, len(text), err)
		}
	})
	t.Run("large event, busy worker", func(t *testing.T) {
		t.Parallel()
		first, second := newWorker(t, busy), newWorker(t, nil)
		b := setup(t, syncFunction, first.addr(), second.addr())
		if resp, text, err := b.call("POST", strings.Repeat("x", 5<<20)); err != nil || resp.StatusCode != 200 || text != "hello" {
			t.Errorf("answer = %d %q, %v", resp.StatusCode, text, err)
		}
	})
	t.Run("longer than the read timeout", func(t *testing.T) {
		t.Parallel()
		w := newWorker(t, func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(900 * time.Millisecond):
			case <-r.Context().Done():
				t.Error("the call was cancelled")
			}
		})
		b := setupReading(t, 400*time.Millisecond, syncFunction, w.addr())
		for _, body := range []string{"", "x"} {
			if resp, _, err := b.call("POST", body); err != nil || resp.StatusCode != 200 {
				t.Errorf("answer = %d, %v", resp.StatusCode, err)
			}
		}
	})
}

func TestSyncStreams(t *testing.T) {
	t.Parallel()
	step := make(chan struct{})
	w := newWorker(t, func(rw http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(rw, "chunk")
			_ = http.NewResponseController(rw).Flush()
			<-step
		}
	})
	b := setup(t, syncFunction, w.addr())
	resp, err := b.http.Get(b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 5)
	for range 3 { // each chunk must arrive before the next one is made
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "chunk" {
			t.Fatalf("chunk = %q, %v", buf, err)
		}
		step <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the last chunk: %q, %v", rest, err)
	}
}

func TestSyncTriesOthers(t *testing.T) {
	t.Parallel()
	// Port 1 and not that of a server just closed: a test beside this one may get it.
	const refused = "127.0.0.1:1"
	tests := []struct {
		name   string
		others func(t *testing.T) []string
		good   bool
		status int
		text   string
	}{
		{"busy, then good", func(t *testing.T) []string { return []string{newWorker(t, busy).addr()} }, true, 200, "hello"},
		{"refused, then good", func(*testing.T) []string { return []string{refused} }, true, 200, "hello"},
		{"refused, busy, then good", func(t *testing.T) []string { return []string{refused, newWorker(t, busy).addr()} }, true, 200, "hello"},
		{"all busy", func(t *testing.T) []string { return []string{newWorker(t, busy).addr(), newWorker(t, busy).addr()} }, false, 503, "busy"},
		{"all refused", func(*testing.T) []string { return []string{refused} }, false, 503, "No worker is alive"},
		{"none", func(*testing.T) []string { return nil }, false, 503, "No worker is alive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addrs := tt.others(t)
			good := newWorker(t, nil)
			if tt.good {
				addrs = append(addrs, good.addr())
			}
			b := setup(t, syncFunction, addrs...)
			resp, text, _ := b.call("POST", "x")
			if resp.StatusCode != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("answer = %d %q, want %d %q", resp.StatusCode, text, tt.status, tt.text)
			}
			if tt.good && good.times() != 1 {
				t.Errorf("the good worker was called %d times", good.times())
			}
			if err := <-b.errs; tt.status == 503 {
				if e, ok := errors.AsType[*fault.Error](err); !ok || e.RetryAfter == 0 {
					t.Errorf("error = %v, want one that says when to try again", err)
				}
			}
		})
	}
}

func TestSyncNeverSendsTwice(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer http.HandlerFunc
		status int // 0: the connection is cut
	}{
		{"died before the head", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502},
		{"died after the head", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 0},
		{"no outcome", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del(dispatch.HeaderOutcome)
			w.WriteHeader(404)
		}, 502},
		{"refused the request", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(dispatch.HeaderOutcome, dispatch.Refused)
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"message":"there is no deploy d1"}`)
		}, 502},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := newWorker(t, tt.answer), newWorker(t, nil)
			b := setup(t, syncFunction, first.addr(), second.addr())
			resp, text, err := b.call("POST", "x")
			if tt.status == 0 && (err == nil || !errors.Is(<-b.errs, invoke.ErrCut)) {
				t.Errorf("answer = %q, %v; want a cut connection", text, err)
			}
			if tt.status != 0 && resp.StatusCode != tt.status {
				t.Errorf("answer = %d %q, want %d", resp.StatusCode, text, tt.status)
			}
			if first.times() != 1 || second.times() != 0 {
				t.Errorf("the workers were called %d and %d times, want 1 and 0", first.times(), second.times())
			}
		})
	}
}

func TestSyncFailures(t *testing.T) {
	t.Parallel()
	stack := "TypeError: boom\n    at handler (/var/task/index.js:1:39)\n    at next"
	tests := []struct {
		outcome invocation.Outcome
		failure invocation.Failure
		status  int
		text    string
	}{
		{invocation.Error, invocation.Failure{Type: "TypeError", Message: "boom", Stack: stack}, 500, stack},
		{invocation.Error, invocation.Failure{Type: "Error", Message: "two\nlines", Stack: "    at a"}, 500, "Error: two\nlines\n    at a"},
		{invocation.InitError, invocation.Failure{Type: "SyntaxError", Message: "Unexpected token '=>'"}, 500, "SyntaxError: Unexpected token '=>'"},
		{invocation.BadResponse, invocation.Failure{Type: "Function.InvalidResponse", Message: "lambda response was undefined. check your function code again"}, 500, "lambda response was undefined. check your function code again"},
		{invocation.BadResponse, invocation.Failure{Type: "NetlifyUserError", Message: "Function returned an unsupported value."}, 500, "NetlifyUserError: Function returned an unsupported value."},
		{invocation.TimedOut, invocation.Failure{Type: "x", Message: "y"}, 504, "TimeoutError: Task timed out after 3.00 seconds"},
		{invocation.Crashed, invocation.Failure{Type: "Runtime.ExitError", Message: "the process exited with status 1"}, 502, "Runtime.ExitError: the process exited with status 1"},
		{invocation.OutOfMemory, invocation.Failure{Type: "Runtime.OutOfMemory", Message: "m"}, 502, "Runtime.OutOfMemory: m"},
		{invocation.Drained, invocation.Failure{Message: "the worker stopped"}, 502, "the worker stopped"},
	}
	for _, tt := range tests {
		t.Run(string(tt.outcome), func(t *testing.T) {
			t.Parallel()
			b := setup(t, syncFunction, newWorker(t, fail(tt.outcome, tt.failure)).addr())
			resp, text, _ := b.call("POST", "x")
			if resp.StatusCode != tt.status || strings.TrimSpace(text) != tt.text {
				t.Errorf("answer = %d %q, want %d %q", resp.StatusCode, text, tt.status, tt.text)
			}
			if resp.Header.Get("X-Nf-Request-Id") == "" {
				t.Error("a failure has no X-Nf-Request-Id")
			}
		})
	}
}

// TestSyncSlow: the worker enforces the limit; if it does not, the gateway does.
func TestSyncSlow(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	w := newWorker(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(ended)
	})
	f := syncFunction
	f.TimeoutMS = 100
	b := setup(t, f, w.addr())
	if resp, text, _ := b.call("POST", "x"); resp.StatusCode != 504 || !strings.Contains(text, "timed out after 0.10 seconds") {
		t.Errorf("answer = %d %q, want 504", resp.StatusCode, text)
	}
	<-ended
}

func TestSyncDisconnectCancels(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan struct{})
	w := newWorker(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(started)
		<-r.Context().Done()
		close(ended)
	})
	b := setup(t, syncFunction, w.addr())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "POST", b.server.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := b.http.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the call was answered")
	}
	<-ended // the worker was told
	if err := <-b.errs; !errors.Is(err, invoke.ErrGone) {
		t.Errorf("Serve = %v, want ErrGone", err)
	}
}

// Nobody has verified the token, so only a developer's own functions see it.
func TestClientContextIsForDevelopment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dev  bool
		kind function.Kind
		want bool
	}{
		{"sync under dev", true, function.Sync, true},
		{"scheduled under dev", true, function.Scheduled, false},
		{"sync", false, function.Sync, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorker(t, nil)
			f := function.Function{Name: "hello", Kind: tt.kind, Schedule: "@hourly"}
			b := setupConfig(t, 0, invoke.Config{Dev: tt.dev}, f, w.addr())
			if resp, text, _ := b.call("POST", ""); resp.StatusCode != 200 {
				t.Fatalf("answer = %d %q", resp.StatusCode, text)
			}
			raw, err := base64.StdEncoding.DecodeString(w.calls[0].Get(dispatch.HeaderClientContext))
			if got := strings.Contains(string(raw), `"user":{"sub":"1"}`); err != nil || got != tt.want {
				t.Errorf("client context = %q, %v; want the claims: %v", raw, err, tt.want)
			}
		})
	}
}

func TestScheduledByHand(t *testing.T) {
	t.Parallel()
	var event string
	w := newWorker(t, func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		event = string(raw)
	})
	b := setup(t, function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@hourly"}, w.addr())
	if resp, text, _ := b.call("GET", ""); resp.StatusCode != 200 {
		t.Fatalf("answer = %d %q", resp.StatusCode, text)
	}
	for _, part := range []string{`"httpMethod":"POST"`, `"X-NF-Event":"schedule"`, `"user-agent":"Netlify Clockwork"`, `next_run`, `:00:00.000Z`} {
		if !strings.Contains(event, part) {
			t.Errorf("event %s does not hold %s", event, part)
		}
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	down := fault.New(fault.Unavailable, "The queue does not take work").After(2 * time.Second)
	tests := []struct {
		name    string
		verdict int
		err     error
		status  int
	}{
		{"stored", queue.Queued, nil, 202},
		{"stored by a try whose reply was lost", queue.Existed, nil, 202},
		{"refused by a step", -99, nil, 500},
		{"not stored, or nobody knows", 0, down, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, function.Function{Name: "hello", Kind: function.Background})
			b.queue.verdict, b.queue.err = tt.verdict, tt.err
			resp, text, _ := b.call("POST", "x")
			if resp.StatusCode != tt.status {
				t.Errorf("answer = %d %q, want %d", resp.StatusCode, text, tt.status)
			}
			if accepted := resp.Header.Get("Location") != ""; accepted != (tt.status == 202) {
				t.Errorf("Location = %q with %d", resp.Header.Get("Location"), resp.StatusCode)
			}
			if n := len(b.queue.tasks); n != 1 {
				t.Fatalf("%d tasks were enqueued, want 1", n)
			}
			task := b.queue.tasks[0]
			if task.Queue != function.Background || task.Timeout != 15*time.Minute || task.Target != (queue.Target{Site: "main", Deploy: "d1", Function: "hello", Published: true}) || b.queue.steps[1].Keys[0] != task.ID {
				t.Errorf("task = %+v", task)
			}
		})
	}
}
