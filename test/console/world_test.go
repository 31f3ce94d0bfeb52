package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

const token = "console-0123456789abcdef0123456789abcdef"

// Sites and what is deployed to the first one.
const (
	shop, docs = "shop", "docs"

	okCode = `export default async (request, context) => {
  const order = await request.json();
  console.log('order', order.id, 'for', order.to);
  console.error('the printer is slow today');
  return Response.json({ sent: true, attempt: context.attempt });
};`
	deadCode = `export default () => { throw new TypeError('the printer is on fire'); };
export const config = { retries: 0 };`
	retriedCode = `export default (request, context) => {
  if (context.attempt === 1) throw new Error('not yet');
  return new Response('at last');
};
export const config = { retryDelays: [1] };`
	waitingCode = `export default () => { throw new Error('come back later'); };
export const config = { retryDelays: [3600] };`
	slowCode = `export default async () => {
  for (let i = 1; i <= 1200; i++) {
    console.log('page', i, 'of 1200');
    await new Promise((done) => setTimeout(done, 250));
  }
};`
	secondsCode = `export default () => console.log('tick');
export const config = { schedule: '* * * * * *' };`
	nightlyCode = `export default () => {};
export const config = { schedule: '30 2 * * *', timezone: 'Europe/Berlin' };`
	syncCode = `export default () => new Response('hello');
export const config = { path: '/hello/:name' };`
)

// world is a running installation in which everything has happened that the
// console can show.
type world struct {
	*testing.T
	fleet    *harness.Fleet
	services *harness.Services
	redis    *harness.Redis
	receiver *harness.Collector
	http     *http.Client
	api      *client.Client
	admin    string // base URL of the console
	// IDs of deploys: the first published one, the one after it, and a preview.
	first, second, preview string
	// IDs of invocations, by the state that they are in.
	of map[invocation.State]string
	// untold is one whose callback was given up, and retried one with two attempts.
	untold, retried string
}

// start starts it.
func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, fleet: &harness.Fleet{}, http: &http.Client{Transport: &http.Transport{}}, of: map[invocation.State]string{}}
	t.Cleanup(w.close)
	dir, err := os.MkdirTemp("", "console") // the unpacked code is read-only, which is more than t.TempDir can remove
	w.must(err)
	t.Cleanup(func() {
		if err := harness.RemoveReadOnly(dir); err != nil {
			t.Error(err)
		}
	})
	w.redis, err = w.fleet.StartRedis(t.Context(), harness.EverySecond)
	w.must(err)
	w.receiver, err = harness.StartReceiver(func(harness.Hit) int { return http.StatusGone })
	w.must(err)
	w.services, err = w.fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + w.redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"), "NIGHTSHIFT_TOKEN=" + token,
			"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(dir, "data"), "NIGHTSHIFT_DEFAULT_SITE=" + shop,
			"NIGHTSHIFT_CALLBACK_SECRET=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "NIGHTSHIFT_CALLBACK_ALLOW=127.0.0.0/8",
		},
	})
	w.must(err)
	w.admin = w.services.Admin[0]
	w.api, err = client.New(w.admin+"/api/v1", token, w.http)
	w.must(err)
	w.deployAll(filepath.Join(dir, "site"))
	w.callAll()
	return w
}

func (w *world) close() {
	w.http.CloseIdleConnections()
	err := w.fleet.Close()
	if w.Failed() {
		for _, p := range w.fleet.All() {
			w.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(40))
		}
	}
	if w.redis != nil {
		err = errors.Join(err, w.redis.Remove())
	}
	if w.receiver != nil {
		err = errors.Join(err, w.receiver.Close())
	}
	if err != nil {
		w.Errorf("closing: %v", err)
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// eventually waits until try returns nil.
func (w *world) eventually(try func() error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	w.must(harness.Eventually(ctx, try))
}

// deployAll publishes two deploys, and makes a preview.
func (w *world) deployAll(dir string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	files := map[string]string{
		"ok-background": okCode, "dead-background": deadCode, "retried-background": retriedCode, "waiting-background": waitingCode,
		"slow-background": slowCode, "seconds": secondsCode, "nightly": nightlyCode, "hello": syncCode,
	}
	functions := filepath.Join(dir, "netlify", "functions")
	w.must(os.MkdirAll(functions, 0o755))
	for name, code := range files {
		w.must(os.WriteFile(filepath.Join(functions, name+".mjs"), []byte(code), 0o644))
	}
	deploy := func(text string, args ...string) {
		w.must(os.WriteFile(filepath.Join(functions, "hello.mjs"), []byte(strings.Replace(syncCode, "hello", text, 1)), 0o644))
		_, err := w.services.Nightshift(ctx, append([]string{"deploy", dir, "--site", shop}, args...)...)
		w.must(err)
	}
	deploy("hello", "--prod")
	deploy("hello again", "--prod")
	deploy("hello preview")
	list, err := w.api.Deploys(ctx, shop, 3)
	w.must(err)
	w.preview, w.second, w.first = list[0].ID, list[1].ID, list[2].ID
	_, err = w.api.CreateSite(ctx, docs)
	w.must(err)
}

// callAll makes invocations until there is one in each state.
func (w *world) callAll() {
	w.Helper()
	w.of[invocation.Succeeded] = w.call("ok-background")
	w.of[invocation.Dead] = w.call("dead-background")
	w.of[invocation.Failed] = w.call("waiting-background")
	w.of[invocation.Running] = w.call("slow-background")
	w.of[invocation.Queued] = w.call("ok-background", "Nightshift-Not-Before", "1h")
	w.of[invocation.Cancelled] = w.call("ok-background", "Nightshift-Not-Before", "2h")
	w.untold = w.call("ok-background", "Nightshift-Callback", w.receiver.URL()+"/done")
	w.retried = w.call("retried-background")
	for range 3 {
		w.call("ok-background")
		w.call("dead-background")
	}
	_, err := w.api.Cancel(w.Context(), w.of[invocation.Cancelled])
	w.must(err)
	for state, id := range w.of {
		w.is(id, state)
	}
	w.is(w.retried, invocation.Succeeded)
	w.eventually(func() error {
		dead, err := w.api.Invocations(w.Context(), shop, client.InvocationQuery{State: invocation.Dead})
		if err != nil || len(dead.Invocations) != 4 {
			return fmt.Errorf("%d are dead, %w", len(dead.Invocations), err)
		}
		inv, err := w.api.Invocation(w.Context(), w.untold)
		if err != nil || inv.Callback == nil || inv.Callback.State != invocation.CallbackDead {
			return fmt.Errorf("the callback of %s is not given up yet: %+v, %w", w.untold, inv.Callback, err)
		}
		ledger, err := w.api.Ledger(w.Context(), shop, "seconds", "", 1)
		if err != nil || len(ledger.Ticks) == 0 {
			return fmt.Errorf("no tick yet, %w", err)
		}
		return nil
	})
}

// call calls a background function and returns the ID of the invocation. Headers
// are pairs.
func (w *world) call(function string, headers ...string) string {
	w.Helper()
	var id string
	w.eventually(func() error { // the gateway may not route by the deploy yet
		req, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.services.Data[0]+"/.netlify/functions/"+function, strings.NewReader(`{"id":8421,"to":"a@example.com"}`))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := w.http.Do(req)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if id = res.Header.Get("X-Nf-Request-Id"); res.StatusCode != http.StatusAccepted || id == "" {
			return fmt.Errorf("calling %s: %s", function, res.Status)
		}
		return nil
	})
	return id
}

// is waits until an invocation is in a state.
func (w *world) is(id string, state invocation.State) {
	w.Helper()
	w.eventually(func() error {
		inv, err := w.api.Invocation(w.Context(), id)
		if err == nil && inv.State != state {
			err = fmt.Errorf("invocation %s of %s is %s, want %s", id, inv.Function, inv.State, state)
		}
		return err
	})
}

// published is the published deploy of the first site.
func (w *world) published() string {
	w.Helper()
	site, err := w.api.Site(w.Context(), shop)
	w.must(err)
	return site.DeployID
}
