package invoke_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

// waiters answers at once with a record, or says that it did not end in time.
type waiters struct {
	mu     sync.Mutex
	inv    *invocation.Invocation
	id     string
	limit  time.Duration
	during func(ctx context.Context)
}

func (w *waiters) Wait(ctx context.Context, id string, limit time.Duration) (invocation.Invocation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.limit = id, limit
	if w.during != nil {
		w.during(ctx)
	}
	if w.inv == nil {
		return invocation.Invocation{}, false
	}
	return *w.inv, true
}

// redisNow is what the clock of Redis shows, which is not this machine's.
var redisNow = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)

func setupAccept(t *testing.T, w *waiters) *bundle {
	t.Helper()
	return setupConfig(t, 0, invoke.Config{
		Waiters: w, Now: func(context.Context) (time.Time, error) { return redisNow, nil },
		CheckCallback: func(url string) error {
			if url != "https://example.com/done" {
				return fault.New(fault.Invalid, "no callback to %s", url)
			}
			return nil
		},
	}, function.Function{Name: "hello", Kind: function.Background, Concurrency: 2})
}

// ask makes a background call with headers, each "Name: value".
func (b *bundle) ask(method string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL, strings.NewReader("x"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header[http.CanonicalHeaderKey(name)] = append(req.Header[http.CanonicalHeaderKey(name)], strings.TrimPrefix(value, " "))
	}
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	<-b.errs
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

func TestAskedFor(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	tests := []struct {
		name      string
		headers   []string
		key       string
		notBefore time.Time
		wait      time.Duration
		callback  string
	}{
		{name: "nothing"},
		{name: "a key", headers: []string{"Idempotency-Key: a b~!"}, key: "a b~!"},
		{name: "a key as the draft has it", headers: []string{`Idempotency-Key: "8e03978e-40d5"`}, key: `"8e03978e-40d5"`},
		{name: "the longest key", headers: []string{"Idempotency-Key: " + strings.Repeat("k", 255)}, key: strings.Repeat("k", 255)},
		{name: "a duration", headers: []string{"Nightshift-Not-Before: 1h30m"}, notBefore: redisNow.Add(90 * time.Minute)},
		{name: "no duration", headers: []string{"Nightshift-Not-Before: 0s"}},
		{name: "a duration that is over", headers: []string{"Nightshift-Not-Before: -5m"}},
		{name: "an instant", headers: []string{"Nightshift-Not-Before: " + soon.UTC().Format(time.RFC3339)}, notBefore: soon},
		{name: "an instant elsewhere", headers: []string{"Nightshift-Not-Before: " + soon.In(time.FixedZone("", 7200)).Format(time.RFC3339)}, notBefore: soon},
		{name: "an instant that is over", headers: []string{"Nightshift-Not-Before: 2001-02-03T04:05:06.7Z"}, notBefore: time.Date(2001, 2, 3, 4, 5, 6, 7e8, time.UTC)},
		{name: "to wait", headers: []string{"Prefer: wait=10"}, wait: 10 * time.Second},
		{name: "to wait, among others", headers: []string{`Prefer: respond-async, WAIT = "5" ; x=y, wait=7`}, wait: 5 * time.Second},
		{name: "to wait, in the second line", headers: []string{"Prefer: handling=lenient", "Prefer: wait=30"}, wait: 30 * time.Second},
		{name: "other preferences", headers: []string{"Prefer: respond-async, waiting=0, return=minimal"}},
		{name: "a callback", headers: []string{"Nightshift-Callback: https://example.com/done"}, callback: "https://example.com/done"},
		{name: "everything", headers: []string{"Idempotency-Key: k", "Prefer: wait=1", "Nightshift-Callback: https://example.com/done", "Nightshift-Not-Before: 2s"},
			key: "k", wait: time.Second, callback: "https://example.com/done", notBefore: redisNow.Add(2 * time.Second)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &waiters{}
			b := setupAccept(t, w)
			resp, text := b.ask("POST", tt.headers...)
			if resp.StatusCode != 202 || text != "" || resp.Header.Get("Preference-Applied") != "" {
				t.Fatalf("answer = %d %q %v", resp.StatusCode, text, resp.Header)
			}
			task, steps := b.queue.tasks[0], b.queue.steps
			if !task.NotBefore.Equal(tt.notBefore) || task.Concurrency != 2 {
				t.Errorf("task = %+v, want it not before %v", task, tt.notBefore)
			}
			if tt.key != "" {
				if steps[0].Keys[0] != "once" || steps[0].Args[0] != tt.key {
					t.Errorf("first step = %+v, want the key %q", steps[0], tt.key)
				}
				steps = steps[1:]
			}
			if len(steps) != 2 || steps[1].Keys[0] != "room" {
				t.Fatalf("steps = %+v, want the record and the room", steps)
			}
			inv := steps[0].Args[1].(invocation.Invocation)
			if !inv.NotBefore.Equal(tt.notBefore) || inv.Awaited != (tt.wait > 0) || w.limit != tt.wait || (tt.wait > 0) != (w.id == task.ID) {
				t.Errorf("invocation = %+v, waited %v for %q", inv, w.limit, w.id)
			}
			if got := inv.Callback; (got != nil) != (tt.callback != "") || got != nil && got.URL != tt.callback {
				t.Errorf("callback = %+v, want %q", got, tt.callback)
			}
			event := string(steps[0].Args[0].([]byte))
			for _, ours := range []string{"nightshift-callback", "nightshift-not-before"} {
				if strings.Contains(strings.ToLower(event), ours) {
					t.Errorf("the function is told of %s: %s", ours, event)
				}
			}
			if tt.key != "" && !strings.Contains(event, `"idempotency-key":`) || tt.wait > 0 && !strings.Contains(event, `"prefer":`) {
				t.Errorf("a header of the caller is missing in %s", event)
			}
		})
	}
}

func TestRefusesToAccept(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(367 * 24 * time.Hour).UTC().Format(time.RFC3339)
	tests := []struct {
		name, header string
		want         []string
	}{
		{"an empty key", "Idempotency-Key:", []string{"Idempotency-Key is empty", "order-8421"}},
		{"a key of spaces", "Idempotency-Key:   ", []string{"Idempotency-Key is empty"}},
		{"a long key", "Idempotency-Key: " + strings.Repeat("k", 256), []string{"256 bytes", "1 to 255", "order-8421"}},
		{"a key that is not ASCII", "Idempotency-Key: schlüssel", []string{"printable ASCII"}},
		{"a key with a tab", "Idempotency-Key: a\tb", []string{"printable ASCII"}},
		{"no time", "Nightshift-Not-Before: tomorrow", []string{"Nightshift-Not-Before is \"tomorrow\"", "2030-01-31T08:00:00Z"}},
		{"an empty time", "Nightshift-Not-Before:", []string{"Nightshift-Not-Before is empty"}},
		{"a number", "Nightshift-Not-Before: 90", []string{"duration", "90m"}},
		{"a date", "Nightshift-Not-Before: 2030-01-31", []string{"RFC 3339"}},
		{"more than a year", "Nightshift-Not-Before: 8785h", []string{"more than a year"}},
		{"an instant after more than a year", "Nightshift-Not-Before: " + year, []string{"more than a year"}},
		{"no number", "Prefer: wait=soon", []string{"wait=soon", "1 to 30", "wait=10"}},
		{"to wait for nothing", "Prefer: wait", []string{"1 to 30"}},
		{"to wait 0 s", "Prefer: wait=0", []string{"wait=0", "1 to 30"}},
		{"to wait 31 s", "Prefer: respond-async, wait=31", []string{"wait=31"}},
		{"to wait less than nothing", "Prefer: wait=-1", []string{"wait=-1"}},
		{"a callback that is none", "Nightshift-Callback: http://localhost", []string{"no callback to http://localhost"}},
		{"an empty callback", "Nightshift-Callback:", []string{"Nightshift-Callback is empty"}},
	}
	twice := [][]string{
		{"Idempotency-Key: a", "Idempotency-Key: b"}, {"Nightshift-Not-Before: 1s", "Nightshift-Not-Before: 2s"},
		{"Nightshift-Callback: https://example.com/done", "Nightshift-Callback: https://example.com/done"},
	}
	b := setupAccept(t, &waiters{})
	for _, tt := range tests {
		resp, text := b.ask("POST", tt.header)
		if resp.StatusCode != 400 || resp.Header.Get("Location") != "" {
			t.Errorf("%s = %d %q, want 400", tt.name, resp.StatusCode, text)
		}
		for _, part := range tt.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q, want %q in it", tt.name, text, part)
			}
		}
	}
	for _, headers := range twice {
		if resp, text := b.ask("POST", headers...); resp.StatusCode != 400 || !strings.Contains(text, "stands 2 times") {
			t.Errorf("%v = %d %q", headers, resp.StatusCode, text)
		}
	}
	if n := len(b.queue.tasks); n != 0 {
		t.Errorf("%d tasks were enqueued", n)
	}
}

func TestClockDown(t *testing.T) {
	t.Parallel()
	b := setupConfig(t, 0, invoke.Config{Now: func(context.Context) (time.Time, error) { return time.Time{}, io.EOF }}, function.Function{Name: "hello", Kind: function.Background})
	if resp, text := b.ask("POST", "Nightshift-Not-Before: 1m"); resp.StatusCode != 503 || len(b.queue.tasks) != 0 {
		t.Errorf("answer = %d %q with %d tasks, want 503 and none", resp.StatusCode, text, len(b.queue.tasks))
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	w := &waiters{}
	b := setupAccept(t, w)
	b.queue.verdict = store.Duplicate
	resp, text := b.ask("POST", "Idempotency-Key: k", "Prefer: wait=3")
	if resp.StatusCode != 202 || resp.Header.Get("Location") != invoke.InvocationPath+firstID || resp.Header.Get(invoke.RequestIDHeader) != firstID || resp.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("answer = %d %q %v, want that of the first one", resp.StatusCode, text, resp.Header)
	}
	if w.id != firstID {
		t.Errorf("it waited for %q, want the first one", w.id)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	b := setupAccept(t, &waiters{})
	b.queue.verdict = store.Full
	resp, text := b.ask("POST")
	if resp.StatusCode != 429 || !strings.Contains(text, "NIGHTSHIFT_SITE_BACKLOG") || resp.Header.Get("Location") != "" {
		t.Errorf("answer = %d %q", resp.StatusCode, text)
	}
}

func TestWaitAnswers(t *testing.T) {
	t.Parallel()
	dead := func(outcome invocation.Outcome, failure *invocation.Failure) invocation.Invocation {
		return invocation.Invocation{State: invocation.Dead, Attempts: []invocation.Attempt{{Outcome: invocation.Crashed}, {Outcome: outcome, Error: failure}}}
	}
	good := func(r *invocation.Result) invocation.Invocation {
		return invocation.Invocation{State: invocation.Succeeded, Result: r}
	}
	tests := []struct {
		name   string
		method string
		inv    invocation.Invocation
		status int
		body   string
		header map[string]string // "" means not there
	}{
		{"its own response", "POST", good(&invocation.Result{Status: 418, Body: "<b>tea", Headers: map[string][]string{
			"content-type": {"text/html"}, "set-cookie": {"a=1", "b=2"}, "connection": {"x-hop"}, "x-hop": {"1"}, "content-length": {"99"}, "transfer-encoding": {"chunked"},
			"nightshift-secret": {"s"}, "x-nf-request-id": {"forged"}, "date": {"never"}}}), 418, "<b>tea",
			map[string]string{"Content-Type": "text/html", "Set-Cookie": "a=1", "X-Hop": "", "Keep-Alive": "", "Nightshift-Secret": "", "Content-Length": "6", "Nightshift-Hint": ""}},
		{"bytes", "POST", good(&invocation.Result{Status: 200, Body: "/wA=", Base64: true}), 200, "\xff\x00", map[string]string{"Content-Type": "", "Content-Length": "2"}},
		{"a redirect of its own", "POST", good(&invocation.Result{Status: 303, Headers: map[string][]string{"location": {"/there"}}}), 303, "", map[string]string{"Location": "/there"}},
		{"no content", "POST", good(&invocation.Result{Status: 204, Body: "none"}), 204, "", map[string]string{"Content-Length": ""}},
		{"HEAD", "HEAD", good(&invocation.Result{Status: 200, Body: "four"}), 200, "", map[string]string{"Content-Length": "4"}},
		{"nothing returned", "POST", good(nil), 200, "", map[string]string{"Content-Length": "0"}},
		{"threw", "POST", dead(invocation.Error, &invocation.Failure{Type: "TypeError", Message: "no", Stack: "at x"}), 500, "TypeError: no\n    at x\n", nil},
		{"out of time", "POST", dead(invocation.TimedOut, nil), 504, "TimeoutError: Task timed out after 900.00 seconds\n", nil},
		{"lost", "POST", dead(invocation.WorkerLost, &invocation.Failure{Type: "Nightshift.WorkerLost", Message: "gone"}), 502, "Nightshift.WorkerLost: gone\n", nil},
		{"never ran", "POST", invocation.Invocation{State: invocation.Dead}, 502, "", nil},
		{"cancelled", "POST", invocation.Invocation{State: invocation.Cancelled}, 409, "", nil},
		{"more than is kept", "POST", good(&invocation.Result{Status: 200, Body: "half", Truncated: true}), 202, "", map[string]string{"Preference-Applied": "", "Content-Length": "0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupAccept(t, &waiters{inv: &tt.inv})
			resp, text := b.ask(tt.method, "Prefer: wait=10")
			if resp.StatusCode != tt.status || tt.body != "" && text != tt.body {
				t.Errorf("answer = %d %q, want %d %q", resp.StatusCode, text, tt.status, tt.body)
			}
			id := b.queue.tasks[0].ID
			for name, want := range map[string]string{"Preference-Applied": "wait=10", "Location": invoke.InvocationPath + id, invoke.RequestIDHeader: id} {
				if other, ok := tt.header[name]; ok {
					want = other
				}
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			for name, want := range tt.header {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if hint := resp.Header.Get("Nightshift-Hint"); (hint != "") != (tt.status == 202) {
				t.Errorf("hint = %q", hint)
			}
		})
	}
}

// Who hangs up while it waits is answered nothing, and the invocation stays.
func TestWaitHangsUp(t *testing.T) {
	t.Parallel()
	w := &waiters{during: func(ctx context.Context) { <-ctx.Done() }}
	b := setupAccept(t, w)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", b.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Prefer", "wait=30")
	go func() {
		for len(b.taken()) == 0 {
			time.Sleep(time.Millisecond)
		}
		hangUp()
	}()
	if resp, err := b.http.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("answer = %d", resp.StatusCode)
	}
	if err := <-b.errs; err != invoke.ErrGone {
		t.Errorf("Serve = %v, want gone", err)
	}
}

// taken are the tasks so far.
func (b *bundle) taken() []queue.Task {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	return b.queue.tasks
}
