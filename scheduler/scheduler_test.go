package scheduler

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestConfig(t *testing.T) {
	t.Parallel()
	const url = "redis://127.0.0.1:1"
	tests := map[string]struct {
		cfg  Config
		want string
	}{
		"no redis":            {Config{Logger: quiet()}, "NIGHTSHIFT_REDIS_URL is not set"},
		"lock too short":      {Config{RedisURL: url, LockTTL: time.Second, Logger: quiet()}, "it must be 2s to 60s"},
		"lock too long":       {Config{RedisURL: url, LockTTL: time.Hour, Logger: quiet()}, "it must be 2s to 60s"},
		"a URL of no use":     {Config{RedisURL: "http://x", Logger: quiet()}, "scheme"},
		"a public host":       {Config{RedisURL: url, PublicURL: "example.com", Logger: quiet()}, "NIGHTSHIFT_PUBLIC_URL"},
		"retention too short": {Config{RedisURL: url, Records: store.Options{Retention: time.Second}, Logger: quiet()}, "it must be 1m or more"},
		"bad blobs":           {Config{RedisURL: url, BlobURL: "ftp://x", Logger: quiet()}, "the blob URL has the scheme"},
		"deploys too short":   {Config{RedisURL: url, DeployRetention: Retention(time.Minute), Logger: quiet()}, "NIGHTSHIFT_DEPLOY_RETENTION is 1m0s; it must be 1h or more, or off"},
		"a negative limit":    {Config{RedisURL: url, SiteConcurrency: -1, Logger: quiet()}, "NIGHTSHIFT_SITE_CONCURRENCY is -1; it must be 0"},
		"port out of range":   {Config{RedisURL: url, Addr: "127.0.0.1:99999", Logger: quiet()}, "cannot listen"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(tt.cfg)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, %v, want an invalid fault with %q", s, err, tt.want)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"2160h": "2160h0m0s", "off": "off", "0": "off", "90d": "", "": "", "90": ""} {
		var r Retention
		err := r.UnmarshalText([]byte(text))
		switch {
		case want == "" && !fault.Is(err, fault.Invalid):
			t.Errorf("UnmarshalText(%q) = %v, want invalid", text, err)
		case want != "" && (err != nil || r.String() != want):
			t.Errorf("UnmarshalText(%q) = %v, %v; want %s", text, r, err, want)
		}
	}
}

// The leader collects garbage as soon as it leads, if it knows where blobs are.
func TestTheLeaderCollects(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	records := store.New(server.Client(), store.Options{})
	publish(t, records, "acme", 1)
	for id, age := range map[string]time.Duration{"old": 2 * time.Hour, "young": time.Minute} {
		d := deploy.Deploy{ID: id, Site: "acme", State: deploy.Ready, CreatedAt: time.Now().Add(-age)}
		if err := records.CreateDeploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Config{RedisURL: server.URL(), BlobURL: "file://" + t.TempDir(), DeployRetention: Retention(time.Hour), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	for deadline := time.After(10 * time.Second); ; {
		d, err := records.Deploy(t.Context(), "old")
		if err != nil {
			t.Fatal(err)
		}
		if d.State == deploy.Expired {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("the old deploy is %q, want expired", d.State)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if d, err := records.Deploy(t.Context(), "young"); err != nil || d.State != deploy.Ready {
		t.Errorf("the young deploy is %q, %v; want ready", d.State, err)
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cfg        Config
		site, want string
	}{
		{Config{}, "default", "http://localhost"},
		{Config{}, "acme", "http://acme.localhost"},
		{Config{BaseDomain: "example.com"}, "acme", "http://acme.example.com"},
		{Config{PublicURL: "https://example.com/"}, "acme", "https://acme.example.com"},
		{Config{PublicURL: "https://example.com", DefaultSite: "acme"}, "acme", "https://example.com"},
	}
	for _, tt := range tests {
		tt.cfg.RedisURL, tt.cfg.Logger = "redis://127.0.0.1:1", quiet()
		if err := tt.cfg.prepare(); err != nil {
			t.Fatal(err)
		}
		if got := tt.cfg.baseURL(tt.site); got != tt.want {
			t.Errorf("baseURL(%q) = %q, want %q", tt.site, got, tt.want)
		}
	}
}

// TestWithoutRedis: it starts, says so in /readyz, and stops in time.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	s, err := New(Config{RedisURL: "redis://" + freeAddr(t), Addr: "127.0.0.1:0", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got := status(t, "http://"+s.Addr()+path); got != want {
			t.Errorf("GET %s = %d, want %d", path, got, want)
		}
	}
	stop(t, s)
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	unstarted, err := New(Config{RedisURL: url, Addr: "127.0.0.1:0", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, unstarted)
	for range 3 {
		s, err := New(Config{RedisURL: url, Addr: "127.0.0.1:0", Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := status(t, "http://"+s.Addr()+"/readyz"); got != http.StatusOK {
			t.Errorf("GET /readyz = %d, want 200", got)
		}
		stop(t, s)
	}
}

// TestUpkeepOnly: no tick fires, as no schedule gets a cursor.
func TestUpkeepOnly(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	records := store.New(server.Client(), store.Options{})
	publish(t, records, "acme", 1)
	cursors := func(upkeepOnly bool) int {
		s, err := New(Config{RedisURL: server.URL(), UpkeepOnly: upkeepOnly, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer stop(t, s)
		for deadline := time.After(2 * time.Second); ; {
			found, err := records.Cursors(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-deadline:
				return len(found)
			case <-time.After(10 * time.Millisecond):
				if len(found) > 0 {
					return len(found)
				}
			}
		}
	}
	if got := cursors(true); got != 0 {
		t.Errorf("%d cursors with UpkeepOnly, want none", got)
	}
	if got := cursors(false); got != 1 {
		t.Errorf("%d cursors without it, want 1", got)
	}
}

func stop(t *testing.T, s *Scheduler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for range 2 { // idempotent
		if err := s.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// freeAddr is a loopback address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
