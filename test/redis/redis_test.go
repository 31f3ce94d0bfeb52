// Package redis shows what the system does with Redis as people run it: behind
// Sentinel, as a Cluster, with a server that stalls or restarts. Real binaries,
// real redis-servers on loopback.
//
// The tests mostly wait, for a failover or for a lease to end, so they do that
// together.
package redis

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

const token = "redis-0123456789abcdef0123456789abcdef"

// world is a running system.
type world struct {
	*testing.T
	fleet     *harness.Fleet
	services  *harness.Services
	control   *client.Client
	collector *harness.Collector
	http      *http.Client
}

// server is some set of Redis servers.
type server interface {
	URL() string
	Remove() error
}

// newWorld makes a fleet that ends with the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, fleet: &harness.Fleet{}, http: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 500},
	}}
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		if err := w.fleet.Close(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			return
		}
		for _, p := range w.fleet.All() {
			t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(20))
		}
	})
	return w
}

// start starts services on a Redis and deploys the site.
func (w *world) start(redis server, setup harness.Setup) {
	w.Helper()
	w.Cleanup(func() { _ = redis.Remove() })
	var err error
	w.collector, err = harness.StartCollector()
	w.must(err)
	w.Cleanup(func() { _ = w.collector.Close() })
	dir := w.TempDir()
	setup.Bin = binDir
	setup.Env = append([]string{
		"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"),
		"NIGHTSHIFT_TOKEN=" + token, "NIGHTSHIFT_WORKER_DATA_DIR=" + w.worktree(),
		"NIGHTSHIFT_WORKER_CONCURRENCY=8", "NIGHTSHIFT_LAME_DUCK=-1s",
	}, setup.Env...)
	w.services, err = w.fleet.StartServices(w.Context(), setup)
	w.must(err)
	w.control, err = client.New(w.services.Admin[0]+"/api/v1", token, nil)
	w.must(err)
	w.Cleanup(w.control.Close)
}

// deploy publishes the site.
func (w *world) deploy() {
	w.Helper()
	dir := w.TempDir()
	for name, text := range site {
		file := filepath.Join(dir, name)
		w.must(os.MkdirAll(filepath.Dir(file), 0o755))
		w.must(os.WriteFile(file, []byte(strings.ReplaceAll(text, "@COLLECTOR@", w.collector.URL())), 0o644))
	}
	_, err := w.services.Nightshift(w.Context(), "deploy", dir, "--prod")
	w.must(err)
}

var site = map[string]string{
	"netlify.toml":      "[build]\n  publish = \"public\"\n",
	"public/index.html": "<h1>static</h1>\n",
	"netlify/functions/work-background.mjs": `export default async (request, context) => {
  console.log('ran', context.requestId);
  return new Response('done');
};
`,
	// Waits for its cancellation.
	"netlify/functions/wait-background.mjs": `export default () => new Promise((done) => setTimeout(done, 600_000));
`,
	"netlify/functions/mark-background.mjs": `export default async (request, context) => {
  await fetch('@COLLECTOR@/?mark=' + context.requestId);
};
`,
	"netlify/functions/answer.mjs": `export default () => new Response('answered');
`,
	"netlify/functions/every-second.mjs": `export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId);
};
export const config = { schedule: '* * * * * *' };
`,
}

// worktree is a folder for unpacked code, which is read-only and so more than
// t.TempDir can remove.
func (w *world) worktree() string {
	w.Helper()
	dir, err := os.MkdirTemp("", "redis")
	w.must(err)
	w.Cleanup(func() {
		if err := harness.RemoveReadOnly(dir); err != nil {
			w.Error(err)
		}
	})
	return dir
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// eventually waits until try returns nil, at most so long.
func (w *world) eventually(within time.Duration, try func() error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), within)
	defer cancel()
	w.must(harness.Eventually(ctx, try))
}

// pause waits while load runs.
func (w *world) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-w.Context().Done():
	}
}

// answer is what a call of the data plane got.
type answer struct {
	status int
	id     string // of the invocation, of a 202
	body   string
	sent   time.Time
	took   time.Duration
	err    error // there was no answer
}

// call calls a path of a gateway, counted from 0.
func (w *world) call(ctx context.Context, gateway int, method, path string) answer {
	a := answer{sent: time.Now()}
	req, err := http.NewRequestWithContext(ctx, method, w.services.Data[gateway]+path, strings.NewReader(`{}`))
	if err != nil {
		a.err = err
		return a
	}
	res, err := w.http.Do(req)
	if err == nil {
		defer res.Body.Close()
		var body []byte
		body, err = io.ReadAll(res.Body)
		a.status, a.id, a.body = res.StatusCode, res.Header.Get("X-Nf-Request-Id"), string(body)
	}
	a.took, a.err = time.Since(a.sent), err
	return a
}

const work = "/.netlify/functions/work-background"

// load is a number of callers, each of which calls again once it has its answer.
type load struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu      sync.Mutex
	answers []answer
}

// callers start to call a gateway; between two calls each rests for a while.
func (w *world) callers(n, gateway int, method, path string, rest time.Duration) *load {
	ctx, cancel := context.WithCancel(w.Context())
	w.Cleanup(cancel)
	l := &load{stop: cancel}
	for range n {
		l.wait.Go(func() {
			for ctx.Err() == nil {
				a := w.call(w.Context(), gateway, method, path)
				l.mu.Lock()
				l.answers = append(l.answers, a)
				l.mu.Unlock()
				select {
				case <-time.After(rest):
				case <-ctx.Done():
				}
			}
		})
	}
	return l
}

// end stops the callers and returns all answers.
func (l *load) end() []answer {
	l.stop()
	l.wait.Wait()
	return l.answers
}

// accepted are the IDs of the 202s.
func accepted(answers []answer) []string {
	var ids []string
	for _, a := range answers {
		if a.status == http.StatusAccepted {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// tally counts answers by status; 0 is no answer.
func tally(answers []answer) map[int]int {
	counts := map[int]int{}
	for _, a := range answers {
		counts[a.status]++
	}
	return counts
}

// fates looks at each invocation until it is finished or unknown, and returns
// those that are unknown. Other ends than success are errors.
func (w *world) fates(ids []string, within time.Duration) (lost []string) {
	w.Helper()
	left := ids
	w.eventually(within, func() error {
		var open []string
		var said string // of the first of them
		for _, id := range left {
			a := w.call(w.Context(), 0, http.MethodGet, "/.nightshift/invocations/"+id)
			switch {
			case a.status == http.StatusNotFound:
				lost = append(lost, id)
			case a.status != http.StatusOK || strings.Contains(a.body, `"state":"queued"`) || strings.Contains(a.body, `"state":"running"`):
				if len(open) == 0 {
					said = a.body
				}
				open = append(open, id)
			case !strings.Contains(a.body, `"state":"succeeded"`):
				w.Errorf("invocation %s: %s", id, a.body)
			}
		}
		if left = open; len(left) > 0 {
			return fmt.Errorf("%d of %d accepted calls are not finished, for one %s: %s", len(left), len(ids), left[0], said)
		}
		return nil
	})
	return lost
}

// invocation reads a record until it is as wanted.
func (w *world) invocation(id string, within time.Duration, state invocation.State) (got api.Invocation) {
	w.Helper()
	w.eventually(within, func() (err error) {
		if got, err = w.control.Invocation(w.Context(), id); err == nil && got.State != state {
			err = fmt.Errorf("invocation %s is %s, want %s", id, got.State, state)
		}
		return err
	})
	return got
}

// accepts says whether a gateway takes a call.
func (w *world) accepts(gateway int) error {
	if a := w.call(w.Context(), gateway, http.MethodPost, work); a.status != http.StatusAccepted {
		return fmt.Errorf("answered %d %s %v", a.status, a.body, a.err)
	}
	return nil
}

// checkTicks waits until the schedule has fired some more, and checks that no
// tick was left out since the first. It returns how many ran as two invocations:
// none, unless Redis has forgotten that it had fired them.
func (w *world) checkTicks() (twice int) {
	w.Helper()
	since := len(w.collector.Hits())
	w.eventually(30*time.Second, func() error {
		if n := len(w.collector.Hits()) - since; n < 3 {
			return fmt.Errorf("%d ticks ran", n)
		}
		return nil
	})
	w.eventually(time.Minute, func() error { // those of a failover are caught up a little later
		seen := map[int64]string{}
		twice = 0
		for _, hit := range w.collector.Hits() {
			id := hit.Query.Get("id")
			if id == "" {
				continue // of no schedule
			}
			inv, err := w.control.Invocation(w.Context(), id)
			if fault.Is(err, fault.NotFound) {
				continue // forgotten, and so fired again
			}
			if err != nil || inv.Tick == nil {
				return fmt.Errorf("invocation %s of a tick: %w", id, err)
			}
			if other := seen[inv.Tick.Unix()]; other != "" && other != id {
				twice++
			}
			seen[inv.Tick.Unix()] = id
		}
		ticks := slices.Sorted(maps.Keys(seen))
		for i := 1; i < len(ticks); i++ {
			if ticks[i] != ticks[i-1]+1 {
				return fmt.Errorf("no tick ran between %v and %v", time.Unix(ticks[i-1], 0), time.Unix(ticks[i], 0))
			}
		}
		return nil
	})
	return twice
}
