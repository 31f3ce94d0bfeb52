//go:build !linux

package jail

import (
	"errors"

	"github.com/nightshift/nightshift/worker/internal/process"
)

// walls are none: what they are made of is Linux's own.
type walls struct{}

func (*walls) hides() bool { return false }

func (*walls) newUser() int { return 0 }

func (*walls) confine(*Cell, []string) error { return nil }

func (*walls) limits(Limits) []process.Limit { return nil }

func probe(cfg Config, _ string) (walls, []Wall) {
	if cfg.Open {
		return walls{}, nil
	}
	return walls{}, []Wall{{
		Name: "isolation", Why: errors.ErrUnsupported.Error(),
		Follows: "functions can read and end whatever the worker can",
		Remedy:  "run functions that you do not trust on Linux",
	}}
}

func sameDisk(string, string) bool { return true }

func inMemory(string) bool { return false }

// Shield does nothing.
func Shield() error { return nil }
