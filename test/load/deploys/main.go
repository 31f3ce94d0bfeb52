// Command deploys measures how long a deploy takes: of a site of 50 functions and
// 100 static files, to a gateway, a worker and a scheduler with a Redis, all of
// which it starts.
//
//	go run ./test/load/deploys
//	go run ./test/load/deploys -other "netlify deploy --prod --no-build --dir public --functions netlify/functions --site shop"
//
// Cold is a deploy to an installation that has nothing yet, unchanged is the
// same deploy again. With -other, which is run in the folder of the site with
// NETLIFY_API_URL and NETLIFY_AUTH_TOKEN set, each run of ours is followed by
// one of it, on an installation of its own, and the ratio is printed.
//
// Times are those of the process, from its start to its end. All of it is on
// one machine, so nothing is lost on a network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploys:", err)
		os.Exit(1)
	}
}

// clients are the command lines that are measured, by name.
type clients []*measured

// measured is a command line and its times.
type measured struct {
	name            string
	command         []string
	env             []string // names of variables of ours that it gets
	cold, unchanged []time.Duration
}

func run(ctx context.Context) error {
	functions := flag.Int("functions", 50, "how many functions the site has")
	files := flag.Int("files", 100, "how many static files it has")
	runs := flag.Int("runs", 5, "how often each deploy is measured, 1 or more")
	other := flag.String("other", "", "another command line to measure beside ours, with arguments, split at spaces")
	pass := flag.String("pass", "HOME", "environment variables that it gets beside PATH, with commas between")
	flag.Parse()
	if *functions < 1 || *files < 1 || *runs < 1 {
		return errors.New("-functions, -files or -runs is out of its range, see -help")
	}
	dir, err := os.MkdirTemp("", "deploys")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := bench{dir: dir}
	if err := b.prepare(ctx, *functions, *files); err != nil {
		return err
	}
	all := clients{{name: "nightshift", command: b.ours()}}
	if *other != "" {
		words := strings.Fields(*other)
		if words[0], err = exec.LookPath(words[0]); err != nil {
			return err
		}
		all = append(all, &measured{name: "other", command: words, env: strings.Split(*pass, ",")})
	}
	for i := range *runs {
		for _, m := range all {
			if err := b.measure(ctx, m); err != nil {
				return fmt.Errorf("run %d of %s: %w", i+1, m.name, err)
			}
			fmt.Printf("run %d  %-10s  cold %v  unchanged %v\n", i+1, m.name, last(m.cold), last(m.unchanged))
		}
	}
	all.report()
	return nil
}

func last(times []time.Duration) time.Duration { return times[len(times)-1].Round(time.Millisecond) }

func (c clients) report() {
	for _, m := range c {
		fmt.Printf("%-10s  median  cold %v  unchanged %v\n", m.name, median(m.cold), median(m.unchanged))
	}
	if len(c) == 2 {
		ratio := func(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }
		fmt.Printf("the other one takes %.1f times as long cold, %.1f times unchanged\n",
			ratio(c[1].cold, c[0].cold), ratio(c[1].unchanged, c[0].unchanged))
	}
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2].Round(time.Millisecond)
}
