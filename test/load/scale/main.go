// Command scale measures what follows from more: more workers and gateways, a long
// queue, a Redis Cluster. It also measures what one invocation costs each process.
//
//	go run ./test/load/scale
//	go run ./test/load/scale -only depth -depths 0,100000
//	go run ./test/load/scale -only cost -cpu-profiles profiles   # of functions
//
//	cost     a drain: processor time of each process, commands that Redis is sent
//	         and executes, bytes on its wire, in its memory and in its file
//	fleet    drains with 1, 2 and 4 workers, and with 2 gateways
//	idle     commands that Redis is sent while nothing happens, with 1 and 4
//	         workers and with 2 gateways
//	depth    at each depth of the queue: what an invocation that waits takes of
//	         Redis's memory, how long a call takes to be accepted, and how fast a
//	         worker takes calls
//	cluster  a drain on a Redis Cluster of three masters with a replica each: what
//	         each of them does of it
//
// All of it shares one machine: with more workers than cores, read what an
// invocation costs and not how many are done in a second. A depth of a million
// takes some GB of memory and as much of disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nightshift/nightshift/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// bench is what all parts have in common.
type bench struct {
	bin         string // the folder of the programs
	calls       int
	concurrency string   // a setting
	env         []string // other settings
	profiled    bool     // functions write profiles when they end
	depths      []int
}

// connections is over how many calls come.
const connections = 64

func run(ctx context.Context) error {
	parts := []struct {
		name string
		run  func(*bench, context.Context) error
	}{{"cost", (*bench).cost}, {"fleet", (*bench).fleet}, {"idle", (*bench).idle}, {"cluster", (*bench).cluster}, {"depth", (*bench).depth}}
	b := &bench{}
	only := flag.String("only", "cost,fleet,idle,cluster,depth", "which parts to measure")
	flag.IntVar(&b.calls, "calls", 10_000, "how many calls a drain has, 100 or more")
	flag.StringVar(&b.bin, "bin", "", "folder of built gateway, worker, scheduler and nightshift; empty: build them")
	depths := flag.String("depths", "0,100000,1000000", "how many invocations wait, in ascending order")
	flag.StringVar(&b.concurrency, "concurrency", "8", "NIGHTSHIFT_WORKER_CONCURRENCY of each worker")
	profiles := flag.String("cpu-profiles", "", "with -only cost: folder for a .cpuprofile of each process of a function, which then runs without walls; empty: none")
	flag.Parse()
	if b.calls < 100 {
		return errors.New("-calls is out of its range, see -help")
	}
	for text := range strings.SplitSeq(*depths, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("-depths: %q is no depth", text)
		}
		b.depths = append(b.depths, n)
	}
	if !slices.IsSorted(b.depths) {
		return errors.New("-depths must ascend")
	}
	if b.bin == "" {
		dir, err := os.MkdirTemp("", "scale")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := harness.Build(ctx, dir); err != nil {
			return err
		}
		b.bin = dir
	}
	if *profiles != "" {
		dir, err := os.MkdirTemp("", "profiles")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.profiled = true
		if b.env, err = profiling(ctx, *profiles, dir); err != nil {
			return err
		}
	}
	chosen := strings.Split(*only, ",")
	for _, part := range parts {
		if !slices.Contains(chosen, part.name) {
			continue
		}
		if err := part.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
