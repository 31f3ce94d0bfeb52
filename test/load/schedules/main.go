// Command schedules measures the scheduler with very many schedules: how late
// ticks are that are due in the same second, and what the scheduler and Redis
// use for that and while nothing is due.
//
//	go run ./test/load/schedules
//	go run ./test/load/schedules -sites 10 -functions 100 -due 1000 -bursts 1
//
// It starts a redis-server and a scheduler, whose tasks nobody takes, and writes
// the catalog by itself. The due ones are due at the start of each minute, the
// others are spread over the year. Lateness is the time from the tick until its
// invocation exists, as the ledger has it, by the clock of Redis. All of it is on
// one machine; the load that it had from others is printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "schedules:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sites := flag.Int("sites", 100, "how many sites there are")
	functions := flag.Int("functions", 1000, "how many scheduled functions each has")
	due := flag.Int("due", 10_000, "how many of all functions are due at the start of each minute")
	bursts := flag.Int("bursts", 3, "how many minutes to measure, 1 to 100")
	idle := flag.Duration("idle", 20*time.Second, "how long to watch the idle scheduler, 1s to 40s")
	flag.Parse()
	all := *sites * *functions
	if *sites < 1 || *functions < 1 || *due < 1 || *due > all || *bursts < 1 || *bursts > 100 || *idle < time.Second || *idle > 40*time.Second {
		return errors.New("a setting is out of its range, see -help")
	}
	w, err := start(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf("%d schedules of %d sites, %d of them due in the same second; load of the machine %s\n", all, *sites, *due, load())
	if err := w.publish(ctx, *sites, *functions, *due); err != nil {
		return err
	}
	if err := w.lead(ctx); err != nil {
		return err
	}
	for range *bursts {
		if err := w.burst(ctx, *due); err != nil {
			return err
		}
	}
	if err := w.idle(ctx, *idle); err != nil {
		return err
	}
	late, totals, err := w.lateness(ctx)
	if err != nil {
		return err
	}
	at := func(p float64) time.Duration { return late[min(len(late)-1, int(p*float64(len(late))))] }
	fmt.Printf("%d ticks: lateness p50 %v  p90 %v  p99 %v  max %v; load of the machine %s\n",
		len(late), at(0.50), at(0.90), at(0.99), late[len(late)-1], load())
	return verify(totals, late, *due**bursts)
}

// verify holds the ledgers against the totals and what must have fired.
func verify(totals store.TickTotals, late []time.Duration, want int) error {
	// Of those spread over the year one or the other may have been due.
	if totals.Drift() != 0 || totals.CaughtUp+totals.Skipped+totals.Suppressed != 0 || totals.Fired < int64(want) || len(late) != want {
		return fmt.Errorf("%d ticks should have fired on time, and the ledgers have %d; the totals are %+v", want, len(late), totals)
	}
	fmt.Printf("each tick once: %d due, %d fired, drift %d\n", totals.Due, totals.Fired, totals.Drift())
	return nil
}

// load is the machine's load average of the last minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// sorted sorts durations in place and returns them.
func sorted(list []time.Duration) []time.Duration {
	slices.Sort(list)
	return list
}
