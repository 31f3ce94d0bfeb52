package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

const (
	day       = 24 * time.Hour
	retention = 30 * day
)

// world is an installation without services.
type world struct {
	t      testing.TB
	server *redistest.Server
	rdb    redis.UniversalClient
	store  *store.Store
	blobs  *aging
	log    bytes.Buffer
	clock  func(context.Context) (time.Time, error)
}

func newWorld(t testing.TB) *world {
	server := redistest.Start(t)
	rdb := server.Client()
	s, err := artifact.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &world{
		t: t, server: server, rdb: rdb, store: store.New(rdb, store.Options{}), blobs: &aging{Store: s, old: map[string]bool{}},
		clock: func(ctx context.Context) (time.Time, error) { return redisdb.Now(ctx, rdb) },
	}
}

// collector is a new leader's, over any client of the same Redis.
func (w *world) collector(s *store.Store) *Collector {
	c := New(Config{Store: s, Blobs: w.blobs, Retention: retention, Now: w.clock, Logger: slog.New(slog.NewTextHandler(&w.log, nil))})
	c.due = true
	return c
}

func (w *world) term() int64 {
	w.t.Helper()
	term, err := w.store.BeginTerm(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return term
}

// aging is a blob store some of whose blobs are older than they are.
type aging struct {
	*artifact.Store
	mu      sync.Mutex
	old     map[string]bool
	deletes int
	fail    error // of Delete
}

func (a *aging) List(ctx context.Context, fn func(artifact.Blob) error) error {
	return a.Store.List(ctx, func(b artifact.Blob) error {
		a.mu.Lock()
		if a.old[b.Name()] {
			b.ModTime = b.ModTime.Add(-2 * day)
		}
		a.mu.Unlock()
		return fn(b)
	})
}

func (a *aging) Delete(ctx context.Context, digest string, kind artifact.Kind) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	a.deletes++
	delete(a.old, kind.Name(digest))
	return a.Store.Delete(ctx, digest, kind)
}

// file stores a static file and returns its digest.
func (w *world) file(content string, old bool) string {
	w.t.Helper()
	digest := artifacttest.Digest([]byte(content))
	if err := w.blobs.PutFile(w.t.Context(), digest, strings.NewReader(content)); err != nil {
		w.t.Fatal(err)
	}
	w.blobs.old[artifact.Static.Name(digest)] = old
	return digest
}

// code stores a zip and returns its digest.
func (w *world) code(content string, old bool) string {
	w.t.Helper()
	data, digest := artifacttest.Pack(w.t, artifact.File{Path: "f.js", Data: []byte(content)})
	if err := w.blobs.Put(w.t.Context(), digest, bytes.NewReader(data)); err != nil {
		w.t.Fatal(err)
	}
	w.blobs.old[artifact.Code.Name(digest)] = old
	return digest
}

// description is a deploy of a site that needs code and files.
func description(id string, code, files []string) deploy.Deploy {
	d := deploy.Deploy{ID: id, Site: "shop", Files: map[string]deploy.File{}}
	for i, digest := range code {
		d.Functions = append(d.Functions, function.Function{Name: fmt.Sprint("f", i), Artifact: digest})
	}
	for i, digest := range files {
		d.Files[fmt.Sprint(i, ".html")] = deploy.File{Digest: digest}
	}
	return d
}

// deploy makes a deploy in any state, as old as it is told.
func (w *world) deploy(d deploy.Deploy, state deploy.State, age time.Duration) {
	w.t.Helper()
	d.CreatedAt = time.Now().Add(-age)
	if err := w.store.CreateDeploy(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	w.set("deploy:"+d.ID, "state", string(state))
	if state == deploy.Expired {
		w.set("deploy:"+d.ID, "expired", ms(time.Now().Add(-age)))
	}
}

// set sets a field of a hash of the catalog.
func (w *world) set(key, field, value string) {
	w.t.Helper()
	if err := w.rdb.HSet(w.t.Context(), "nightshift:{catalog}:"+key, field, value).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func ms(at time.Time) string { return fmt.Sprint(at.UnixMilli()) }

// state is that of a deploy; empty if there is none.
func (w *world) state(id string) deploy.State {
	w.t.Helper()
	d, err := w.store.Deploy(w.t.Context(), id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		w.t.Fatal(err)
	}
	return d.State
}

// round does a round that must succeed.
func (w *world) round(c *Collector, term int64) counts {
	w.t.Helper()
	n, err := c.round(w.t.Context(), term)
	if err != nil {
		w.t.Fatalf("round = %v", err)
	}
	return n
}

// Which deploys are taken out of use, which are removed, which stay.
func TestDeploys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := retention + day
	make := func(id string, state deploy.State, age time.Duration) {
		w.deploy(description(id, nil, nil), state, age)
	}
	want := map[string]deploy.State{}
	for _, row := range []struct {
		id    string
		state deploy.State
		age   time.Duration
		want  deploy.State // after one round; "" is removed
		with  func(id string)
	}{
		{"published", deploy.Ready, old, deploy.Ready, func(id string) { w.set("published", "shop", id) }},
		{"locked", deploy.Ready, old, deploy.Ready, func(id string) { w.set("locked", "shop", id) }},
		{"branch", deploy.Ready, old, deploy.Ready, func(id string) { w.set("branches", "shop/main", id) }},
		{"left-lately", deploy.Ready, old, deploy.Ready, func(id string) { w.set("deploy:"+id, "left", ms(time.Now().Add(-day))) }},
		{"left-long-ago", deploy.Ready, 2 * old, deploy.Expired, func(id string) { w.set("deploy:"+id, "left", ms(time.Now().Add(-old))) }},
		{"young", deploy.Ready, retention - time.Hour, deploy.Ready, nil},
		{"old", deploy.Ready, old, deploy.Expired, nil},
		{"old-pinned", deploy.Ready, old, deploy.Expired, w.pin}, // out of use, and not yet removed
		{"expired", deploy.Expired, time.Hour, "", nil},
		{"expired-now", deploy.Expired, time.Minute, deploy.Expired, nil},
		{"expired-pinned", deploy.Expired, time.Hour, deploy.Expired, w.pin},
		{"new", deploy.New, 2 * day, "", nil},
		{"new-young", deploy.New, time.Hour, deploy.New, nil},
		{"uploading", deploy.Uploading, 2 * day, "", nil},
		{"uploading-now", deploy.Uploading, 2 * day, deploy.Uploading, func(id string) {
			if err := w.store.Await(t.Context(), id, []string{"file:x"}); err != nil {
				t.Fatal(err)
			}
		}},
		{"uploading-young", deploy.Uploading, time.Hour, deploy.Uploading, nil},
		{"failed", deploy.Failed, 2 * day, "", nil},
		{"failed-young", deploy.Failed, time.Hour, deploy.Failed, nil},
	} {
		make(row.id, row.state, row.age)
		if row.with != nil {
			row.with(row.id)
		}
		want[row.id] = row.want
	}
	// Of the history, the ten newest stay.
	for i := range store.KeptHistory + 2 {
		id := fmt.Sprint("history-", i)
		make(id, deploy.Ready, old)
		if err := w.rdb.RPush(t.Context(), "nightshift:{catalog}:history:shop", id).Err(); err != nil {
			t.Fatal(err)
		}
		want[id] = deploy.Ready
		if i < 2 {
			want[id] = deploy.Expired
		}
	}
	// Another site's pointers are no business of this one, and it has its own.
	other := description("other", nil, nil)
	other.Site = "blog"
	w.deploy(other, deploy.Ready, old)
	w.set("published", "blog", "other")
	want["other"] = deploy.Ready

	before, err := w.store.CatalogVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, term := w.collector(w.store), w.term()
	n := w.round(c, term)
	for id, want := range want {
		if got := w.state(id); got != want {
			t.Errorf("after a round %s is %q, want %q", id, got, want)
		}
	}
	if n.expired != 5 || n.removed != 4 || n.pinned != 1 {
		t.Errorf("counts %+v, want 5 expired, 4 removed, 1 pinned", n)
	}
	if after, _ := w.store.CatalogVersion(t.Context()); after != before+1 {
		t.Errorf("the catalog's version went from %d to %d, want one more: gateways are told once", before, after)
	}
	if left, _ := w.rdb.ZScore(t.Context(), "nightshift:{catalog}:deploys:shop", "expired").Result(); left != 0 {
		t.Error("a removed deploy is still listed")
	}

	// Soon after: nothing. What was taken out of use goes in a later round, unless
	// invocations are to run on it; when they have run, it goes too.
	if n := w.round(c, term); n.expired != 0 || n.removed != 0 {
		t.Errorf("the next round did %+v, want nothing", n)
	}
	for id, now := range want {
		if now == deploy.Expired {
			w.set("deploy:"+id, "expired", ms(time.Now().Add(-time.Hour)))
		}
	}
	w.round(c, term)
	for id, now := range want {
		if now != deploy.Expired {
			continue
		}
		got, pinned := w.state(id), strings.HasSuffix(id, "-pinned")
		if (got == "") == pinned {
			t.Errorf("in a later round %s is %q, pinned: %t", id, got, pinned)
		}
	}
	if err := w.rdb.Del(t.Context(), "nightshift:{background}:pins").Err(); err != nil {
		t.Fatal(err)
	}
	w.round(c, term)
	for _, id := range []string{"old-pinned", "expired-pinned"} {
		if got := w.state(id); got != "" {
			t.Errorf("without invocations %s is %q, want that it is removed", id, got)
		}
	}
}

// pin pretends an unfinished invocation of a deploy.
func (w *world) pin(id string) {
	w.t.Helper()
	if err := w.rdb.HIncrBy(w.t.Context(), "nightshift:{background}:pins", id, 1).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// Kept for ever is kept for ever; what was never completed goes all the same.
func TestRetentionOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(description("old", nil, nil), deploy.Ready, 10*365*day)
	w.deploy(description("failed", nil, nil), deploy.Failed, 2*day)
	c := w.collector(w.store)
	c.cfg.Retention = 0
	w.round(c, w.term())
	if w.state("old") != deploy.Ready || w.state("failed") != "" {
		t.Errorf("states %q and %q, want ready and removed", w.state("old"), w.state("failed"))
	}
}

// Which blobs are deleted, and what is forgotten with them.
func TestBlobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files, code := map[string]string{}, map[string]string{}
	for _, name := range []string{"ready", "expired", "uploading", "by-sha1", "failed", "nobody", "shared", "young"} {
		files[name], code[name] = w.file(name, name != "young"), w.code(name, name != "young")
	}
	w.deploy(description("ready", []string{code["ready"], code["shared"]}, []string{files["ready"], files["shared"]}), deploy.Ready, day)
	w.deploy(description("expired", []string{code["expired"]}, []string{files["expired"]}), deploy.Expired, time.Minute)
	w.deploy(description("failed", []string{code["failed"], code["shared"]}, []string{files["failed"], files["shared"]}), deploy.Failed, time.Minute)
	w.deploy(description("uploading", []string{code["uploading"], code["by-sha1"]}, []string{files["uploading"]}), deploy.Uploading, time.Minute)
	// A file that is known by its SHA-1 until the deploy is ready.
	w.set("deploy:uploading", "data", fmt.Sprintf(`{"functions":[{"artifact":%q},{"artifact":%q}],"files":{"a":{"digest":%q},"b":{"digest":"","sha1":"0abc"},"c":{"digest":"","sha1":"unknown"}}}`,
		code["uploading"], code["by-sha1"], files["uploading"]))
	w.set("blobs:shop", "sha1:0abc", files["by-sha1"]+" 7")
	w.set("blobs:shop", "sha1:0def", files["nobody"]+" 6")
	w.set("blobs:shop", "zip:"+code["nobody"], "{}")
	w.set("blobs:shop", "zip:"+code["ready"], "{}")

	c, term := w.collector(w.store), w.term()
	n := w.round(c, term)
	var want []string
	for _, name := range []string{"ready", "expired", "uploading", "by-sha1", "shared", "young"} {
		want = append(want, artifact.Static.Name(files[name]), artifact.Code.Name(code[name]))
	}
	slices.Sort(want)
	if got := artifacttest.Names(t, w.blobs.Store); !slices.Equal(got, want) {
		t.Errorf("the store holds %d blobs, want the %d that are needed or young", len(got), len(want))
	}
	if n.blobs != 4 || n.bytes == 0 {
		t.Errorf("counts %+v, want 4 blobs with their bytes", n)
	}
	remembered := w.rdb.HKeys(t.Context(), "nightshift:{catalog}:blobs:shop").Val()
	slices.Sort(remembered)
	if !slices.Equal(remembered, []string{"sha1:0abc", "zip:" + code["ready"]}) {
		t.Errorf("remembered are %v, want the file and the zip that are left", remembered)
	}
	if doomed, err := w.store.AllDoomed(t.Context()); err != nil || len(doomed) != 0 {
		t.Errorf("doomed after a round: %v, %v; want nothing", doomed, err)
	}

	// The next rounds do not look at the blobs, until a deploy is removed or a
	// day has passed; the round after the removal deletes what it needed.
	w.blobs.old[artifact.Static.Name(files["young"])] = true
	if n := w.round(c, term); n.blobs != 0 {
		t.Errorf("the next round deleted %d blobs, want none", n.blobs)
	}
	w.set("deploy:expired", "expired", ms(time.Now().Add(-time.Hour)))
	if n := w.round(c, term); n.removed != 1 || n.blobs != 0 {
		t.Errorf("the round that removed a deploy did %+v", n)
	}
	if n := w.round(c, term); n.blobs != 3 { // two of the deploy's, and the one that has grown old
		t.Errorf("the round after that deleted %d blobs, want 3", n.blobs)
	}
	w.blobs.old[artifact.Code.Name(code["young"])] = true
	now := w.clock
	w.clock = func(ctx context.Context) (time.Time, error) { at, err := now(ctx); return at.Add(maxSpan), err }
	c.cfg.Now = w.clock
	if n := w.round(c, term); n.blobs < 1 {
		t.Errorf("a day later %d blobs were deleted, want some", n.blobs)
	}
}

// More garbage than a round deletes is deleted by the next ones.
func TestRoundsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(description("d", nil, nil), deploy.Ready, day)
	const files = maxDeleted + 10
	for i := range files {
		w.file(fmt.Sprint("file ", i), true)
	}
	c, term := w.collector(w.store), w.term()
	if n := w.round(c, term); n.blobs != maxDeleted || n.left != 10 {
		t.Errorf("the first round did %+v, want %d deleted and 10 left", n, maxDeleted)
	}
	if n := w.round(c, term); n.blobs != 10 || n.left != 0 {
		t.Errorf("the second round did %+v, want 10 deleted", n)
	}
}

// A Redis that knows no deploy is more likely the wrong one.
func TestNothingIsDeletedWithoutDeploys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("x", true)
	if n := w.round(w.collector(w.store), w.term()); n.blobs != 0 {
		t.Errorf("%d blobs were deleted, want none", n.blobs)
	}
	if !strings.Contains(w.log.String(), "no deploy is known") {
		t.Errorf("the log says %s", w.log.String())
	}
}

// A leader that another one has followed deletes nothing.
func TestASupersededLeaderDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(description("d", nil, nil), deploy.Ready, day)
	w.file("x", true)
	c, term := w.collector(w.store), w.term()
	w.term()
	if _, err := c.round(t.Context(), term); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("round = %v, want superseded", err)
	}
	if w.blobs.deletes != 0 {
		t.Errorf("%d blobs were deleted, want none", w.blobs.deletes)
	}
	c.Run(t.Context(), term) // returns, because it does not lead
}

// While the blob store is away nothing is lost, and the next round goes on.
func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := newMetrics(registry)
	m.did(counts{expired: 3, removed: 2, blobs: 5, bytes: 700, left: 9}, nil)
	m.did(counts{expired: 1, blobs: 1, bytes: 11, left: 4}, errors.New("away")) // what it did counts, what is left is not known
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP nightshift_scheduler_blobs_deleted_bytes_total Bytes of the blobs that this scheduler deleted.
# TYPE nightshift_scheduler_blobs_deleted_bytes_total counter
nightshift_scheduler_blobs_deleted_bytes_total 711
# HELP nightshift_scheduler_blobs_deleted_total Blobs that this scheduler deleted.
# TYPE nightshift_scheduler_blobs_deleted_total counter
nightshift_scheduler_blobs_deleted_total 6
# HELP nightshift_scheduler_deploys_expired_total Deploys that this scheduler took out of use.
# TYPE nightshift_scheduler_deploys_expired_total counter
nightshift_scheduler_deploys_expired_total 4
# HELP nightshift_scheduler_deploys_removed_total Deploys that this scheduler removed.
# TYPE nightshift_scheduler_deploys_removed_total counter
nightshift_scheduler_deploys_removed_total 2
# HELP nightshift_scheduler_garbage_blobs Garbage that the last round of this scheduler left for the next one.
# TYPE nightshift_scheduler_garbage_blobs gauge
nightshift_scheduler_garbage_blobs 9
`), "nightshift_scheduler_blobs_deleted_bytes_total", "nightshift_scheduler_blobs_deleted_total", "nightshift_scheduler_deploys_expired_total",
		"nightshift_scheduler_deploys_removed_total", "nightshift_scheduler_garbage_blobs"); err != nil {
		t.Error(err)
	}
	if testutil.ToFloat64(m.completed) == 0 {
		t.Error("no round is told as completed")
	}
}

func TestABlobStoreThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(description("d", nil, nil), deploy.Ready, day)
	digest := w.file("x", true)
	w.blobs.fail = fault.New(fault.Unavailable, "away")
	c, term := w.collector(w.store), w.term()
	if _, err := c.round(t.Context(), term); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("round = %v, want unavailable", err)
	}
	if doomed, err := w.store.Doomed(t.Context(), []string{artifact.Static.Name(digest), "file:other"}); err != nil || len(doomed) != 1 {
		t.Errorf("Doomed = %v, %v; want the one blob", doomed, err)
	}
	w.blobs.fail = nil
	c.due = true
	if n := w.round(c, term); n.blobs != 1 {
		t.Errorf("the next round did %+v, want 1 blob", n)
	}
	if doomed, err := w.store.AllDoomed(t.Context()); err != nil || len(doomed) != 0 {
		t.Errorf("doomed afterwards: %v, %v", doomed, err)
	}
}
