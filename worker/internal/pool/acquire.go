package pool

import (
	"context"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

const (
	// maxOvertaken is how many later calls may be served before the one that
	// waits longest. A process that gets free is best kept for its own function:
	// giving it up for another one costs a cold start, and the next call too.
	maxOvertaken = 16
	// evictGrace is the grace of an idle process that has to make room.
	evictGrace = 100 * time.Millisecond
)

// grant is permission to use a process. Without one, it is permission to start
// one in a slot that is already counted, after the victim has ended.
type grant struct {
	instance *instance
	victim   *instance
}

// waiter is a call that waits for a grant.
type waiter struct {
	code      *Code
	overtaken int
	granted   chan grant    // holds one
	refused   chan struct{} // closed when the pool stops
}

// acquire returns a process for the call, which is marked busy.
func (p *Pool) acquire(ctx context.Context, code *Code, call *Call, wait bool) (taken, error) {
	code.spare = p.spareCan(code)
	g, err := p.await(ctx, code, wait)
	if err != nil {
		return taken{}, err
	}
	t := taken{instance: g.instance, from: warm, at: time.Now()}
	if g.instance != nil {
		g.instance.use.Busy()
		g.instance.proc.Attach(call.Log, p.cfg.MaxOutput)
		if g.instance.key == "" {
			t.from = spare
			if err := p.adopt(g.instance, code); err != nil {
				g.instance.proc.Stop(0)
				<-g.instance.gone
				return taken{}, unavailable(err)
			}
		}
		return t, nil
	}
	if g.victim != nil {
		g.victim.proc.Stop(evictGrace)
		<-g.victim.gone
	}
	t.from = cold
	t.instance, err = p.startFor(code, call)
	return t, err
}

// await gets a grant, now or in turn.
func (p *Pool) await(ctx context.Context, code *Code, wait bool) (grant, error) {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return grant{}, failed(invocation.Drained, "Runtime.Drained", ErrDraining.Error())
	}
	if code.Function.Runtime != "provided" && p.cfg.Node == "" {
		p.mu.Unlock()
		return grant{}, failed(invocation.InitError, "Runtime.Unsupported", "this worker has no Node.js to run the function with")
	}
	if g, ok := p.beforeStart(ctx, code); ok {
		p.mu.Unlock()
		return g, nil
	}
	if p.stopped { // meanwhile
		p.mu.Unlock()
		return grant{}, failed(invocation.Drained, "Runtime.Drained", ErrDraining.Error())
	}
	if ctx.Err() != nil { // nobody needs a process any more
		p.mu.Unlock()
		return grant{}, failed(reason(ctx, code))
	}
	if g, ok := p.grant(code); ok {
		p.mu.Unlock()
		return g, nil
	}
	if !wait {
		p.mu.Unlock()
		return grant{}, ErrBusy
	}
	w := &waiter{code: code, granted: make(chan grant, 1), refused: make(chan struct{})}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()

	select {
	case g := <-w.granted:
		return g, nil
	case <-w.refused:
		return grant{}, failed(invocation.Drained, "Runtime.Drained", ErrDraining.Error())
	case <-ctx.Done():
		p.leave(w)
		outcome, kind, text := reason(ctx, code)
		if outcome == invocation.TimedOut {
			text = "no function process became free within the function's time limit"
		}
		return grant{}, failed(outcome, kind, text)
	}
}

// leave takes a waiter out of the line. If it was served meanwhile, the grant
// goes back.
func (p *Pool) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == w })
	select {
	case g := <-w.granted:
		p.giveBack(w.code.Key, g)
	default:
	}
}

// launched notes that a process of a function is not about to be started any more. The
// caller holds mu.
func (p *Pool) launched(key string) {
	if p.launching[key]--; p.launching[key] == 0 {
		delete(p.launching, key)
	}
}

// giveBack undoes a grant. The caller holds mu.
func (p *Pool) giveBack(key string, g grant) {
	if g.instance == nil {
		p.launched(key)
	}
	switch {
	case g.instance != nil && g.instance.key == "":
		g.instance.busy = false
		p.spares = append(p.spares, g.instance)
	case g.instance != nil:
		p.putIdle(g.instance)
	case g.victim != nil:
		if _, alive := p.all[g.victim]; !alive {
			p.slots--
			break
		}
		g.victim.heir = false // its slot gets free when it has ended
		p.stopLater(g.victim, evictGrace)
	default:
		p.slots--
	}
	p.serve()
}

// grant finds a process or a slot for the code. The caller holds mu.
func (p *Pool) grant(code *Code) (grant, bool) {
	if i := lastAlive(p.idle[code.Key]); i != nil {
		p.removeIdle(i)
		i.busy = true
		return grant{instance: i}, true
	}
	if i := p.takeSpare(code); i != nil {
		i.busy = true
		p.wakeUpkeep()
		return grant{instance: i}, true
	}
	if p.slots < p.cfg.Max {
		p.slots++
		p.launching[code.Key]++
		return grant{}, true
	}
	victim := p.leastRecentlyUsed()
	if victim == nil && len(p.spares) > 0 {
		victim = p.spares[0]
		p.spares = p.spares[1:]
	}
	if victim == nil {
		return grant{}, false
	}
	p.removeIdle(victim)
	victim.heir = true
	p.launching[code.Key]++
	return grant{victim: victim}, true
}

// spareCan reports whether a spare can become the function's process. It may
// look through the code.
func (p *Pool) spareCan(code *Code) bool {
	return p.cfg.Spares > 0 && code.Function.Runtime != "provided" && !needsOwnStart(code.Env) && p.cfg.Jail.CanAdopt(code.Dir)
}

// takeSpare takes a spare that can become the function's process; best one
// that is ready.
func (p *Pool) takeSpare(code *Code) *instance {
	if len(p.spares) == 0 || !code.spare {
		return nil
	}
	n := slices.IndexFunc(p.spares, func(i *instance) bool { return i.alive() && i.parked() })
	if n < 0 {
		n = slices.IndexFunc(p.spares, (*instance).alive)
	}
	if n < 0 {
		return nil
	}
	i := p.spares[n]
	p.spares = slices.Delete(p.spares, n, n+1)
	return i
}

// lastAlive is the last process that has not ended, or nil.
func lastAlive(idle []*instance) *instance {
	for _, i := range slices.Backward(idle) {
		if i.alive() {
			return i
		}
	}
	return nil
}

func (p *Pool) leastRecentlyUsed() *instance {
	var oldest *instance
	for _, idle := range p.idle {
		if i := idle[0]; oldest == nil || i.usedAt.Before(oldest.usedAt) {
			oldest = i
		}
	}
	return oldest
}

// putIdle makes a process free for its key's next call. The caller holds mu.
func (p *Pool) putIdle(i *instance) {
	i.busy, i.usedAt = false, time.Now()
	i.use.Idle()
	p.idle[i.key] = append(p.idle[i.key], i)
}

func (p *Pool) removeIdle(i *instance) {
	rest := slices.DeleteFunc(p.idle[i.key], func(o *instance) bool { return o == i })
	if len(rest) == 0 {
		delete(p.idle, i.key)
		return
	}
	p.idle[i.key] = rest
}

// serve gives waiters what has become free. The caller holds mu.
func (p *Pool) serve() {
	for len(p.waiters) > 0 && !p.stopped {
		n := p.turn()
		g, ok := p.grant(p.waiters[n].code)
		if !ok {
			return
		}
		for _, w := range p.waiters[:n] {
			w.overtaken++
		}
		p.waiters[n].granted <- g
		p.waiters = slices.Delete(p.waiters, n, n+1)
	}
}

// turn says whose turn it is: the first that has a warm process waiting, unless
// the first of all has been overtaken too often.
func (p *Pool) turn() int {
	if p.waiters[0].overtaken >= maxOvertaken {
		return 0
	}
	return max(0, slices.IndexFunc(p.waiters, func(w *waiter) bool { return len(p.idle[w.code.Key]) > 0 }))
}

// release ends the call, which took so long, of a process that is fit for another one.
func (p *Pool) release(i *instance, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(i, took)
	if _, alive := p.all[i]; !alive {
		return // its mourner has freed the slot
	}
	if i.doomed || p.stopped {
		i.busy = false
		p.stopLater(i, p.cfg.Grace)
		return
	}
	if p.handOn(i) {
		return
	}
	p.putIdle(i)
	p.serve()
	if !p.reaping {
		p.wakeUpkeep() // else its timer goes off in time: the others are idle for longer
	}
}

// unavailable says that the machine, not the function, is at fault.
func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "a function process could not be started on this worker; try again").After(time.Second)
}
