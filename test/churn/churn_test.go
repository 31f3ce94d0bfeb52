// Package churn proves what a publish and a rollback are to callers: nothing.
//
// Three gateways are called a thousand times a second, in an open loop, while the
// pointer of a site moves to and fro between two deploys. Then the history of
// all calls is looked at: none failed, each answer is of one deploy alone, and
// none came from the old deploy once its gateway had changed over, which it must
// within a second of the move, also when Redis loses the message about it.
//
// It needs the machine for itself, and so is a package that runs alone.
package churn

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/test/harness"
)

// promise is the longest time from the return of a publish or rollback until
// the last gateway serves the new deploy.
const promise = time.Second

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

// The two tests take turns, because each needs all of the machine: no t.Parallel.

func TestPublishAndRollbackUnderLoad(t *testing.T) {
	w := start(t, false)
	// A function call costs some 15 ms of computing and a background one 20 ms, most
	// of it in Node; a page costs half of one. Two cores hold this much of each
	// beside the callers, who are on the same machine.
	h := w.churn(20, mix{static: 940, permalink: 20, function: 30, background: 10})
	w.check(h, 900)
	w.checkTicks()
}

// TestLostMessages does the same while two gateways hear of no change: the check
// of the catalog's version has to find all of them. All moves are made through
// the third one, because a move returns once its own gateway has followed.
func TestLostMessages(t *testing.T) {
	w := start(t, true)
	h := w.churn(10, mix{static: 260, permalink: 10, function: 20, background: 10})
	w.check(h, 270)
	w.checkTicks()
	for i, d := range w.deaf {
		if d.Lost() == 0 {
			t.Errorf("the messages of Redis reached service %d, so that nothing is shown", i)
		}
	}
}

// world is a running system with the two deploys of a site.
type world struct {
	*testing.T
	services  *harness.Services
	movers    int              // moves are made through the first so many gateways
	control   []*client.Client // of each gateway
	collector *harness.Collector
	deaf      []*harness.Deaf
	ids       map[string]string // of the deploys, by version
	pages     map[string]string // what their page holds, by version
}

const token = "churn-0123456789abcdef0123456789abcdef"

func start(t *testing.T, deaf bool) *world {
	t.Helper()
	w := &world{T: t, movers: 3, ids: map[string]string{}, pages: map[string]string{}}
	fleet := &harness.Fleet{}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			return
		}
		for _, p := range fleet.All() {
			t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(20))
		}
	})
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	w.must(err)
	t.Cleanup(func() { _ = redis.Remove() })
	w.collector, err = harness.StartCollector()
	w.must(err)
	t.Cleanup(func() { _ = w.collector.Close() })
	urls, apart := map[string]string{}, time.Duration(0)
	for _, name := range []string{"gateway2", "gateway3", "scheduler1"} {
		if !deaf {
			break
		}
		d, err := redis.StartDeaf()
		w.must(err)
		t.Cleanup(func() { _ = d.Close() })
		w.deaf, urls[name] = append(w.deaf, d), d.URL()
		w.movers = 1
		apart = 250 * time.Millisecond // else all would ask for the version at the same time
	}
	dir := t.TempDir()
	w.services, err = fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 3, Workers: 2, Schedulers: 1, RedisURLs: urls, Apart: apart,
		Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"),
			"NIGHTSHIFT_TOKEN=" + token, "NIGHTSHIFT_WORKER_DATA_DIR=" + worktree(t),
			// Both deploys keep their processes, and all but two are for callers.
			"NIGHTSHIFT_WORKER_CONCURRENCY=2", "NIGHTSHIFT_WORKER_PROCESSES=32",
		},
	})
	w.must(err)
	for _, admin := range w.services.Admin {
		c, err := client.New(admin+"/api/v1", token, nil)
		w.must(err)
		t.Cleanup(c.Close)
		w.control = append(w.control, c)
	}
	w.deploy("A", "--prod")
	w.deploy("B")
	return w
}

// worktree is a folder for unpacked code, which is read-only and so more than
// t.TempDir can remove.
func worktree(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "churn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := harness.RemoveReadOnly(dir); err != nil {
			t.Error(err)
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

// whole answers with all that tells a deploy, from where each of it comes: the
// code, the environment of its process, and the event.
const whole = `({
  version: '@VERSION@', environment: process.env.DEPLOY_ID,
  header: request.headers.get('x-nf-deploy-id'), context: context.deploy.id,
})`

// site is the deploy of a version, by file.
var site = map[string]string{
	"netlify.toml":                            "[build]\n  publish = \"public\"\n",
	"public/index.html":                       "<h1>version @VERSION@</h1>\n",
	"netlify/functions/answer.mjs":            "export default (request, context) => Response.json" + whole + ";\n",
	"netlify/functions/work-background.mjs":   "export default (request, context) => Response.json" + whole + ";\n",
	"netlify/functions/every-second.mjs":      tickCode,
	"netlify/functions/only-in-@VERSION@.mjs": strings.ReplaceAll(tickCode, "* * * * * *", "30 4 * * *"),
}

const tickCode = `export default async (request, context) => {
  await fetch('@COLLECTOR@/?id=' + context.requestId);
};
export const config = { schedule: '* * * * * *' };
`

// deploy makes the deploy of a version.
func (w *world) deploy(version string, flags ...string) {
	w.Helper()
	dir := w.TempDir()
	fill := strings.NewReplacer("@VERSION@", version, "@COLLECTOR@", w.collector.URL())
	for name, text := range site {
		file := filepath.Join(dir, fill.Replace(name))
		w.must(os.MkdirAll(filepath.Dir(file), 0o755))
		w.must(os.WriteFile(file, []byte(fill.Replace(text)), 0o644))
	}
	out, err := w.services.Nightshift(w.Context(), append([]string{"deploy", dir, "--title", version}, flags...)...)
	w.must(err)
	list, err := w.control[0].Deploys(w.Context(), "default", 10)
	w.must(err)
	i := slices.IndexFunc(list, func(d api.Deploy) bool { return d.Title == version })
	if i < 0 {
		w.Fatalf("no deploy %s:\n%s", version, out)
	}
	w.ids[version], w.pages[version] = list[i].ID, fill.Replace(site["public/index.html"])
}

// version is the deploy that an ID belongs to.
func (w *world) version(id string) string {
	for version, known := range w.ids {
		if known == id {
			return version
		}
	}
	return "unknown deploy " + id
}

// checkTicks checks that the schedule that both deploys have went on as if
// nothing had happened: each second once, none lost.
func (w *world) checkTicks() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	w.must(harness.Eventually(ctx, func() error { // the last ones may still be on their way
		seen := map[int64]string{}
		for _, hit := range w.collector.Hits() {
			inv, err := w.control[0].Invocation(ctx, hit.Query.Get("id"))
			w.must(err)
			if inv.Function != "every-second" || inv.Tick == nil {
				w.Fatalf("invocation %s of %s fired", inv.ID, inv.Function)
			}
			if other, twice := seen[inv.Tick.Unix()]; twice && other != inv.ID {
				w.Fatalf("the tick %v ran twice: %s and %s", inv.Tick, other, inv.ID)
			}
			seen[inv.Tick.Unix()] = inv.ID
		}
		var seconds []int64
		for s := range seen {
			seconds = append(seconds, s)
		}
		slices.Sort(seconds)
		if len(seconds) < 5 {
			return fmt.Errorf("%d ticks ran", len(seconds))
		}
		for i := 1; i < len(seconds); i++ {
			if seconds[i] != seconds[i-1]+1 {
				return fmt.Errorf("no tick ran between %v and %v", time.Unix(seconds[i-1], 0), time.Unix(seconds[i], 0))
			}
		}
		w.Logf("%d ticks of the schedule that both deploys have: each once, none lost", len(seconds))
		return nil
	}))
}

// told is what a function answers.
type told struct{ Version, Environment, Header, Context string }

// read finds the version of a function's answer, which must be of one deploy alone.
func (w *world) read(body []byte) (version string, err error) {
	var got told
	if err := json.Unmarshal(body, &got); err != nil {
		return "", fmt.Errorf("answered %.200q", body)
	}
	if id := w.ids[got.Version]; id == "" || got != (told{got.Version, id, id, id}) {
		return "", fmt.Errorf("%w: %s", errMixed, body)
	}
	return got.Version, nil
}
