package traffic

import (
	"math/rand/v2"
	"time"

	"github.com/nightshift/nightshift/test/chaos/system"
)

// plan is what a call asks for: of its function, and of the system.
type plan struct {
	name     string
	function string
	ms       int           // how long it takes
	cancel   time.Duration // when somebody cancels it; 0: nobody does
	later    time.Duration // before which it must not begin; 0: at once
	keyed    bool          // it has a key, and is sent again until it is accepted
	twice    bool          // it is sent twice at once, with its key
	callback string        // the path of who is told of its end; empty: nobody is
}

// draw chooses a plan. Without control, callers ask for nothing but a run.
func draw(r *rand.Rand, control bool) plan {
	p := drawRun(r)
	if !control {
		return p
	}
	if p.name == "ok" && r.IntN(15) == 0 {
		p = plan{name: "slow", function: narrowName, ms: 150 + r.IntN(600)}
	}
	if p.cancel > 0 && r.IntN(2) == 0 {
		p.later = time.Duration(2+r.IntN(3)) * time.Second
	}
	p.keyed = r.IntN(4) == 0
	p.twice = p.keyed && r.IntN(4) == 0
	if r.IntN(8) == 0 {
		switch r.IntN(10) {
		case 0:
			p.callback = system.Gone
		case 1, 2:
			p.callback = system.TakesLate
		default:
			p.callback = system.Takes
		}
	}
	return p
}

// drawRun chooses what a function does.
func drawRun(r *rand.Rand) plan {
	p := plan{name: "ok", function: workName}
	switch x := r.IntN(1000); {
	case x < 20:
		p.name, p.ms, p.cancel = "cancel", 200+r.IntN(4000), time.Duration(1+r.IntN(1500))*time.Millisecond
	case x < 60:
		p.name = "once"
	case x < 66:
		p.name = "fail"
	case x < 70:
		p.name = "exit"
	case x < 100:
		p.name, p.ms = "slow", 200+r.IntN(4000)
	case x < 101:
		p.name, p.ms = "slow", 20_000+r.IntN(15_000)
	}
	return p
}
