package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/system"
)

// drawn breaks nothing and tells what it drew.
type drawn struct {
	always
	enough chan struct{}
	left   *int
}

func (d drawn) Inject(_ context.Context, _ *system.System, r *rand.Rand) (string, error) {
	if *d.left--; *d.left == 0 {
		close(d.enough)
	}
	return fmt.Sprint(r.Uint64()), nil
}

func TestASeedIsAPlan(t *testing.T) {
	t.Parallel()
	plan := func(seed uint64) (all []string) {
		sys, enough, left := &system.System{History: history.New()}, make(chan struct{}), 20
		faults := []Fault{drawn{always{"a"}, enough, &left}, drawn{always{"b"}, enough, &left}, drawn{always{"c"}, enough, &left}}
		if err := Run(t.Context(), enough, sys, faults, time.Microsecond, rand.New(rand.NewPCG(seed, 1))); err != nil {
			t.Fatal(err)
		}
		for _, f := range sys.History.Faults() {
			all = append(all, f.Name+" "+f.What)
		}
		return all[:20] // one more may have been on its way
	}
	first := plan(7)
	if again := plan(7); !slices.Equal(first, again) {
		t.Errorf("seed 7 gives\n%q\nand then\n%q", first, again)
	}
	if other := plan(8); slices.Equal(first, other) {
		t.Error("seeds 7 and 8 give the same")
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	got, err := Named([]string{"PauseWorker", "CutRedis"})
	if err != nil || len(got) != 2 || got[0].Name() != "PauseWorker" {
		t.Errorf("found %v, %v", got, err)
	}
	if _, err := Named([]string{"Flood"}); err == nil {
		t.Error("found the fault Flood, which there is not")
	}
}
