package callback

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus/testutil"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestACallbackIsDeliveredAndVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.receiver(t, "127.0.0.1", nil)
	run(t, w.deliverer(t, w.Store))
	id := w.end(t, r.url("receiver.example"))
	if c := w.tried(t, id, 1); c.State != invocation.CallbackDelivered || c.Error != "" {
		t.Errorf("callback = %+v, want delivered", c)
	}
	all := r.got()
	if len(all) != 1 {
		t.Fatalf("the receiver got %d requests, want 1", len(all))
	}
	verifies(t, all[0])
	inv, err := w.Invocation(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := all[0].header.Get("Webhook-Id"); !strings.HasPrefix(got, id+"-") {
		t.Errorf("webhook-id = %q", got)
	}
	var payload struct {
		Type      string
		Timestamp time.Time
		Data      api.Invocation
	}
	if err := json.Unmarshal(all[0].body, &payload); err != nil {
		t.Fatal(err)
	}
	if payload.Type != "invocation.finished" || !payload.Timestamp.Equal(inv.FinishedAt) ||
		payload.Data.ID != id || payload.Data.State != invocation.Succeeded || payload.Data.Result.Body != "done" {
		t.Errorf("payload = %s", all[0].body)
	}
	if h := all[0].header; h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "Nightshift" {
		t.Errorf("header = %v", h)
	}
}

// verifies fails unless a receiver would take the request for ours.
func verifies(t testing.TB, g got) {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(g.body, g.header); err != nil {
		t.Errorf("Verify = %v", err)
	}
}

// hasty is a store in which what failed is due again at once. It notes the delays.
type hasty struct {
	*store.Store
	mu     sync.Mutex
	delays []time.Duration
}

func (h *hasty) CallbackFailed(ctx context.Context, site string, c store.CallbackClaim, reason string, delay time.Duration) error {
	h.mu.Lock()
	h.delays = append(h.delays, delay)
	h.mu.Unlock()
	return h.Store.CallbackFailed(ctx, site, c, reason, 0)
}

// patient is a store in which what failed is not due again before the test ends.
type patient struct{ *store.Store }

func (p patient) CallbackFailed(ctx context.Context, site string, c store.CallbackClaim, reason string, _ time.Duration) error {
	return p.Store.CallbackFailed(ctx, site, c, reason, time.Hour)
}

// kicked runs a deliverer that looks all the time, for stores in which time flies.
func kicked(t testing.TB, d *Deliverer) {
	run(t, d)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			d.Kick()
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func TestAReceiverThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const failures = 3
	r := w.receiver(t, "127.0.0.1", func(n int, rw http.ResponseWriter, _ *http.Request) {
		if n <= failures {
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = rw.Write([]byte("secret words of the receiver"))
		}
	})
	s := &hasty{Store: w.Store}
	id := w.end(t, r.url("receiver.example"))
	kicked(t, w.deliverer(t, s))
	eventually(t, "delivery", func() bool { return w.callback(t, id).State == invocation.CallbackDelivered })
	if c := w.callback(t, id); c.Attempts != failures+1 || c.Error != "" {
		t.Errorf("callback = %+v", c)
	}
	all := r.got()
	if len(all) != failures+1 {
		t.Fatalf("the receiver got %d requests, want %d", len(all), failures+1)
	}
	for _, g := range all {
		verifies(t, g)
		if g.header.Get("Webhook-Id") != all[0].header.Get("Webhook-Id") || string(g.body) != string(all[0].body) {
			t.Error("a later request has another id, or another body")
		}
	}
	if len(s.delays) != failures {
		t.Fatalf("delays = %v", s.delays)
	}
	for i, delay := range s.delays {
		if delay < delays[i] || delay > delays[i]*6/5 {
			t.Errorf("delay %d = %v, want %v to a fifth more", i+1, delay, delays[i])
		}
	}
}

func TestACallbackDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	well := false
	var mu sync.Mutex
	r := w.receiver(t, "127.0.0.1", func(_ int, rw http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case well:
		case strings.HasPrefix(req.URL.Path, "/gone"):
			rw.WriteHeader(http.StatusGone)
		default:
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	gone := w.end(t, "https://receiver.example:"+r.port+"/gone")
	down := w.end(t, r.url("receiver.example"))
	d := w.deliverer(t, &hasty{Store: w.Store})
	kicked(t, d)
	for id, want := range map[string]invocation.Callback{
		gone: {URL: "https://receiver.example:" + r.port + "/gone", State: invocation.CallbackDead, Attempts: 1, Error: "the receiver answered 410 Gone"},
		down: {URL: r.url("receiver.example"), State: invocation.CallbackDead, Attempts: 7, Error: "the receiver answered 503"},
	} {
		eventually(t, "death", func() bool { return w.callback(t, id).State == invocation.CallbackDead })
		if c := w.callback(t, id); c != want {
			t.Errorf("callback = %+v, want %+v", c, want)
		}
	}
	buried, _, err := w.DeadCallbacks(t.Context(), "shop", "", 10)
	if err != nil || len(buried) != 2 {
		t.Errorf("DeadCallbacks = %v, %v, want both", buried, err)
	}
	// By hand, when the receiver is well again.
	mu.Lock()
	well = true
	mu.Unlock()
	for _, id := range []string{gone, down} {
		if err := w.RetryCallback(t.Context(), id); err != nil {
			t.Errorf("RetryCallback = %v", err)
		}
		eventually(t, "delivery", func() bool { return w.callback(t, id).State == invocation.CallbackDelivered })
	}
	for o, want := range map[outcome]float64{delivered: 2, failed: 6, dead: 2} {
		if got := testutil.ToFloat64(d.metrics.requests[o]); got != want {
			t.Errorf("%v requests are told as %s, want %v", got, o, want)
		}
	}
}

func TestAReceiverThatHangs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer func(rw http.ResponseWriter)
		want   invocation.CallbackState
		says   string
	}{
		"before its answer": {func(http.ResponseWriter) {}, invocation.CallbackPending, "did not answer within"},
		"in the body of its answer": {func(rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(rw).Flush()
		}, invocation.CallbackDelivered, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.receiver(t, "127.0.0.1", func(_ int, rw http.ResponseWriter, req *http.Request) {
				test.answer(rw)
				<-req.Context().Done()
			})
			d := w.deliverer(t, patient{w.Store})
			d.client.Timeout = 500 * time.Millisecond
			run(t, d)
			if c := w.tried(t, w.end(t, r.url("receiver.example")), 1); c.State != test.want || !strings.Contains(c.Error, test.says) {
				t.Errorf("callback = %+v", c)
			}
		})
	}
}

// An answer without an end is not read to its end.
func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.receiver(t, "127.0.0.1", func(_ int, rw http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	d := w.deliverer(t, w.Store)
	d.client.Timeout = time.Hour
	run(t, d)
	if c := w.tried(t, w.end(t, r.url("receiver.example")), 1); c.State != invocation.CallbackDelivered {
		t.Errorf("callback = %+v", c)
	}
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	now, most := 0, 0
	release := make(chan struct{})
	r := w.receiver(t, "127.0.0.1", func(int, http.ResponseWriter, *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-release
		mu.Lock()
		now--
		mu.Unlock()
	})
	var ids []string
	const all = maxInFlight + 10
	for range all {
		ids = append(ids, w.end(t, r.url("receiver.example")))
	}
	kicked(t, w.deliverer(t, w.Store))
	eventually(t, "as many requests as there may be", func() bool { return len(r.got()) >= maxInFlight })
	close(release)
	for _, id := range ids {
		w.tried(t, id, 1)
	}
	if most != maxInFlight || len(r.got()) != all {
		t.Errorf("%d requests at once of %d, want %d of %d", most, len(r.got()), maxInFlight, all)
	}
}

// dies is the store of a worker that is killed: it answers nothing any more
// after the claim, or after the request.
type dies struct {
	*store.Store
	before bool // the request
}

var errDead = errors.New("the worker is dead")

// The lease is over as soon as somebody looks.
func (s dies) ClaimCallbacks(ctx context.Context, room store.CallbackRoom, _ time.Duration) ([]store.CallbackClaim, bool, error) {
	return s.Store.ClaimCallbacks(ctx, room, time.Millisecond)
}

func (s dies) Invocation(ctx context.Context, id string) (invocation.Invocation, error) {
	if s.before {
		return invocation.Invocation{}, errDead
	}
	return s.Store.Invocation(ctx, id)
}

func (dies) CallbackDelivered(context.Context, string, store.CallbackClaim) error { return errDead }

func TestAWorkerDiesWithAClaim(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before its request": true, "after its request": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.receiver(t, "127.0.0.1", nil)
			id := w.end(t, r.url("receiver.example"))
			dying := w.deliverer(t, dies{w.Store, before})
			if healthy := dying.look(t.Context(), t.Context(), true); !healthy {
				t.Fatal("the worker that dies claims nothing")
			}
			dying.requests.Wait()
			if c := w.callback(t, id); c.State != invocation.CallbackPending || c.Attempts != 1 {
				t.Errorf("callback after the death = %+v", c)
			}
			dying.client.CloseIdleConnections()

			run(t, w.deliverer(t, w.Store))
			if c := w.tried(t, id, 2); c.State != invocation.CallbackDelivered {
				t.Errorf("callback = %+v", c)
			}
			all := r.got()
			want := 1
			if !before {
				want = 2 // at least once: the receiver knows it by its id
			}
			if len(all) != want || all[0].header.Get("Webhook-Id") != all[len(all)-1].header.Get("Webhook-Id") {
				t.Errorf("the receiver got %d requests, want %d with one id", len(all), want)
			}
		})
	}
}

func TestTwoWorkersSendOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.receiver(t, "127.0.0.1", nil)
	kicked(t, w.deliverer(t, w.Store))
	kicked(t, w.deliverer(t, w.Store))
	var ids []string
	for range 60 {
		ids = append(ids, w.end(t, r.url("receiver.example")))
	}
	for _, id := range ids {
		if c := w.tried(t, id, 1); c.State != invocation.CallbackDelivered {
			t.Errorf("callback = %+v", c)
		}
	}
	seen := map[string]int{}
	for _, g := range r.got() {
		seen[g.header.Get("Webhook-Id")]++
	}
	if len(seen) != len(ids) || len(r.got()) != len(ids) {
		t.Errorf("the receiver got %d requests about %d ends, want %d", len(r.got()), len(seen), len(ids))
	}
}

func TestStopCutsOffWhatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.receiver(t, "127.0.0.1", func(_ int, _ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	d := w.deliverer(t, w.Store)
	d.grace = 10 * time.Millisecond
	stop := run(t, d)
	id := w.end(t, r.url("receiver.example"))
	eventually(t, "the request", func() bool { return len(r.got()) == 1 })
	stop()
	if c := w.callback(t, id); c.State != invocation.CallbackPending || c.Attempts != 1 || c.Error != "the worker stopped before the receiver had answered" {
		t.Errorf("callback = %+v", c)
	}
}
