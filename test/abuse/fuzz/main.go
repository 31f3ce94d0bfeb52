// Command fuzz runs every fuzz target of the repository for a bounded number of
// inputs, one target at a time, and prints what each of them took.
//
//	go run ./test/abuse/fuzz [-inputs 3000] [-most 5s] [-guided] [-only FuzzUnpack]
//
// A target fails when it crashes, when it takes no more inputs (a hang), when it
// leaves files in its temporary folder, or when its processes come to hold more
// memory than -memory. What crashes one is kept in testdata/fuzz beside it, as
// `go test -fuzz` does, so the target's next ordinary test run shows it again.
//
// Without -guided nothing is compiled for coverage, which is quick and finds
// little that is new: it is for CI. With it, what was interesting is kept in the
// build cache, where the next run goes on from.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s := settings{root: harness.Root(), out: os.Stdout}
	flag.IntVar(&s.inputs, "inputs", 3000, "how many inputs each target takes")
	flag.DurationVar(&s.most, "most", 0, "when a target is stopped that has not taken them yet; 0: never")
	flag.DurationVar(&s.hang, "hang", time.Minute, "how long a target may take no input")
	flag.Int64Var(&s.memory, "memory", 1024, "how many MiB a process of a target may hold")
	flag.BoolVar(&s.guided, "guided", false, "compile for coverage, which guides the choice of inputs")
	flag.IntVar(&s.workers, "workers", 2, "how many processes a target runs in")
	only := flag.String("only", "", "a regular expression: the targets to run")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	targets, err := find(s.root, match)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no target matches %q; list them: git grep '^func Fuzz'", *only)
	}
	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.dir = dir
	if s.guided {
		if s.cache, err = buildCache(ctx); err != nil {
			return err
		}
	}
	return s.runAll(ctx, targets)
}
