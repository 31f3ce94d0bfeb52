package node_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

// open begins a call and returns at the response's head.
func (b *bench) open(ctx context.Context, t *testing.T, c call, event string) (*pool.Response, *atomic.Int32) {
	t.Helper()
	lines := new(atomic.Int32)
	response, err := b.pool.Invoke(ctx, b.code(c), pool.Call{
		ID: "01HZX", Attempt: 1, Event: []byte(event), Deadline: time.Now().Add(30 * time.Second),
		Log: func(string, string) { lines.Add(1) },
	}, true)
	if err != nil {
		t.Fatalf("%s: %v", c.entry, err)
	}
	return response, lines
}

// The caller has all of a streamed response while the function is still busy.
func TestAStreamEndsBeforeItsInvocation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := filepath.Join(b.dir, "gate") // which the function may look at
	response, lines := b.open(t.Context(), t, call{entry: "stream-lingers.js"}, `{"body":"`+gate+`"}`)
	text, err := io.ReadAll(response.Stream())
	if err != nil || string(text) != "all of it" || lines.Load() != 0 {
		t.Errorf("Stream = %q, %v after %d lines, want all of it before any", text, err, lines.Load())
	}
	if len(response.Header) != 1 || response.Header["x-own"][0] != "a" {
		t.Errorf("header %v, want x-own alone", response.Header)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil || lines.Load() != 1 {
		t.Errorf("Body ends with %v after %d lines, want 1: the function had more to do", err, lines.Load())
	}
}

func TestAStreamThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	response, _ := b.open(t.Context(), t, call{entry: "v2.mjs"}, `{"rawUrl":"http://site.test/?case=stream-fails"}`)
	text, err := io.ReadAll(response.Stream())
	if failed, ok := err.(*pool.Failed); !ok || failed.Outcome != invocation.Error || string(text) != "first " {
		t.Errorf("Stream = %q, %v, want the first part and the error", text, err)
	}
}

// A caller that hangs up ends the function, even one that never would.
func TestHangingUpEndsAStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	response, _ := b.open(ctx, t, call{entry: "v2.mjs"}, `{"rawUrl":"http://site.test/?case=endless"}`)
	if _, err := io.ReadFull(response.Stream(), make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	cancel(pool.ErrCancelled)
	_, err := io.Copy(io.Discard, response.Body)
	if failed, ok := err.(*pool.Failed); !ok || failed.Outcome != invocation.Aborted {
		t.Errorf("Body ends with %v, want %s", err, invocation.Aborted)
	}
	if stats := b.pool.Stats(); stats.Busy != 0 || len(stats.Warm) != 0 {
		t.Errorf("%+v, want no process", stats)
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", "the site")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.URL.String())
	}))
	t.Cleanup(site.Close)
	b := setup(t)
	for name, want := range map[string]string{"rewrite": "/other?case=rewrite", "rewrite-away": "/away?x=1"} {
		a := b.run(t, call{entry: "v2.mjs", body: name, event: map[string]any{"rawUrl": site.URL + "/here?case=" + name}})
		if a.status != http.StatusTeapot || a.body != want || len(a.header["x-from"]) != 1 {
			t.Errorf("%s: got %d %q %v, %v, want %q", name, a.status, a.body, a.header, a.err, want)
		}
	}
}
