// Package report says in text what a run has shown: its seed, what was broken,
// what was looked at, and what was found.
package report

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/validate"
)

// Report is what a run has shown.
type Report struct {
	Scenario string
	Seed     uint64
	Wanted   int           // accepted calls
	Took     time.Duration // of the traffic
	Drained  time.Duration // from its end until everything was finished
	Faults   []history.Fault
	Missing  []string // faults that could not be injected here, and why
	Counts   validate.Counts
	Ticks    store.TickTotals
	Verdicts []validate.Verdict
	// Again are the attempts that follow the death of a worker, of those that lost
	// their first one; Suspects, of those that lost one before.
	Again, Suspects []Rerun
	Sights          int
	Notes           []string
}

// Rerun is an attempt that was made because the worker of the one before was killed.
type Rerun struct {
	ID          string
	Died, Begun time.Time
}

func (r Rerun) took() time.Duration { return r.Begun.Sub(r.Died) }

// Failed says that an invariant does not hold.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Verdicts, func(v validate.Verdict) bool { return len(v.Problems) > 0 })
}

// String is the report.
func (r *Report) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("scenario %s, seed %d (again: go test ./test/chaos -run %s -seed %d)", r.Scenario, r.Seed, r.Scenario, r.Seed)
	n := r.Counts
	line("traffic: %v, then %v until all was finished; %.0f accepted per second", r.Took.Round(time.Second), r.Drained.Round(time.Second), float64(n.Accepted)/r.Took.Seconds())
	line("faults:")
	for _, name := range r.kinds() {
		line("  %s", r.kind(name))
	}
	for _, m := range r.Missing {
		line("  not injected: %s", m)
	}
	line("background calls: %d, accepted %d (%d were wanted), refused %d, without an answer %d", n.Calls, n.Accepted, r.Wanted, n.Refused, n.Unanswered)
	line("  accepted without the caller knowing: %d, of which %d ran", n.Untold, n.RanAnyway)
	if n.Keys > 0 {
		line("  with a key, sent again until accepted: %d; never accepted %d, of which %d are an invocation", n.Keys, n.KeysRefused, n.KeysRanAnyway)
	}
	for _, state := range slices.Sorted(maps.Keys(n.States)) {
		line("  %s: %d", state, n.States[invocation.State(state)])
	}
	line("  given up after %d lost workers: %d", invocation.MaxCrashes, n.GivenUp)
	line("attempts of all kinds: %d; failed by the function %d, lost with their worker %d, handed back %d", n.Attempts, n.Failures, n.Lost, n.Drained)
	line("runs that functions began: %d, of which %d are duplicates (%d of ticks)", n.Runs, n.Duplicates, n.TickDuplicates)
	line("ticks: %d; deploys: %d, of which %d failed; cancels: %d; looks at records: %d", n.Ticks, n.Deploys, n.DeploysFailed, n.Cancels, r.Sights)
	if n.Answers > 0 {
		line("sync calls: %d, answered by their function %d, with a 5xx %d, not answered %d", n.Answers, n.AnswersRight, n.AnswersFailed, n.Answers-n.AnswersRight-n.AnswersFailed)
	}
	if n.Callbacks > 0 {
		line("callbacks: %d asked for, %d dead; %d requests", n.Callbacks, n.CallbacksDead, n.Tellings)
	}
	if t := r.Ticks; t.Due > 0 {
		line("ticks due: %d, fired %d, caught up %d, skipped %d, suppressed %d", t.Due, t.Fired, t.CaughtUp, t.Skipped, t.Suppressed)
	}
	if len(r.Again) > 0 {
		line("from the death of a worker to the next attempt: %s, %d of them", spread(waits(r.Again)), len(r.Again))
		for _, slow := range r.slowest() {
			line("  %s", slow)
		}
	}
	if len(r.Suspects) > 0 {
		line("  of those that lost a worker before, which run one by one: %s, %d of them", spread(waits(r.Suspects)), len(r.Suspects))
	}
	for _, note := range r.Notes {
		line("%s", note)
	}
	line("invariants:")
	for _, v := range r.Verdicts {
		word := "holds"
		switch {
		case len(v.Problems) > 0:
			word = "DOES NOT HOLD"
		case v.Looked == 0:
			word = "had nothing to look at"
		}
		line("  %-52s %6d looked at  %s", v.Name, v.Looked, word)
		for _, p := range v.Problems {
			line("    %s", p)
		}
	}
	return b.String()
}

func (r *Report) kinds() []string {
	names := map[string]bool{}
	for _, f := range r.Faults {
		names[f.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// kind is a line about the faults of a name: how many, and how long until all
// services were ready again.
func (r *Report) kind(name string) string {
	var recoveries []time.Duration
	for _, f := range r.Faults {
		if f.Name == name {
			recoveries = append(recoveries, f.Healthy.Sub(f.Healed))
		}
	}
	return fmt.Sprintf("%-14s %3d times; ready again after %s", name, len(recoveries), spread(recoveries))
}

// waits are how long the attempts were waited for.
func waits(reruns []Rerun) []time.Duration {
	all := make([]time.Duration, len(reruns))
	for i, r := range reruns {
		all[i] = r.took()
	}
	return all
}

// Promised is how soon after the death of its worker an attempt is made again if
// nothing else is broken.
const Promised = 35 * time.Second

// slowest describes some of the attempts that took longer, with the faults that
// were there meanwhile.
func (r *Report) slowest() []string {
	slow := slices.DeleteFunc(slices.Clone(r.Again), func(again Rerun) bool { return again.took() <= Promised })
	slices.SortFunc(slow, func(a, b Rerun) int { return cmp.Compare(b.took(), a.took()) })
	var lines []string
	for _, again := range slow[:min(len(slow), 5)] {
		text := fmt.Sprintf("%s after %v, with", again.ID, again.took().Round(10*time.Millisecond))
		for _, f := range r.Faults {
			if f.Begun.Before(again.Begun) && f.Healthy.After(again.Died) {
				text += fmt.Sprintf(" %s (%s, %+.1f to %+.1f s);", f.Name, f.What, f.Begun.Sub(again.Died).Seconds(), f.Healthy.Sub(again.Died).Seconds())
			}
		}
		lines = append(lines, text)
	}
	return lines
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	at := func(p float64) time.Duration {
		return all[min(len(all)-1, int(p*float64(len(all))))].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("p50 %v, max %v", at(0.5), all[len(all)-1].Round(10*time.Millisecond))
}

// Saver is what has something to keep after a failure.
type Saver interface{ Save(dir string) error }

// Keep writes the report, and what others have to keep, into a new folder.
func Keep(root, text string, seed uint64, savers ...Saver) (dir string, err error) {
	dir = filepath.Join(root, fmt.Sprintf("%s-seed-%d", time.Now().UTC().Format("20060102-150405"), seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dir, err
	}
	err = os.WriteFile(filepath.Join(dir, "report.txt"), []byte(text), 0o644)
	for _, s := range savers {
		if failed := s.Save(dir); err == nil {
			err = failed
		}
	}
	return dir, err
}
