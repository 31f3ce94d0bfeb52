// Command latency measures how long an accepted background call waits for its
// function on an idle machine, and what the services use while nothing happens.
//
//	go run ./test/load/latency                      starts redis, gateway, worker and scheduler by itself
//	go run ./test/load/latency -url URL -pids a=1,b=2   measures services that run, with site/ deployed
//
// It prints percentiles of two waits, both until the first line of the handler:
// from the moment at which the caller has its 202, which may be negative,
// because the worker is then faster than the answer; and from the moment at
// which the caller sent its request. Then it waits, and prints each service's
// share of a core and its resident memory, children not included.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	target := flag.String("url", "", "URL of the deployed start-background function; empty: start the services")
	pids := flag.String("pids", "", "services to look at, as NAME=PID,…")
	calls := flag.Int("calls", 400, "how many calls to measure, 20 or more")
	rate := flag.Float64("rate", 20, "calls per second, 1 or more")
	idle := flag.Duration("idle", 20*time.Second, "how long to watch the idle services, 1s or more")
	flag.Parse()
	if *calls < 20 || *rate < 1 || *idle < time.Second {
		return fmt.Errorf("-calls, -rate or -idle is out of its range, see -help")
	}
	services, err := parsePids(*pids)
	if err != nil {
		return err
	}
	if *target == "" {
		own, err := startOwn(ctx)
		if err != nil {
			return err
		}
		defer own.close()
		*target, services = own.target, own.services
	}
	if err := waitReady(ctx, *target); err != nil {
		return err
	}
	samples, err := measure(ctx, *target, *calls, *rate)
	if err != nil {
		return err
	}
	fmt.Printf("%d calls, %.0f per second\n", len(samples), *rate)
	report("202 -> start", samples, func(s sample) time.Duration { return s.started - s.accepted })
	report("sent -> start", samples, func(s sample) time.Duration { return s.started - s.sent })
	report("sent -> 202", samples, func(s sample) time.Duration { return s.accepted - s.sent })
	return watch(ctx, services, *idle)
}

// waitReady calls until a call is accepted and its process is warm.
func waitReady(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := measure(ctx, target, 5, 5)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the function does not answer: %w", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// report prints percentiles of one wait.
func report(name string, samples []sample, wait func(sample) time.Duration) {
	waits := make([]time.Duration, 0, len(samples))
	for _, s := range samples {
		waits = append(waits, wait(s))
	}
	slices.Sort(waits)
	at := func(p float64) time.Duration {
		return waits[min(len(waits)-1, int(p*float64(len(waits))))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-14s p50 %v  p90 %v  p99 %v  max %v\n", name, at(0.50), at(0.90), at(0.99), waits[len(waits)-1].Round(10*time.Microsecond))
}

type service struct {
	name string
	pid  int
}

func parsePids(list string) ([]service, error) {
	var services []service
	for item := range strings.SplitSeq(list, ",") {
		if item == "" {
			continue
		}
		name, number, _ := strings.Cut(item, "=")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("-pids: %q is not NAME=PID", item)
		}
		services = append(services, service{name, pid})
	}
	return services, nil
}

var client = &http.Client{Timeout: 10 * time.Second}
