package scheduler

import (
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// Retention is how long something is kept: a duration, or [Forever].
type Retention time.Duration

// Forever is a Retention without an end; in the environment "off" or "0".
const Forever Retention = -1

const (
	defaultDeployRetention = Retention(90 * 24 * time.Hour)
	// minDeployRetention is long enough to notice that a publish was a mistake.
	minDeployRetention = Retention(time.Hour)
)

// UnmarshalText reads "off", "0" or a duration as in 2160h.
func (r *Retention) UnmarshalText(text []byte) error {
	if s := string(text); s == "off" || s == "0" {
		*r = Forever
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fault.New(fault.Invalid, "%.80q is neither a duration, as in 2160h, nor off", text)
	}
	*r = Retention(d)
	return nil
}

// String is the inverse of UnmarshalText.
func (r Retention) String() string {
	if r == Forever {
		return "off"
	}
	return time.Duration(r).String()
}
