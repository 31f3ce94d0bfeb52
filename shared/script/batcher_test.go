package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// shared are the keys that all calls share.
var shared = []string{"{slot}:a", "{slot}:b"}

const patience = 20 * time.Second

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// receive takes a value out of the channel, or fails.
func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

// watch sees each command.
type watch struct {
	redistest.Breaker // passes everything on
	see               func(redis.Cmder)
}

func (w *watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.see(cmd)
		return next(ctx, cmd)
	}
}

// argsOf are the arguments of a script, without its keys.
func argsOf(cmd redis.Cmder) ([]any, bool) {
	if name := cmd.Name(); name != "evalsha" && name != "eval" {
		return nil, false
	}
	all := cmd.Args()
	return all[3+all[2].(int):], true
}

// A caller that gives up while it waits for a flight is withdrawn: Redis never
// sees its command.
func TestBatcherWithdraws(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	started, release := make(chan struct{}, Flights), make(chan struct{})
	var seen sync.Map
	rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		args, ok := argsOf(cmd)
		if !ok {
			return
		}
		for _, word := range args {
			seen.Store(word, true)
		}
		if args[0] == "first" {
			started <- struct{}{}
			<-release
		}
	}})
	script := New("return {1}")
	if err := rdb.ScriptLoad(t.Context(), script.source).Err(); err != nil {
		t.Fatal(err)
	}
	b := NewBatcher(Config{Redis: rdb, Timeout: patience})
	var callers sync.WaitGroup
	do := func(ctx context.Context, word string, want error) {
		callers.Go(func() {
			_, err := b.Do(ctx, Call{Script: script, Shared: shared, Args: []any{word}})
			if !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", word, err, want)
			}
		})
	}
	waiting := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.waiting)
	}
	for range Flights {
		do(t.Context(), "first", nil)
		receive(t, "a flight starts", started)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	do(ctx, "impatient", context.Canceled)
	do(t.Context(), "patient", nil)
	eventually(t, "both wait", func() bool { return waiting() == 2 })
	giveUp()
	close(release)
	callers.Wait()
	b.Wait()
	if _, ok := seen.Load("patient"); !ok {
		t.Error("the patient caller's command was not sent")
	}
	if _, ok := seen.Load("impatient"); ok {
		t.Error("the command of the caller who gave up was sent")
	}
}

// A Redis that does not answer gets one call at a time: what it has got runs when
// it wakes up, and its callers were told 503.
func TestASilentRedisGetsOneCallAtATime(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	script := New("local all = {} for i = 1, #ARGV do all[i] = 1 end return all")
	if err := rdb.ScriptLoad(t.Context(), script.source).Err(); err != nil {
		t.Fatal(err)
	}
	hook := &deaf{sizes: make(chan int), answers: make(chan bool)}
	rdb.AddHook(hook)
	b := NewBatcher(Config{Redis: rdb, Timeout: patience, Flights: 1})
	var callers sync.WaitGroup
	ask := func(ctx context.Context) {
		callers.Go(func() {
			_, _ = b.Do(ctx, Call{Script: script, Shared: shared, Args: []any{"x"}})
		})
	}
	waiting := func(n int) {
		t.Helper()
		eventually(t, "calls wait", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.waiting) == n
		})
	}
	flight := func(want int, answered bool) {
		t.Helper()
		if got := receive(t, "a flight", hook.sizes); got != want {
			t.Errorf("a flight carries %d calls, want %d", got, want)
		}
		hook.answers <- answered
	}
	ask(t.Context())
	waiting(0)
	first := receive(t, "the first flight", hook.sizes)
	gone, giveUp := context.WithCancel(t.Context())
	for i := range 8 {
		ctx := t.Context()
		if i%2 == 0 {
			ctx = gone
		}
		ask(ctx)
		waiting(i + 1)
	}
	giveUp()
	if hook.answers <- false; first != 1 {
		t.Errorf("the first flight carries %d calls, want 1", first)
	}
	flight(1, false) // one that was given up before it is withdrawn
	flight(1, true)
	flight(2, true) // all that are left
	callers.Wait()

	ask(t.Context())
	waiting(0)
	receive(t, "a flight", hook.sizes)
	for i := range 6 {
		ask(t.Context())
		waiting(i + 1)
	}
	hook.answers <- true
	flight(6, true)
	callers.Wait()
}

// Those who come one after the other leave together; who comes later leaves at once.
func TestAGapGathersCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const gap = 2 * time.Millisecond
		var sizes []int
		b := NewBatcher(Config{Flights: 1, Gap: gap, Timeout: time.Second, Send: func(_ context.Context, cmds []redis.Cmder) {
			cmd, ok := cmds[0].(*redis.Cmd)
			if !ok {
				t.Fatalf("the first command is a %T", cmds[0])
			}
			n := len(cmd.Args()) - 3 - len(shared)
			sizes = append(sizes, n)
			cmd.SetVal(slices.Repeat([]any{int64(1)}, n))
		}})
		s := New("")
		var callers sync.WaitGroup
		ask := func(most time.Duration) {
			callers.Go(func() {
				begun := time.Now()
				if _, err := b.Do(t.Context(), Call{Script: s, Shared: shared, Args: []any{"x"}}); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > most {
					t.Errorf("a call took %v, want %v at most", took, most)
				}
			})
			synctest.Wait()
		}
		ask(0)
		for range 5 {
			time.Sleep(gap / 10)
			ask(gap)
		}
		callers.Wait()
		time.Sleep(gap)
		ask(0)
		if want := []int{1, 5, 1}; !slices.Equal(sizes, want) {
			t.Errorf("the flights carried %v, want %v", sizes, want)
		}
	})
}

// What follows a script sees what that has written, also the first time, when Redis
// does not know the script, and for each of those who share it.
func TestThenFollowsTheScript(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	b := NewBatcher(Config{Redis: rdb, Timeout: time.Minute, Flights: 1, Gap: time.Millisecond})
	s := New("local done = {} for i, key in ipairs(KEYS) do done[i] = redis.call('INCR', key) end return {unpack(done, 2)}")
	for round := int64(1); round <= 3; round++ {
		var callers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() {
				key := fmt.Sprint("{slot}:", i)
				read := redis.NewCmd(t.Context(), "get", key)
				written, err := b.Do(t.Context(), Call{Script: s, Shared: shared[:1], Keys: []string{key}, Then: read})
				if err != nil || written != round {
					t.Errorf("round %d: the script = %v, %v", round, written, err)
				}
				if got, err := read.Int64(); got != round || err != nil {
					t.Errorf("round %d: read after it %d, %v", round, got, err)
				}
			})
		}
		callers.Wait()
	}
	b.Wait()
}

// deaf tells the size of each script's batch, and then does as it is told: it
// passes the script on, or has it time out.
type deaf struct {
	redistest.Breaker
	sizes   chan int
	answers chan bool
}

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args, ok := argsOf(cmd)
		if !ok {
			return next(ctx, cmd)
		}
		d.sizes <- len(args)
		if !<-d.answers {
			cmd.SetErr(context.DeadlineExceeded)
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func TestBatchLen(t *testing.T) {
	t.Parallel()
	calls := func(n, size int) []*call {
		var list []*call
		for i := range n {
			var arg any = make([]byte, size)
			if i%2 == 1 {
				arg = strings.Repeat("x", size)
			}
			list = append(list, &call{Call: Call{Args: []any{arg}}})
		}
		return list
	}
	for _, tc := range []struct{ n, size, want int }{
		{1, 1, 1},
		{10, 1000, 10},
		{maxBatch + 1, 1, maxBatch},
		{10, maxBatchBytes / 4, 4},
		{10, maxBatchBytes / 4 * 3, 1},
		{2, 2 * maxBatchBytes, 1},
	} {
		if got := batchLen(calls(tc.n, tc.size)); got != tc.want {
			t.Errorf("batchLen of %d calls of %d bytes = %d; want %d", tc.n, tc.size, got, tc.want)
		}
	}
}
