// Package monitoring keeps deploy/monitoring and docs/metrics.md true: what is
// named there is told by real services after real traffic, what they tell is
// described there, rules and configuration pass promtool, and each alert has its
// page.
package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint" // promtool's own rules about names
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

const token = "monitoring-0123456789abcdef0123456789abcdef"

// folder is where what is tested stands.
func folder(parts ...string) string {
	return filepath.Join(append([]string{harness.Root()}, parts...)...)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ours is the name of a metric of ours. What follows in Prometheus's own names of
// a histogram's series is cut off by family.
var ours = regexp.MustCompile(`\bnightshift_[a-z0-9_]+\b`)

// families are the metrics that a text names. A histogram has three series.
func families(text string, known map[string]bool) []string {
	var names []string
	for _, name := range ours.FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && known[base] {
				name = base
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var (
	typeLine  = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	alertLine = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)
	page      = regexp.MustCompile(`(?m)^ +runbook_url: https://\S+/docs/runbooks/(\w+)\.md$`)
	docRow    = regexp.MustCompile("(?m)^\\| `(nightshift_\\w+)` \\| (\\w+) \\|")
)

// TestServices starts an installation, lets it work, and compares what it tells
// with what is written about it.
func TestServices(t *testing.T) {
	s := launch(t)
	s.work()
	told := map[string]string{} // type by name
	for _, service := range []string{"gateway1", "worker1", "scheduler1"} {
		text := s.scrape(service)
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("promlint about %s: %v, %v", service, problems, err)
		}
		for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "nightshift_") {
				told[m[1]] = m[2]
			}
		}
		if !strings.Contains(text, `nightshift_build_info{service="`+strings.TrimRight(service, "1")+`",version="`) {
			t.Errorf("%s does not tell its version", service)
		}
	}
	known := map[string]bool{}
	for name := range told {
		known[name] = true
	}
	for _, file := range []string{"deploy/monitoring/alerts.yml", "deploy/monitoring/alerts_test.yml", "deploy/monitoring/grafana/dashboards/nightshift.json", "docs/metrics.md"} {
		names := families(read(t, folder(file)), known)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s names %s, which nobody tells", file, name)
			}
		}
	}
	described := map[string]string{}
	for _, m := range docRow.FindAllStringSubmatch(read(t, folder("docs/metrics.md")), -1) {
		described[m[1]] = m[2]
	}
	if !maps.Equal(described, told) {
		for name, kind := range told {
			if described[name] != kind {
				t.Errorf("docs/metrics.md describes %s as %q, it is a %s", name, described[name], kind)
			}
		}
		for name := range described {
			if told[name] == "" {
				t.Errorf("docs/metrics.md describes %s, which nobody tells", name)
			}
		}
	}
	s.readsLogs()
}

// TestAlertsHavePages also compares the other way round, so no page outlives its alert.
func TestAlertsHavePages(t *testing.T) {
	t.Parallel()
	rules := read(t, folder("deploy/monitoring/alerts.yml"))
	var alerts, named, pages []string
	for _, m := range alertLine.FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
	}
	for _, m := range page.FindAllStringSubmatch(rules, -1) {
		named = append(named, m[1])
	}
	files, err := filepath.Glob(folder("docs", "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		pages = append(pages, name)
		text := read(t, file)
		for _, heading := range []string{"# " + name + "\n", "\n## Meaning\n", "\n## Impact\n", "\n## Diagnosis\n", "\n## Mitigation\n"} {
			if !strings.Contains(text, heading) {
				t.Errorf("%s has no %q", file, strings.TrimSpace(heading))
			}
		}
	}
	if len(alerts) < 10 || !slices.Equal(alerts, named) {
		t.Errorf("alerts and the pages that they name differ:\n%v\n%v", alerts, named)
	}
	slices.Sort(alerts)
	slices.Sort(pages)
	if !slices.Equal(alerts, pages) {
		t.Errorf("alerts and pages differ:\n%v\n%v", alerts, pages)
	}
	cases := read(t, folder("deploy/monitoring/alerts_test.yml"))
	for _, alert := range alerts {
		for _, name := range []string{alert + " fires", alert + " is quiet"} {
			if !strings.Contains(cases, "- name: "+name+"\n") {
				t.Errorf("alerts_test.yml has no case %q", name)
			}
		}
	}
}

// TestPagesNameRealMetrics is without services: docs/metrics.md is compared with them.
func TestPagesNameRealMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range docRow.FindAllStringSubmatch(read(t, folder("docs/metrics.md")), -1) {
		known[m[1]] = true
	}
	files, err := filepath.Glob(folder("docs", "runbooks", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d runbooks, %v", len(files), err)
	}
	for _, file := range files {
		for _, name := range families(read(t, file), known) {
			if !known[name] {
				t.Errorf("%s names %s, which is not in docs/metrics.md", filepath.Base(file), name)
			}
		}
	}
}

// TestPromtool runs what Prometheus's own tool knows about rules and settings.
func TestPromtool(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "alerts_test.yml"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "promtool", args...)
			cmd.Dir = folder("deploy", "monitoring")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool %s: %v (it is in Debian's package prometheus)\n%s", strings.Join(args, " "), err, out)
			}
		})
	}
}

// TestDashboard checks what Grafana needs to load it anywhere: every panel has its
// data source by the variable, and an expression that Prometheus can read.
func TestDashboard(t *testing.T) {
	t.Parallel()
	type panel struct {
		ID         int    `json:"id"`
		Title      string `json:"title"`
		Type       string `json:"type"`
		Datasource struct {
			UID string `json:"uid"`
		} `json:"datasource"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
		GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	}
	var board struct {
		UID    string  `json:"uid"`
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, folder("deploy/monitoring/grafana/dashboards/nightshift.json"))), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || len(board.Panels) < 10 {
		t.Errorf("the dashboard %q has %d panels", board.UID, len(board.Panels))
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	grafana := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*") // its variables
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the ID %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, taken := places[[2]int{x, y}]; taken || x >= 24 {
					t.Fatalf("panel %q stands over %q, or beyond the right edge", p.Title, other)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q has the data source %q and %d expressions", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			rules = append(rules, rule{fmt.Sprintf("panel:%d:%d", p.ID, len(rules)), grafana.Replace(target.Expr)})
		}
	}
	readable(t, rules)
}

// readable has promtool read expressions. JSON is YAML too.
func readable(t *testing.T, rules any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("expressions of the dashboard: %v\n%s", err, out)
	}
}

// installation is a running one.
type installation struct {
	*testing.T
	fleet    *harness.Fleet
	services *harness.Services
	addrs    map[string]string // where services tell their figures
}

// launch starts an installation and deploys a site with functions that work, fail
// and run on a schedule.
func launch(t *testing.T) *installation {
	t.Helper()
	s := &installation{T: t, fleet: &harness.Fleet{}, addrs: map[string]string{}}
	dir, err := os.MkdirTemp("", "monitoring") // the unpacked code is read-only, which is more than t.TempDir can remove
	s.must(err)
	redis, err := s.fleet.StartRedis(t.Context(), harness.EverySecond)
	s.must(err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range s.fleet.All() {
				t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(20))
			}
		}
		for _, err := range []error{s.fleet.Close(), redis.Remove(), harness.RemoveReadOnly(dir)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	own := map[string][]string{}
	for _, name := range []string{"gateway1", "worker1", "scheduler1"} {
		port, err := harness.FreePort()
		s.must(err)
		s.addrs[name] = fmt.Sprintf("127.0.0.1:%d", port)
		own[name] = []string{"NIGHTSHIFT_METRICS_ADDR=" + s.addrs[name]}
	}
	s.services, err = s.fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1, Own: own, Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"), "NIGHTSHIFT_TOKEN=" + token,
			"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(dir, "data"), "NIGHTSHIFT_CALLBACK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		},
	})
	s.must(err)
	for name, text := range map[string]string{
		"job-background.mjs":   "export default async () => new Response('done');",
		"fails-background.mjs": "export default async () => { throw new Error('no'); };\nexport const config = { retries: 0 };",
		"hello.mjs":            "export default async () => new Response('hi');",
		"second.mjs":           "export default async () => {};\nexport const config = { schedule: '* * * * * *' };",
	} {
		file := filepath.Join(dir, "site", "netlify", "functions", name)
		s.must(os.MkdirAll(filepath.Dir(file), 0o755))
		s.must(os.WriteFile(file, []byte(text), 0o644))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = s.services.Nightshift(ctx, "deploy", filepath.Join(dir, "site"), "--prod")
	s.must(err)
	return s
}

func (s *installation) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// work calls functions and waits until their ends are told.
func (s *installation) work() {
	s.Helper()
	for name, want := range map[string]int{"job-background": 202, "fails-background": 202, "hello": 200, "missing": 404} {
		resp, err := http.Post(s.services.Data[0]+"/.netlify/functions/"+name, "application/json", strings.NewReader("{}"))
		s.must(err)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			s.Fatalf("%s answers %d, want %d", name, resp.StatusCode, want)
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	for service, lines := range map[string][]string{
		"gateway1": {
			`nightshift_invocations_finished_total{state="dead"} 1`, "nightshift_conservation_drift 0", "nightshift_ticks_drift 0", "nightshift_redis_up 1",
			`nightshift_workers{state="ready"} 1`, `nightshift_gateway_requests_total{code="2xx",kind="background",plane="data"} 2`,
			`nightshift_gateway_sync_duration_seconds_count{outcome="answered"} 1`, `nightshift_gateway_accept_duration_seconds_count{outcome="accepted"} 2`,
		},
		"worker1": {
			`nightshift_worker_attempts_total{kind="background",outcome="succeeded"} 1`, `nightshift_worker_attempts_total{kind="background",outcome="error"} 1`,
			`nightshift_worker_attempts_total{kind="sync",outcome="succeeded"} 1`, `nightshift_worker_queue_wait_seconds_count{kind="background"} 2`,
		},
		"scheduler1": {"nightshift_scheduler_leader 1", "nightshift_scheduler_term 1", "nightshift_scheduler_schedules 1", "nightshift_scheduler_passes_failed_total 0"},
	} {
		s.must(harness.Eventually(ctx, func() error {
			text := "\n" + s.scrape(service)
			for _, line := range lines {
				if !strings.Contains(text, "\n"+line+"\n") {
					return fmt.Errorf("%s does not tell %s", service, line)
				}
			}
			return nil
		}))
	}
	// A tick was fired, run, and told by all three.
	fired := regexp.MustCompile(`(?m)^(nightshift_ticks_fired_total|nightshift_worker_attempts_total\{kind="scheduled",outcome="succeeded"\}|nightshift_scheduler_tick_lateness_seconds_count) [1-9]`)
	for service := range s.addrs {
		s.must(harness.Eventually(ctx, func() error {
			if !fired.MatchString(s.scrape(service)) {
				return fmt.Errorf("%s tells of no tick", service)
			}
			return nil
		}))
	}
}

// scrape reads what a service tells.
func (s *installation) scrape(service string) string {
	s.Helper()
	resp, err := http.Get("http://" + s.addrs[service] + "/metrics")
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	if resp.StatusCode != http.StatusOK {
		s.Fatalf("%s answers %s\n%s", service, resp.Status, text)
	}
	return string(text)
}

// readsLogs checks that all lines are JSON, and have the names of things that
// docs/metrics.md says.
func (s *installation) readsLogs() {
	s.Helper()
	ended := 0
	for service := range s.addrs {
		p, err := s.fleet.Process(service)
		s.must(err)
		for line := range strings.Lines(p.Log.String()) {
			var attrs map[string]any
			if err := json.Unmarshal([]byte(line), &attrs); err != nil {
				s.Errorf("a line of %s is no JSON: %s", service, line)
				continue
			}
			want := []string{"time", "level", "msg", "service"}
			if attrs["msg"] == "attempt ended" {
				ended++
				want = append(want, "invocation", "attempt", "site", "deploy", "function", "outcome", "state", "duration")
			}
			for _, name := range want {
				if _, ok := attrs[name]; !ok {
					s.Errorf("a line of %s has no %s: %s", service, name, line)
				}
			}
			for _, name := range []string{"id", "request_id", "invocation_id"} {
				if _, ok := attrs[name]; ok {
					s.Errorf("a line of %s has %s; an invocation is called invocation: %s", service, name, line)
				}
			}
		}
	}
	if ended < 3 {
		s.Errorf("%d attempts are logged, want those of both calls and of a tick", ended)
	}
}
