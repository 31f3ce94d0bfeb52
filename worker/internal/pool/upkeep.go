package pool

import (
	"slices"
	"time"
)

// Waits after a spare that could not be started or did not come up.
const (
	minSpareDelay = time.Second
	maxSpareDelay = time.Minute
)

// upkeep ends idle processes in time and keeps spares ready, until the pool
// stops. It sleeps until there is something to do.
func (p *Pool) upkeep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	spares := spareKeeper{pool: p}
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		now := time.Now()
		next := p.reap(now)
		if again := spares.refill(now); again > 0 && (next == 0 || again < next) {
			next = again
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// wakeUpkeep makes upkeep look again.
func (p *Pool) wakeUpkeep() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// reap ends the processes that have been idle too long, and returns when the
// next one will have been; 0: there is none.
func (p *Pool) reap(now time.Time) (next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, idle := range p.idle {
		kept := idle[:0]
		for _, i := range idle {
			left := p.cfg.IdleTimeout - now.Sub(i.usedAt)
			if left <= 0 {
				p.stopLater(i, p.cfg.Grace)
				continue
			}
			kept = append(kept, i)
			if next == 0 || left < next {
				next = left
			}
		}
		clear(idle[len(kept):])
		if p.idle[key] = kept; len(kept) == 0 {
			delete(p.idle, key)
		}
	}
	p.reaping = next > 0
	return next
}

// removeSpare forgets a spare. The caller holds mu.
func (p *Pool) removeSpare(i *instance) {
	p.spares = slices.DeleteFunc(p.spares, func(o *instance) bool { return o == i })
}

// spareKeeper starts spares one after the other, so that a burst of calls is
// not slowed down by a burst of starts.
type spareKeeper struct {
	pool   *Pool
	booted *instance     // the last one started
	delay  time.Duration // after a failure
	notYet time.Time
}

// refill starts a spare if one is missing, there is room, and the one before
// is ready. It returns when to look again, 0: when woken.
func (k *spareKeeper) refill(now time.Time) time.Duration {
	switch {
	case k.booted == nil:
	case k.booted.parked():
		k.delay, k.booted = 0, nil
	case k.booted.ended():
		k.booted = nil
		k.fail(now, "it ended before it was ready")
	default:
		return 0
	}
	if left := k.notYet.Sub(now); left > 0 {
		return left
	}
	if !k.pool.wantsSpare() {
		return 0
	}
	spare, err := k.pool.startSpare()
	if err != nil {
		k.fail(now, err.Error())
		return k.delay
	}
	k.booted = spare
	k.pool.addSpare(spare)
	return 0
}

func (k *spareKeeper) fail(now time.Time, why string) {
	k.delay = min(max(2*k.delay, minSpareDelay), maxSpareDelay)
	k.notYet = now.Add(k.delay)
	k.pool.log.Warn("no spare process", "error", why, "retry_in", k.delay)
}

// wantsSpare takes a slot for a spare if one is missing and nobody needs the slot more.
func (p *Pool) wantsSpare() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.cfg.Node == "" || len(p.spares) >= p.cfg.Spares || p.slots >= p.cfg.Max || len(p.waiters) > 0 {
		return false
	}
	p.slots++
	return true
}

// addSpare makes a started spare available, unless it has died already.
func (p *Pool) addSpare(i *instance) {
	p.mu.Lock()
	if _, alive := p.all[i]; alive && !p.stopped {
		p.spares = append(p.spares, i)
		p.serve() // somebody may have found the ceiling reached meanwhile
	}
	p.mu.Unlock()
	// The next one may be started when this one is ready.
	p.running.Go(func() {
		select {
		case <-i.api.Parked():
			p.wakeUpkeep()
		case <-i.gone:
		}
	})
}
