package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// helperEnv makes the test binary a worker process: see TestKilledWorker.
const helperEnv = "NIGHTSHIFT_TEST_QUEUE_WORKER"

func TestMain(m *testing.M) {
	if url := os.Getenv(helperEnv); url != "" {
		helperWorker(url)
		return
	}
	redistest.VerifyTestMain(m)
}

const patience = 10 * time.Second

// bundle is what most tests need: a Redis, a client, an inspector.
type bundle struct {
	*testing.T
	rdb    redis.UniversalClient
	client *Client
	tasks  *asynq.Inspector
}

func setup(t *testing.T) *bundle { return setupOn(t, redistest.New(t)) }

func setupOn(t *testing.T, rdb redis.UniversalClient) *bundle {
	t.Helper()
	client, err := NewClient(rdb, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return &bundle{T: t, rdb: rdb, client: client, tasks: asynq.NewInspectorFromRedisClient(rdb)}
}

func task(id string) Task {
	return Task{ID: id, Queue: function.Background, Timeout: time.Minute,
		Target: Target{Site: "shop", Deploy: "d1", Function: "send-email"}}
}

func (b *bundle) enqueue(id string, steps ...redisdb.Step) {
	b.Helper()
	if verdict, err := b.client.Enqueue(b.Context(), task(id), steps...); verdict != Queued || err != nil {
		b.Fatalf("Enqueue(%s) = %d, %v; want %d", id, verdict, err, Queued)
	}
}

// serve starts a server, which is stopped with the test.
func (b *bundle) serve(cfg ServerConfig) *Server {
	b.Helper()
	s := b.server(cfg)
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bundle) server(cfg ServerConfig) *Server {
	b.Helper()
	if cfg.Redis == nil {
		cfg.Redis = b.rdb
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 4
	}
	cfg.Logger = testLog(b.T)
	s, err := NewServer(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			b.Errorf("Stop: %v", err)
		}
	})
	return s
}

// pending lists the queue's IDs, head first.
func (b *bundle) pending(kind function.Kind) []string {
	b.Helper()
	ids, err := b.rdb.LRange(b.Context(), pendingKey(kind), 0, -1).Result()
	if err != nil {
		b.Fatal(err)
	}
	slices.Reverse(ids)
	return ids
}

func (b *bundle) exists(id string) bool {
	b.Helper()
	n, err := b.rdb.Exists(b.Context(), taskKeyPrefix(function.Background)+id).Result()
	if err != nil {
		b.Fatal(err)
	}
	return n == 1
}

func (b *bundle) state(id string) string {
	b.Helper()
	state, err := b.rdb.HGet(b.Context(), taskKeyPrefix(function.Background)+id, "state").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		b.Fatal(err)
	}
	return state
}

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

// testLog logs to the test, until it is over.
func testLog(t testing.TB) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (w *testWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}

// scriptCall is a script that somebody ran, as a hook sees it.
type scriptCall struct {
	keys []string
	args []any
}

// scriptOf takes a command apart, if it is a script.
func scriptOf(cmd redis.Cmder) (scriptCall, bool) {
	if name := cmd.Name(); name != "evalsha" && name != "eval" {
		return scriptCall{}, false
	}
	all := cmd.Args()
	n := all[2].(int)
	call := scriptCall{args: all[3+n:]}
	for _, key := range all[3 : 3+n] {
		call.keys = append(call.keys, key.(string))
	}
	return call, true
}

// takeShape is that of take.lua.
var takeShape = shape{keys: dequeueShape.keys, args: 3}

func matching(s shape) func(redis.Cmder) bool {
	return func(cmd redis.Cmder) bool {
		call, ok := scriptOf(cmd)
		return ok && s.matches(call.keys, call.args)
	}
}

// settling says whether the command runs settle.lua.
func settling(cmd redis.Cmder) bool {
	call, ok := scriptOf(cmd)
	return ok && len(call.keys) == 4 && slices.Contains([]any{"done", "retry", "archived"}, call.args[1])
}

// watch is a hook that shows all commands to see.
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

func (w *watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			w.see(cmd)
		}
		return next(ctx, cmds)
	}
}

func ids(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("t%03d", i))
	}
	return list
}
