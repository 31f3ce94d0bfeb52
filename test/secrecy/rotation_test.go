package secrecy

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/test/harness"
)

// hold runs until the collector lets it go, and then says which value it has.
const hold = `
export default async (request) => {
  const wait = () => new Promise((resolve) => setTimeout(resolve, 50));
  const { KEPT } = process.env;
  while (await (await fetch('@COLLECTOR@/?who=' + new URL(request.url).search.slice(1) + '&kept=' + KEPT)).text() !== 'go') await wait();
  return new Response(KEPT);
};
`

// A key is replaced while functions run and calls wait, and at the end the new
// one alone is enough for all that there was before.
func TestAKeyIsReplaced(t *testing.T) {
	w := &world{T: t, fleet: &harness.Fleet{}, traces: newRecorder(), http: &http.Client{Transport: &http.Transport{}}, places: places{}, secrets: map[string]string{"the token": "token"}}
	t.Cleanup(w.close)
	var err error
	w.dir, err = os.MkdirTemp("", "rotation")
	w.must(err)
	old, fresh := newKey(w), newKey(w)
	w.redis, err = w.fleet.StartRedis(t.Context(), harness.EverySecond)
	w.must(err)
	var goes atomic.Bool
	seen := make(chan string, 1000)
	w.receiver, err = harness.StartAnswering(func(hit harness.Hit) string {
		select {
		case seen <- hit.Query.Get("who") + " has " + hit.Query.Get("kept"):
		default: // nobody has looked for a while
		}
		if goes.Load() {
			return "go"
		}
		return "wait"
	})
	w.must(err)
	reports := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		for {
			select {
			case got := <-seen:
				if got == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no function says: %s", want)
			}
		}
	}
	run := func(keys string) {
		t.Helper()
		w.services, err = w.fleet.StartServices(t.Context(), harness.Setup{Bin: binDir, Gateways: 1, Workers: 1, Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + w.redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(w.dir, "blobs"), "NIGHTSHIFT_TOKEN=token",
			"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(w.dir, "data"), "NIGHTSHIFT_SECRET_KEY=" + keys, "NIGHTSHIFT_WORKER_DRAIN=30s",
		}})
		w.must(err)
	}
	end := func(names ...string) {
		t.Helper()
		for _, name := range names {
			p, err := w.fleet.Process(name)
			w.must(err)
			w.must(p.Signal(syscall.SIGTERM))
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			_, err = p.Wait(ctx)
			cancel()
			w.must(err)
		}
	}
	background := func(who string) {
		t.Helper()
		w.eventually(func() error {
			status, answer := w.exchange("", http.MethodPost, w.services.Data[0]+"/.netlify/functions/hold-background?"+who, http.Header{}, nil)
			if status != http.StatusAccepted {
				return fmt.Errorf("hold-background: %d %s", status, answer)
			}
			return nil
		})
	}

	// With the old key: a deploy, whose function waits to be run.
	run(old)
	functions := filepath.Join(w.dir, "site", "netlify", "functions")
	w.must(os.MkdirAll(functions, 0o755))
	for _, name := range []string{"hold-background.mjs", "hold.mjs"} {
		w.must(os.WriteFile(filepath.Join(functions, name), []byte(strings.ReplaceAll(hold, "@COLLECTOR@", w.receiver.URL())), 0o644))
	}
	w.variable("KEPT", "kept-value", true)
	w.nightshift("deploy", filepath.Join(w.dir, "site"), "--prod")
	end("worker1")
	background("first")
	end("gateway1")

	// With both: it runs, what there is is sealed anew meanwhile, and another one waits.
	run(fresh + "," + old)
	reports("first has kept-value")
	if got := w.nightshift("secret-key", "status"); !strings.Contains(got, "Keep all keys") {
		t.Errorf("status with two keys: %s", got)
	}
	if got := w.nightshift("secret-key", "reseal"); !strings.Contains(got, "Sealed anew 1 variable and the environments of 1 deploy") || !strings.Contains(got, "leave the others out") {
		t.Errorf("reseal: %s", got)
	}
	goes.Store(true)
	end("worker1") // it waits for what runs
	goes.Store(false)
	background("second")
	end("gateway1")

	// With the new key alone, all goes on.
	run(fresh)
	reports("second has kept-value")
	goes.Store(true)
	w.eventually(func() error {
		if status, answer := w.exchange("", http.MethodPost, w.services.Data[0]+"/.netlify/functions/hold?third", http.Header{}, nil); status != http.StatusOK || string(answer) != "kept-value" {
			return fmt.Errorf("a sync call: %d %s", status, answer)
		}
		return nil
	})
	w.nightshift("env", "set", "KEPT", "another-value")
	w.nightshift("deploy", filepath.Join(w.dir, "site"), "--prod")
	w.eventually(func() error {
		_, answer := w.exchange("", http.MethodPost, w.services.Data[0]+"/.netlify/functions/hold?fourth", http.Header{}, nil)
		if string(answer) != "another-value" {
			return fmt.Errorf("after another deploy: %s", answer)
		}
		return nil
	})
	w.nightshift("rollback")
	w.eventually(func() error {
		_, answer := w.exchange("", http.MethodPost, w.services.Data[0]+"/.netlify/functions/hold?fifth", http.Header{}, nil)
		if string(answer) != "kept-value" {
			return fmt.Errorf("after a rollback to the deploy of before: %s", answer)
		}
		return nil
	})
}

func newKey(w *world) string {
	w.Helper()
	key, err := secret.Generate()
	w.must(err)
	return string(key)
}
