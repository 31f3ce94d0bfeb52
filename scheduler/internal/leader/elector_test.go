package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

const ttl = 5 * time.Second

// fakeRedis is one lock and one counter, in fake time.
type fakeRedis struct {
	mu      sync.Mutex
	holder  *fakeLock
	expires time.Time
	term    int64
	locks   []*fakeLock
	termErr error
	mute    bool // messages of resignations get lost
}

func (r *fakeRedis) BeginTerm(ctx context.Context) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.termErr != nil || ctx.Err() != nil {
		return 0, errors.Join(r.termErr, ctx.Err())
	}
	r.term++
	return r.term, nil
}

func (r *fakeRedis) newLock() lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &fakeLock{redis: r, released: make(chan struct{}, 1)}
	r.locks = append(r.locks, l)
	return l
}

// drop makes the lock free, as when somebody deletes the key.
func (r *fakeRedis) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holder = nil
}

func (r *fakeRedis) holds(l *fakeLock) bool { return r.holder == l && time.Now().Before(r.expires) }

// fakeLock is one elector's view of it.
type fakeLock struct {
	redis    *fakeRedis
	released chan struct{}
	cut      bool // every call hangs until its context ends
}

func (l *fakeLock) setCut(cut bool) {
	l.redis.mu.Lock()
	defer l.redis.mu.Unlock()
	l.cut = cut
}

func (l *fakeLock) reach(ctx context.Context) error {
	l.redis.mu.Lock()
	cut := l.cut
	l.redis.mu.Unlock()
	if cut {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // the client's read timeout
		defer cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	return ctx.Err()
}

func (l *fakeLock) Acquire(ctx context.Context) (bool, error) {
	if err := l.reach(ctx); err != nil {
		return false, err
	}
	r := l.redis
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder != nil && time.Now().Before(r.expires) {
		return false, nil
	}
	r.holder, r.expires = l, time.Now().Add(ttl)
	return true, nil
}

func (l *fakeLock) Renew(ctx context.Context) (bool, error) {
	if err := l.reach(ctx); err != nil {
		return false, err
	}
	r := l.redis
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holds(l) {
		return false, nil
	}
	r.expires = time.Now().Add(ttl)
	return true, nil
}

func (l *fakeLock) Release(ctx context.Context) error {
	if err := l.reach(ctx); err != nil {
		return err
	}
	r := l.redis
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder == l {
		r.holder = nil
	}
	for _, other := range r.locks {
		if other != l && !r.mute {
			select {
			case other.released <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func (l *fakeLock) Released() <-chan struct{} { return l.released }
func (l *fakeLock) Close() error              { return nil }

// candidate is one elector at work, in fake time.
type candidate struct {
	name    string
	lock    *fakeLock
	stop    context.CancelFunc
	done    chan struct{}
	metrics metrics
	journal *journal
}

// journal is what happened, with the seconds since the start.
type journal struct {
	mu      sync.Mutex
	start   time.Time
	lines   []string
	leading int // works running now
	overlap bool
}

func (j *journal) begin(name string, term int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leading++
	j.overlap = j.overlap || j.leading > 1
	j.lines = append(j.lines, fmt.Sprintf("%s leads term %d", name, term))
}

func (j *journal) end(name string, cause error) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leading--
	j.lines = append(j.lines, fmt.Sprintf("%s ends: %v", name, cause))
	return time.Since(j.start)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

func (r *fakeRedis) join(t *testing.T, name string, j *journal) *candidate {
	e := &Elector{lock: r.newLock, terms: r, ttl: ttl, log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
	ctx, stop := context.WithCancel(t.Context())
	c := &candidate{name: name, stop: stop, done: make(chan struct{}), journal: j, metrics: e.metrics}
	go func() {
		defer close(c.done)
		e.Lead(ctx, func(ctx context.Context, term int64) {
			j.begin(name, term)
			<-ctx.Done()
			j.end(name, context.Cause(ctx))
		})
	}()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	c.lock = r.locks[len(r.locks)-1]
	return c
}

func (c *candidate) leave() {
	c.stop()
	<-c.done
}

// tells checks the figures of a candidate.
func (c *candidate) tells(t *testing.T, leader, term float64) {
	t.Helper()
	if l, n := testutil.ToFloat64(c.metrics.leader), testutil.ToFloat64(c.metrics.term); l != leader || n != term {
		t.Errorf("%s tells leader %v and term %v, want %v and %v", c.name, l, n, leader, term)
	}
}

func expect(t *testing.T, j *journal, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := j.take(); !slices.Equal(got, want) {
		t.Fatalf("journal = %q, want %q", got, want)
	}
}

func TestOneLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a, b, c := r.join(t, "a", j), r.join(t, "b", j), r.join(t, "c", j)
		expect(t, j, "a leads term 1")
		time.Sleep(time.Hour) // fake: 600 renewals
		expect(t, j)
		b.leave()
		c.leave()
		expect(t, j)
		a.leave()
		expect(t, j, "a ends: "+ErrStopping.Error())
	})
}

func TestResignationHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a, b := r.join(t, "a", j), r.join(t, "b", j)
		expect(t, j, "a leads term 1")
		before := time.Now()
		a.leave()
		expect(t, j, "a ends: "+ErrStopping.Error(), "b leads term 2")
		a.tells(t, 0, 1)
		b.tells(t, 1, 2)
		if took := time.Since(before); took > 0 {
			t.Errorf("the standby took over after %v, want at once", took)
		}
		b.leave()
	})
}

func TestResignationUnheard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a, b := r.join(t, "a", j), r.join(t, "b", j)
		r.mu.Lock()
		r.mute = true
		r.mu.Unlock()
		time.Sleep(2 * ttl)
		j.take()
		a.leave()
		time.Sleep(ttl/4 + ttl/16 + time.Millisecond)
		expect(t, j, "a ends: "+ErrStopping.Error(), "b leads term 2")
		b.leave()
	})
}

// TestCutOffLeaderStopsBeforeItsSuccessor: a leader that does not reach Redis
// any more ends its term while Redis still keeps the lock for it.
func TestCutOffLeaderStopsBeforeItsSuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a, b := r.join(t, "a", j), r.join(t, "b", j)
		expect(t, j, "a leads term 1")
		time.Sleep(ttl/3 + time.Millisecond) // just renewed
		a.lock.setCut(true)
		r.mu.Lock()
		expires := r.expires
		r.mu.Unlock()
		time.Sleep(time.Until(expires) - time.Millisecond)
		expect(t, j, "a ends: "+ErrTrustExpired.Error())
		time.Sleep(ttl)
		expect(t, j, "b leads term 2")
		if j.overlap {
			t.Error("two leaders worked at the same time")
		}
		a.lock.setCut(false)
		time.Sleep(ttl)
		a.leave()
		b.leave()
	})
}

// TestShortOutage: renewals that fail for less than the trust do not end a term.
func TestShortOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a := r.join(t, "a", j)
		expect(t, j, "a leads term 1")
		for range 20 {
			a.lock.setCut(true)
			time.Sleep(2 * time.Second)
			a.lock.setCut(false)
			time.Sleep(3 * time.Second)
		}
		expect(t, j)
		a.leave()
	})
}

func TestLockDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{}, &journal{start: time.Now()}
		a, b := r.join(t, "a", j), r.join(t, "b", j)
		expect(t, j, "a leads term 1")
		r.drop()
		time.Sleep(ttl)
		// Who of both gets it is open; that a noticed and that one leads is not.
		synctest.Wait()
		lines := j.take()
		if !slices.Contains(lines, "a ends: "+ErrLockLost.Error()) || r.term != 2 {
			t.Errorf("journal = %q in term %d, want a to have lost and term 2", lines, r.term)
		}
		a.leave()
		b.leave()
	})
}

// TestWorkGivesUp: a work that returns ends its term, and its elector does not
// hurry to take the next one.
func TestWorkGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRedis{}
		e := &Elector{lock: r.newLock, terms: r, ttl: ttl, log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		var terms []int64
		go func() {
			defer close(done)
			e.Lead(ctx, func(_ context.Context, term int64) { terms = append(terms, term) })
		}()
		time.Sleep(10 * time.Second)
		stop()
		<-done
		if len(terms) < 5 || len(terms) > 9 {
			t.Errorf("%d terms in 10 s, want one every 1.25 to 1.6 s", len(terms))
		}
	})
}

// TestNoNumberNoLeader: an elector that gets no term number frees the lock.
func TestNoNumberNoLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, j := &fakeRedis{termErr: errors.New("no number")}, &journal{start: time.Now()}
		a := r.join(t, "a", j)
		expect(t, j)
		r.mu.Lock()
		if r.holder != nil {
			t.Error("the lock is kept without a term")
		}
		r.termErr = nil
		r.mu.Unlock()
		time.Sleep(2 * time.Second)
		expect(t, j, "a leads term 1")
		a.leave()
	})
}

// TestReleasedAfterWork: the lock is not free before the work has returned.
func TestReleasedAfterWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRedis{}
		e := &Elector{lock: r.newLock, terms: r, ttl: ttl, log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.Lead(ctx, func(ctx context.Context, _ int64) {
				<-ctx.Done()
				time.Sleep(time.Second) // the end of a write that was under way
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.holder == nil {
					t.Error("the lock was released while the work still ran")
				}
			})
		}()
		synctest.Wait()
		stop()
		<-done
		if r.holder != nil {
			t.Error("the lock was not released")
		}
	})
}
