package queue

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// A function's concurrency holds over all workers, also while a dead one's task
// has not been handed back.
func TestConcurrencyHoldsAcrossWorkers(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			c := newCrew(setupOn(t, srv.Client()))
			const tasks = 12
			for _, id := range ids(tasks) {
				c.put(id, "shop/f", concurrency(limit))
			}
			dead := killedWorker(t, srv.URL())

			var running, most atomic.Int64
			started, release := make(chan string, tasks), make(chan struct{})
			for range 2 {
				c.serve(ServerConfig{Concurrency: 8, Handler: func(_ context.Context, d Delivery) Disposition {
					n := running.Add(1)
					defer running.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					started <- d.ID
					<-release
					return Done()
				}})
			}
			defer close(release)
			// What the dead one had keeps its slot, the others are used.
			for range limit - 1 {
				receive(t, "a task starts beside the dead worker's", started)
			}
			held := func(want int) {
				t.Helper()
				p := c.picture()
				if len(p.held) != want || len(p.pending) != 0 {
					t.Errorf("%d slots, pending %v; want %d, all running", len(p.held), p.pending, want)
				}
			}
			held(limit)
			c.abandon(dead) // half a minute passes
			if n := c.reap(); n != 1 {
				t.Fatalf("%d reaped; want 1", n)
			}
			receive(t, "the dead worker's task starts again", started)
			held(limit)
			for range tasks - limit {
				release <- struct{}{} // one ends, and the next one starts
				receive(t, "another task starts", started)
				held(limit)
			}
			if got := most.Load(); got != int64(limit) {
				t.Errorf("%d ran at once; want %d", got, limit)
			}
		})
	}
}

// killedWorker starts a worker process that takes one task, kills it, and
// returns the task's ID.
func killedWorker(t *testing.T, url string) string {
	t.Helper()
	worker, said := startWorker(t, url)
	defer func() { _ = worker.Wait() }()
	defer func() { _ = worker.Process.Kill() }()
	var id string
	if _, err := fmt.Fscanf(said, "running %s\n", &id); err != nil {
		t.Fatalf("the worker process says no task: %v", err)
	}
	return id
}

// startWorker starts this program once more, as a process that only works, and
// returns what it says.
func startWorker(t *testing.T, url string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), helperEnv+"="+url)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(stdout)
}
