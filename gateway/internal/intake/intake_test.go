package intake_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// bundle is an Intake on a Redis of its own.
type bundle struct {
	t      *testing.T
	intake *intake.Intake
	store  *store.Store
	redis  redis.UniversalClient // for looking
	broken *redistest.Breaker
}

func setup(t *testing.T, backlog int) *bundle {
	t.Helper()
	server := redistest.Start(t)
	rdb := server.Client()
	broken := &redistest.Breaker{}
	rdb.AddHook(broken)
	q, err := queue.NewClient(rdb, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	s := store.New(rdb, store.Options{})
	return &bundle{t: t, store: s, redis: server.Client(), broken: broken, intake: intake.New(intake.Config{Queue: q, Records: s, Backlog: backlog})}
}

var job = function.Function{Name: "job", Kind: function.Background}

// call is a call of a site's function with a key.
func (b *bundle) call(site, key string, f *function.Function) intake.Call {
	b.t.Helper()
	id, err := intake.NewID()
	if err != nil {
		b.t.Fatal(err)
	}
	return intake.Call{Invocation: invocation.Invocation{ID: id, Site: site, Deploy: "d1"}, Function: f, Published: true, Event: []byte("{}"), Key: key}
}

// made is how many records and tasks there are.
func (b *bundle) made() int {
	b.t.Helper()
	counts, err := b.store.Counts(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	tasks := len(b.redis.Keys(b.t.Context(), "asynq:{*}:t:*").Val())
	if int(counts.Accepted) != tasks {
		b.t.Errorf("%d records were made and there are %d tasks", counts.Accepted, tasks)
	}
	return tasks
}

func TestAccept(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	c := b.call("shop", "", &function.Function{Name: "job", Kind: function.Background, Concurrency: 3})
	c.Invocation.NotBefore = time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	c.Invocation.ReplayOf = "01M806MVMKT0J5BYFM7KEAVBDK"
	got, err := b.intake.Accept(t.Context(), c)
	if err != nil || got != (intake.Accepted{ID: c.Invocation.ID}) {
		t.Fatalf("Accept = %+v, %v", got, err)
	}
	inv, err := b.store.Invocation(t.Context(), got.ID)
	if err != nil || inv.Function != "job" || inv.Kind != function.Background || inv.Site != "shop" || !inv.NotBefore.Equal(c.Invocation.NotBefore) || inv.ReplayOf != c.Invocation.ReplayOf {
		t.Errorf("record = %+v, %v", inv, err)
	}
	if waits := b.redis.ZCard(t.Context(), "asynq:{background}:scheduled").Val(); waits != 1 {
		t.Errorf("%d tasks wait for their time, want 1", waits)
	}
}

// A key makes one invocation of a function, whatever else has it.
func TestKey(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	other := function.Function{Name: "other", Kind: function.Background}
	tick := function.Function{Name: "job", Kind: function.Scheduled, Schedule: "@daily"}
	var ids []string
	for _, c := range []intake.Call{
		b.call("shop", "k", &job), b.call("shop", "l", &job), b.call("shop", "k", &other), b.call("shelf", "k", &job), b.call("shop", "k", &tick), b.call("shop", "", &job),
	} {
		for try := range 3 {
			repeated := c
			repeated.Invocation.ID = b.call("", "", &job).Invocation.ID
			if try == 0 {
				repeated = c
			}
			got, err := b.intake.Accept(t.Context(), repeated)
			want := intake.Accepted{ID: c.Invocation.ID, Replayed: try > 0}
			if c.Key == "" {
				want = intake.Accepted{ID: repeated.Invocation.ID}
			}
			if err != nil || got != want {
				t.Errorf("%s %s %q, try %d = %+v, %v; want %+v", c.Invocation.Site, c.Function.Name, c.Key, try, got, err, want)
			}
			ids = append(ids, got.ID)
		}
	}
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 8 || b.made() != 8 {
		t.Errorf("%d invocations were told of and %d made, want 8", n, b.made())
	}
	ttl := b.redis.PTTL(t.Context(), b.redis.Keys(t.Context(), "nightshift:{background}:once:*").Val()[0]).Val()
	if ttl <= intake.KeyTTL-time.Minute || ttl > intake.KeyTTL {
		t.Errorf("a key is remembered for %v, want %v", ttl, intake.KeyTTL)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	for i := range 3 {
		_, err := b.intake.Accept(t.Context(), b.call("shop", "", &job))
		if full := fault.Is(err, fault.Throttled); full != (i == 2) || err != nil && !full {
			t.Errorf("call %d = %v", i, err)
		}
		if _, retry := fault.Public(err); i == 2 && retry == 0 {
			t.Errorf("%v does not say when to come back", err)
		}
	}
	// Nothing of the refused one is there, and its key is free.
	refused := b.call("shop", "k", &job)
	if _, err := b.intake.Accept(t.Context(), refused); !fault.Is(err, fault.Throttled) {
		t.Errorf("with a key: %v, want throttled", err)
	}
	if n := b.made(); n != 2 {
		t.Errorf("%d were made, want 2", n)
	}
	if _, err := b.intake.Accept(t.Context(), b.call("shelf", "", &job)); err != nil {
		t.Errorf("another site: %v", err)
	}
	tick := function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily"}
	if _, err := b.intake.Accept(t.Context(), b.call("shop", "", &tick)); err != nil {
		t.Errorf("another kind: %v", err)
	}
	for _, id := range b.redis.LRange(t.Context(), "asynq:{background}:pending", 0, -1).Val() {
		if _, err := b.store.Begin(t.Context(), function.Background, id, "w"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.intake.Accept(t.Context(), refused); err != nil || got.ID != refused.Invocation.ID {
		t.Errorf("when the others run: %+v, %v", got, err)
	}
}

func TestNoBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t, -1)
	for range 5 {
		if _, err := b.intake.Accept(t.Context(), b.call("shop", "", &job)); err != nil {
			t.Error(err)
		}
	}
}

// A reply that is lost makes nothing twice, and refuses nobody who has the last place.
func TestFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, 3)
	if _, err := b.intake.Accept(t.Context(), b.call("shop", "first", &job)); err != nil { // loads the script
		t.Fatal(err)
	}
	isScript := func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" }
	tests := []struct {
		name  string
		fault redistest.Fault
		made  int // by the call that is answered with an error
	}{
		{"failed", redistest.Failed, 0},
		{"failed but done", redistest.FailedButDone, 1},
	}
	for _, tt := range tests {
		c, before := b.call("shop", tt.name, &job), b.made()
		b.broken.Break(1, tt.fault, isScript)
		if _, err := b.intake.Accept(t.Context(), c); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v, want unavailable", tt.name, err)
		}
		if made := b.made() - before; made != tt.made {
			t.Errorf("%s: %d made, want %d", tt.name, made, tt.made)
		}
		got, err := b.intake.Accept(t.Context(), c)
		if err != nil || got != (intake.Accepted{ID: c.Invocation.ID}) {
			t.Errorf("%s, the same again = %+v, %v", tt.name, got, err)
		}
		if made := b.made() - before; made != 1 {
			t.Errorf("%s, and again: %d made, want 1", tt.name, made)
		}
	}
	b.broken.Break(100, redistest.Failed, nil)
	if _, err := b.intake.Accept(t.Context(), b.call("shop", "first", &job)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without Redis: %v, want unavailable", err)
	}
}
