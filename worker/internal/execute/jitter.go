package execute

import (
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
)

// maxJitter bounds what is added to the delay of a retry.
const maxJitter = 30 * time.Second

// spread adds up to a tenth to the delay of a retry, at most 30 s, so that those
// who fail together do not come back together. A retry is never earlier than
// its function was promised. draw is in [0, 1).
func spread(v invocation.Verdict, draw float64) invocation.Verdict {
	if v.State == invocation.Failed {
		v.Delay += time.Duration(draw * float64(min(v.Delay/10, maxJitter)))
	}
	return v
}
