package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
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
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

// recordKey stands for another package's key beside the queue.
const recordKey = "nightshift:{background}:inv:a"

// create is a step as a record makes it: once, and 0 if it is there.
func create() redisdb.Step {
	return redisdb.Step{
		Check: `return 1 - redis.call("EXISTS", KEYS[1])`,
		Apply: `redis.call("HSET", KEYS[1], "event", ARGV[1])`,
		Keys:  []string{recordKey}, Args: []any{"payload"},
	}
}

// refuse is a step that stops the script.
func refuse(verdict int) redisdb.Step {
	return redisdb.Step{Check: "return tonumber(ARGV[1]) -- and a comment", Args: []any{verdict}}
}

// note is a step that appends to a list what it was given.
func note(values ...any) redisdb.Step {
	return redisdb.Step{
		Apply: `for i = 1, #ARGV do redis.call("RPUSH", KEYS[2], ARGV[i]) end redis.call("INCR", KEYS[1])`,
		Keys:  []string{"n:{background}", "l:{background}"}, Args: values,
	}
}

func TestEnqueueStoresTheTask(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := Target{Site: "shop", Deploy: "d1", Function: "send-email"}
	for _, tc := range []struct {
		id      string
		kind    function.Kind
		timeout time.Duration
		want    time.Duration
	}{
		{"a", function.Background, 15 * time.Minute, 15*time.Minute + 30*time.Second},
		{"b", function.Scheduled, time.Millisecond, 31 * time.Second},
		{"c", function.Background, 1500 * time.Millisecond, 32 * time.Second},
	} {
		if v, err := b.client.Enqueue(t.Context(), Task{ID: tc.id, Queue: tc.kind, Target: want, Timeout: tc.timeout}); v != Queued || err != nil {
			t.Fatalf("Enqueue(%s) = %d, %v", tc.id, v, err)
		}
		info, err := b.tasks.GetTaskInfo(string(tc.kind), tc.id)
		if err != nil {
			t.Fatal(err)
		}
		var got Target
		if err := json.Unmarshal(info.Payload, &got); err != nil || got != want {
			t.Errorf("%s: payload %s, %v; want %+v", tc.id, info.Payload, err, want)
		}
		if info.Timeout != tc.want || info.Retention != 0 || info.MaxRetry < 1<<30 || !info.Deadline.IsZero() {
			t.Errorf("%s: timeout %v, retention %v, retries %d, deadline %v; want %v, 0, no limit, none",
				tc.id, info.Timeout, info.Retention, info.MaxRetry, info.Deadline, tc.want)
		}
		if ok := b.rdb.SIsMember(t.Context(), "asynq:queues", string(tc.kind)).Val(); !ok {
			t.Errorf("%s: the queue %s is not in asynq's list of queues", tc.id, tc.kind)
		}
	}
}

func TestEnqueueRefusesNonsense(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, spoil := range map[string]func(*Task){
		"no ID":        func(t *Task) { t.ID = "" },
		"brace in ID":  func(t *Task) { t.ID = "a{b}" },
		"sync":         func(t *Task) { t.Queue = function.Sync },
		"no timeout":   func(t *Task) { t.Timeout = 0 },
		"past timeout": func(t *Task) { t.Timeout = -time.Second },
	} {
		tk := task("a")
		spoil(&tk)
		if _, err := b.client.Enqueue(t.Context(), tk); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v; want internal", name, err)
		}
	}
	if _, err := NewClient(nil, true); err == nil {
		t.Error("NewClient(nil) works; want an error")
	}
}

// both runs a test with a plain and a pipelined client on the same Redis.
func both(t *testing.T, run func(t *testing.T, pipelined bool)) {
	t.Helper()
	for name, pipelined := range map[string]bool{"plain": false, "pipelined": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, pipelined)
		})
	}
}

func setupMode(t *testing.T, pipelined bool, rdb redis.UniversalClient) *bundle {
	t.Helper()
	b := setupOn(t, rdb)
	var err error
	if b.client, err = NewClient(rdb, pipelined); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnqueueSteps(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		steps   []redisdb.Step
		again   bool // the task is in the queue already, without steps
		verdict int
		record  bool // the record exists afterwards
		list    []string
	}{
		{name: "none", verdict: Queued},
		{name: "one", steps: []redisdb.Step{create()}, verdict: Queued, record: true},
		{name: "two, each with its own operands", steps: []redisdb.Step{note("x", "y"), create(), note("z")}, verdict: Queued, record: true, list: []string{"x", "y", "z"}},
		{name: "empty step", steps: []redisdb.Step{{}, create(), {Check: " \n"}}, verdict: Queued, record: true},
		{name: "refused", steps: []redisdb.Step{refuse(-2), create()}, verdict: -2},
		{name: "refused by the last", steps: []redisdb.Step{create(), note("x"), refuse(7)}, verdict: 7},
		{name: "first refusal counts", steps: []redisdb.Step{refuse(-3), refuse(-4)}, verdict: -3},
		{name: "refused with 0", steps: []redisdb.Step{refuse(0), note("x")}, verdict: Existed},
		{name: "task there, steps not", steps: []redisdb.Step{create()}, again: true, verdict: Queued, record: true},
	} {
		for mode, open := range redistest.Kinds() {
			t.Run(mode+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				b := setupOn(t, open(t))
				if tc.again {
					b.enqueue("a")
				}
				verdict, err := b.client.Enqueue(t.Context(), task("a"), tc.steps...)
				if verdict != tc.verdict || err != nil {
					t.Fatalf("Enqueue = %d, %v; want %d", verdict, err, tc.verdict)
				}
				wantPending := []string(nil)
				if tc.verdict == Queued {
					wantPending = []string{"a"}
				}
				if got := b.pending(function.Background); !slices.Equal(got, wantPending) {
					t.Errorf("pending %v; want %v", got, wantPending)
				}
				if got := b.rdb.Exists(t.Context(), recordKey).Val() == 1; got != tc.record {
					t.Errorf("record exists: %v; want %v", got, tc.record)
				}
				if got := b.rdb.LRange(t.Context(), "l:{background}", 0, -1).Val(); !slices.Equal(got, tc.list) && len(got)+len(tc.list) > 0 {
					t.Errorf("notes %v; want %v", got, tc.list)
				}
			})
		}
	}
}

func TestEnqueueTwice(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		b := setupMode(t, pipelined, redistest.New(t))
		b.enqueue("a")
		b.enqueue("a")
		b.enqueue("a", note("x"))
		if got := b.pending(function.Background); !slices.Equal(got, []string{"a"}) {
			t.Errorf("pending %v; want the task once", got)
		}
	})
}

func TestEnqueueOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		b := setupMode(t, pipelined, redistest.New(t))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if v, err := b.client.Enqueue(ctx, task("a"), create()); v != Queued || err != nil {
			t.Errorf("Enqueue = %d, %v on a cancelled context; want %d", v, err, Queued)
		}
	})
}

func TestEnqueueAfterScriptsWereFlushed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		b := setupMode(t, pipelined, redistest.New(t))
		b.enqueue("a", note("x"))
		if err := b.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		b.enqueue("b", note("y"))
		if got := b.pending(function.Background); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("pending %v; want a, b", got)
		}
	})
}

// The two rows that every remote write has: failed, and failed but done.
func TestEnqueueFails(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, pipelined bool) {
				b := setupMode(t, pipelined, redistest.New(t))
				b.enqueue("warm-up", note("x")) // so that the script is known
				var breaker redistest.Breaker
				b.rdb.AddHook(&breaker)
				script := func(cmd redis.Cmder) bool { _, ok := scriptOf(cmd); return ok }
				b.enqueue("warm-up-2", create())
				b.rdb.Del(t.Context(), recordKey)
				breaker.Break(1, how, script)

				verdict, err := b.client.Enqueue(t.Context(), task("a"), create())
				if !fault.Is(err, fault.Unavailable) {
					t.Fatalf("Enqueue = %d, %v; want unavailable", verdict, err)
				}
				if _, after := fault.Public(err); after <= 0 {
					t.Errorf("retry after %v; want a time", after)
				}
				want := Queued
				if how == redistest.FailedButDone {
					want = Existed
				}
				if verdict, err = b.client.Enqueue(t.Context(), task("a"), create()); verdict != want || err != nil {
					t.Errorf("the second try = %d, %v; want %d", verdict, err, want)
				}
				if got := b.pending(function.Background); !slices.Equal(got, []string{"warm-up", "warm-up-2", "a"}) {
					t.Errorf("pending %v; want a once", got)
				}
			})
		})
	}
}

// go-redis repeats a command by itself when the connection breaks before the
// reply is read. The task and its record must be there once.
func TestEnqueueReplyIsLostOnTheWire(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		direct := redistest.New(t).(*redis.Client)
		opts := *direct.Options()
		var lose atomic.Bool
		dial := opts.Dialer
		opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return &losingConn{conn, &lose}, err
		}
		rdb := redis.NewClient(&opts)
		t.Cleanup(func() { _ = rdb.Close() })
		b := setupMode(t, pipelined, rdb)
		b.enqueue("warm-up", create())
		b.rdb.Del(t.Context(), recordKey)

		lose.Store(true)
		verdict, err := b.client.Enqueue(t.Context(), task("a"), create())
		if verdict != Existed || err != nil {
			t.Errorf("Enqueue = %d, %v; want %d: the first try got through", verdict, err, Existed)
		}
		if lose.Load() {
			t.Error("no reply was lost")
		}
		if got := b.pending(function.Background); !slices.Equal(got, []string{"warm-up", "a"}) {
			t.Errorf("pending %v; want a once", got)
		}
	})
}

// losingConn swallows one reply and then breaks.
type losingConn struct {
	net.Conn
	lose *atomic.Bool
}

func (c *losingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.lose.CompareAndSwap(true, false) {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestEnqueueWithoutRedis(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		srv := redistest.Start(t)
		b := setupMode(t, pipelined, srv.Client())
		b.enqueue("a")
		srv.Stop()
		start := time.Now()
		verdict, err := b.client.Enqueue(t.Context(), task("b"))
		if !fault.Is(err, fault.Unavailable) {
			t.Fatalf("Enqueue = %d, %v; want unavailable", verdict, err)
		}
		if took := time.Since(start); took > 2*enqueueTimeout {
			t.Errorf("it took %v; want about %v at most", took, enqueueTimeout)
		}
	})
}

// A Redis that accepts connections and says nothing: everybody gives up in time.
func TestEnqueueOnHungRedis(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, pipelined bool) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				accepting.Go(func() {
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				})
			}
		})
		defer accepting.Wait()
		defer func() { _ = l.Close() }()
		rdb, err := redisdb.Open("redis://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rdb.Close() }()
		client, err := NewClient(rdb, pipelined)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var callers sync.WaitGroup
		for _, id := range ids(10) {
			callers.Go(func() {
				if v, err := client.Enqueue(t.Context(), task(id)); !fault.Is(err, fault.Unavailable) {
					t.Errorf("Enqueue = %d, %v; want unavailable", v, err)
				}
			})
		}
		callers.Wait()
		if took := time.Since(start); took > 2*enqueueTimeout {
			t.Errorf("it took %v; want about %v", took, enqueueTimeout)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestEnqueueBrokenStep(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]redisdb.Step{
		"syntax":          {Check: "return return"},
		"runtime":         {Check: "return nothing.at.all"},
		"no integer":      {Check: "return 'yes'"},
		"nothing at all":  {Check: "local x = 1"},
		"wrong kind":      {Apply: `redis.call("HSET", KEYS[1], "a", "b")`, Keys: []string{pendingKey(function.Background)}},
		"unknown command": {Apply: `redis.call("NOSUCH")`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if v, err := b.client.Enqueue(t.Context(), task("a"), step); !fault.Is(err, fault.Internal) {
				t.Errorf("Enqueue = %d, %v; want internal", v, err)
			}
		})
	}
}

// Tasks that share a script have each their own verdict: an error of one, in its
// check or after its first writes, leaves the others as they are. What is tallied
// is the sum over all of them.
func TestTasksThatShareAScript(t *testing.T) {
	t.Parallel()
	for mode, open := range redistest.Kinds() {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			rdb := open(t)
			var scripts atomic.Int64
			release := make(chan struct{})
			rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
				if call, ok := scriptOf(cmd); ok {
					scripts.Add(1)
					if slices.Contains(call.args, any("gate")) {
						<-release
					}
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
			const rounds = 20 // more than one script has room for
			var started, enqueued sync.WaitGroup
			try := func(task Task, word string, steps ...redisdb.Step) {
				started.Add(1)
				enqueued.Go(func() {
					started.Done()
					want := map[string]int{"fine": Queued, "refused": -7}[word]
					got, err := client.Enqueue(t.Context(), task, steps...)
					if got != want || (err == nil) != (want != 0) {
						t.Errorf("the task %s, %s = %d, %v, want %d", task.ID, word, got, err, want)
					}
					if err != nil && !fault.Is(err, fault.Internal) {
						t.Errorf("%s: %v is not said to be a bug", word, err)
					}
				})
			}
			// All that come while these are on their way leave together.
			for range script.Flights {
				try(task("gate"), "fine")
			}
			eventually(t, "the flights are taken", func() bool { return scripts.Load() == script.Flights })
			for i := range rounds {
				for n, word := range words {
					for _, kind := range queues {
						try(Task{ID: fmt.Sprintf("t-%d-%d", i, n), Queue: kind, Timeout: time.Second,
							Target: Target{Site: "shop", Deploy: "d1", Function: "f"}}, word, step(kind, word))
					}
				}
			}
			try(task("bare"), "fine")
			started.Wait()
			close(release)
			enqueued.Wait()

			for _, kind := range queues {
				got := rdb.HGetAll(t.Context(), "tally:{"+string(kind)+"}").Val()
				if got["fine"] != strconv.Itoa(4*rounds) || len(got) != 2 {
					t.Errorf("tallied for %s: %v, want 2 for each of %d fine ones", kind, got, 2*rounds)
				}
				// Of "half" the task is there: what failed came after it.
				pending := rdb.LLen(t.Context(), pendingKey(kind)).Val()
				if kind == function.Background {
					pending -= 2 // the bare one and the gate
				}
				if pending != 3*rounds {
					t.Errorf("%d tasks of %s are pending, want %d", pending, kind, 3*rounds)
				}
			}
			if most := int64(rounds * len(words)); scripts.Load() > most {
				t.Errorf("%d scripts were sent for %d tasks; want them shared", scripts.Load(), 2*most)
			}
		})
	}
}

func TestEnqueueConcurrently(t *testing.T) {
	t.Parallel()
	b := setupMode(t, true, redistest.New(t))
	const n = 1000
	var callers sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		callers.Go(func() {
			<-gate
			id := fmt.Sprintf("t%03d", i/2) // each ID twice
			step := create()
			step.Keys = []string{"nightshift:{background}:inv:" + id}
			if v, err := b.client.Enqueue(t.Context(), task(id), step); v != Queued && v != Existed || err != nil {
				t.Errorf("Enqueue = %d, %v", v, err)
			}
		})
	}
	close(gate)
	callers.Wait()
	if got := len(b.pending(function.Background)); got != n/2 {
		t.Errorf("%d tasks; want %d", got, n/2)
	}
}

// A Redis that takes no writes at the moment is nobody's bug: callers may try again.
func TestARedisThatRefusesWritesIsUnavailable(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis refuses nothing
	}
	tests := []struct {
		name   string
		refuse func(ctx context.Context, rdb redis.UniversalClient) error
	}{
		{"a replica", func(ctx context.Context, rdb redis.UniversalClient) error {
			return rdb.SlaveOf(ctx, "127.0.0.1", "1").Err()
		}},
		{"too few replicas", func(ctx context.Context, rdb redis.UniversalClient) error {
			return rdb.ConfigSet(ctx, "min-replicas-to-write", "1").Err()
		}},
		{"full", func(ctx context.Context, rdb redis.UniversalClient) error {
			return rdb.ConfigSet(ctx, "maxmemory", "1").Err()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.New(t)
			client, err := NewClient(rdb, true)
			if err != nil {
				t.Fatal(err)
			}
			// The first one writes more, and not all of it in the script.
			if _, err := client.Enqueue(t.Context(), task("before")); err != nil {
				t.Fatal(err)
			}
			if err := tt.refuse(t.Context(), rdb); err != nil {
				t.Fatal(err)
			}
			// The driver has to see it too: it asks for the new master then.
			var last redis.Cmder
			rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
				if _, ok := scriptOf(cmd); ok {
					last = cmd
				}
			}})
			if _, err := client.Enqueue(t.Context(), task("refused")); !fault.Is(err, fault.Unavailable) {
				t.Errorf("Enqueue = %v, want unavailable", err)
			}
			if word, _, _ := strings.Cut(fmt.Sprint(last.Err()), " "); !slices.Contains(script.Refusals, word) {
				t.Errorf("the script ended with %v, want a refusal", last.Err())
			}
		})
	}
}
