package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// told waits until the gateway tells all of the lines, on its own address.
func (b *bundle) told(lines ...string) {
	b.t.Helper()
	for _, line := range lines {
		eventually(b.t, line, func() bool { // requests are counted when they have ended
			a := b.get("http://" + b.gateway.MetricsAddr() + "/metrics")
			return a.status == 200 && strings.Contains("\n"+a.body, "\n"+line+"\n")
		})
	}
}

func TestMetricsOfTheGateway(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.MetricsAddr, c.SiteBacklog = "127.0.0.1:0", 2 })
	b.site("default")
	b.deployRules(false, rules, map[string]string{"page.html": "page"}, job, function.Function{Name: "hello"}, function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily"})
	sync := "/.netlify/functions/hello"
	b.get(sync)
	b.told(
		`nightshift_gateway_requests_total{code="5xx",kind="sync",plane="data"} 1`,
		`nightshift_gateway_sync_duration_seconds_count{outcome="unavailable"} 1`,
	)
	fail := func(w http.ResponseWriter, outcome string) {
		w.Header().Set(dispatch.HeaderOutcome, outcome)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "{}")
	}
	b.worker(func(w http.ResponseWriter, r *http.Request) {
		event, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(event), "fails"):
			fail(w, "error")
		case strings.Contains(string(event), "slow"):
			fail(w, "timeout")
		case strings.Contains(string(event), "breaks"):
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, "hi")
		}
	})
	for _, query := range []string{"", "?fails", "?slow"} {
		b.get(sync + query)
	}
	if a := b.get(sync + "?breaks"); a.err == nil {
		t.Errorf("an answer that breaks off: %+v, want it cut", a)
	}
	b.ask("Idempotency-Key: one")
	b.ask("Idempotency-Key: one")
	b.ask()
	b.ask() // one too many
	id := idOf(b.ask("Idempotency-Key: one"))
	b.get("/.nightshift/invocations/" + id)
	b.get("/.nightshift/invocations/nonsense")
	b.get("/page.html")
	b.get("/nothing")
	b.get("/.netlify/functions/tick")
	noFollow := *b.http
	noFollow.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.http = &noFollow
	b.get("/temporary")
	b.get(b.control("/api/v1/user")) // without the token
	b.do(b.authorised("GET", "/api/v1/user"))
	b.told(
		`nightshift_gateway_requests_total{code="2xx",kind="sync",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="5xx",kind="sync",plane="data"} 3`,
		`nightshift_gateway_requests_total{code="cut_off",kind="sync",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="2xx",kind="background",plane="data"} 4`,
		`nightshift_gateway_requests_total{code="4xx",kind="background",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="2xx",kind="status",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="4xx",kind="status",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="2xx",kind="static",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="4xx",kind="other",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="4xx",kind="static",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="3xx",kind="redirect",plane="data"} 1`,
		`nightshift_gateway_requests_total{code="4xx",kind="api",plane="control"} 1`,
		`nightshift_gateway_sync_duration_seconds_count{outcome="answered"} 1`,
		`nightshift_gateway_sync_duration_seconds_count{outcome="failed"} 1`,
		`nightshift_gateway_sync_duration_seconds_count{outcome="timeout"} 1`,
		`nightshift_gateway_sync_duration_seconds_count{outcome="gone"} 1`,
		`nightshift_gateway_accept_duration_seconds_count{outcome="accepted"} 2`,
		`nightshift_gateway_accept_duration_seconds_count{outcome="repeated"} 2`,
		`nightshift_gateway_accept_duration_seconds_count{outcome="refused"} 1`,
		`nightshift_queue_tasks{queue="background",state="pending"} 2`,
		`nightshift_workers{state="ready"} 1`, `nightshift_workers_concurrency 4`, "nightshift_redis_up 1",
	)
	// The control plane has the same document, for those with the token.
	if a := b.do(b.authorised("GET", "/metrics")); a.status != 200 || !strings.Contains(a.body, "\nnightshift_gateway_requests_total{") {
		t.Errorf("on the control plane: %d", a.status)
	}
	problems, err := promlint.New(strings.NewReader(b.get("http://" + b.gateway.MetricsAddr() + "/metrics").body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	b.server.Stop()
	b.ask()
	b.told(`nightshift_gateway_accept_duration_seconds_count{outcome="unavailable"} 1`, "nightshift_redis_up 0")
}
