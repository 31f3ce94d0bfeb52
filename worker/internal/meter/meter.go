// Package meter measures what function processes use, and ends those that use
// too much: memory, processes and threads, and room in their temporary folder.
//
// Limits of the kernel's (package jail) are for each process or each user. A
// function is a tree of processes, so somebody has to add up. One goroutine does,
// for all functions at once: a pass over /proc gives every tree and what its
// members hold. It looks often while a function works, seldom while all are idle,
// and not at all while there is none; and never so often that it costs more than
// a hundredth of a processor.
//
// What counts as memory is what would not be there without the function:
// anonymous pages, shared memory, and what of them is swapped out. Pages of files
// do not: the text of Node is the same for all, and the kernel drops such pages
// when it needs them. Pages that a fork shares with its parent are counted once,
// but only when it matters: that count is dear, so what is cheap and never too
// small is looked at first.
package meter

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/prometheus/client_golang/prometheus"
)

// How often is looked. A function that takes 2 GB a second, about what one
// thread can fill, is over its limit by some 200 MB when it is seen.
const (
	busyInterval = 100 * time.Millisecond
	idleInterval = time.Second
	tmpInterval  = 250 * time.Millisecond // of a temporary folder, and of open files
	// share is which part of a processor the meter may take, as 1/share: it rests
	// share times as long as a look took, but never longer than maxInterval.
	share          = 100
	maxInterval    = 2 * time.Second
	maxTmpInterval = 30 * time.Second // there, and for one temporary folder
)

// Config configures a Meter.
type Config struct {
	Limits
	Logger *slog.Logger
	// Metrics is where the meter's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Meter is safe for concurrent use. Where there is no /proc it measures nothing,
// and says so.
type Meter struct {
	limits  Limits
	log     *slog.Logger
	metrics metrics
	census  *process.Census // nil: there is none
	swaps   bool

	running sync.WaitGroup
	rounds  atomic.Int64
	// next is when the goroutine looks again, and rest the time that it must leave
	// before that; 0: it looks just now, or there is none. For who begins to work
	// often, to see that nobody has to be woken.
	next, rest atomic.Int64
	closed     chan struct{}
	wake       chan struct{}

	mu      sync.Mutex
	watches map[*Watch]struct{}
	looking bool // the goroutine runs
	stopped bool
}

// New starts nothing: the first function to work does.
func New(cfg Config) *Meter {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Meter{
		limits:  cfg.Limits,
		log:     cfg.Logger,
		metrics: newMetrics(cfg.Metrics),
		swaps:   swaps(),
		closed:  make(chan struct{}),
		wake:    make(chan struct{}, 1),
		watches: make(map[*Watch]struct{}),
	}
	census, err := process.NewCensus()
	if err != nil {
		m.log.Warn("what functions use cannot be measured: memory, processes and temporary files are limited only as far as the system does", "error", err)
		return m
	}
	m.census = census
	if m.limits != (Limits{}) {
		m.log.Info("functions are measured", "memory", mebibytes(m.limits.Memory), "tasks", m.limits.Tasks, "tmp", mebibytes(m.limits.Tmp), "swap", m.swaps)
	}
	return m
}

// Close ends the measuring. No Watch may be in use any more.
func (m *Meter) Close() error {
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return nil
	}
	m.stopped = true
	close(m.closed)
	m.mu.Unlock()
	m.running.Wait()
	if m.census == nil {
		return nil
	}
	return m.census.Close()
}

// Target is a function process.
type Target struct {
	PID   int // of the leader, a child of ours
	Brand process.Brand
	Tmp   string // its temporary folder; empty: it has none of its own
}

// Watch is the measuring of one function process.
type Watch struct {
	meter *Meter
	root  process.Root
	tmp   string

	active atomic.Bool // foreign code has been in it
	busy   atomic.Bool
	excess atomic.Pointer[Excess]
	peak   atomic.Int64 // the most memory it was seen to use

	// Of the meter's goroutine alone.
	nextTmp time.Time // when the temporary folder is due
	free    int64     // what its file system had left when it was looked at last
}

// Watch begins to watch a process that has just been started. It is measured from
// its first call on: before that, no foreign code is in it.
func (m *Meter) Watch(t Target) *Watch {
	w := &Watch{meter: m, root: process.Root{PID: t.PID, Brand: t.Brand}, tmp: t.Tmp}
	if m.census == nil {
		return w
	}
	root, err := m.census.Root(t.PID, t.Brand)
	if err != nil { // it has ended already
		return w
	}
	w.root = root
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watches[w] = struct{}{}
	return w
}

// Busy tells that the process has been given a call.
func (w *Watch) Busy() {
	w.active.Store(true)
	if !w.busy.Swap(true) {
		w.meter.look()
	}
}

// Idle tells that the call has ended.
func (w *Watch) Idle() { w.busy.Store(false) }

// Excess is the limit that the process was ended for; nil: it was not.
func (w *Watch) Excess() *Excess { return w.excess.Load() }

// End ends the watching of a process that has ended.
func (w *Watch) End() {
	w.meter.mu.Lock()
	delete(w.meter.watches, w)
	w.meter.mu.Unlock()
	if peak := w.peak.Load(); peak > 0 {
		w.meter.metrics.memory.Observe(float64(peak))
	}
}

// look makes the goroutine look soon, and starts it if there is none.
func (m *Meter) look() {
	if next := m.next.Load(); next != 0 && next <= m.soon().UnixNano() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.census == nil || m.stopped || m.limits == (Limits{}):
	case m.looking:
		select {
		case m.wake <- struct{}{}:
		default:
		}
	default:
		m.looking = true
		m.running.Go(m.run)
	}
}

// soon is when a function that begins to work is to be looked at.
func (m *Meter) soon() time.Time {
	return time.Now().Add(max(busyInterval, time.Duration(m.rest.Load())))
}

// run looks until there is nothing to look at.
func (m *Meter) run() {
	clock := newClock()
	defer clock.stop()
	timer := time.NewTimer(busyInterval)
	defer timer.Stop()
	m.rest.Store(0)
	due := time.Now().Add(busyInterval)
	for {
		m.next.Store(due.UnixNano())
		select {
		case <-m.closed:
			return
		case <-m.wake: // a function works that did not: no later than that
			if soon := m.soon(); soon.Before(due) {
				due = soon
				timer.Reset(time.Until(due))
			}
			continue
		case <-timer.C:
		}
		m.next.Store(0) // who begins to work from here on may be overlooked, and says so
		watches, busy := m.subjects()
		if watches == nil {
			return
		}
		began := clock.now()
		m.round(watches)
		spent := clock.now() - began
		m.rounds.Add(1)
		m.metrics.spent.Add(spent.Seconds())
		rest := min(share*spent, maxInterval) // which this look has earned
		m.rest.Store(int64(rest))
		due = time.Now().Add(max(rest, interval(busy)))
		timer.Reset(time.Until(due))
	}
}

func interval(busy bool) time.Duration {
	if busy {
		return busyInterval
	}
	return idleInterval
}

// subjects is whom to look at, and whether one of them works. With nobody left
// the goroutine ends.
func (m *Meter) subjects() (watches []*Watch, busy bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := range m.watches {
		if w.active.Load() && w.excess.Load() == nil {
			watches = append(watches, w)
			busy = busy || w.busy.Load()
		}
	}
	m.looking = watches != nil
	return watches, busy
}

// round looks once at each.
func (m *Meter) round(watches []*Watch) {
	trees, err := m.trees(watches)
	if err != nil {
		m.log.Warn("measuring functions", "error", err)
		return
	}
	now := time.Now()
	for n, w := range watches {
		if e := m.measure(w, trees[n], now); e != nil {
			m.end(w, e)
		}
	}
}

func (m *Meter) trees(watches []*Watch) ([][]process.Member, error) {
	roots := make([]process.Root, len(watches))
	for n, w := range watches {
		roots[n] = w.root
	}
	return m.census.Take(roots)
}

// measure says what a tree has too much of, or nil.
func (m *Meter) measure(w *Watch, tree []process.Member, now time.Time) *Excess {
	if l := m.limits.Tasks; l > 0 {
		if tasks := tasks(tree); tasks > l {
			return overTasks(tasks, l)
		}
	}
	if l := m.limits.Memory; l > 0 {
		used := m.memory(tree, l)
		w.peak.Store(max(w.peak.Load(), used))
		if used > l {
			return overMemory(used, l)
		}
	}
	if m.limits.Tmp == 0 || !m.tmpIsDue(w, now) {
		return nil
	}
	began := time.Now()
	found := m.tmp(w, tree)
	w.nextTmp = now.Add(max(tmpInterval, min(share*time.Since(began), maxTmpInterval)))
	if found.over(m.limits) {
		return overTmp(found, m.limits)
	}
	return nil
}

// tmpIsDue reports whether to look at a temporary folder: when it is time, which
// is seldom for a folder of many files; or when its file system has lost so much
// room that the function may have taken it.
func (m *Meter) tmpIsDue(w *Watch, now time.Time) bool {
	free := free(w.tmp)
	if now.Before(w.nextTmp) && w.free-free < m.limits.Tmp/8 {
		return false
	}
	w.free = free
	return true
}

func tasks(tree []process.Member) (n int) {
	for _, member := range tree {
		n += member.Threads
	}
	return n
}

// end ends a process with all that it started. The others are looked at
// meanwhile: a fork bomb takes its time.
func (m *Meter) end(w *Watch, e *Excess) {
	w.excess.Store(e)
	m.metrics.ended[e.Kind].Inc()
	m.log.Warn("function stopped", "pid", w.root.PID, "limit", string(e.Kind), "error", e.String(), "busy", w.busy.Load())
	m.running.Go(func() { m.kill(w.root) })
}
