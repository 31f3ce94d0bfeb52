// Package chaos breaks a running system in every way it can think of, while
// callers call it, and then looks whether what was promised is true.
//
// A run is a scenario: a system of real services on a real Redis that writes
// before it answers (package system), traffic that notes what it meant and what
// it was told (traffic, history), faults that a seed determines (fault, proxy),
// and invariants over what was noted and the records that are left (validate).
// The report is printed. When something does not hold, it is kept in out/,
// with the history, the logs of all services and the data of Redis.
//
//	go test ./test/chaos                                    the short run, as CI makes it
//	go test ./test/chaos -seed 7                            the calls and faults of seed 7 again
//	go test ./test/chaos -run TestChaos -faults CutRedis,KillWorker
//	go test ./test/chaos -run TestChaos -invocations 100000 -duration 50m -concurrency 16 -timeout 3h
//	go test ./test/chaos -run TestTicks -ticks 10m -timeout 30m
//
// A seed gives the same faults in the same order, on the same victims, and the
// same calls. What the machine makes of it differs from run to run.
package chaos

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/chaos/fault"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/report"
	"github.com/nightshift/nightshift/test/chaos/scenario"
	"github.com/nightshift/nightshift/test/chaos/system"
	"github.com/nightshift/nightshift/test/chaos/traffic"
	"github.com/nightshift/nightshift/test/chaos/validate"
	"github.com/nightshift/nightshift/test/harness"
)

var (
	seed        = flag.Uint64("seed", 0, "make the run of this seed again; 0 draws one")
	invocations = flag.Int("invocations", 2000, "how many background calls are to be accepted")
	duration    = flag.Duration("duration", 90*time.Second, "the time over which they are spread")
	schedules   = flag.Int("schedules", 5, "how many functions fire each second")
	concurrency = flag.Int("concurrency", 8, "how many queued invocations each worker runs at once")
	tickTime    = flag.Duration("ticks", 30*time.Second, "how long TestTicks lets schedules fire")
	faultNames  = flag.String("faults", "", "names of faults, separated by commas; empty: all; none: none")
)

// out is where everything is kept when something is wrong.
var out = filepath.Join(harness.Root(), "test", "chaos", "out")

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(harness.RunBuilt(m, &binDir))
}

func TestChaos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	s := scenario.Scenario{
		Name: t.Name(), Seed: drawSeed(), Log: t.Logf,
		Shape: system.Shape{Gateways: 2, Workers: 3, Schedulers: 2, Concurrency: *concurrency, Processes: 3**concurrency + *schedules},
		Traffic: traffic.Profile{
			Invocations: *invocations, Duration: *duration, Schedules: *schedules, DeployEvery: 30 * time.Second, Backlog: 500,
			Control: true, SyncEvery: 150 * time.Millisecond,
		},
		Faults: fault.All(), Long: fault.Long(), Gap: 1500 * time.Millisecond, Drain: 3 * time.Minute, Invariants: validate.Always(),
	}
	if *faultNames != "" {
		s.Faults, s.Long = named(t, *faultNames)
	}
	r := run(t, s)
	for _, v := range r.Verdicts {
		if v.Looked == 0 && *schedules > 0 {
			t.Errorf("%q had nothing to look at, so that nothing is shown", v.Name)
		}
	}
}

// drawSeed is the seed that was asked for, or any.
func drawSeed() uint64 {
	if *seed != 0 {
		return *seed
	}
	return 1 + rand.Uint64N(1_000_000)
}

// named sorts faults by whether they are long.
func named(t *testing.T, names string) (short, long []fault.Fault) {
	t.Helper()
	if names == "none" {
		return nil, nil
	}
	all, err := fault.Named(strings.Split(names, ","))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Name() == fault.PauseWorker.Name() {
			long = append(long, f)
		} else {
			short = append(short, f)
		}
	}
	return short, long
}

// run makes a run, prints its report, and keeps everything if something is wrong.
func run(t *testing.T, s scenario.Scenario) *report.Report {
	t.Helper()
	t.Logf("seed %d", s.Seed)
	h := history.New()
	sys, err := system.Start(t.Context(), binDir, s.Shape, h)
	if err != nil {
		t.Fatal(err)
	}
	var r *report.Report
	text := "the run did not come to its end"
	finished := false
	defer func() {
		if t.Failed() || !finished { // not finished: a panic
			dir, err := report.Keep(out, text, s.Seed, h, sys)
			t.Logf("history, logs and the data of Redis are in %s (%v)", dir, err)
		}
		if err := sys.Close(); err != nil {
			t.Error(err)
		}
		var used syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used) == nil {
			t.Logf("services and functions have used %.0f s of computing", time.Duration(used.Utime.Nano()+used.Stime.Nano()).Seconds())
		}
	}()
	ctx := context.WithoutCancel(t.Context())
	r, err = s.Run(ctx, sys)
	if err != nil {
		r.Faults = h.Faults()
		t.Errorf("the run did not come to its end: %v", err)
	} else {
		text = r.String()
		t.Log("\n" + text)
		if r.Failed() {
			t.Error("an invariant does not hold")
		}
	}
	finished = true
	return r
}
