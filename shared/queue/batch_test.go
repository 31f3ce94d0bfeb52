package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// A caller that gives up while it waits for a flight is withdrawn: Redis never
// sees its command.
func TestBatcherWithdraws(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	started, release := make(chan struct{}, maxFlights), make(chan struct{})
	var seen sync.Map
	rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		call, ok := scriptOf(cmd)
		if !ok {
			return
		}
		for _, word := range call.args {
			seen.Store(word, true)
		}
		if call.args[0] == "first" {
			started <- struct{}{}
			<-release
		}
	}})
	script := &enqueueScript{source: "return {1}"}
	var err error
	if script.digest, err = rdb.ScriptLoad(t.Context(), script.source).Result(); err != nil {
		t.Fatal(err)
	}
	b := &batcher{rdb: rdb, flightsAtMost: maxFlights}
	var callers sync.WaitGroup
	do := func(ctx context.Context, word string, want error) {
		callers.Go(func() {
			_, err := b.do(ctx, &call{script: script, kind: function.Background, args: []any{word}})
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
	for range maxFlights {
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
	b.wait()
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
	script := &enqueueScript{source: "local all = {} for i = 1, #ARGV do all[i] = 1 end return all"}
	var err error
	if script.digest, err = rdb.ScriptLoad(t.Context(), script.source).Result(); err != nil {
		t.Fatal(err)
	}
	hook := &deaf{sizes: make(chan int), answers: make(chan bool)}
	rdb.AddHook(hook)
	b := &batcher{rdb: rdb, flightsAtMost: 1}
	var callers sync.WaitGroup
	ask := func(ctx context.Context) {
		callers.Go(func() {
			_, _ = b.do(ctx, &call{script: script, kind: function.Background, args: []any{"x"}})
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

// deaf tells the size of each script's batch, and then does as it is told: it
// passes the script on, or has it time out.
type deaf struct {
	redistest.Breaker
	sizes   chan int
	answers chan bool
}

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		call, ok := scriptOf(cmd)
		if !ok {
			return next(ctx, cmd)
		}
		d.sizes <- len(call.args)
		if !<-d.answers {
			cmd.SetErr(context.DeadlineExceeded)
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

// Tasks that share a script have each their own verdict: an error of one, in its
// check or after its first writes, leaves the others as they are. What is tallied
// is the sum over all of them.
func TestTasksThatShareAScript(t *testing.T) {
	t.Parallel()
	for mode, open := range map[string]func(testing.TB) redis.UniversalClient{"best": redistest.New, "mini": redistest.NewMini} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			rdb := open(t)
			var scripts atomic.Int64
			rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
				if cmd.Name() == "eval" { // of an unknown one each is sent twice
					scripts.Add(1)
				}
			}})
			client, err := NewClient(rdb, true)
			if err != nil {
				t.Fatal(err)
			}
			step := func(kind function.Kind, word string) redisdb.Step {
				return redisdb.Step{
					Check: `if ARGV[1] == "broken" then return nothing.at.all end
						if ARGV[1] == "text" then return "1" end
						if ARGV[1] == "denied" then error({err = "NOPERM this user must not"}) end
						if ARGV[1] == "refused" then return -7 end
						return 1`,
					Apply: `tally(KEYS[1], ARGV[1], 2)
						if ARGV[1] == "half" then redis.call("NOSUCH") end`,
					Keys: []string{"tally:{" + string(kind) + "}"}, Args: []any{word},
				}
			}
			words := []string{"fine", "broken", "refused", "text", "denied", "half", "fine"}
			var calls []*call
			var sent []string
			add := func(task Task, word string, steps ...redisdb.Step) {
				c, err := client.redis.call(&plan{task: &task, steps: steps}, []byte("message"))
				if err != nil {
					t.Fatal(err)
				}
				calls, sent = append(calls, c), append(sent, word)
			}
			const rounds = 20 // more than one script has room for
			for i := range rounds {
				for n, word := range words {
					for _, kind := range queues {
						add(Task{ID: fmt.Sprintf("t-%d-%d", i, n), Queue: kind, Timeout: time.Second,
							Target: Target{Site: "shop", Deploy: "d1", Function: "f"}}, word, step(kind, word))
					}
				}
			}
			add(task("bare"), "fine")
			client.redis.batch.send(t.Context(), calls)

			for i, c := range calls {
				want := map[string]int{"fine": Queued, "refused": -7}[sent[i]]
				if c.verdict != want || (c.err == nil) != (want != 0) {
					t.Errorf("the task %d, %s = %d, %v, want %d", i, sent[i], c.verdict, c.err, want)
				}
				if c.err != nil && !fault.Is(enqueueFault(c.err, "x"), fault.Internal) {
					t.Errorf("%s: %v is not said to be a bug", sent[i], c.err)
				}
			}
			for _, kind := range queues {
				got := rdb.HGetAll(t.Context(), "tally:{"+string(kind)+"}").Val()
				if got["fine"] != strconv.Itoa(4*rounds) || len(got) != 2 {
					t.Errorf("tallied for %s: %v, want 2 for each of %d fine ones", kind, got, 2*rounds)
				}
				// Of "half" the task is there: what failed came after it.
				pending := rdb.LLen(t.Context(), pendingKey(kind)).Val()
				if kind == function.Background {
					pending-- // the bare one
				}
				if pending != 3*rounds {
					t.Errorf("%d tasks of %s are pending, want %d", pending, kind, 3*rounds)
				}
			}
			each := (rounds*len(words) + maxScript - 1) / maxScript
			if want := int64(2*each + 1); scripts.Load() != want {
				t.Errorf("%d scripts were sent, want %d", scripts.Load(), want)
			}
		})
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
			list = append(list, &call{args: []any{arg}})
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
