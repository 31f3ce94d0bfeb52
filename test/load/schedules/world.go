package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/harness"
)

// world is a redis-server, and a scheduler on it.
type world struct {
	fleet     harness.Fleet
	server    *harness.Redis
	redis     *harness.Process
	scheduler *harness.Process
	dir       string
	store     *store.Store
	info      func(ctx context.Context) (string, error)
	stop      func() error
	due       []string // keys of the schedules that are due together
}

func start(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "schedules")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	if err := w.start(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) start(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(w.dir, "scheduler"), "./scheduler/cmd/scheduler")
	build.Dir = harness.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the scheduler: %w\n%s", err, out)
	}
	var err error
	if w.server, err = w.fleet.StartRedis(ctx, harness.EverySecond); err != nil {
		return err
	}
	if w.redis, err = w.fleet.Process("redis"); err != nil {
		return err
	}
	rdb, err := redisdb.Open(w.server.URL())
	if err != nil {
		return err
	}
	w.store, w.stop = store.New(rdb, store.Options{}), rdb.Close
	w.info = func(ctx context.Context) (string, error) { return rdb.Info(ctx, "memory").Result() }
	return nil
}

// publish makes the catalog: of each site's functions some are due together.
func (w *world) publish(ctx context.Context, sites, functions, due int) error {
	n := 0
	for i := range sites {
		site := fmt.Sprintf("site-%03d", i)
		d := deploy.Deploy{ID: fmt.Sprintf("deploy-%03d", i), Site: site, State: deploy.Uploading}
		for range functions {
			f := function.Function{
				Name: fmt.Sprintf("function-%06d", n), Kind: function.Scheduled, API: function.APIv2, Runtime: "node",
				Entry: "index.mjs", Artifact: strings.Repeat("0", 64), Schedule: "* * * * *",
			}
			// Evenly over all, so that every site has some.
			if n*due/(sites*functions) == (n+1)*due/(sites*functions) {
				f.Schedule = fmt.Sprintf("%d %d %d %d %d *", n%60, n/7%60, n/11%24, 1+n/13%28, 1+n/17%12)
			} else {
				s, err := schedule.Parse(f.Schedule, "")
				if err != nil {
					return err
				}
				w.due = append(w.due, schedule.Key(site, f.Name, s))
			}
			d.Functions = append(d.Functions, f)
			n++
		}
		if err := w.store.CreateDeploy(ctx, d); err != nil {
			return err
		}
		if _, err := w.store.Seal(ctx, d); err != nil {
			return err
		}
	}
	return w.memory(ctx, "with the catalog")
}

// lead starts the scheduler and waits until it knows all schedules.
func (w *world) lead(ctx context.Context) error {
	// Not so shortly before a minute that its ticks are due before they are known.
	if err := sleepUntil(ctx, time.Now().Add(20*time.Second).Truncate(time.Minute).Add(time.Second)); err != nil {
		return err
	}
	begun := time.Now()
	var err error
	w.scheduler, err = w.fleet.Start(harness.Spec{
		Name: "scheduler", Path: filepath.Join(w.dir, "scheduler"), Env: harness.Environ("NIGHTSHIFT_REDIS_URL=" + w.server.URL()),
	})
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	err = harness.Eventually(waiting, func() error {
		if !strings.Contains(w.scheduler.Log.String(), `"schedules read"`) {
			return fmt.Errorf("the schedules are not read:\n%s", w.scheduler.Log.Tail(20))
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("the scheduler leads and has read all schedules %v after its start\n", time.Since(begun).Round(10*time.Millisecond))
	if err := w.resident("having read them"); err != nil {
		return err
	}
	return w.memory(ctx, "with the cursors")
}

// burst waits for the next minute, and until all of its ticks have fired.
func (w *world) burst(ctx context.Context, due int) error {
	minute := time.Now().Truncate(time.Minute).Add(time.Minute)
	if err := sleepUntil(ctx, minute.Add(-time.Second)); err != nil {
		return err
	}
	before, err := w.store.TickTotals(ctx)
	if err != nil {
		return err
	}
	cpu, err := w.cpu()
	if err != nil {
		return err
	}
	if err := sleepUntil(ctx, minute); err != nil {
		return err
	}
	for {
		// Seldom enough to cost nothing, and the end is seen well enough.
		if err := sleepUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
		now, err := w.store.TickTotals(ctx)
		if err != nil {
			return err
		}
		if now.Fired-before.Fired >= int64(due) {
			break
		}
		if time.Since(minute) > 40*time.Second {
			return fmt.Errorf("%d of %d ticks have fired 40 s after they were due:\n%s", now.Fired-before.Fired, due, w.scheduler.Log.Tail(20))
		}
	}
	took := time.Since(minute)
	after, err := w.cpu()
	if err != nil {
		return err
	}
	fmt.Printf("%s: all %d fired within %v; CPU time of the scheduler %v, of redis %v\n", minute.Format(time.TimeOnly), due,
		took.Round(10*time.Millisecond), after[0]-cpu[0], after[1]-cpu[1])
	return nil
}

// idle watches the scheduler while almost nothing is due.
func (w *world) idle(ctx context.Context, d time.Duration) error {
	if until := time.Now().Truncate(time.Minute).Add(time.Minute - d - time.Second); time.Until(until) < 0 {
		return fmt.Errorf("the last burst took so long that nothing is idle for %v before the next one", d)
	}
	if err := sleepUntil(ctx, time.Now().Add(2*time.Second)); err != nil {
		return err
	}
	before, err := w.cpu()
	if err != nil {
		return err
	}
	if err := sleepUntil(ctx, time.Now().Add(d)); err != nil {
		return err
	}
	after, err := w.cpu()
	if err != nil {
		return err
	}
	share := func(i int) float64 { return 100 * float64(after[i]-before[i]) / float64(d) }
	fmt.Printf("idle for %v: the scheduler takes %.2f %% of a core, redis %.2f %%\n", d, share(0), share(1))
	if err := w.resident("after the bursts"); err != nil {
		return err
	}
	return w.memory(ctx, "after the bursts")
}

// cpu is the CPU time of the scheduler and of Redis so far.
func (w *world) cpu() (spent [2]time.Duration, err error) {
	for i, p := range []*harness.Process{w.scheduler, w.redis} {
		if spent[i], err = harness.CPUTime(p.Pid()); err != nil {
			return spent, err
		}
	}
	return spent, nil
}

func (w *world) resident(when string) error {
	kb, err := harness.ResidentKB(w.scheduler.Pid())
	if err != nil {
		return err
	}
	fmt.Printf("the scheduler has %.0f MB resident %s\n", float64(kb)/1024, when)
	return nil
}

// memory prints what Redis uses.
func (w *world) memory(ctx context.Context, when string) error {
	info, err := w.info(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, "used_memory:"); ok {
			bytes, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				return err
			}
			fmt.Printf("redis uses %.0f MB %s\n", bytes/(1<<20), when)
		}
	}
	return nil
}

// lateness reads the ledgers of what was due together.
func (w *world) lateness(ctx context.Context) ([]time.Duration, store.TickTotals, error) {
	var mu sync.Mutex
	var late []time.Duration
	var failed error
	keys := make(chan string)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for key := range keys {
				entries, _, err := w.store.Ledger(ctx, key, "", 200)
				mu.Lock()
				if err != nil {
					failed = err
				}
				for _, e := range entries {
					late = append(late, e.Lateness)
				}
				mu.Unlock()
			}
		})
	}
	for _, key := range w.due {
		keys <- key
	}
	close(keys)
	readers.Wait()
	if failed != nil {
		return nil, store.TickTotals{}, failed
	}
	totals, err := w.store.TickTotals(ctx)
	return sorted(late), totals, err
}

func sleepUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) close() {
	if w.stop != nil {
		_ = w.stop()
	}
	if err := w.fleet.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "schedules:", err)
	}
	if w.server != nil {
		_ = w.server.Remove()
	}
	_ = os.RemoveAll(w.dir)
}
