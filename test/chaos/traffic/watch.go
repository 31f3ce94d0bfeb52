package traffic

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/chaos/history"
)

const (
	watchEvery = 500 * time.Millisecond
	// watchAtOnce bounds how many records are looked at together.
	watchAtOnce = 400
)

// watch looks at records over and over until ctx ends: those that are not
// finished, and some that are, which must stay as they are.
func (l *Load) watch(ctx context.Context) {
	for pause(ctx, watchEvery) {
		l.look(ctx, watchAtOnce) // what cannot be read now is read later
		l.count(ctx)
	}
}

// count asks the system for its own counts, which must add up at any moment.
func (l *Load) count(ctx context.Context) {
	counts, err := l.sys.Store.CountsByKind(ctx)
	if err != nil {
		return
	}
	for kind, n := range counts {
		if drift := n.Drift(); drift != 0 {
			l.sys.History.Drift(history.Drift{Time: time.Now(), Drift: drift, What: fmt.Sprintf("%s %+v", kind, n)})
		}
	}
	ticks, err := l.sys.Store.TickTotals(ctx)
	if err != nil {
		return
	}
	if drift := ticks.Drift(); drift != 0 {
		l.sys.History.Drift(history.Drift{Time: time.Now(), Drift: drift, What: fmt.Sprintf("ticks %+v", ticks)})
	}
}

// look notes how some records are.
func (l *Load) look(ctx context.Context, atOnce int) {
	var ids []string
	l.mu.Lock()
	for id := range l.unfinished { // in no order
		if len(ids) == atOnce {
			break
		}
		ids = append(ids, id)
	}
	for i := 0; i < len(l.finished); i += max(1, len(l.finished)/(atOnce/4)) {
		ids = append(ids, l.finished[i])
	}
	l.mu.Unlock()
	records, err := l.sys.Records(ctx, ids)
	if err != nil {
		return
	}
	now := time.Now()
	for id, inv := range records {
		l.sys.History.Sight(sight(id, now, inv), inv.State.Terminal())
		if inv.State.Terminal() {
			l.mu.Lock()
			if l.unfinished[id] {
				delete(l.unfinished, id)
				l.finished = append(l.finished, id)
			}
			l.mu.Unlock()
		}
	}
}

func sight(id string, now time.Time, inv invocation.Invocation) history.Sight {
	return history.Sight{Time: now, ID: id, State: string(inv.State), Attempts: len(inv.Attempts), Finished: inv.FinishedAt}
}

// Drain waits until everything that was accepted is finished. What is not, when
// ctx ends, is in the error.
func (l *Load) Drain(ctx context.Context) error {
	for {
		l.look(ctx, 20_000)
		left, one := l.left()
		if left == 0 {
			return nil
		}
		if !pause(ctx, watchEvery) {
			return fmt.Errorf("%d accepted invocations are not finished, one of them is %s", left, one)
		}
	}
}

// left is how many accepted calls were not seen finished, and one of them.
func (l *Load) left() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.unfinished {
		return len(l.unfinished), id
	}
	return 0, ""
}
