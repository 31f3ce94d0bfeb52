package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

const token = "test-token-of-the-control-plane"

// bundle is a running gateway with all that a test needs to talk to it.
type bundle struct {
	t       *testing.T
	gateway *gateway.Gateway
	server  *redistest.Server
	redis   redis.UniversalClient
	store   *store.Store
	api     *client.Client
	http    *http.Client
	broken  *redistest.Breaker // breaks what the gateway asks of Redis
}

// setup starts a gateway on a Redis of its own. change may alter its settings.
func setup(t *testing.T, change func(*gateway.Config)) *bundle {
	t.Helper()
	server := redistest.Start(t)
	cfg := gateway.Config{
		RedisURL: server.URL(), BlobURL: "file://" + t.TempDir(), Token: token,
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", LameDuck: -1,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, gateway: g, server: server, redis: server.Client(), http: &http.Client{Transport: &http.Transport{}}, broken: &redistest.Breaker{}}
	g.AddHook(b.broken)
	b.store = store.New(b.redis, store.Options{})
	t.Cleanup(func() {
		b.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err != nil && !strings.Contains(err.Error(), "cut off") {
			t.Errorf("Stop: %v", err)
		}
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.api, err = client.New("http://"+g.AdminAddr()+"/api/v1", cfg.Token, b.http); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway is ready", func() bool { return b.get("http://"+g.AdminAddr()+"/readyz").status == http.StatusOK })
	return b
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 10 s: %s", what)
		case <-tick.C:
		}
	}
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// do sends a request and reads the answer.
func (b *bundle) do(req *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (b *bundle) get(url string) answer {
	b.t.Helper()
	return b.do(b.request("GET", url, nil))
}

// request makes a request; a URL without host is one of the data plane.
func (b *bundle) request(method, url string, body io.Reader) *http.Request {
	b.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = "http://" + b.gateway.Addr() + url
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return req
}

// code is an artifact and its digest.
func code(t testing.TB, text string) (zip []byte, digest string) {
	t.Helper()
	zip, digest, err := artifact.Pack([]artifact.File{{Path: "index.mjs", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return zip, digest
}

// fn fills in what every function needs.
func fn(f function.Function, digest string) function.Function {
	f.API, f.Runtime, f.Entry, f.Artifact = function.APIv2, "node", "index.mjs", digest
	f.Kind = cmp.Or(f.Kind, function.Sync)
	return f
}

// site makes a site unless there is one.
func (b *bundle) site(name string) {
	b.t.Helper()
	if _, err := b.api.CreateSite(b.t.Context(), name); err != nil && !fault.Is(err, fault.Conflict) {
		b.t.Fatal(err)
	}
}

// deploy publishes functions on a site through the control plane.
func (b *bundle) deploy(site string, functions ...function.Function) api.Deploy {
	b.t.Helper()
	zip, digest := code(b.t, "export default () => new Response('hi')")
	for i := range functions {
		functions[i] = fn(functions[i], digest)
	}
	b.site(site)
	d, err := b.api.CreateDeploy(b.t.Context(), site, api.CreateDeploy{Functions: functions})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(d.RequiredFunctions) > 0 {
		if d, err = b.api.UploadFunction(b.t.Context(), d.ID, functions[0].Name, bytes.NewReader(zip)); err != nil {
			b.t.Fatal(err)
		}
	}
	if d.State != "ready" || !d.Published {
		b.t.Fatalf("deploy = %+v, want ready and published", d)
	}
	return d
}

// decode reads JSON or fails.
func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return out
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	tests := []struct {
		name, text string
		change     func(*gateway.Config)
	}{
		{"no redis", "NIGHTSHIFT_REDIS_URL", func(c *gateway.Config) { c.RedisURL = "" }},
		{"bad redis", "Redis URL", func(c *gateway.Config) { c.RedisURL = "http://x" }},
		{"no blobs", "NIGHTSHIFT_BLOB_URL", func(c *gateway.Config) { c.BlobURL = "" }},
		{"bad blobs", "", func(c *gateway.Config) { c.BlobURL = "nonsense" }},
		{"no token", "NIGHTSHIFT_TOKEN", func(c *gateway.Config) { c.Token = "" }},
		{"no token on the network", "loopback", func(c *gateway.Config) { c.Token, c.Dev, c.AdminAddr = "", true, ":8889" }},
		{"domain with port", "NIGHTSHIFT_BASE_DOMAIN", func(c *gateway.Config) { c.BaseDomain = "localhost:8888" }},
		{"bad site", "NIGHTSHIFT_DEFAULT_SITE", func(c *gateway.Config) { c.DefaultSite = "a--b" }},
		{"bad switch", "NIGHTSHIFT_PUBLIC_STATUS", func(c *gateway.Config) { c.PublicStatus = "true" }},
		{"short retention", "NIGHTSHIFT_RETENTION", func(c *gateway.Config) { c.Retention = time.Second }},
		{"short audit", "NIGHTSHIFT_AUDIT_RETENTION", func(c *gateway.Config) { c.AuditRetention = time.Minute }},
		{"empty token", "NIGHTSHIFT_TOKEN", func(c *gateway.Config) { c.Token = "a, " }},
		{"bad public URL", "NIGHTSHIFT_PUBLIC_URL", func(c *gateway.Config) { c.PublicURL = "example.com" }},
		{"negative drain", "NIGHTSHIFT_DRAIN", func(c *gateway.Config) { c.Drain = -1 }},
		{"bad backlog", "NIGHTSHIFT_SITE_BACKLOG", func(c *gateway.Config) { c.SiteBacklog = -2 }},
		{"bad callback secret", "NIGHTSHIFT_CALLBACK_SECRET", func(c *gateway.Config) { c.CallbackSecret = "x" }},
		{"bad callback networks", "NIGHTSHIFT_CALLBACK_ALLOW", func(c *gateway.Config) { c.CallbackAllow = "x" }},
		{"bad proxies", "NIGHTSHIFT_TRUST_PROXY", func(c *gateway.Config) { c.TrustProxy = "10.0.0.0/99" }},
		{"bad site rate", "NIGHTSHIFT_SITE_RATE", func(c *gateway.Config) { c.SiteRate = "600" }},
		{"bad address rate", "NIGHTSHIFT_SITE_ADDRESS_RATE", func(c *gateway.Config) { c.SiteAddressRate = "0/1m" }},
		{"bad limit", "NIGHTSHIFT_MAX_URL", func(c *gateway.Config) { c.Limits.MaxURL = 1 }},
		{"port in use", "cannot listen", func(c *gateway.Config) { c.Addr = taken.Addr().String() }},
		{"admin port in use", "cannot listen", func(c *gateway.Config) { c.AdminAddr = taken.Addr().String() }},
		{"no logger", "logger", func(c *gateway.Config) { c.Logger = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := gateway.Config{
				RedisURL: "redis://127.0.0.1:1/0", BlobURL: "file://" + t.TempDir(), Token: token,
				Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
			}
			tt.change(&cfg)
			_, err := gateway.New(cfg)
			if !fault.Is(firstOf(err), fault.Invalid) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("New = %v, want invalid with %q", err, tt.text)
			}
		})
	}
}

// firstOf is the first of joined errors.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Config{
		RedisURL: "redis://127.0.0.1:1/0", BlobURL: "file://" + t.TempDir(), Token: token,
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if _, err := net.Dial("tcp", g.Addr()); err == nil {
		t.Error("the port is still bound after Stop")
	}
}
