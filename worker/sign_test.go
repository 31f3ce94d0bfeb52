package worker

import (
	"net/http"
	"strings"
	"testing"
	"time"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/oklog/ulid/v2"
)

// TestWhoDoesNotSignRunsNothing: who reaches the port of a worker may ask how it
// is, and nothing else.
func TestWhoDoesNotSignRunsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w, other, lax := f.worker(t), f.worker(t), f.worker(t, func(c *Config) { c.UnsignedCalls = unsignedAccept })
	for name, test := range map[string]struct {
		at   *Worker
		sign func(r *http.Request, event []byte)
		want int
		says string
	}{
		"unsigned":                {w, func(*http.Request, []byte) {}, http.StatusUnauthorized, wire.Refused},
		"by somebody":             {w, func(r *http.Request, event []byte) { wire.Key{ID: "K", Secret: "guess"}.Sign(r, time.Now(), event) }, http.StatusUnauthorized, wire.Refused},
		"for another worker":      {other, func(r *http.Request, event []byte) { f.key(t).Sign(r, time.Now(), event) }, http.StatusMisdirectedRequest, wire.Misdirected},
		"yesterday":               {w, func(r *http.Request, event []byte) { f.key(t).Sign(r, time.Now().Add(-24*time.Hour), event) }, http.StatusUnauthorized, wire.Refused},
		"by a gateway":            {w, func(r *http.Request, event []byte) { f.key(t).Sign(r, time.Now(), event) }, http.StatusCreated, "succeeded"},
		"unsigned, and it may be": {lax, func(*http.Request, []byte) {}, http.StatusCreated, "succeeded"},
	} {
		event := eventFor(t, "hello", "you")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+test.at.Addr()+wire.Path, strings.NewReader(string(event)))
		if err != nil {
			t.Fatal(err)
		}
		for header, value := range map[string]string{
			wire.HeaderInvocation: ulid.Make().String(), wire.HeaderSite: "shop", wire.HeaderDeploy: "d1",
			wire.HeaderFunction: "hello", wire.HeaderWorker: w.ID(),
		} {
			r.Header.Set(header, value)
		}
		test.sign(r, event)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.want || answer.Header.Get(wire.HeaderOutcome) != test.says {
			t.Errorf("%s: answer = %d %s, want %d %s", name, answer.StatusCode, answer.Header.Get(wire.HeaderOutcome), test.want, test.says)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get("http://" + w.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s to who asks without a signature", path, answer.Status)
		}
	}
}
