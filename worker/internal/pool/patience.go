package pool

import (
	"context"
	"runtime"
	"slices"
	"time"
)

const (
	// quick is how long it may seem to take until a process is free for a call to wait
	// for it, instead of starting one. It is far less than a start takes, because a
	// function that is called all the time is to have as many processes as it keeps busy.
	quick = 5 * time.Millisecond
	// quickOfMany is the same if perCore processes for each core are busy with the
	// function: more of them would hardly make such calls faster.
	quickOfMany = 20 * time.Millisecond
	perCore     = 2
	// patience is how long a call waits at most, in case it seemed wrong: about what
	// a start takes on a machine that is busy.
	patience = 100 * time.Millisecond
	// slowing is by what factor a call that takes longer makes the pace of its function
	// slower, at most: 100 in a row make it seven times as slow.
	slowing = 1.02
	// firstFactor is how much longer the first call of a process takes, about.
	firstFactor = 10
	// maxPaces is of how many functions the pace is known.
	maxPaces = 1024
)

// A burst of calls that take a millisecond each would start a process for each of
// them, and be over before the first one is up. So a call waits for one of its
// function's processes if those will be free sooner than a new one.

// note takes the time of a call into the pace of its function, which follows the
// quickest calls: others may have waited for the processor, and it is then that
// starting processes does most harm. The first call of a process is no measure,
// because it compiles what the later ones find; it counts only while nothing is
// known. The caller holds mu.
func (p *Pool) note(i *instance, took time.Duration) {
	first := !i.served
	i.served = true
	pace, known := p.pace.Get(i.key)
	switch {
	case first && known:
		return
	case first:
		pace = took / firstFactor
	case known && took > pace:
		pace = min(took, time.Duration(float64(pace)*slowing))
	default:
		pace = took
	}
	p.pace.Add(i.key, pace)
}

// worthWaiting reports whether one of the processes of a function should be free
// soon. The caller holds mu.
func (p *Pool) worthWaiting(key string) bool {
	pace, known := p.pace.Get(key)
	if !known || len(p.waiters) > 0 {
		return false
	}
	busy := 0
	for i := range p.all {
		if i.key == key && i.busy && !i.doomed {
			busy++
		}
	}
	limit := quick
	if busy >= perCore*runtime.GOMAXPROCS(0) {
		limit = quickOfMany
	}
	return pace <= limit && pace*time.Duration(len(p.patient[key])+1) <= limit*time.Duration(busy)
}

// beforeStart waits for a process of the function, where that is worth it. The
// caller holds mu, also afterwards.
func (p *Pool) beforeStart(ctx context.Context, code *Code) (grant, bool) {
	if lastAlive(p.idle[code.Key]) != nil || !p.worthWaiting(code.Key) {
		return grant{}, false
	}
	w := &waiter{code: code, granted: make(chan grant, 1)}
	p.patient[code.Key] = append(p.patient[code.Key], w)
	p.mu.Unlock()
	timer := time.NewTimer(p.patience)
	defer timer.Stop()
	var g grant
	select {
	case g = <-w.granted:
	case <-timer.C:
	case <-ctx.Done():
	case <-p.ctx.Done():
	}
	p.mu.Lock()
	if g.instance == nil {
		p.giveUp(w)
		select {
		case g = <-w.granted: // at the very moment
		default:
		}
	}
	return g, g.instance != nil
}

func (p *Pool) giveUp(w *waiter) {
	rest := slices.DeleteFunc(p.patient[w.code.Key], func(o *waiter) bool { return o == w })
	if len(rest) == 0 {
		delete(p.patient, w.code.Key)
		return
	}
	p.patient[w.code.Key] = rest
}

// handOn gives a process whose call has ended to the first who waits for it, and
// reports whether somebody does. The caller holds mu.
func (p *Pool) handOn(i *instance) bool {
	patient := p.patient[i.key]
	if len(patient) == 0 || len(p.waiters) > 0 || !i.alive() {
		return false
	}
	w := patient[0]
	p.giveUp(w)
	w.granted <- grant{instance: i}
	return true
}
