package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

// ask calls the background function with headers, each "Name: value".
func (b *bundle) ask(headers ...string) answer {
	b.t.Helper()
	req := b.request("POST", jobURL, strings.NewReader(`{"n":1}`))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	return b.do(req)
}

// idOf is the invocation that an answer is about.
func idOf(a answer) string { return a.header.Get("X-Nf-Request-Id") }

// finish runs an invocation to an end, as a worker does.
func (b *bundle) finish(kind function.Kind, id string, end store.End) {
	b.t.Helper()
	begun, err := b.store.Begin(b.t.Context(), kind, id, "w1")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Finish(b.t.Context(), kind, id, begun.Attempt, end); err != nil {
		b.t.Fatal(err)
	}
}

var (
	good = store.End{
		Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded},
		Result: &invocation.Result{Status: 201, Body: "made", Headers: map[string][]string{"content-type": {"text/plain"}, "x-own": {"1"}}},
	}
	bad = store.End{
		Outcome: invocation.Error, Verdict: invocation.Verdict{State: invocation.Dead},
		Failure: &invocation.Failure{Type: "TypeError", Message: "boom"},
	}
)

// newest waits for an invocation that is not known yet, and returns its ID.
func (b *bundle) newest(known ...string) string {
	b.t.Helper()
	var id string
	eventually(b.t, "an invocation is queued", func() bool {
		list, _, err := b.store.Invocations(b.t.Context(), store.Filter{Site: "default"}, "", 1)
		if err != nil || len(list) == 0 {
			return false
		}
		id = list[0].ID
		for _, k := range known {
			if k == id {
				return false
			}
		}
		return true
	})
	return id
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	// Many at once with one key, as impatient clients do.
	var wg sync.WaitGroup
	answers := make([]answer, 20)
	for i := range answers {
		wg.Go(func() { answers[i] = b.ask("Idempotency-Key: order-1") })
	}
	wg.Wait()
	first := 0
	for _, a := range answers {
		if a.status != 202 || idOf(a) != idOf(answers[0]) || a.header.Get("Location") != "/.nightshift/invocations/"+idOf(a) {
			t.Errorf("answer = %d %v, want all as %s", a.status, a.header, idOf(answers[0]))
		}
		if a.header.Get("Idempotency-Replayed") == "" {
			first++
		}
	}
	counts, err := b.store.Counts(t.Context())
	if first != 1 || err != nil || counts.Accepted != 1 {
		t.Errorf("%d were told to be the first, %d accepted, %v; want one", first, counts.Accepted, err)
	}
	if other := b.ask("Idempotency-Key: order-2"); other.status != 202 || idOf(other) == idOf(answers[0]) {
		t.Errorf("another key = %d %s", other.status, idOf(other))
	}
	// The key is the function's also when the first call has long finished.
	b.finish(function.Background, idOf(answers[0]), good)
	if a := b.ask("Idempotency-Key: order-1", "Prefer: wait=5"); a.status != 201 || a.body != "made" || idOf(a) != idOf(answers[0]) || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated, and waiting = %d %q %v; want the first one's result", a.status, a.body, a.header)
	}
}

func TestNotBefore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	a := b.ask("Nightshift-Not-Before: 1h")
	inv := decode[api.Invocation](t, b.get(a.header.Get("Location")).body)
	if inv.State != invocation.Queued || inv.NotBefore == nil || inv.NotBefore.Sub(inv.CreatedAt).Round(time.Second) != time.Hour {
		t.Errorf("record = %+v, want it not before an hour", inv)
	}
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != 0 {
		t.Errorf("%d tasks may run now, want none", n)
	}
	a = b.ask("Nightshift-Not-Before: 2001-01-01T00:00:00Z")
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); a.status != 202 || n != 1 {
		t.Errorf("in the past: %d, and %d tasks may run, want one", a.status, n)
	}
}

func TestPreferWait(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	tests := []struct {
		name   string
		end    func(id string)
		status int
		body   string
	}{
		{"succeeded", func(id string) { b.finish(function.Background, id, good) }, 201, "made"},
		{"dead", func(id string) { b.finish(function.Background, id, bad) }, 500, "TypeError: boom"},
		{"cancelled", func(id string) {
			if _, err := b.api.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
		}, 409, "was cancelled"},
	}
	var known []string
	for _, tt := range tests {
		answered := make(chan answer, 1)
		go func() { answered <- b.ask("Prefer: wait=20") }()
		id := b.newest(known...)
		known = append(known, id)
		begun := time.Now()
		tt.end(id)
		a := <-answered
		if a.status != tt.status || !strings.Contains(a.body, tt.body) || idOf(a) != id || a.header.Get("Preference-Applied") != "wait=20" || a.header.Get("Location") != "/.nightshift/invocations/"+id {
			t.Errorf("%s: answer = %d %q %v, want %d %q", tt.name, a.status, a.body, a.header, tt.status, tt.body)
		}
		t.Logf("%s: answered %v after the end", tt.name, time.Since(begun))
	}
	if a := b.ask("Prefer: wait=1"); a.status != 202 || a.header.Get("Preference-Applied") != "" || a.header.Get("Location") == "" {
		t.Errorf("not in time: %d %v, want 202", a.status, a.header)
	}
}

// A gateway that stops answers who waits with 202, at once.
func TestStopEndsWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	answered := make(chan answer, 1)
	go func() { answered <- b.ask("Prefer: wait=30") }()
	id := b.newest()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.gateway.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if a := <-answered; a.status != 202 || idOf(a) != id {
		t.Errorf("answer = %d %v, want 202 with the ID", a.status, a.header)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestCallbackHeader(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	b := setup(t, func(c *gateway.Config) { c.CallbackSecret = secret })
	b.deploy("default", job)
	plain := setup(t, func(c *gateway.Config) { c.RedisURL = b.server.URL() })
	private := setup(t, func(c *gateway.Config) {
		c.RedisURL, c.CallbackSecret, c.CallbackAllow = b.server.URL(), secret, "10.0.0.0/8"
	})
	tests := []struct {
		name   string
		by     *bundle
		url    string
		status int
		text   string
	}{
		{"taken", b, "https://example.com/done?x=1", 202, ""},
		{"http", b, "http://example.com/done", 400, "must be https"},
		{"a private address", b, "https://10.1.2.3/", 400, "not a public address"},
		{"user info", b, "https://a:b@example.com/", 400, "no user name"},
		{"relative", b, "/done", 400, "absolute"},
		{"long", b, "https://example.com/" + strings.Repeat("x", 2048), 400, "2048"},
		{"private, allowed", private, "http://10.1.2.3/", 202, ""},
		{"without a secret", plain, "https://example.com/done", 400, "NIGHTSHIFT_CALLBACK_SECRET"},
	}
	accepted := 0
	for _, tt := range tests {
		a := tt.by.ask("Nightshift-Callback: " + tt.url)
		if a.status != tt.status || !strings.Contains(a.body, tt.text) {
			t.Errorf("%s = %d %q, want %d with %q", tt.name, a.status, a.body, tt.status, tt.text)
		}
		if a.status == http.StatusAccepted {
			accepted++
			inv := decode[api.Invocation](t, b.get(a.header.Get("Location")).body)
			if inv.Callback == nil || inv.Callback.URL != tt.url || inv.Callback.State != invocation.CallbackPending {
				t.Errorf("%s: callback = %+v", tt.name, inv.Callback)
			}
		}
	}
	if counts, err := b.store.Counts(t.Context()); err != nil || int(counts.Accepted) != accepted {
		t.Errorf("%d were accepted, want %d; %v", counts.Accepted, accepted, err)
	}
}

func TestSiteBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.SiteBacklog = 2 })
	b.deploy("default", job)
	for i, want := range []int{202, 202, 429, 429} {
		a := b.ask()
		if a.status != want || (a.header.Get("Retry-After") != "") != (want == 429) {
			t.Errorf("call %d = %d %q %v, want %d", i, a.status, a.body, a.header, want)
		}
	}
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != 2 {
		t.Errorf("%d tasks in the queue, want 2", n)
	}
}
