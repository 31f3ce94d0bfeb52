// Package pool keeps function processes warm and runs calls in them.
//
// A process belongs to one key, that is one function of one deploy, and runs
// one call at a time. It is spare (Node, no function yet), busy, or idle:
//
//	            ┌──────── Code ────────┐
//	spare ──────┴──▶ busy ──▶ idle ──▶ busy …
//	                  │        └──▶ ended: unused for IdleTimeout, evicted, forgotten
//	                  └──▶ ended: crashed, out of time, cancelled, answered nonsense
//
// A call takes an idle process of its key; else it waits a moment if one of those
// should be free soon; else a spare; else a new one, as long as there are fewer
// than Max; else a new one in place of the least recently used idle process of
// another key; else it waits its turn. Slots, not processes, are counted: one that
// is starting or ending has its slot.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded map
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/meter"
	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
	"github.com/nightshift/nightshift/worker/runtime/node"
	"github.com/prometheus/client_golang/prometheus"
)

// Config configures a Pool.
type Config struct {
	// Max is how many function processes may exist at once, idle ones included. 1 or more.
	Max int
	// Spares is how many Node processes stand ready that have not loaded a
	// function. They count towards Max, and are kept only while there is room.
	// 0 is none; the worker's default is 1.
	Spares int
	// IdleTimeout ends a process that has had no call for so long. Default 5m.
	IdleTimeout time.Duration
	// Grace is how long a process group has between TERM and KILL. Default 2s.
	Grace time.Duration
	// MaxOutput bounds the log bytes of one attempt; what is over is counted and dropped. Default 1 MiB.
	MaxOutput int64
	// Jail is where processes live, and what they may do and use. Required.
	Jail *jail.Jail
	// Node is the node executable, as FindNode returned it. Empty: only "provided" runtimes.
	Node   string
	Logger *slog.Logger
	// Metrics is where the pool's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Code is a function that is unpacked and ready to be loaded.
type Code struct {
	// Key names the function of the deploy (store.WarmKey). Processes are shared by key.
	Key      string
	Dir      string // the unpacked artifact, absolute; LAMBDA_TASK_ROOT
	Function function.Function
	Env      []string // the function's own environment, KEY=value

	spare bool // a spare can become its process
}

// Call is one attempt.
type Call struct {
	ID       string // the invocation's ID: awsRequestId
	Attempt  int
	Event    []byte
	Deadline time.Time // the process group is killed at it
	// ClientContext is context.clientContext of v1 functions, as JSON in ASCII; empty: {}.
	ClientContext string
	// Trace is where the attempt stands in a trace, for the function; zero: in none.
	Trace telemetry.Place
	// Log is given each line that the attempt writes, in order, from one goroutine at a time.
	Log func(stream, text string)
}

// Response is what the function returned. Body streams; reading it to the end
// or closing it ends the call and frees the process. Its Read returns a *Failed
// if the function failed half-way. It returns io.EOF only when the function is
// done with everything, promises given to waitUntil included: with Length, the
// receiver has all the bytes before that. Close discards what is left and waits
// for the same; to end the call early, cancel the context.
type Response struct {
	Status int
	Header map[string][]string // names in lower case
	Body   io.ReadCloser
	Length int64 // of Body, -1 if it is not known
}

// Stream reads the same bytes as Body and ends with them: it returns io.EOF when
// the response is complete, while the function may still have work to do.
func (r *Response) Stream() io.Reader {
	if b, ok := r.Body.(*body); ok {
		return stream{b.attempt}
	}
	return r.Body
}

// Failed is an attempt that did not succeed.
type Failed struct {
	Outcome invocation.Outcome
	Failure invocation.Failure
}

func (f *Failed) Error() string { return string(f.Outcome) + ": " + f.Failure.Message }

// ErrBusy: Max processes are all running calls.
var ErrBusy = errors.New("all function processes are busy")

// Causes for cancelling the context of an Invoke; the attempt's outcome follows from it.
var (
	ErrCancelled = errors.New("the invocation was cancelled") // → invocation.Aborted
	ErrDraining  = errors.New("the worker is shutting down")  // → invocation.Drained
)

// Pool is safe for concurrent use.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	oom     oomCounter
	meter   *meter.Meter
	peers   bool // it can be told whose a connection is
	metrics metrics

	ctx     context.Context // ends with Stop
	cancel  context.CancelCauseFunc
	running sync.WaitGroup // all goroutines
	wake    chan struct{}  // something for upkeep to look at

	mu                      sync.Mutex
	started                 bool
	stopped                 bool
	dir                     string // holds the Node bootstrap
	bootstrap               string
	slots                   int                    // in use: processes, and those about to be
	all                     map[*instance]struct{} // every process
	idle                    map[string][]*instance // by key, most recently used last
	spares                  []*instance
	waiters                 []*waiter
	patience, startPatience time.Duration        // tests change them
	patient                 map[string][]*waiter // those who could start a process and wait for a warm one, by key
	pace                    *lru.Cache[string, time.Duration]
	launching               map[string]int // slots whose process is not among all yet, by key
	reaping                 bool           // upkeep's timer runs for the process that is idle the longest
}

// New validates the configuration and starts nothing.
func New(cfg Config) (*Pool, error) {
	switch {
	case cfg.Jail == nil:
		return nil, fault.New(fault.Internal, "the pool needs a Jail")
	case cfg.Max < 1:
		return nil, fault.New(fault.Invalid, "the ceiling of function processes is %d; it must be at least 1", cfg.Max)
	case cfg.Spares < 0 || cfg.IdleTimeout < 0 || cfg.Grace < 0 || cfg.MaxOutput < 0:
		return nil, fault.New(fault.Invalid, "the number of spare processes, the idle timeout, the grace and the output limit must not be negative")
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 5 * time.Minute
	}
	if cfg.Grace == 0 {
		cfg.Grace = 2 * time.Second
	}
	if cfg.MaxOutput == 0 {
		cfg.MaxOutput = 1 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{
		cfg:  cfg,
		log:  cfg.Logger.With("component", "pool"),
		wake: make(chan struct{}, 1),
		all:  make(map[*instance]struct{}),
		idle: make(map[string][]*instance), patient: make(map[string][]*waiter), patience: patience, startPatience: startPatience,
		launching: make(map[string]int),
	}
	var err error
	if p.pace, err = lru.New[string, time.Duration](maxPaces); err != nil {
		panic(err) // only for a size that is not positive
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.metrics = newMetrics(cfg.Metrics, p)
	if err := runtimeapi.PeerCheck(); err == nil {
		p.peers = true
	} else {
		p.log.Warn("the runtime API of a function cannot tell who connects: functions that bring their own runtime can be impersonated by others on this machine", "error", err)
	}
	l := cfg.Jail.Limits()
	limits := meter.Limits{Memory: l.Memory, Tasks: l.Processes, Tmp: l.Tmp}
	p.meter = meter.New(meter.Config{Limits: limits, Metrics: cfg.Metrics, Logger: cfg.Logger.With("component", "meter")})
	return p, nil
}

// Start starts the spare processes and the reaper of idle ones.
func (p *Pool) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.stopped {
		return errors.New("the pool can be started only once")
	}
	if p.cfg.Node != "" {
		// Functions read it, whoever they run as.
		dir := filepath.Join(p.cfg.Jail.Dir(), "node")
		err := os.Mkdir(dir, 0o755)
		if err != nil {
			return fmt.Errorf("making a folder for the Node bootstrap: %w", err)
		}
		p.dir = dir
		if p.bootstrap, err = node.Install(dir); err != nil {
			return err
		}
		p.running.Go(p.compile)
	}
	p.oom.grew() // kills from before do not count
	p.started = true
	p.running.Go(p.upkeep)
	return nil
}

// compile makes later processes start a little sooner.
func (p *Pool) compile() {
	if err := node.Compile(p.ctx, p.cfg.Node, p.bootstrap); err != nil && p.ctx.Err() == nil {
		p.log.Warn("the Node bootstrap is not compiled ahead, so that processes start somewhat later", "error", err)
	}
}

// Stop ends all processes, running ones too: with TERM, and KILL after the
// grace. Calls that run end as Drained.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.stopped = true
	for _, w := range p.waiters {
		close(w.refused)
	}
	p.waiters = nil
	p.mu.Unlock()
	p.cancel(ErrDraining)

	p.stopAll(p.cfg.Grace, false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.running.Wait()
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		p.stopAll(0, true)
		err = fmt.Errorf("function processes were killed without their grace: %w", context.Cause(ctx))
	}
	err = errors.Join(err, p.meter.Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir != "" {
		err = errors.Join(err, os.RemoveAll(p.dir))
		p.dir = ""
	}
	return err
}

// stopAll begins to stop every process. Busy ones are otherwise left to their
// attempts, which then know why the process ended.
func (p *Pool) stopAll(grace time.Duration, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if busy || !i.busy {
			p.stopLater(i, grace)
		}
	}
}

// stopLater stops a process without waiting for it.
func (p *Pool) stopLater(i *instance, grace time.Duration) {
	go i.proc.Stop(grace) // ends with the process, for which its mourner is waited for
}

// Forget ends the idle processes of a key, and the running ones after their call.
func (p *Pool) Forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if i.key == key {
			i.doomed = true
		}
	}
	for _, i := range p.idle[key] {
		p.stopLater(i, p.cfg.Grace)
	}
	delete(p.idle, key)
}

// Stats is a snapshot for heartbeats.
type Stats struct {
	Busy   int
	Spares int
	Warm   map[string]int // idle processes by key
}

// Idle is how many processes are idle.
func (s Stats) Idle() int {
	n := 0
	for _, idle := range s.Warm {
		n += idle
	}
	return n
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Spares: len(p.spares), Warm: make(map[string]int, len(p.idle))}
	for key, idle := range p.idle {
		s.Warm[key] = len(idle)
	}
	for i := range p.all {
		if i.busy {
			s.Busy++
		}
	}
	return s
}

// Invoke runs a call. With wait, it waits for a free process; else ErrBusy at
// once. It returns when the response's head is there. All log lines of the
// attempt were given to call.Log before the body's Read returned io.EOF, or
// before Invoke returned a *Failed. The context counts until the body has been
// read to its end; cancelling it ends the call.
func (p *Pool) Invoke(ctx context.Context, code Code, call Call, wait bool) (*Response, error) {
	if call.Log == nil {
		call.Log = func(string, string) {}
	}
	if call.Deadline.IsZero() {
		call.Deadline = time.Now().Add(code.Function.Timeout())
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.running.Done()
	// A process may die while it is handed over, through no fault of this call.
	const handovers = 3
	for try := 1; ; try++ {
		a := newAttempt(ctx, p, code, call)
		response, err := a.run(wait)
		if !errors.Is(err, errNotDelivered) {
			return response, err
		}
		if try == handovers {
			return nil, fault.New(fault.Unavailable, "no function process lived long enough to take the call").After(time.Second)
		}
	}
}

// enter counts a call, so that Stop waits for whatever it starts.
func (p *Pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return failed(invocation.Drained, "Runtime.Drained", ErrDraining.Error())
	case !p.started:
		return errors.New("the pool has not been started")
	}
	p.running.Add(1)
	return nil
}
