package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/rogpeppe/go-internal/testscript"
)

// tick is one that a function has reported.
type tick struct {
	at   time.Time
	id   string // of the invocation
	name string
}

// reported lists the ticks that were reported under one of the names; all of
// them if there is no name.
func reported(ts *testscript.TestScript, names []string) []tick {
	data, err := url.Parse(ts.Getenv("DATA"))
	ts.Check(err)
	var ticks []tick
	for _, hit := range worldOf(ts).collector.Hits() {
		id, name := hit.Query.Get("id"), hit.Query.Get("name")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		inv, raw, err := record(data.JoinPath("/.nightshift/invocations", id).String())
		ts.Check(err)
		if inv.Tick == nil {
			ts.Fatalf("invocation %s has no tick:\n%s", id, raw)
		}
		ticks = append(ticks, tick{*inv.Tick, id, name})
	}
	return ticks
}

// verbTicks reads the record of each invocation that reported its id, under
// the NAME if there is one, and checks that their ticks are consecutive seconds,
// each of them once.
func verbTicks(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := timeout(10 * time.Second)
	defer cancel()
	var ticks int
	// Reports of neighbouring ticks may come in any order, so a gap may close.
	ts.Check(harness.Eventually(ctx, func() error {
		seen := map[int64]string{}
		for _, t := range reported(ts, args) {
			second := t.at.Unix()
			if other, twice := seen[second]; twice {
				ts.Fatalf("the tick %v ran twice: %s and %s", t.at, other, t.id)
			}
			seen[second] = t.id
		}
		ticks = len(seen)
		return gap(seen)
	}))
	fmt.Fprintf(ts.Stdout(), "%d ticks, each once, none lost\n", ticks)
}

// gap finds the first second that is missing between the first and the last.
func gap(seen map[int64]string) error {
	seconds := slices.Sorted(maps.Keys(seen))
	for i := 1; i < len(seconds); i++ {
		if seconds[i] != seconds[i-1]+1 {
			return fmt.Errorf("lost: no tick between %v and %v", time.Unix(seconds[i-1], 0).UTC(), time.Unix(seconds[i], 0).UTC())
		}
	}
	return nil
}

// adopted is how long a scheduler may take to follow the pointer, from the
// return of what has moved it.
const adopted = time.Second

// verbFires waits for a tick from now on.
func verbFires(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("fires")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 1 {
		usage(ts, "fires [-within D] NAME")
	}
	begun := time.Now()
	ctx, cancel := timeout(*wait)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		if !slices.ContainsFunc(reported(ts, flags.Args()), func(t tick) bool { return t.at.After(begun) }) {
			return fmt.Errorf("no tick of %s after %v", flags.Arg(0), begun)
		}
		return nil
	}))
}

// verbSilent waits, and checks that no tick of the time after a second from now
// was reported.
func verbSilent(ts *testscript.TestScript, _ bool, args []string) {
	flags := newFlags("silent")
	wait := flags.Duration("for", 3*time.Second, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() == 0 {
		usage(ts, "silent [-for D] NAME...")
	}
	from := time.Now().Add(adopted)
	<-time.After(adopted + *wait)
	for _, t := range reported(ts, flags.Args()) {
		if t.at.After(from) {
			ts.Fatalf("%s fired at %v, which is after %v: invocation %s", t.name, t.at, from, t.id)
		}
	}
	ts.Logf("no tick of %s for %v", strings.Join(flags.Args(), " and "), *wait)
}

func TestGap(t *testing.T) {
	t.Parallel()
	if err := gap(map[int64]string{7: "a", 8: "b", 9: "c"}); err != nil {
		t.Errorf("gap finds %v in three seconds that follow each other", err)
	}
	if gap(map[int64]string{7: "a", 9: "c"}) == nil {
		t.Error("gap does not find the second that is missing")
	}
}
