package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/oklog/ulid/v2"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// patience is how long a test waits for something that takes milliseconds on an
// idle machine.
const patience = 30 * time.Second

// fleet is Redis and an artifact store, with one deploy, for workers to meet in.
type fleet struct {
	redis   *redistest.Server
	blobs   string
	store   *store.Store
	queue   *queue.Client
	deploy  deploy.Deploy
	signing sync.Mutex
	signs   wire.Key
	// unsigned leaves calls without a signature.
	unsigned bool
}

// sources are the functions of the deploy, all background ones with short
// retry delays and a limit of 20 s, unless their name says otherwise.
var sources = map[string]string{
	"hello":   `export default async (req) => { console.log("hello from", process.env.SITE_NAME); return new Response("hi " + await req.text(), { status: 201, headers: { "x-own": "1" } }) }`,
	"throws":  `export default async () => { throw new TypeError("no good") }`,
	"exits":   `export default async () => { console.log("leaving"); process.exit(3) }`,
	"spins":   `export default async () => { console.log("spinning"); for (;;); }`,
	"waits":   `export default async () => { console.log("waiting"); await new Promise(r => setTimeout(r, 60000)); return new Response("done") }`,
	"second":  `export default async (req, { attempt }) => { if (attempt === 1) throw new Error("first time"); return new Response("second time") }`,
	"resumes": `export default async (req, { attempt }) => { if (attempt === 1) { console.log("begun"); await new Promise(r => setTimeout(r, 60000)) } return new Response("resumed") }`,
	"streams": `export default async () => new Response(new ReadableStream({ async start(c) { for (let i = 0; i < 3; i++) { c.enqueue(new TextEncoder().encode("part " + i + "\n")); await new Promise(r => setTimeout(r, 20)) } c.close() } }), { headers: { "content-type": "text/plain" } })`,
	"tells":   `export default async () => new Response(JSON.stringify(process.env))`,
	"breaks":  `export default async () => { const = 1 }`,
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{redis: redistest.Start(t), blobs: "file://" + t.TempDir()}
	rdb := f.redis.Client()
	f.store = store.New(rdb, store.Options{})
	var err error
	if f.queue, err = queue.NewClient(rdb, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.queue.Close() })
	artifacts, err := artifact.Open(t.Context(), f.blobs)
	if err != nil {
		t.Fatal(err)
	}
	defer artifacts.Close()
	f.deploy = deploy.Deploy{ID: "d1", Site: "shop", State: deploy.Uploading}
	for name, source := range sources {
		zip, digest, err := artifact.Pack([]artifact.File{{Path: name + ".mjs", Data: []byte(source)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := artifacts.Put(t.Context(), digest, bytes.NewReader(zip)); err != nil {
			t.Fatal(err)
		}
		fn := function.Function{
			Name: name, Kind: function.Background, API: function.APIv2, Runtime: "node",
			Entry: name + ".mjs", Artifact: digest, TimeoutMS: 20_000, RetryDelaysMS: []int64{10},
		}
		if name == "spins" {
			fn.TimeoutMS = 5000 // time enough to start on a busy machine
			fn.Retries = new(int)
		}
		f.deploy.Functions = append(f.deploy.Functions, fn)
	}
	if err := f.store.CreateDeploy(t.Context(), f.deploy); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Seal(t.Context(), f.deploy); err != nil {
		t.Fatal(err)
	}
	return f
}

// worker starts a worker that is stopped with the test.
func (f *fleet) worker(t testing.TB, change ...func(*Config)) *Worker {
	t.Helper()
	cfg := Config{
		RedisURL: f.redis.URL(), BlobURL: f.blobs, DataDir: artifacttest.TempDir(t), Concurrency: 2, Drain: -1,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, w) })
	return w
}

func stop(t testing.TB, w *Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// eventFor is the event of a POST with a body.
func eventFor(t testing.TB, name, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.localhost"+function.DefaultPath(name), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	return event.FromRequest(r, []byte(body), event.Meta{Site: "shop", Deploy: "d1", BaseURL: "http://shop.localhost", ClientIP: "127.0.0.1"})
}

// enqueue accepts an invocation as the gateway does.
func (f *fleet) enqueue(t testing.TB, name, body string) (id string) {
	t.Helper()
	id = ulid.Make().String()
	return f.enqueueInvocation(t, invocation.Invocation{ID: id, Function: name}, body)
}

// enqueueInvocation accepts one whose ID and function are given, and what else is asked of it.
func (f *fleet) enqueueInvocation(t testing.TB, inv invocation.Invocation, body string) (id string) {
	t.Helper()
	inv.Site, inv.Deploy, inv.Kind = "shop", "d1", function.Background
	id, name := inv.ID, inv.Function
	task := queue.Task{ID: id, Queue: function.Background, Target: queue.Target{Site: "shop", Deploy: "d1", Function: name}, Timeout: 20 * time.Second}
	for deadline := time.Now().Add(patience); ; pause(t, 100*time.Millisecond) {
		_, err := f.queue.Enqueue(t.Context(), task, f.store.Create(inv, eventFor(t, name, body)))
		if err == nil {
			return id
		}
		// A busy machine may be too slow for Enqueue's own limit of 2 s; doing it
		// again with the same ID is safe.
		if !fault.Is(err, fault.Unavailable) || time.Now().After(deadline) {
			t.Fatalf("Enqueue: %v", err)
		}
	}
}

// await polls the record until ready is true of it.
func (f *fleet) await(t testing.TB, id, what string, ready func(invocation.Invocation) bool) invocation.Invocation {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		inv, err := f.store.Invocation(t.Context(), id)
		if err == nil && ready(inv) {
			return inv
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %+v, %v\nlog:\n%s", what, inv, err, f.log(t, id))
		}
		pause(t, 5*time.Millisecond)
	}
}

func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal("the test is over")
	case <-time.After(d):
	}
}

func (f *fleet) awaitState(t testing.TB, id string, state invocation.State) invocation.Invocation {
	t.Helper()
	return f.await(t, id, "state "+string(state), func(inv invocation.Invocation) bool { return inv.State == state })
}

// awaitLine waits until the function has written a line.
func (f *fleet) awaitLine(t testing.TB, id, text string) {
	t.Helper()
	f.await(t, id, "the line "+text, func(invocation.Invocation) bool { return strings.Contains(f.log(t, id), text) })
}

func (f *fleet) log(t testing.TB, id string) string {
	t.Helper()
	lines, err := f.store.Log(t.Context(), id, "", 1000)
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&all, "%d %s: %s\n", l.Attempt, l.Stream, l.Text)
	}
	return all.String()
}

func outcomes(inv invocation.Invocation) (all []invocation.Outcome) {
	for _, a := range inv.Attempts {
		all = append(all, a.Outcome)
	}
	return all
}

func TestBackgroundCalls(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker(t)
	tests := []struct {
		name, body string
		state      invocation.State
		outcomes   string
		text       string // in the result or in the last attempt's failure
		log        string
	}{
		{"hello", "there", invocation.Succeeded, "[succeeded]", "hi there", "1 stdout: hello from shop"},
		{"second", "", invocation.Succeeded, "[error succeeded]", "second time", "the next one follows in 1"},
		{"throws", "", invocation.Dead, "[error error error]", "no good", "3 system: attempt 3 ended"},
		{"exits", "", invocation.Dead, "[crash crash crash]", "", "leaving"},
		{"spins", "", invocation.Dead, "[timeout]", "", "spinning"},
		{"breaks", "", invocation.Dead, "[init_error init_error init_error]", "", "init_error"},
		{"unknown", "", invocation.Failed, "[init_error]", "no function unknown", "init_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := f.enqueue(t, test.name, test.body)
			inv := f.awaitState(t, id, test.state)
			if test.state == invocation.Failed { // passed through by those that retry soon
				inv = f.await(t, id, "a wait before the retry", func(inv invocation.Invocation) bool { return !inv.NextAttemptAt.IsZero() })
			}
			if got := fmt.Sprint(outcomes(inv)); got != test.outcomes {
				t.Errorf("outcomes = %s, want %s", got, test.outcomes)
			}
			text := ""
			if inv.Result != nil {
				text = inv.Result.Body
			} else if failure := inv.Attempts[len(inv.Attempts)-1].Error; failure != nil {
				text = failure.Type + " " + failure.Message
			}
			if !strings.Contains(text, test.text) || text == "" {
				t.Errorf("the record says %q, want %q", text, test.text)
			}
			if got := f.log(t, id); !strings.Contains(got, test.log) || !strings.Contains(got, "started on worker "+w.ID()) {
				t.Errorf("the log lacks %q:\n%s", test.log, got)
			}
		})
	}
}

// TestACancelledCallEndsAtOnce: well below the 5 s after which the worker would
// ask by itself, even where the machine is busy; on an idle one it takes some
// ten milliseconds.
func TestACancelledCallEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.worker(t)
	id := f.enqueue(t, "waits", "")
	f.awaitLine(t, id, "waiting")
	asked := time.Now()
	if _, err := f.store.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	inv := f.awaitState(t, id, invocation.Cancelled)
	took := time.Since(asked)
	t.Logf("cancelled after %v", took)
	if took > 3*time.Second {
		t.Errorf("cancelled after %v, want it at once", took)
	}
	if got := fmt.Sprint(outcomes(inv)); got != "[cancelled]" {
		t.Errorf("outcomes = %s, want cancelled", got)
	}
}

// A worker that is told to have all walls does not start without one.
func TestRequiredIsolation(t *testing.T) {
	t.Parallel()
	closed := t.TempDir() // root's functions cannot have user IDs of their own below it
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{
		RedisURL: "redis://127.0.0.1:1", BlobURL: "file://" + t.TempDir(), DataDir: filepath.Join(closed, "data"),
		Isolation: IsolationRequired, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		defer func() { _ = w.Stop(t.Context()) }()
	}
	if os.Getuid() != 0 && err == nil {
		return // there is nothing missing for a user
	}
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "NIGHTSHIFT_WORKER_ISOLATION") {
		t.Errorf("New = %v, want it refused with the name of the setting", err)
	}
}

func TestADrainingWorkerHandsBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	first := f.worker(t)
	id := f.enqueue(t, "resumes", "")
	f.awaitLine(t, id, "begun")
	stop(t, first)
	if inv, err := f.store.Invocation(t.Context(), id); err != nil || inv.State != invocation.Queued {
		t.Errorf("after the drain: state %s, %v; want queued", inv.State, err)
	}
	second := f.worker(t)
	inv := f.awaitState(t, id, invocation.Succeeded)
	if got := fmt.Sprint(outcomes(inv)); got != "[drained succeeded]" || inv.Attempts[1].Worker != second.ID() || inv.Result.Body != "resumed" {
		t.Errorf("outcomes = %s on %s, result %+v", got, inv.Attempts[1].Worker, inv.Result)
	}
}

func TestADrainWaitsForWhatRuns(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker(t, func(c *Config) { c.Drain = patience })
	ids := []string{f.enqueue(t, "hello", "a"), f.enqueue(t, "hello", "b")}
	for _, id := range ids {
		f.await(t, id, "the start", func(inv invocation.Invocation) bool { return inv.State != invocation.Queued })
	}
	stop(t, w)
	for _, id := range ids {
		if inv, err := f.store.Invocation(t.Context(), id); err != nil || inv.State != invocation.Succeeded {
			t.Errorf("after the drain: state %s, %v; want succeeded", inv.State, err)
		}
	}
	if workers, err := f.store.Workers(t.Context()); err != nil || len(workers) != 0 {
		t.Errorf("after the drain the workers are %v, %v; want none", workers, err)
	}
}

// key is what a gateway signs with.
func (f *fleet) key(t testing.TB) wire.Key {
	t.Helper()
	f.signing.Lock()
	defer f.signing.Unlock()
	if f.signs.ID == "" {
		keys, _, err := f.store.CallKeys(t.Context(), time.Hour, 3*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		f.signs = keys[0]
	}
	return f.signs
}

func (f *fleet) call(t testing.TB, client *http.Client, w *Worker, name, body string) (*http.Response, string) {
	t.Helper()
	event := eventFor(t, name, body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.Addr()+wire.Path, bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(wire.HeaderInvocation, ulid.Make().String())
	r.Header.Set(wire.HeaderSite, "shop")
	r.Header.Set(wire.HeaderDeploy, "d1")
	r.Header.Set(wire.HeaderFunction, name)
	r.Header.Set(wire.HeaderWorker, w.ID())
	if !f.unsigned {
		f.key(t).Sign(r, time.Now(), event)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(data)
}

func TestSyncCalls(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tests := []struct {
		name, body string
		status     int
		outcome    string
		text       string
	}{
		{"hello", "you", 201, "succeeded", "hi you"},
		{"streams", "", 200, "succeeded", "part 0\npart 1\npart 2\n"},
		{"throws", "", 502, "error", "no good"},
		{"exits", "", 502, "crash", "message"},
		{"spins", "", 504, "timeout", "message"},
		{"breaks", "", 502, "init_error", "message"},
		{"unknown", "", 404, "refused", "no function unknown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for { // more calls at once than processes
				answer, body := f.call(t, client, w, test.name, test.body)
				outcome := answer.Header.Get(wire.HeaderOutcome)
				if outcome == wire.Busy {
					pause(t, 20*time.Millisecond)
					continue
				}
				if answer.StatusCode != test.status || outcome != test.outcome || !strings.Contains(body, test.text) {
					t.Errorf("answer = %d %s %q, want %d %s %q", answer.StatusCode, outcome, body, test.status, test.outcome, test.text)
				}
				return
			}
		})
	}
}

func TestHeartbeatsTellWhatIsWarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.worker(t)
	f.awaitState(t, f.enqueue(t, "hello", ""), invocation.Succeeded)
	deadline := time.Now().Add(patience)
	for {
		workers, err := f.store.Workers(t.Context())
		if err == nil && len(workers) == 1 && workers[0].Warm["d1/hello"] == 1 {
			if got := workers[0]; got.ID != w.ID() || got.Addr != w.Addr() || got.Capacity != 6 || got.Concurrency != 2 {
				t.Errorf("the worker is listed as %+v", got)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("workers = %+v, %v; want one with hello warm", workers, err)
		}
		pause(t, 10*time.Millisecond)
	}
}

func TestHealthFollowsRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w, err := New(Config{RedisURL: server.URL(), BlobURL: "mem://", DataDir: t.TempDir(), Drain: -1, Spares: -1, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := func(path string) int {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + w.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if h, r := status("/healthz"), status("/readyz"); h != 200 || r != 200 {
		t.Errorf("with Redis: healthz %d, readyz %d; want 200, 200", h, r)
	}
	server.Stop()
	if h, r := status("/healthz"), status("/readyz"); h != 200 || r != 503 {
		t.Errorf("without Redis: healthz %d, readyz %d; want 200, 503", h, r)
	}
	// A worker without Redis must still stop; it says what it could not do.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.Stop(ctx); err == nil || !strings.Contains(err.Error(), "withdrawing the worker") {
		t.Errorf("Stop without Redis = %v, want that the worker could not be withdrawn", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Config{RedisURL: "redis://127.0.0.1:1", BlobURL: "mem://", DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	taken, err := New(good)
	if err != nil {
		t.Fatalf("New without Redis: %v", err)
	}
	defer stop(t, taken)
	wrong := map[string]func(c *Config){
		"Redis URL":    func(c *Config) { c.RedisURL = "http://localhost" },
		"blob URL":     func(c *Config) { c.BlobURL = "ftp://x" },
		"cannot liste": func(c *Config) { c.Addr = taken.Addr() },
		"ADVERTISE":    func(c *Config) { c.AdvertiseAddr = ":1" },
	}
	for text, change := range wrong {
		c := good
		change(&c)
		if w, err := New(c); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("New = %v, %v; want a complaint with %q", w, err, text)
		}
	}
}

func TestNewRefusesWithoutNode(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("NIGHTSHIFT_NODE", "")
	_, err := New(Config{RedisURL: "redis://127.0.0.1:1", BlobURL: "mem://", DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "Node") {
		t.Errorf("New = %v, want one line about Node", err)
	}
}
