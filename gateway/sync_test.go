package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// worker registers a fake worker that answers so.
func (b *bundle) worker(answer http.HandlerFunc) {
	b.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(dispatch.HeaderOutcome, "succeeded")
		answer(w, r)
	}))
	b.t.Cleanup(server.Close)
	w := store.Worker{ID: "w-" + server.URL, Addr: strings.TrimPrefix(server.URL, "http://"), Capacity: 4, Concurrency: 4}
	if err := b.store.Heartbeat(b.t.Context(), w, time.Minute); err != nil {
		b.t.Fatal(err)
	}
}

// echo answers with the event.
func echo(w http.ResponseWriter, r *http.Request) {
	event, _ := io.ReadAll(r.Body) // whole, before the answer begins: HTTP/1 is half duplex
	_, _ = w.Write(event)
}

func TestSyncCall(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy = "true" })
	b.deploy("default", function.Function{Name: "hello"}, function.Function{Name: "items", Paths: []string{"/items/:id"}})
	if got := b.get("/.netlify/functions/hello"); got.status != 503 || !strings.Contains(got.body, "No worker is alive") || got.header.Get("Retry-After") == "" {
		t.Errorf("without a worker: %d %q", got.status, got.body)
	}
	b.worker(echo)
	req := b.request("GET", "/items/42", nil)
	req.Host = "example.com"
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("X-Forwarded-Proto", "https")
	got := b.do(req)
	for _, part := range []string{`"route":"/items/:id"`, `"rawUrl":"https://example.com/items/42"`, `"client-ip":"203.0.113.9"`} {
		if got.status != 200 || !strings.Contains(got.body, part) {
			t.Errorf("answer = %d %s, want %s in it", got.status, got.body, part)
		}
	}
	// Sync calls need no Redis.
	b.server.Stop()
	if got := b.get("/.netlify/functions/hello"); got.status != 200 {
		t.Errorf("without Redis: %d %q", got.status, got.body)
	}
}

func TestProxyHeadersAreNotTrusted(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", function.Function{Name: "hello"})
	b.worker(echo)
	req := b.request("GET", "/.netlify/functions/hello", nil)
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("X-Real-Ip", "203.0.113.9")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", "bank.example")
	req.Header.Set("Forwarded", "for=203.0.113.9;host=bank.example")
	req.Header.Set("X-Nf-Client-Connection-Ip", "203.0.113.9")
	got := b.do(req)
	for _, part := range []string{`"client-ip":"127.0.0.1"`, `"x-nf-client-connection-ip":"127.0.0.1"`, `"x-forwarded-for":"127.0.0.1"`, `"rawUrl":"http://`} {
		if !strings.Contains(got.body, part) {
			t.Errorf("event = %s, want %s in it", got.body, part)
		}
	}
	for _, part := range []string{"203.0.113.9", "bank.example", "x-forwarded-proto"} {
		if strings.Contains(got.body, part) {
			t.Errorf("event = %s, want no %s in it", got.body, part)
		}
	}
}

// What functions see behind a proxy is what the proxy says, and no more.
func TestProxyHeadersAreTrusted(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy = "127.0.0.0/8,10.1.0.0/16" })
	b.deploy("default", function.Function{Name: "hello"})
	b.worker(echo)
	req := b.request("GET", "/.netlify/functions/hello", nil)
	req.Host = "shop.example"
	req.Header.Set("X-Forwarded-For", "198.51.100.66, 203.0.113.9, 10.1.2.3") // forged, caller, proxy
	req.Header.Set("X-Real-Ip", "203.0.113.9")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Nf-Client-Connection-Ip", "198.51.100.66")
	req.Header.Set("Client-Ip", "198.51.100.66")
	got := b.do(req)
	for _, part := range []string{
		`"client-ip":"203.0.113.9"`, `"x-nf-client-connection-ip":"203.0.113.9"`, `"x-forwarded-for":"198.51.100.66, 203.0.113.9, 10.1.2.3, 127.0.0.1"`,
		`"x-real-ip":"203.0.113.9"`, `"x-forwarded-proto":"https"`, `"rawUrl":"https://shop.example/`,
	} {
		if !strings.Contains(got.body, part) {
			t.Errorf("event = %s, want %s in it", got.body, part)
		}
	}
}

func TestScheduledInDev(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Dev = true })
	b.deploy("default", function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily"})
	b.worker(echo)
	if got := b.get("/.netlify/functions/tick"); got.status != 200 || !strings.Contains(got.body, "next_run") {
		t.Errorf("a scheduled function in dev = %d %s", got.status, got.body)
	}
}

// TestDrain: a stop lets the running call end, lets followed logs go, fails
// readyz first and refuses what comes after.
func TestDrain(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.LameDuck = 300 * time.Millisecond })
	b.deploy("default", function.Function{Name: "hello"}, job)
	started, release := make(chan struct{}), make(chan struct{})
	b.worker(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	id := b.do(b.request("POST", jobURL, nil)).header.Get("X-Nf-Request-Id")
	stream := b.follow("/.nightshift/invocations/"+id+"/logs", "")

	running := make(chan answer, 1)
	go func() { running <- b.get("/.netlify/functions/hello") }()
	<-started
	stopped := make(chan error, 1)
	go func() { stopped <- b.gateway.Stop(context.Background()) }()
	eventually(t, "readyz fails while the servers still serve", func() bool {
		return b.get(b.control("/readyz")).status == http.StatusServiceUnavailable
	})
	if got := stream.next(); got != "" {
		t.Errorf("the followed log got %q, want its end", got)
	}
	eventually(t, "new connections are refused", func() bool {
		resp, err := http.Get("http://" + b.gateway.Addr() + "/")
		if err == nil {
			resp.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned %v while a call was running", err)
	default:
	}
	close(release)
	if got := <-running; got.status != 200 || got.body != "done" || got.err != nil {
		t.Errorf("the running call = %d %q, %v", got.status, got.body, got.err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := b.gateway.Stop(context.Background()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

// TestDrainEnds: a call that does not end is cut off after the drain.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Drain = 200 * time.Millisecond })
	b.deploy("default", function.Function{Name: "hello"})
	started, ended := make(chan struct{}), make(chan struct{})
	b.worker(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(started)
		<-r.Context().Done()
		close(ended)
	})
	failed := make(chan error, 1)
	go func() {
		resp, err := b.http.Get("http://" + b.gateway.Addr() + "/.netlify/functions/hello")
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-started
	err := b.gateway.Stop(context.Background())
	if err == nil || !strings.Contains(err.Error(), "requests were cut off") {
		t.Errorf("Stop = %v, want that requests were cut off", err)
	}
	<-ended
	if err := <-failed; err == nil {
		t.Error("the call that was cut off was answered")
	}
}
