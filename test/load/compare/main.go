// Command compare measures the product beside what a team would pick instead, in
// turn and on the same work, and prints ratios.
//
//	go run ./test/load/compare
//	go run ./test/load/compare -only drain -systems nightshift,bullmq -rounds 1
//
// The peers are BullMQ behind Fastify with the handler in the worker's process,
// and asynq behind Echo with the handler in Go or as a Node server. The contract
// is the same for all: a call has 1 KiB of JSON, which the function reads before
// it sends one datagram; Redis writes its append-only file each second, and is
// new for each run; calls come over 64 connections.
//
//	accept   calls for 10 s with the workers off, by wrk (one thread)
//	latency  400 calls, 20 a second: from the 202 to the function's start
//	drain    20,000 calls with the workers on: from the first call to the last
//	         start, the time that all processes computed, and their memory
//
// Of ours alone is measured what is used while nothing happens (idle); and beside
// others than those peers:
//
//	sync     calls that wait for the answer of a warm function, one after the
//	         other; beside netlify functions:serve and lambda-local, if they are
//	         on the PATH or named
//	cold     first calls of functions that never ran, with a process that stands
//	         ready and without; beside node with the same code in a file
//
// With -before, an older build of ours has its turns, too.
//
// It prints a line of JSON for each measurement, then the medians of all rounds,
// the ratios, and which of them moved since they were last accepted: those are in
// test/load/compare/accepted.json, which -accept writes. It needs redis-server,
// node and wrk on the PATH, and the packages of test/load/peers/bullmq.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// bench is what all measurements have in common.
type bench struct {
	dir, bin        string // folders: of what is written, and of our programs
	before          string // the folder of older ones, or ""
	node, wrk       string // where they are
	netlify, lambda string // the same, and "" if they are not there
	concurrency     int    // of our worker; 0: its own
	parts           []string

	acceptFor, idleFor                  time.Duration
	latencyCalls, drainCalls, coldCalls int
	warmCalls                           int

	round int
	book  *book
}

var (
	systems = []system{
		{ours, startOurs}, {"bullmq", startBull}, {"asynq-go", startAsynqGo}, {"asynq-node", startAsynqNode},
	}
	parts = []string{"accept", "latency", "drain", "sync", "cold", "idle"}
)

func names() []string {
	all := make([]string, len(systems))
	for i, s := range systems {
		all[i] = s.name
	}
	return all
}

func run(ctx context.Context) error {
	b := &bench{book: newBook()}
	only := flag.String("only", strings.Join(parts, ","), "which parts to measure")
	chosen := flag.String("systems", strings.Join(names(), ","), "which systems")
	rounds := flag.Int("rounds", 3, "how often each system has its turn, 1 or more")
	accept := flag.Bool("accept", false, "keep this run's ratios as those to compare later ones with")
	bin := flag.String("bin", "", "folder of built gateway, worker, scheduler and nightshift; empty: build them")
	flag.StringVar(&b.before, "before", "", "folder of an older build to measure beside; empty: none")
	flag.StringVar(&b.netlify, "netlify", orNone(netlify), "path of the program, of which functions:serve is measured; empty: not")
	flag.StringVar(&b.lambda, "lambda-local", orNone(lambda), "the same of lambda-local")
	flag.IntVar(&b.concurrency, "concurrency", 0, "NIGHTSHIFT_WORKER_CONCURRENCY of our worker; 0: its own default")
	flag.DurationVar(&b.acceptFor, "accept-for", 10*time.Second, "how long to accept, 1s or more")
	flag.DurationVar(&b.idleFor, "idle-for", 30*time.Second, "how long to watch an idle system, 1s or more")
	flag.IntVar(&b.latencyCalls, "latency-calls", 400, "how many calls at 20 a second, 20 or more")
	flag.IntVar(&b.drainCalls, "drain-calls", 20_000, "how many calls to drain, 100 or more")
	flag.IntVar(&b.warmCalls, "warm-calls", 1, "how many calls each system has drained before it is measured, 1 or more: with some thousands, all processes of functions run that will")
	flag.IntVar(&b.coldCalls, "cold-calls", 20, "how many functions are called for the first time, 1 or more")
	flag.Parse()
	b.parts = strings.Split(*only, ",")
	if err := known("-only", b.parts, parts); err != nil {
		return err
	}
	if err := known("-systems", strings.Split(*chosen, ","), names()); err != nil {
		return err
	}
	if *rounds < 1 || b.acceptFor < time.Second || b.idleFor < time.Second || b.latencyCalls < 20 || b.drainCalls < 100 || b.coldCalls < 1 || b.warmCalls < 1 {
		return errors.New("a setting is out of its range, see -help")
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "compare"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.prepare(ctx, *bin); err != nil {
		return err
	}
	turns := slices.DeleteFunc(slices.Clone(systems), func(s system) bool { return !slices.Contains(strings.Split(*chosen, ","), s.name) })
	if b.before != "" {
		turns = append(turns, system{older, startOlder})
	}
	for b.round = 1; b.round <= *rounds; b.round++ {
		if err := b.turns(ctx, turns); err != nil {
			return fmt.Errorf("round %d: %w", b.round, err)
		}
		turns = append(turns[1:], turns[0]) // nobody is always the first
	}
	return report(os.Stdout, b.book, *accept)
}

func known(flag string, chosen, all []string) error {
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return fmt.Errorf("%s: %q is none of %s", flag, name, strings.Join(all, ", "))
		}
	}
	return nil
}

// any says whether one of some parts is measured.
func (b *bench) any(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(b.parts, name) })
}

// prepare finds and builds the programs.
func (b *bench) prepare(ctx context.Context, built string) (err error) {
	if b.node, err = exec.LookPath("node"); err != nil {
		return err
	}
	if b.any("accept") {
		if b.wrk, err = findWrk(); err != nil {
			return err
		}
	}
	if b.bin = built; built == "" {
		b.bin = b.dir
		if err := harness.Build(ctx, b.bin); err != nil {
			return err
		}
	}
	return buildPeer(ctx, b.dir)
}

// turns measures each system once.
func (b *bench) turns(ctx context.Context, all []system) error {
	for _, s := range all {
		if b.any("accept") {
			if err := b.accept(ctx, s); err != nil {
				return fmt.Errorf("%s: accept: %w", s.name, err)
			}
		}
		if err := b.work(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if !slices.ContainsFunc(all, func(s system) bool { return s.name == ours }) {
		return nil
	}
	if b.any("sync") {
		if err := b.emulate(ctx); err != nil {
			return err
		}
	}
	if b.any("cold") {
		if err := b.cold(ctx); err != nil {
			return fmt.Errorf("cold: %w", err)
		}
	}
	return nil
}

// note prints a measurement as a line of JSON.
func (b *bench) note(peer, mode string, result any) {
	line, err := json.Marshal(struct {
		Peer   string `json:"peer"`
		Round  int    `json:"round"`
		Load   string `json:"load"`
		At     string `json:"at"`
		Mode   string `json:"mode"`
		Result any    `json:"r"`
	}{peer, b.round, machineLoad(), time.Now().UTC().Format(time.TimeOnly), mode, result})
	if err != nil {
		panic(err) // a number that is none: nothing was measured
	}
	fmt.Println(string(line))
}

// machineLoad is the machine's load averages.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func rounded(f float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(f*unit) / unit
}
