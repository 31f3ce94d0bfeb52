package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/oklog/ulid/v2"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// backend is a Redis under the store, with the store's clients on it.
type backend struct {
	*Store
	client func(testing.TB) redis.UniversalClient // a further client of the same server
}

// contract runs a test against every kind of Redis that this machine has.
func contract(t *testing.T, test func(t *testing.T, b *backend)) {
	t.Parallel()
	if redistest.Mini() || !redistest.Real() {
		t.Run("miniredis", func(t *testing.T) {
			t.Parallel()
			server := redistest.StartMini(t)
			test(t, newBackend(t, func(testing.TB) redis.UniversalClient { return server.Client() }))
		})
	}
	if !redistest.Real() {
		return
	}
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		test(t, newBackend(t, func(testing.TB) redis.UniversalClient { return server.Client() }))
	})
}

func newBackend(t testing.TB, client func(testing.TB) redis.UniversalClient) *backend {
	return &backend{Store: New(client(t), Options{}), client: client}
}

// compose makes the script that package queue would make of the steps, without
// a task: all Checks, then all Applies, each with its own KEYS and ARGV.
func compose(steps ...redisdb.Step) (script *redis.Script, keys []string, args []any) {
	var body strings.Builder
	var heads, tails string
	for i, step := range steps {
		if !slices.ContainsFunc(steps[:i], func(other redisdb.Step) bool { return other.Head == step.Head }) {
			heads, tails = heads+step.Head+"\n", tails+step.Tail+"\n"
		}
	}
	body.WriteString(redisdb.ClockHead + "local function tally(key, field, n) redis.call('HINCRBY', key, field, n) end\n" + heads +
		"local function part(all, first, n) local own = {} for i = 1, n do own[i] = all[first + i] end return own end\nlocal checks, applies = {}, {}\n")
	for _, step := range steps {
		own := fmt.Sprintf("part(KEYS, %d, %d), part(ARGV, %d, %d)", len(keys), len(step.Keys), len(args), len(step.Args))
		check := step.Check
		if check == "" {
			check = "return 1"
		}
		fmt.Fprintf(&body, "do\nlocal keys, args = %s\n", own)
		fmt.Fprintf(&body, "checks[#checks + 1] = function()\nlocal function f(KEYS, ARGV)\n%s\nend\nreturn f(keys, args)\nend\n", check)
		fmt.Fprintf(&body, "applies[#applies + 1] = function()\nlocal function f(KEYS, ARGV)\n%s\nend\nreturn f(keys, args)\nend\nend\n", step.Apply)
		keys, args = append(keys, step.Keys...), append(args, step.Args...)
	}
	body.WriteString("for _, check in ipairs(checks) do local verdict = check() if verdict ~= 1 then return verdict end end\n" +
		"for _, apply in ipairs(applies) do apply() end\n" + tails + "return 1\n")
	return redis.NewScript(body.String()), keys, args
}

// do runs the steps and returns the verdict: 1, or what a Check refused with.
func (b *backend) do(t testing.TB, steps ...redisdb.Step) int {
	t.Helper()
	script, keys, args := compose(steps...)
	verdict, err := script.Run(t.Context(), b.rdb, keys, args...).Int()
	if err != nil {
		t.Fatalf("running the steps: %v", err)
	}
	return verdict
}

func newID() string {
	return ulid.MustNew(ulid.Now(), rand.Reader).String()
}

// create makes a record of a kind and returns its ID.
func (b *backend) create(t testing.TB, kind function.Kind) string {
	t.Helper()
	inv := invocation.Invocation{ID: newID(), Site: "shop", Deploy: "d1", Function: "send-email", Kind: kind}
	if got := b.do(t, b.Create(inv, []byte("event"))); got != 1 {
		t.Fatalf("Create = %d, want 1", got)
	}
	return inv.ID
}

// begin begins an attempt that must begin.
func (b *backend) begin(t testing.TB, id, worker string) Begun {
	t.Helper()
	begun, err := b.Begin(t.Context(), function.Background, id, worker)
	if err != nil {
		t.Fatalf("Begin(%s) = %v", worker, err)
	}
	return begun
}

// finish ends an attempt that must end.
func (b *backend) finish(t testing.TB, id string, attempt int, end End) {
	t.Helper()
	if err := b.Finish(t.Context(), function.Background, id, attempt, end); err != nil {
		t.Fatalf("Finish(%d, %s) = %v", attempt, end.Verdict.State, err)
	}
}

// read reads a record that must be there.
func (b *backend) read(t testing.TB, id string) invocation.Invocation {
	t.Helper()
	inv, err := b.Invocation(t.Context(), id)
	if err != nil {
		t.Fatalf("Invocation = %v", err)
	}
	return inv
}

// field reads a field of a background record as it is stored.
func (b *backend) field(t testing.TB, id, field string) string {
	t.Helper()
	text, err := b.rdb.HGet(t.Context(), recordKey(function.Background, id), field).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("HGET %s = %v", field, err)
	}
	return text
}

// ends are the ways in which an attempt may end, by state.
var ends = map[invocation.State]End{
	invocation.Succeeded: {Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}, Result: &invocation.Result{Status: 200, Body: "ok"}},
	invocation.Failed:    {Outcome: invocation.Error, Verdict: invocation.Verdict{State: invocation.Failed, Delay: time.Minute}, Failure: &invocation.Failure{Type: "TypeError", Message: "no"}},
	invocation.Dead:      {Outcome: invocation.TimedOut, Verdict: invocation.Verdict{State: invocation.Dead}},
	invocation.Cancelled: {Outcome: invocation.Aborted, Verdict: invocation.Verdict{State: invocation.Cancelled}},
	invocation.Queued:    {Outcome: invocation.Drained, Verdict: invocation.Verdict{State: invocation.Queued}},
}

// put makes a background record in a state and returns its ID.
func (b *backend) put(t testing.TB, state invocation.State) string {
	t.Helper()
	id := b.create(t, function.Background)
	if state == invocation.Queued {
		return id
	}
	begun := b.begin(t, id, "w1")
	if state != invocation.Running {
		b.finish(t, id, begun.Attempt, ends[state])
	}
	return id
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for !holds() {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// runs runs a function that returns when its context ends, and waits for it at
// the end of the test. stop ends it before and returns what it returned.
func runs(t testing.TB, run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var result error
	stopped := false
	stop = func() error {
		if !stopped {
			cancel()
			result, stopped = <-done, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}
