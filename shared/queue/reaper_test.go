package queue

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	const q = function.Background
	for name, open := range map[string]func(testing.TB) redis.UniversalClient{"best": redistest.New, "mini": redistest.NewMini} {
		for _, tc := range []struct {
			name  string
			lease time.Duration // until it ends; 0: none
			state string        // "" for a task whose hash is gone
			want  string
		}{
			{"over", -10 * time.Second, "active", "pending"},
			{"over within the grace", -1 * time.Second, "active", "active"},
			{"valid", 20 * time.Second, "active", "active"},
			{"none", 0, "active", "pending"},
			{"over, task gone", -10 * time.Second, "", ""},
			{"none, task gone", 0, "", ""},
			{"over, already retried", -10 * time.Second, "retry", "retry"},
		} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				b := setupOn(t, open(t))
				ctx := t.Context()
				b.enqueue("waiting")
				now, err := redisdb.Now(ctx, b.rdb)
				if err != nil {
					t.Fatal(err)
				}
				b.rdb.LPush(ctx, activeKey(q), "a")
				if tc.lease != 0 {
					b.rdb.ZAdd(ctx, leaseKey(q), redis.Z{Score: float64(now.Add(tc.lease).Unix()), Member: "a"})
				}
				if tc.state != "" {
					b.rdb.HSet(ctx, taskKeyPrefix(q)+"a", "state", tc.state, "msg", "m")
				}
				n, err := NewReaper(b.rdb, testLog(t)).Sweep(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if got := b.state("a"); got != tc.want {
					t.Errorf("state %q; want %q", got, tc.want)
				}
				back := tc.want == "pending"
				wantPending := []string{"waiting"}
				if back {
					wantPending = []string{"a", "waiting"}
				}
				if got := b.pending(q); !slices.Equal(got, wantPending) {
					t.Errorf("pending %v, head first; want %v", got, wantPending)
				}
				if (n == 1) != back || n > 1 {
					t.Errorf("Sweep = %d; want 1 exactly if it is handed back", n)
				}
				active := b.rdb.LLen(ctx, activeKey(q)).Val()
				if still := tc.want == "active"; (active == 1) != still {
					t.Errorf("%d active; want the entry to stay exactly if the task does", active)
				}
			})
		}
	}
}

func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const q = function.Scheduled
	total := reapBatch + 50
	for _, id := range ids(total) {
		b.rdb.LPush(t.Context(), activeKey(q), id)
		b.rdb.HSet(t.Context(), taskKeyPrefix(q)+id, "state", "active")
	}
	r := NewReaper(b.rdb, testLog(t))
	for _, want := range []int{reapBatch, 50, 0} {
		if n, err := r.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("Sweep = %d, %v; want %d", n, err, want)
		}
	}
}

func TestSweepWithoutRedis(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client()
	srv.Stop()
	if _, err := NewReaper(rdb, testLog(t)).Sweep(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Sweep: %v; want unavailable", err)
	}
}

// A worker process is killed in the middle of a task; the reaper hands the task
// back, and another worker runs it.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := setupOn(t, srv.Client())
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), helperEnv+"="+srv.URL())
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	b.enqueue("a")
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "running a\n" {
		t.Fatalf("the worker process says %q, %v", line, err)
	}
	r := NewReaper(b.rdb, testLog(t))
	if n, err := r.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("Sweep = %d, %v while the worker lives; want 0", n, err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// Half a minute passes.
	if n := b.rdb.ZAddXX(t.Context(), leaseKey(function.Background), redis.Z{Score: 1, Member: "a"}); n.Err() != nil {
		t.Fatal(n.Err())
	}
	if n, err := r.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("Sweep = %d, %v; want 1", n, err)
	}
	info, err := b.tasks.GetTaskInfo(string(function.Background), "a")
	if err != nil || info.Retried != 0 {
		t.Errorf("the task is %+v, %v; want no retry counted", info, err)
	}
	got := make(chan string, 1)
	b.serve(ServerConfig{Handler: func(_ context.Context, d Delivery) Disposition {
		got <- d.ID
		return Done()
	}})
	receive(t, "the second delivery", got)
	eventually(t, "the task is gone", func() bool { return !b.exists("a") })
}

// helperWorker runs in the process that TestKilledWorker kills.
func helperWorker(url string) {
	rdb, err := redisdb.Open(url)
	if err != nil {
		panic(err)
	}
	s, err := NewServer(ServerConfig{Redis: rdb, Concurrency: 1, Logger: slog.New(slog.DiscardHandler),
		Handler: func(ctx context.Context, d Delivery) Disposition {
			fmt.Println("running", d.ID)
			<-ctx.Done()
			return HandBack()
		}})
	if err != nil {
		panic(err)
	}
	if err := s.Start(); err != nil {
		panic(err)
	}
	<-time.After(time.Minute) // the test kills it long before
}
