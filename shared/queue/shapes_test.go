package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// TestShapesOfAsynq runs plain asynq and looks at the scripts that this package
// recognises, replaces or imitates. When it fails after an upgrade of asynq,
// read what changed in its internal/rdb before changing a line here.
func TestShapesOfAsynq(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	var (
		mu   sync.Mutex
		seen = make(map[string]bool)
	)
	date := regexp.MustCompile(`\d{4}-\d\d-\d\d`)
	rdb.AddHook(&watch{see: func(cmd redis.Cmder) {
		call, ok := scriptOf(cmd)
		if !ok {
			return
		}
		line := date.ReplaceAllString(strings.Join(call.keys, " "), "<date>")
		line = strings.ReplaceAll(line, "asynq:{background}:", "")
		line += " |"
		for _, arg := range call.args {
			switch arg := arg.(type) {
			case []byte:
				line += " bytes"
			case string:
				line += " " + strings.ReplaceAll(arg, "asynq:{background}:", "")
			default:
				line += fmt.Sprintf(" %T", arg)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		seen[line] = true
	}})
	has := func(line string) bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[line]
	}

	client := asynq.NewClientFromRedisClient(rdb)
	started := make(chan struct{})
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: 4, Queues: map[string]int{"background": 1}, TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 10 * time.Millisecond,
		ShutdownTimeout: time.Millisecond, Logger: asynqLog{testLog(t)},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	release := make(chan struct{})
	var stuck sync.WaitGroup
	if err := srv.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch task.Type() {
		case "retry":
			return errors.New("again")
		case "archive":
			return asynq.SkipRetry
		case "requeue":
			stuck.Add(1)
			defer stuck.Done()
			close(started)
			<-release
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"done", "retry", "archive", "requeue"} {
		if _, err := client.Enqueue(asynq.NewTask(kind, nil), asynq.TaskID(kind), asynq.Queue("background")); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, "the last task runs", started)
	for what, line := range map[string]string{
		"enqueue": "t:done pending | bytes done int64",
		"expired": "lease | int64 t:",
		"dequeue": "pending paused active lease | int64 t:",
		"forward": "scheduled pending | int64 t: int64 g:",
		"return":  "retry pending | int64 t: int64 g:",
		"done":    "active lease t:done processed:<date> processed | done int64 int64",
		"retry":   "t:retry active lease retry processed:<date> failed:<date> processed failed | retry bytes int64 int64 bool int64",
		"archive": "t:archive active lease archived processed:<date> failed:<date> processed failed t: | archive bytes int64 int64 int int64 int64",
	} {
		eventually(t, "asynq's "+what+" script has the shape "+line, func() bool { return has(line) })
	}
	srv.Shutdown()
	close(release)
	stuck.Wait()
	if line := "active lease pending t:requeue | requeue"; !has(line) {
		t.Errorf("asynq's requeue script has not the shape %s", line)
	}
	if t.Failed() {
		mu.Lock()
		defer mu.Unlock()
		for line := range seen {
			t.Log("seen:", line)
		}
	}
}

// Each shape is told from all others.
func TestShapesAreDistinct(t *testing.T) {
	t.Parallel()
	shapes := map[string]shape{"enqueue": enqueueShape, "dequeue": dequeueShape, "retry": retryShape, "expired": expiredShape, "done": doneShape,
		"archive": archiveShape, "forward": forwardShape, "return": returnShape}
	for name, s := range shapes {
		var keys []string
		for _, k := range s.keys {
			if strings.HasSuffix(k, ":") {
				k += "x"
			}
			keys = append(keys, "asynq:{background}:"+k)
		}
		for other, o := range shapes {
			if got := o.matches(keys, make([]any, s.args)); got != (name == other) {
				t.Errorf("a script of shape %s is taken for %s: %v", name, other, got)
			}
		}
		if s.matches(keys, make([]any, s.args+1)) || s.matches(keys[1:], make([]any, s.args)) {
			t.Errorf("shape %s matches another number of operands", name)
		}
	}
}
