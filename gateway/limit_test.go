package gateway_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup"
)

// limited is a function with a rate limit.
func limited(name string, limit function.RateLimit) function.Function {
	if limit.WindowMS == 0 {
		limit.WindowMS = 60_000
	}
	f := function.Function{Name: name, RateLimit: &limit}
	if strings.HasSuffix(name, "-background") {
		f.Kind = function.Background
	}
	return f
}

// beside is a second gateway on the same Redis.
func (b *bundle) beside(change func(*gateway.Config)) *bundle {
	return setup(b.t, func(c *gateway.Config) {
		c.RedisURL = b.server.URL()
		if change != nil {
			change(c)
		}
	})
}

// Two gateways share a limit: of many calls at once exactly the limit passes.
func TestRateLimitAcrossGateways(t *testing.T) {
	t.Parallel()
	const limit = 20
	one := setup(t, nil)
	one.deploy("default", limited("hello", function.RateLimit{Limit: limit}), limited("job-background", function.RateLimit{Limit: limit}))
	one.worker(echo)
	two := one.beside(nil)
	eventually(t, "the second gateway knows the worker", func() bool {
		return two.get("/.netlify/functions/hello").status != http.StatusServiceUnavailable
	})
	if err := one.redis.Del(t.Context(), one.redis.Keys(t.Context(), "nightshift:rate:*").Val()...).Err(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"hello": 200, "job-background": 202} {
		var passed, refused atomic.Int32
		var group sync.WaitGroup
		atOnce := make(chan struct{}, 12)
		for i := range 3 * limit {
			b := []*bundle{one, two}[i%2]
			group.Go(func() {
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				switch got := b.get("/.netlify/functions/" + name); got.status {
				case want:
					passed.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
					if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 || after > 60 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
						t.Errorf("a refusal has the headers %v", got.header)
					}
				default:
					t.Errorf("%s = %d %q", name, got.status, got.body)
				}
			})
		}
		group.Wait()
		if passed.Load() != limit || refused.Load() != 2*limit {
			t.Errorf("%s: %d calls passed and %d were refused, want %d and %d", name, passed.Load(), refused.Load(), limit, 2*limit)
		}
	}
	if n := one.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != limit {
		t.Errorf("%d background calls are queued, want %d", n, limit)
	}
}

func TestRateLimitByCaller(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy = "true" })
	b.deploy("default", limited("all-background", function.RateLimit{Limit: 1}),
		limited("ip-background", function.RateLimit{Limit: 1, By: []string{"ip"}}),
		limited("domain-background", function.RateLimit{Limit: 1, By: []string{"domain"}}),
		limited("both-background", function.RateLimit{Limit: 1, By: []string{"ip", "domain"}}))
	call := func(name, ip, host string) int {
		req := b.request("POST", "/.netlify/functions/"+name+"-background", nil)
		req.Header.Set("X-Forwarded-For", ip)
		req.Host = host
		return b.do(req).status
	}
	tests := []struct {
		name string
		want []int // first, again, other address, other host, other port and case
	}{
		{"all", []int{202, 429, 429, 429, 429}},
		{"ip", []int{202, 429, 202, 429, 429}},
		{"domain", []int{202, 429, 429, 202, 429}},
		{"both", []int{202, 429, 202, 202, 429}},
	}
	for _, tt := range tests {
		got := []int{
			call(tt.name, "203.0.113.1", "a.example"), call(tt.name, "203.0.113.1", "a.example"), call(tt.name, "203.0.113.2", "a.example"),
			call(tt.name, "203.0.113.1", "b.example"), call(tt.name, "203.0.113.1", "A.Example:81"),
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("limit by %s: %v, want %v", tt.name, got, tt.want)
		}
	}
	// A new deploy is the same function: what was called counts on.
	b.deploy("default", limited("all-background", function.RateLimit{Limit: 2}))
	if got := []int{call("all", "203.0.113.1", "a.example"), call("all", "203.0.113.1", "a.example")}; fmt.Sprint(got) != "[202 429]" {
		t.Errorf("after a deploy that raises the limit from 1 to 2: %v, want one more", got)
	}
}

func TestRateLimitRewrites(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	rewrite := func(name, to string) function.Function {
		return limited(name, function.RateLimit{Limit: 1, RewriteTo: to})
	}
	other := limited("other", function.RateLimit{Limit: 2})
	other.Paths = []string{"/other/:why"}
	b.deployFiles(false, map[string]string{"slow.html": "slow down"},
		rewrite("to-file", "/slow"), rewrite("to-function", "/other/full?why=full"), rewrite("to-itself", "/.netlify/functions/to-itself"),
		rewrite("ping", "/.netlify/functions/pong"), rewrite("pong", "/.netlify/functions/ping"), rewrite("to-nothing", "/nothing"), other)
	b.worker(echo)
	call := func(method, name string) answer {
		return b.do(b.request(method, "/.netlify/functions/"+name+"?a=1", strings.NewReader("body")))
	}
	for _, name := range []string{"to-file", "to-function", "to-itself", "ping", "pong", "to-nothing"} {
		if got := call("POST", name); got.status != 200 || !strings.Contains(got.body, `"path":"/.netlify/functions/`+name) {
			t.Fatalf("first call of %s = %d %q", name, got.status, got.body)
		}
	}
	for _, method := range []string{"GET", "POST"} {
		if got := call(method, "to-file"); got.status != 200 || got.body != "slow down" {
			t.Errorf("%s over the limit, to a file = %d %q", method, got.status, got.body)
		}
	}
	for range 2 {
		got := call("POST", "to-function")
		for _, part := range []string{`"path":"/other/full"`, `"route":"/other/:why"`, `"rawQuery":"why=full"`, `"httpMethod":"POST"`, `"body":"Ym9keQ=="`} {
			if got.status != 200 || !strings.Contains(got.body, part) {
				t.Errorf("over the limit, to a function = %d %s, want %s in it", got.status, got.body, part)
			}
		}
	}
	for name, why := range map[string]string{"to-function": "the other one has a limit too", "to-itself": "it comes back", "ping": "it goes round"} {
		if got := call("POST", name); got.status != http.StatusTooManyRequests {
			t.Errorf("%s = %d %q, want 429: %s", name, got.status, got.body, why)
		}
	}
	if got := call("GET", "to-nothing"); got.status != 404 {
		t.Errorf("over the limit, to nothing = %d %q, want 404", got.status, got.body)
	}
}

// The limit comes before the body: what is over it is not even received.
func TestRateLimitComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", limited("job-background", function.RateLimit{Limit: 1, WindowMS: 1000}))
	large := strings.Repeat("x", 1<<20)
	if got := b.do(b.request("POST", jobURL, strings.NewReader(large))); got.status != 413 {
		t.Errorf("a body over the limit = %d", got.status)
	}
	if got := b.do(b.request("POST", jobURL, strings.NewReader("{}"))); got.status != 429 {
		t.Errorf("the call after it = %d, want 429: every call counts", got.status)
	}
	eventually(t, "the window is over", func() bool { return b.do(b.request("POST", jobURL, nil)).status == 202 })
}

// A Redis that is away takes the limit away, not the function.
func TestRateLimitWithoutRedis(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", limited("hello", function.RateLimit{Limit: 1}))
	b.worker(echo)
	eventually(t, "the first call", func() bool { return b.get("/.netlify/functions/hello").status == 200 })
	if got := b.get("/.netlify/functions/hello"); got.status != 429 {
		t.Fatalf("second call = %d", got.status)
	}
	b.server.Stop()
	begun := time.Now()
	for range 20 {
		if got := b.get("/.netlify/functions/hello"); got.status != 200 {
			t.Fatalf("without Redis = %d %q, want 200", got.status, got.body)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("20 calls without Redis took %v", took)
	}
}

// The rate of a site is shared by all gateways and by all of its functions, and
// whoever uses it up does so for that site alone.
func TestSiteRate(t *testing.T) {
	t.Parallel()
	const rate = 20
	one := setup(t, func(c *gateway.Config) { c.SiteRate = "20/1m" })
	two := one.beside(func(c *gateway.Config) { c.SiteRate = "20/1m" })
	for _, site := range []string{"loud", "quiet"} {
		one.deploy(site, job, function.Function{Name: "other-background", Kind: function.Background})
	}
	call := func(b *bundle, site, name string) answer {
		req := b.request("POST", "/.netlify/functions/"+name, nil)
		req.Host = site + ".localhost"
		return b.do(req)
	}
	for _, b := range []*bundle{one, two} {
		eventually(t, "the gateway knows the site", func() bool { return call(b, "loud", "nothing").body == "Function not found..." })
	}
	var passed, refused, quiet atomic.Int32
	var group errgroup.Group
	group.SetLimit(4) // a Redis that keeps calls waiting would let them pass
	for i := range 3 * rate {
		group.Go(func() error {
			switch got := call([]*bundle{one, two}[i%2], "loud", []string{"job-background", "other-background"}[i/2%2]); {
			case got.status == 202:
				passed.Add(1)
			case got.status == 429 && got.header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("a call of the loud site = %d %q", got.status, got.body)
			}
			return nil
		})
		if i%3 == 0 {
			group.Go(func() error {
				if got := call(one, "quiet", "job-background"); got.status == 202 {
					quiet.Add(1)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // calls have told the test themselves
	if passed.Load() != rate || refused.Load() != 2*rate || quiet.Load() != rate {
		t.Errorf("%d calls of the loud site passed, %d were refused, and %d of the quiet one passed; want %d, %d, %d",
			passed.Load(), refused.Load(), quiet.Load(), rate, 2*rate, rate)
	}
	counted := 0
	for _, b := range []*bundle{one, two} {
		req := b.request("GET", "http://"+b.gateway.AdminAddr()+"/metrics", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		_, after, _ := strings.Cut(b.do(req).body, `nightshift_gateway_refused_total{plane="data",reason="site_rate"} `)
		number, _, _ := strings.Cut(after, "\n")
		n, _ := strconv.Atoi(number)
		counted += n
	}
	if counted != 2*rate {
		t.Errorf("%d refusals are counted, want %d", counted, 2*rate)
	}
	// Files are not counted, and without Redis calls pass, as far as they can.
	if got := one.get("/index.html"); got.status == 429 {
		t.Error("a file is held to the rate")
	}
	one.server.Stop()
	if got := call(one, "loud", "job-background"); got.status != http.StatusServiceUnavailable {
		t.Errorf("without Redis = %d, want 503 of the queue and not 429", got.status)
	}
}

func TestSiteAddressRate(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.TrustProxy, c.SiteAddressRate = "127.0.0.1", "2/1m" })
	b.deploy("default", job)
	b.deploy("other", job)
	call := func(site, ip string) int {
		req := b.request("POST", jobURL, nil)
		req.Host = site + ".localhost"
		req.Header.Set("X-Forwarded-For", ip)
		return b.do(req).status
	}
	for _, tt := range []struct {
		site, ip string
		want     int
	}{
		{"default", "192.0.2.1", 202}, {"default", "192.0.2.1", 202}, {"default", "192.0.2.1", 429},
		{"default", "192.0.2.1, 198.51.100.1", 202},
		{"default", "192.0.2.2", 202},
		{"other", "192.0.2.1", 202},
		{"default", "2001:db8::1", 202}, {"default", "2001:db8::2", 202}, {"default", "2001:db8::3", 429}, {"default", "2001:db8:0:1::1", 202},
	} {
		if got := call(tt.site, tt.ip); got != tt.want {
			t.Errorf("a call of %s from %s = %d, want %d", tt.site, tt.ip, got, tt.want)
		}
	}
}
