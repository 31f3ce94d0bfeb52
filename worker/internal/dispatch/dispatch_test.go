package dispatch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/worker/internal/attempt"
	"github.com/nightshift/nightshift/worker/internal/code"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/internal/redact"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runner is a pool whose one function the test writes.
type runner func(ctx context.Context, call pool.Call) (*pool.Response, error)

func (r runner) Invoke(ctx context.Context, _ pool.Code, call pool.Call, wait bool) (*pool.Response, error) {
	if wait {
		return nil, errors.New("a sync call must not wait for a process")
	}
	return r(ctx, call)
}

type loader struct {
	err      error
	timeout  time.Duration
	redactor *redact.Redactor
}

func (l loader) Load(_ context.Context, target queue.Target) (*code.Loaded, error) {
	if l.err != nil {
		return nil, l.err
	}
	f := function.Function{Name: target.Function, Kind: function.Sync, TimeoutMS: l.timeout.Milliseconds()}
	return &code.Loaded{Code: pool.Code{Key: target.Deploy + "/" + target.Function, Function: f}, Release: func() {}, Redactor: l.redactor}, nil
}

// feed keeps what was logged.
type feed struct {
	mu    sync.Mutex
	src   store.LogSource
	texts []string
}

func (f *feed) AppendLog(_ context.Context, src store.LogSource, lines []invocation.LogLine) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.src = src
	for _, l := range lines {
		f.texts = append(f.texts, l.Text)
	}
	return nil
}

// keys knows one key, and has the clock of the machine.
type keys struct{ key wire.Key }

func (k keys) Find(_ context.Context, id string) (wire.Key, bool) { return k.key, id == k.key.ID }
func (keys) Now() time.Time                                       { return time.Now() }

var testKey = wire.Key{ID: "K1", Secret: "secret"}

type bench struct {
	*Handler
	server   *httptest.Server
	feed     *feed
	registry *prometheus.Registry
}

func setup(t *testing.T, r runner, l loader) *bench {
	t.Helper()
	b := &bench{feed: &feed{}, registry: prometheus.NewPedanticRegistry()}
	b.Handler = NewHandler(Config{Worker: "w1", Keys: keys{testKey}, Metrics: b.registry, Runner: r, Loader: l, Logs: b.feed, Attempts: attempt.NewMetrics(b.registry), Max: 2, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	b.server = httptest.NewUnstartedServer(b.Handler)
	b.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelDebug)
	b.server.Start()
	t.Cleanup(func() {
		b.server.Close()
		b.Handler.Stop(context.Background())
	})
	return b
}

// ended stops the handler and returns how many sync attempts were counted, by outcome.
func (b *bench) ended(t *testing.T) map[string]int {
	t.Helper()
	b.Handler.Stop(t.Context())
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, family := range families {
		if family.GetName() != "nightshift_worker_attempts_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				counts[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = n
			}
		}
	}
	return counts
}

func request(t *testing.T, b *bench, event string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+wire.Path, strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(wire.HeaderWorker, "w1")
	r.Header.Set(wire.HeaderInvocation, "01JD0000000000000000000000")
	r.Header.Set(wire.HeaderSite, "shop")
	r.Header.Set(wire.HeaderDeploy, "d1")
	r.Header.Set(wire.HeaderFunction, "hello")
	return r
}

// signatures counts those of a run: no two calls of a test are the same one.
var signatures atomic.Int64

// sign signs a request whose event is given, as the gateway does.
func sign(r *http.Request, event string) *http.Request {
	testKey.Sign(r, time.Now().Add(time.Duration(signatures.Add(1))*time.Millisecond), []byte(event))
	return r
}

// do makes a request, and signs it if nobody has.
func do(t *testing.T, b *bench, r *http.Request) (*http.Response, string) {
	t.Helper()
	if r.Header.Get(wire.HeaderSignature) == "" {
		event, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		signed, err := io.ReadAll(event)
		if err != nil {
			t.Fatal(err)
		}
		sign(r, string(signed))
	}
	answer, err := b.server.Client().Do(r)
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return answer, string(body)
}

func response(status int, header map[string][]string, body io.Reader) *pool.Response {
	return &pool.Response{Status: status, Header: header, Body: io.NopCloser(body), Length: -1}
}

func TestAnswersAreRelayed(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, call pool.Call) (*pool.Response, error) {
		call.Log("stdout", "running "+call.ID)
		header := map[string][]string{
			"x-own": {"1"}, "x-latin": {"plain", "caf\u00e9"}, "set-cookie": {"a=1", "b=2"},
			"connection": {"close, X-Named"}, "x-named": {"1"}, "keep-alive": {"timeout=5"}, "upgrade": {"h2c"}, "trailer": {"X-Late"}, "transfer-encoding": {"chunked"}, "content-length": {"999"}, "nightshift-outcome": {"forged"},
		}
		return response(http.StatusTeapot, header, strings.NewReader("event: "+string(call.Event))), nil
	}, loader{})
	answer, body := do(t, b, request(t, b, `{"a":1}`))
	if answer.StatusCode != http.StatusTeapot || body != `event: {"a":1}` {
		t.Errorf("answer = %d %q", answer.StatusCode, body)
	}
	if got := answer.Header.Values("X-Latin"); len(got) != 2 || got[1] != "caf\xe9" {
		t.Errorf("X-Latin = %q, want Latin-1", got)
	}
	if got := answer.Header.Values(wire.HeaderOutcome); len(got) != 1 || got[0] != "succeeded" {
		t.Errorf("outcome = %q, want succeeded", got)
	}
	if got := answer.Header.Values("Set-Cookie"); len(got) != 2 {
		t.Errorf("cookies = %q, want two", got)
	}
	for _, name := range []string{"X-Named", "Keep-Alive", "Upgrade", "Trailer"} {
		if got := answer.Header.Get(name); got != "" {
			t.Errorf("%s = %q passed on; it concerns one connection", name, got)
		}
	}
	if answer.Header.Get("Content-Type") != "" || answer.Header.Get("X-Own") != "1" {
		t.Errorf("headers = %v", answer.Header)
	}
	b.server.Close()
	b.Handler.Stop(t.Context())
	if len(b.feed.texts) != 1 || b.feed.src.Kind != function.Sync || b.feed.src.Invocation != "01JD0000000000000000000000" {
		t.Errorf("the feed has %q from %+v", b.feed.texts, b.feed.src)
	}
}

func TestClientContextIsPassedOn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ context.Context, call pool.Call) (*pool.Response, error) {
		return response(http.StatusOK, nil, strings.NewReader(call.ClientContext)), nil
	}, loader{})
	for header, want := range map[string]string{"": "", "eyJ1c2VyIjp7fX0=": `{"user":{}}`} {
		r := request(t, b, "{}")
		r.Header.Set(wire.HeaderClientContext, header)
		if answer, body := do(t, b, r); answer.StatusCode != http.StatusOK || body != want {
			t.Errorf("client context %q: answer %d %q, want %q", header, answer.StatusCode, body, want)
		}
	}
}

func TestStreamsStream(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
		return &pool.Response{Status: 200, Body: r, Length: -1}, nil
	}, loader{})
	// The head is here before the first byte of the body is written.
	answer, err := b.server.Client().Do(sign(request(t, b, "{}"), "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for i := range 3 {
		fmt.Fprintf(w, "part %d\n", i)
		if !lines.Scan() || lines.Text() != fmt.Sprintf("part %d", i) {
			t.Fatalf("part %d did not come before the next one was written: %q, %v", i, lines.Text(), lines.Err())
		}
	}
	w.Close()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the end is %q, %v", lines.Text(), lines.Err())
	}
}

// TestWhatFollowsAResponse: a function with waitUntil is not done when its
// response is complete; the caller must not notice, and hanging up then must
// not cancel it.
func TestWhatFollowsAResponse(t *testing.T) {
	t.Parallel()
	end, ended := make(chan struct{}), make(chan error, 1)
	var calls atomic.Int32
	b := setup(t, func(ctx context.Context, _ pool.Call) (*pool.Response, error) {
		if calls.Add(1) > 1 {
			return response(200, nil, strings.NewReader("next")), nil
		}
		body := readerFunc(func([]byte) (int, error) {
			<-end
			ended <- context.Cause(ctx)
			return 0, io.EOF
		})
		r := response(200, nil, io.MultiReader(strings.NewReader("hello"), body))
		r.Length = 5
		return r, nil
	}, loader{})
	answer, body := do(t, b, request(t, b, "{}"))
	if body != "hello" || answer.ContentLength != 5 {
		t.Errorf("answer = %q with length %d", body, answer.ContentLength)
	}
	// The same connection serves the next request.
	if _, body := do(t, b, request(t, b, "{}")); body != "next" {
		t.Errorf("next answer = %q", body)
	}
	b.server.Client().CloseIdleConnections()
	close(end)
	if err := <-ended; err != nil {
		t.Errorf("what followed the response was cancelled: %v", err)
	}
}

// TestARequestLingersForItsProcess: a caller that is told too early finds no
// warm process with its next call.
func TestARequestLingersForItsProcess(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ free, want time.Duration }{{0, 0}, {linger / 2, linger / 2}, {time.Second, linger}} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHandler(Config{
				Runner: runner(func(context.Context, pool.Call) (*pool.Response, error) {
					end := readerFunc(func([]byte) (int, error) {
						<-time.After(test.free)
						return 0, io.EOF
					})
					r := response(200, nil, io.MultiReader(strings.NewReader("hello"), end))
					r.Length = 5
					return r, nil
				}),
				Worker: "w1", Keys: keys{testKey}, Loader: loader{}, Logs: &feed{}, Max: 1, Logger: slog.New(slog.DiscardHandler),
			})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, wire.Path, strings.NewReader("{}"))
			r.Header.Set(wire.HeaderInvocation, "01JD0000000000000000000000")
			r.Header.Set(wire.HeaderSite, "shop")
			r.Header.Set(wire.HeaderDeploy, "d1")
			r.Header.Set(wire.HeaderFunction, "hello")
			r.Header.Set(wire.HeaderWorker, "w1")
			w, started := httptest.NewRecorder(), time.Now()
			h.ServeHTTP(w, sign(r, "{}"))
			if took := time.Since(started); took != test.want || w.Body.String() != "hello" {
				t.Errorf("a process that is free after %v ends the request after %v with %q, want %v", test.free, took, w.Body, test.want)
			}
			h.Stop(t.Context())
		})
	}
}

// TestAShorterBodyThanPromised is cut off, not passed for complete.
func TestAShorterBodyThanPromised(t *testing.T) {
	t.Parallel()
	b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
		r := response(200, nil, strings.NewReader("hello"))
		r.Length = 6
		return r, nil
	}, loader{})
	answer, err := b.server.Client().Do(sign(request(t, b, "{}"), "{}"))
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if err == nil {
		t.Error("a short body looks like a complete answer")
	}
}

func TestStatusesWithoutABody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{204, 304} {
		b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
			r := response(status, nil, strings.NewReader("ignored"))
			r.Length = 7
			return r, nil
		}, loader{})
		if answer, body := do(t, b, request(t, b, "{}")); answer.StatusCode != status || body != "" {
			t.Errorf("answer = %d %q, want %d without a body", answer.StatusCode, body, status)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAFailureHalfWayCutsTheConnection(t *testing.T) {
	t.Parallel()
	for _, length := range []int{10, 100_000} {
		b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
			body := io.MultiReader(strings.NewReader(strings.Repeat("x", length)), iotest.ErrReader(&pool.Failed{Outcome: invocation.Crashed}))
			return response(200, nil, body), nil
		}, loader{})
		answer, err := b.server.Client().Do(sign(request(t, b, "{}"), "{}"))
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			t.Errorf("after %d bytes the failure looks like a complete answer", length)
		}
		if got := b.ended(t); !maps.Equal(got, map[string]int{"sync crash": 1}) {
			t.Errorf("counted %v, want one crash", got)
		}
	}
}

func TestFailuresAreWorded(t *testing.T) {
	t.Parallel()
	fails := func(outcome invocation.Outcome) runner {
		return func(context.Context, pool.Call) (*pool.Response, error) {
			return nil, &pool.Failed{Outcome: outcome, Failure: invocation.Failure{Type: "TypeError", Message: "boom", Stack: "at f"}}
		}
	}
	gives := func(status int) runner {
		return func(context.Context, pool.Call) (*pool.Response, error) {
			return response(status, nil, strings.NewReader("")), nil
		}
	}
	tests := map[string]struct {
		run     runner
		loader  loader
		status  int
		outcome string
		text    string
	}{
		"throws":     {run: fails(invocation.Error), status: 502, outcome: "error", text: "boom"},
		"times out":  {run: fails(invocation.TimedOut), status: 504, outcome: "timeout", text: "boom"},
		"drained":    {run: fails(invocation.Drained), status: 503, outcome: "drained", text: "boom"},
		"status 99":  {run: gives(99), status: 502, outcome: "bad_response", text: "99"},
		"status 101": {run: gives(101), status: 502, outcome: "bad_response", text: "101"},
		"cookies without end": {run: func(context.Context, pool.Call) (*pool.Response, error) {
			return response(200, map[string][]string{"set-cookie": slices.Repeat([]string{"a=" + strings.Repeat("b", 1000)}, 80)}, strings.NewReader("")), nil
		}, status: 502, outcome: "bad_response", text: "bytes of headers; 65536 are allowed"},
		"busy pool":            {run: func(context.Context, pool.Call) (*pool.Response, error) { return nil, pool.ErrBusy }, status: 503, outcome: "busy", text: "no process"},
		"no such deploy":       {loader: loader{err: fault.New(fault.NotFound, "no deploy d1")}, status: 404, outcome: "refused", text: "no deploy d1"},
		"artifacts away":       {loader: loader{err: fault.New(fault.Unavailable, "away")}, status: 503, outcome: "busy", text: "no process"},
		"damaged artifact":     {loader: loader{err: fault.New(fault.Invalid, "artifact is damaged")}, status: 502, outcome: "init_error", text: "damaged"},
		"process cannot start": {run: func(context.Context, pool.Call) (*pool.Response, error) { return nil, errors.New("fork: no memory") }, status: 502, outcome: "init_error", text: "fork"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.run, test.loader)
			answer, body := do(t, b, request(t, b, "{}"))
			if answer.StatusCode != test.status || answer.Header.Get(wire.HeaderOutcome) != test.outcome {
				t.Errorf("answer = %d %q, want %d %q", answer.StatusCode, answer.Header.Get(wire.HeaderOutcome), test.status, test.outcome)
			}
			var failure invocation.Failure
			if err := json.Unmarshal([]byte(body), &failure); err != nil || !strings.Contains(failure.Message, test.text) {
				t.Errorf("body = %s (%v), want a message with %q", body, err, test.text)
			}
			want := map[string]int{"sync " + test.outcome: 1}
			if test.outcome == "busy" || test.outcome == "refused" { // nothing has run
				want = map[string]int{}
			}
			if got := b.ended(t); !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	never := func(context.Context, pool.Call) (*pool.Response, error) {
		t.Error("the function ran")
		return nil, pool.ErrBusy
	}
	b := setup(t, never, loader{})
	tests := map[string]struct {
		change func(r *http.Request)
		status int
	}{
		"GET":                            {func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"no invocation":                  {func(r *http.Request) { r.Header.Del(wire.HeaderInvocation) }, 400},
		"bad invocation":                 {func(r *http.Request) { r.Header.Set(wire.HeaderInvocation, "../x") }, 400},
		"bad site":                       {func(r *http.Request) { r.Header.Set(wire.HeaderSite, "a--b") }, 400},
		"bad deploy":                     {func(r *http.Request) { r.Header.Set(wire.HeaderDeploy, "a/b") }, 400},
		"bad client context":             {func(r *http.Request) { r.Header.Set(wire.HeaderClientContext, "e30x") }, 400},
		"client context that is no JSON": {func(r *http.Request) { r.Header.Set(wire.HeaderClientContext, "eA==") }, 400},
		"no function":                    {func(r *http.Request) { r.Header.Del(wire.HeaderFunction) }, 400},
		"bad function":                   {func(r *http.Request) { r.Header.Set(wire.HeaderFunction, "a b") }, 400},
		"too long": {func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", MaxEvent+1))), MaxEvent+1
		}, 413},
		"too long, undeclared": {func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, MaxEvent+1)), -1
		}, 413},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(t, b, "{}")
			test.change(r)
			sign(r, "{}")
			answer, err := b.server.Client().Do(r)
			if err != nil {
				// The server may hang up on a body that it does not want before
				// the client has read the answer.
				if test.status == http.StatusRequestEntityTooLarge {
					return
				}
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != test.status || answer.Header.Get(wire.HeaderOutcome) != wire.Refused {
				t.Errorf("answer = %d %q, want %d refused", answer.StatusCode, answer.Header.Get(wire.HeaderOutcome), test.status)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.ErrUnexpectedEOF
}

func TestAFullWorkerIsBusyBeforeItReads(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
		started <- struct{}{}
		<-release
		return response(200, nil, strings.NewReader("ok")), nil
	}, loader{})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() { do(t, b, request(t, b, "{}")) })
		<-started
	}
	r := sign(request(t, b, ""), "")
	r.Body = io.NopCloser(unread{t})
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get(wire.HeaderOutcome) != wire.Busy {
		t.Errorf("answer = %d %q, want 503 busy", w.Code, w.Header().Get(wire.HeaderOutcome))
	}
	close(release)
	calls.Wait()
}

func TestACallerThatHangsUpCancels(t *testing.T) {
	t.Parallel()
	started, cause := make(chan struct{}), make(chan error, 1)
	b := setup(t, func(ctx context.Context, _ pool.Call) (*pool.Response, error) {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	}, loader{})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { <-started; hangUp() }()
	if answer, err := b.server.Client().Do(sign(request(t, b, "{}"), "{}").WithContext(ctx)); err == nil {
		answer.Body.Close()
		t.Error("the call succeeded")
	}
	if got := <-cause; !errors.Is(got, pool.ErrCancelled) {
		t.Errorf("cause = %v, want ErrCancelled", got)
	}
}

// TestTheReadLimitIsForTheRequestOnly: net/http ends the request's context when
// the limit on reading passes, long after the request was read.
func TestTheReadLimitIsForTheRequestOnly(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	b := &bench{feed: &feed{}}
	b.Handler = NewHandler(Config{
		Runner: runner(func(ctx context.Context, _ pool.Call) (*pool.Response, error) {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(4 * limit):
				return response(200, nil, strings.NewReader("ok")), nil
			}
		}),
		Worker: "w1", Keys: keys{testKey}, Loader: loader{timeout: time.Minute}, Logs: b.feed, Max: 1, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	b.server = httptest.NewUnstartedServer(b.Handler)
	b.server.Config.ReadTimeout = limit
	b.server.Start()
	defer b.Handler.Stop(t.Context())
	defer b.server.Close()
	if answer, body := do(t, b, request(t, b, "{}")); answer.StatusCode != 200 {
		t.Errorf("answer = %d %s, want 200", answer.StatusCode, body)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	b := setup(t, func(ctx context.Context, _ pool.Call) (*pool.Response, error) {
		close(started)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, loader{})
	outcome := make(chan string, 1)
	go func() {
		answer, _ := do(t, b, request(t, b, "{}"))
		outcome <- answer.Header.Get(wire.HeaderOutcome)
	}()
	<-started
	b.Handler.Close()
	if answer, _ := do(t, b, request(t, b, "{}")); answer.Header.Get(wire.HeaderOutcome) != wire.Busy {
		t.Errorf("a closed handler says %q, want busy", answer.Header.Get(wire.HeaderOutcome))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	b.Handler.Stop(over)
	if got := <-outcome; got != string(invocation.Drained) {
		t.Errorf("the running call ended as %q, want drained", got)
	}
	b.Handler.Stop(t.Context())
}

// What a function writes of its secrets reaches neither its log nor, when it
// fails, the caller or the worker's own log; what it answers is its own affair.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	const canary = "sk_canary_4711"
	broken := &pool.Failed{Outcome: invocation.Error, Failure: invocation.Failure{Type: "Error", Message: "no access with " + canary, Stack: "at " + canary}}
	l := loader{redactor: redact.New(environ.Values{"STRIPE_KEY": canary})}
	for name, tt := range map[string]struct {
		run  runner
		want string // of the answer
	}{
		"fails": {func(_ context.Context, call pool.Call) (*pool.Response, error) {
			call.Log("stdout", "the key is "+canary)
			call.Log("stdout", strings.Repeat("x", process.MaxLine-28-9)+canary[:9])
			return nil, broken
		}, "no access with [secret STRIPE_KEY]"},
		"fails after its answer": {func(_ context.Context, call pool.Call) (*pool.Response, error) {
			call.Log("stdout", "the key is "+canary)
			return &pool.Response{Status: 200, Length: 4, Body: io.NopCloser(io.MultiReader(strings.NewReader("fine"), iotest.ErrReader(broken)))}, nil
		}, "fine"},
		"fails half-way": {func(_ context.Context, call pool.Call) (*pool.Response, error) {
			call.Log("stdout", "the key is "+canary)
			return &pool.Response{Status: 200, Length: 9, Body: io.NopCloser(io.MultiReader(strings.NewReader("fine"), iotest.ErrReader(broken)))}, nil
		}, ""},
		"answers": {func(_ context.Context, call pool.Call) (*pool.Response, error) {
			call.Log("stdout", "the key is "+canary)
			return &pool.Response{Status: 200, Length: -1, Body: io.NopCloser(strings.NewReader(canary))}, nil
		}, canary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.run, l)
			var own lockedBuffer
			b.Handler.log = slog.New(slog.NewJSONHandler(&own, &slog.HandlerOptions{Level: slog.LevelDebug}))
			var body []byte
			if answer, err := b.server.Client().Do(sign(request(t, b, "{}"), "{}")); err == nil { // the connection is cut in one case
				body, _ = io.ReadAll(answer.Body)
				_ = answer.Body.Close()
			}
			b.Handler.Stop(t.Context())
			if got := string(body); !strings.Contains(got, tt.want) || strings.Contains(got, canary) && tt.want != canary {
				t.Errorf("answer = %s, want one with %q", got, tt.want)
			}
			b.feed.mu.Lock()
			defer b.feed.mu.Unlock()
			if text := strings.Join(b.feed.texts, "\n"); strings.Contains(text, canary[:9]) || !strings.Contains(text, "the key is [secret STRIPE_KEY]") || name == "fails" && !strings.HasSuffix(text, "[part of a secret]") {
				t.Errorf("the function's log has %d bytes and the key, or nothing in its place", len(text))
			}
			if text := own.String(); strings.Contains(text, canary) || tt.want != canary && !strings.Contains(text, "call failed") {
				t.Errorf("the worker's log: %s", text)
			}
		})
	}
}

// lockedBuffer is a buffer that calls write to while the test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
