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
	// startPatience is how long it waits at most while as many processes as there are
	// cores are being started: more at once would only make each slower.
	startPatience = 500 * time.Millisecond
	// again is how often whoever waits looks whether that is still worth it.
	again = 10 * time.Millisecond
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

// worthWaiting reports whether a call, which has waited so long and has so many
// ahead of it, should soon have one of the processes of its function. The caller
// holds mu.
func (p *Pool) worthWaiting(key string, ahead int, waited time.Duration) bool {
	if len(p.waiters) > 0 {
		return false
	}
	busy, coming := p.counts(key)
	cores := runtime.GOMAXPROCS(0)
	pace, known := p.pace.Get(key)
	if !known {
		// How quick it is, the first of them will tell.
		return coming >= cores && waited < p.startPatience
	}
	if waited >= p.patience && (coming == 0 || waited >= p.startPatience) {
		return false
	}
	limit := quick
	if busy >= perCore*cores {
		limit = quickOfMany
	}
	return pace <= limit && pace*time.Duration(ahead+1) <= limit*time.Duration(busy)
}

// counts returns how many processes are busy with a function, or are about to be,
// and how many of them are still being started. The caller holds mu.
func (p *Pool) counts(key string) (busy, coming int) {
	busy, coming = p.launching[key], p.launching[key]
	for i := range p.all {
		if i.key != key || !i.busy || i.doomed {
			continue
		}
		busy++
		if !i.served && !i.api.Started() {
			coming++
		}
	}
	return busy, coming
}

// beforeStart waits for a process of the function, where that is worth it. The
// caller holds mu, also afterwards.
func (p *Pool) beforeStart(ctx context.Context, code *Code) (grant, bool) {
	if lastAlive(p.idle[code.Key]) != nil || !p.worthWaiting(code.Key, len(p.patient[code.Key]), 0) {
		return grant{}, false
	}
	w := &waiter{code: code, granted: make(chan grant, 1)}
	p.patient[code.Key] = append(p.patient[code.Key], w)
	timer := time.NewTimer(again)
	defer timer.Stop()
	for begun := time.Now(); ; timer.Reset(again) {
		p.mu.Unlock()
		over := false
		select {
		case g := <-w.granted:
			p.mu.Lock()
			return g, true
		case <-timer.C:
		case <-ctx.Done():
			over = true
		case <-p.ctx.Done():
			over = true
		}
		p.mu.Lock()
		select {
		case g := <-w.granted: // at the very moment
			return g, true
		default:
		}
		if ahead := slices.Index(p.patient[code.Key], w); over || !p.worthWaiting(code.Key, ahead, time.Since(begun)) {
			p.giveUp(w)
			return grant{}, false
		}
	}
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
