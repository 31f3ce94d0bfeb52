package invoke_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
)

// strange refuses what is not signed with the key of an ID.
func strange(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s, _, _ := dispatch.ReadSignature(r.Header); s.Key == id {
			_, _ = io.WriteString(w, "hello")
			return
		}
		w.Header().Set(dispatch.HeaderOutcome, dispatch.Refused)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"message":"who are you?"}`)
	}
}

// TestARefusedSignatureIsRenewed: Redis may have lost the keys that this gateway
// has, and its workers know it before.
func TestARefusedSignatureIsRenewed(t *testing.T) {
	t.Parallel()
	w, k := newWorker(t, strange("K1")), &keys{}
	b := setupConfig(t, 0, invoke.Config{Keys: k}, syncFunction, w.addr())
	if resp, body, err := b.call(http.MethodPost, strings.Repeat("x", 100<<10)); err != nil || resp.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("answer = %d %q, %v; want that of the second call", resp.StatusCode, body, err)
	}
	if got := k.renewed.Load(); got != 1 || w.times() != 2 {
		t.Errorf("the keys were renewed %d times and the worker called %d times, want 1 and 2", got, w.times())
	}
}

// TestARefusedSignatureIsOurFault, and not the caller's.
func TestARefusedSignatureIsOurFault(t *testing.T) {
	t.Parallel()
	w, k := newWorker(t, strange("none")), &keys{}
	b := setupConfig(t, 0, invoke.Config{Keys: k}, syncFunction, w.addr())
	resp, body, err := b.call(http.MethodPost, "x")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "who are you?") {
		t.Errorf("answer = %d %q, %v; want 503, and nothing of the worker's", resp.StatusCode, body, err)
	}
	if got := k.renewed.Load(); got != 1 || w.times() != 2 {
		t.Errorf("the keys were renewed %d times and the worker called %d times, want 1 and 2", got, w.times())
	}
}

// TestAMisdirectedCallGoesToAnother: at the address of a worker that died there
// is another one, which says so.
func TestAMisdirectedCallGoesToAnother(t *testing.T) {
	t.Parallel()
	successor := newWorker(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(dispatch.HeaderOutcome, dispatch.Misdirected)
		w.WriteHeader(http.StatusMisdirectedRequest)
	})
	other := newWorker(t, nil)
	b := setup(t, syncFunction, successor.addr(), other.addr())
	for range 2 {
		if resp, body, err := b.call(http.MethodPost, "x"); err != nil || resp.StatusCode != http.StatusOK || body != "hello" {
			t.Errorf("answer = %d %q, %v; want that of the other worker", resp.StatusCode, body, err)
		}
	}
	if successor.times() < 1 {
		t.Error("the successor was never asked")
	}
}

type noKeys struct{}

func (noKeys) Current(context.Context) (dispatch.Key, time.Time, error) {
	return dispatch.Key{}, time.Now(), fault.New(fault.Unavailable, "no key")
}
func (noKeys) Renew(context.Context) {}

func TestWithoutAKeyNothingIsSent(t *testing.T) {
	t.Parallel()
	w := newWorker(t, nil)
	b := setupConfig(t, 0, invoke.Config{Keys: noKeys{}}, syncFunction, w.addr())
	if resp, body, err := b.call(http.MethodPost, "x"); err != nil || resp.StatusCode != http.StatusServiceUnavailable || w.times() != 0 {
		t.Errorf("answer = %d %q, %v after %d calls; want 503 and none", resp.StatusCode, body, err, w.times())
	}
}
