package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/prometheus/client_golang/prometheus"
)

// refusals is how many calls were not let in, by reason.
func refusals(t *testing.T, registry *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, family := range families {
		if family.GetName() != "nightshift_worker_calls_refused_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				counts[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return counts
}

// TestStrangersAreRefused: nothing of them is run, and their body is not read
// before it is known that somebody signed it.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	ran := func(context.Context, pool.Call) (*pool.Response, error) {
		t.Error("the function ran")
		return nil, pool.ErrBusy
	}
	tests := map[string]struct {
		change  func(r *http.Request)
		reason  reason
		status  int
		outcome string
	}{
		"no signature":     {func(*http.Request) {}, byAbsence, 401, wire.Refused},
		"an empty one":     {func(r *http.Request) { r.Header.Set(wire.HeaderSignature, "") }, byForm, 401, wire.Refused},
		"two":              {func(r *http.Request) { sign(r, "{}"); r.Header.Add(wire.HeaderSignature, "x") }, byForm, 401, wire.Refused},
		"garbage":          {func(r *http.Request) { r.Header.Set(wire.HeaderSignature, strings.Repeat("x", 60<<10)) }, byForm, 401, wire.Refused},
		"an unknown key":   {func(r *http.Request) { wire.Key{ID: "K9", Secret: "secret"}.Sign(r, time.Now(), []byte("{}")) }, byKey, 401, wire.Refused},
		"a made-up key":    {func(r *http.Request) { wire.Key{ID: "K1", Secret: "guess"}.Sign(r, time.Now(), []byte("{}")) }, bySignature, 401, wire.Refused},
		"another function": {func(r *http.Request) { sign(r, "{}"); r.Header.Set(wire.HeaderFunction, "admin") }, bySignature, 401, wire.Refused},
		"another deploy":   {func(r *http.Request) { sign(r, "{}"); r.Header.Set(wire.HeaderDeploy, "d2") }, bySignature, 401, wire.Refused},
		"another site":     {func(r *http.Request) { sign(r, "{}"); r.Header.Set(wire.HeaderSite, "bank") }, bySignature, 401, wire.Refused},
		"another caller":   {func(r *http.Request) { sign(r, "{}"); r.Header.Set(wire.HeaderClientContext, "e30=") }, bySignature, 401, wire.Refused},
		"long ago":         {func(r *http.Request) { testKey.Sign(r, time.Now().Add(-wire.Window-time.Second), []byte("{}")) }, byTime, 401, wire.Refused},
		"to come":          {func(r *http.Request) { testKey.Sign(r, time.Now().Add(wire.Window+time.Minute), []byte("{}")) }, byTime, 401, wire.Refused},
		"another worker":   {func(r *http.Request) { r.Header.Set(wire.HeaderWorker, "w2"); sign(r, "{}") }, byWorker, 421, wire.Misdirected},
		"taken from another": {func(r *http.Request) {
			r.Header.Set(wire.HeaderWorker, "w2")
			sign(r, "{}")
			r.Header.Set(wire.HeaderWorker, "w1")
		}, bySignature, 401, wire.Refused},
		"no worker":           {func(r *http.Request) { r.Header.Del(wire.HeaderWorker); sign(r, "{}") }, byWorker, 421, wire.Misdirected},
		"a signed GET":        {func(r *http.Request) { r.Method = http.MethodGet; sign(r, "{}"); r.Method = http.MethodPost }, bySignature, 401, wire.Refused},
		"signed at other URL": {func(r *http.Request) { r.URL.Path = "/"; sign(r, "{}"); r.URL.Path = wire.Path }, bySignature, 401, wire.Refused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ran, loader{})
			r := request(t, b, "{}")
			test.change(r)
			r.Body = io.NopCloser(unread{t})
			w := httptest.NewRecorder()
			b.ServeHTTP(w, r)
			if w.Code != test.status || w.Header().Get(wire.HeaderOutcome) != test.outcome || w.Header().Get("Connection") != "close" {
				t.Errorf("answer = %d %q %v, want %d %q and a closed connection", w.Code, w.Header().Get(wire.HeaderOutcome), w.Header(), test.status, test.outcome)
			}
			var body struct{ Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Message == "" {
				t.Errorf("body = %s, %v", w.Body, err)
			}
			if got := refusals(t, b.registry); len(got) != 1 || got[string(test.reason)] != 1 {
				t.Errorf("counted %v, want one %s", got, test.reason)
			}
		})
	}
}

func TestAnotherEventIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
		t.Error("the function ran")
		return nil, pool.ErrBusy
	}, loader{})
	r := sign(request(t, b, `{"admin":true}`), `{"admin":false}`)
	answer, body := do(t, b, r)
	if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get(wire.HeaderOutcome) != wire.Refused {
		t.Errorf("answer = %d %q %s, want 401 refused", answer.StatusCode, answer.Header.Get(wire.HeaderOutcome), body)
	}
	if got := refusals(t, b.registry); got[string(byEvent)] != 1 {
		t.Errorf("counted %v, want one %s", got, byEvent)
	}
}

func TestAReplayIsRefused(t *testing.T) {
	t.Parallel()
	ran := 0
	b := setup(t, func(context.Context, pool.Call) (*pool.Response, error) {
		ran++
		return response(200, nil, strings.NewReader("ok")), nil
	}, loader{})
	header := sign(request(t, b, "{}"), "{}").Header
	for i, want := range []int{200, 401, 401} {
		r := request(t, b, "{}")
		r.Header = header.Clone()
		if answer, body := do(t, b, r); answer.StatusCode != want {
			t.Errorf("time %d: answer = %d %s, want %d", i+1, answer.StatusCode, body, want)
		}
	}
	if got := refusals(t, b.registry); ran != 1 || got[string(byReplay)] != 2 {
		t.Errorf("it ran %d times, refused %v; want 1, and 2 replays", ran, got)
	}
}

// TestUnsignedCallsMayBeAccepted, for the time of an upgrade; what is signed, but
// wrongly, is refused all the same.
func TestUnsignedCallsMayBeAccepted(t *testing.T) {
	t.Parallel()
	h := NewHandler(Config{
		Runner: runner(func(context.Context, pool.Call) (*pool.Response, error) {
			return response(200, nil, strings.NewReader("ok")), nil
		}),
		Worker: "w1", Keys: keys{testKey}, Unsigned: true, Loader: loader{}, Logs: &feed{}, Max: 1, Logger: slog.New(slog.DiscardHandler),
	})
	defer h.Stop(t.Context())
	b := &bench{server: &httptest.Server{}}
	for name, test := range map[string]struct {
		change func(r *http.Request)
		want   int
	}{
		"unsigned":       {func(*http.Request) {}, 200},
		"signed":         {func(r *http.Request) { sign(r, "{}") }, 200},
		"wrongly signed": {func(r *http.Request) { sign(r, "{}"); r.Header.Set(wire.HeaderFunction, "admin") }, 401},
		"another event":  {func(r *http.Request) { sign(r, "{x}") }, 401},
	} {
		r := request(t, b, "{}")
		test.change(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s: answer = %d %s, want %d", name, w.Code, w.Body, test.want)
		}
	}
}

func TestSeenForgetsWhatIsNotFresh(t *testing.T) {
	t.Parallel()
	var s seen
	start := time.Now()
	name := func(n int) [16]byte { return [16]byte{byte(n), byte(n >> 8), byte(n >> 16)} }
	if got := s.add(name(1), start); got != added {
		t.Fatalf("add = %v, want added", got)
	}
	for _, later := range []time.Duration{0, generation - 1, generation, 2*generation - 1} {
		if got := s.add(name(1), start.Add(later)); got != before {
			t.Errorf("%v later add = %v, want before", later, got)
		}
	}
	if got := s.add(name(1), start.Add(2*generation)); got != added {
		t.Errorf("when it is not fresh any more add = %v, want added", got)
	}
	if s.add(name(2), start.Add(9*generation)); len(s.newer)+len(s.older) != 1 {
		t.Errorf("after a long time %d are remembered, want 1", len(s.newer)+len(s.older))
	}
}

func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	var s seen
	now := time.Now()
	for n := range maxSeen {
		if got := s.add([16]byte{byte(n), byte(n >> 8), byte(n >> 16)}, now); got != added {
			t.Fatalf("add(%d) = %v, want added", n, got)
		}
	}
	if got := s.add([16]byte{15: 1}, now); got != full {
		t.Errorf("one more: add = %v, want full", got)
	}
	if got := s.add([16]byte{15: 1}, now.Add(generation)); got != added {
		t.Errorf("a generation later: add = %v, want added", got)
	}
}

// TestStrangersDoNotFillTheLog.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := NewHandler(Config{Worker: "w1", Keys: keys{testKey}, Loader: loader{}, Logs: &feed{}, Max: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer h.Stop(t.Context())
	b := &bench{server: &httptest.Server{}}
	for range 1000 {
		h.ServeHTTP(httptest.NewRecorder(), request(t, b, "{}"))
	}
	if got := strings.Count(log.String(), "\n"); got < 1 || got > 3 {
		t.Errorf("1000 strangers made %d lines:\n%s", got, log.String())
	}
}

// BenchmarkGuard is what a call costs to be let in, and a stranger to be turned away.
func BenchmarkGuard(b *testing.B) {
	for _, signs := range []bool{true, false} {
		b.Run(fmt.Sprintf("signed=%v", signs), func(b *testing.B) {
			h := NewHandler(Config{Worker: "w1", Keys: keys{testKey}, Loader: loader{}, Logs: &feed{}, Max: 1, Logger: slog.New(slog.DiscardHandler)})
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, wire.Path, nil)
			r.Header.Set(wire.HeaderWorker, "w1")
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if signs {
					r.Header.Set(wire.HeaderInvocation, strconv.Itoa(n)) // a call of its own
					testKey.Sign(r, time.Now(), nil)
				}
				if _, err := h.guard.admit(r); (err == nil) != signs {
					b.Fatal(err)
				}
			}
		})
	}
}
