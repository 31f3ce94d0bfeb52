package execute

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/worker/internal/code"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/redact"
)

// breakage is how a remote write breaks: the two rows of each seam.
type breakage int

const (
	works breakage = iota
	failed
	failedButDone
)

var errRedis = fault.New(fault.Unavailable, "Redis does not answer")

// memory is a store of one record, with seams that break on demand.
type memory struct {
	mu       sync.Mutex
	inv      invocation.Invocation
	failures int
	delay    time.Duration // of the last end
	gone     bool          // the record has expired
	lines    []invocation.LogLine

	breakBegin, breakFinish, breakLog func(nth int) breakage
	begins, finishes, appends         int

	cancels   chan string // what WatchCancels reports
	requested []string    // what CancelRequested reports
	asked     int
}

func newMemory(id string) *memory {
	never := func(int) breakage { return works }
	return &memory{
		inv:        invocation.Invocation{ID: id, State: invocation.Queued},
		breakBegin: never, breakFinish: never, breakLog: never,
		cancels: make(chan string),
	}
}

// guarded does a write in one of the three ways.
func (m *memory) guarded(b breakage, write func() error) error {
	switch b {
	case failed:
		return errRedis
	case failedButDone:
		_ = write()
		return errRedis
	default:
		return write()
	}
}

func (m *memory) Begin(_ context.Context, _ function.Kind, _, worker string) (begun store.Begun, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begins++
	err = m.guarded(m.breakBegin(m.begins), func() error {
		if m.gone {
			return fault.New(fault.NotFound, "no such invocation")
		}
		if m.inv.State.Terminal() {
			return store.ErrFinished
		}
		if n := len(m.inv.Attempts); n > 0 && m.inv.Attempts[n-1].Outcome == "" {
			m.inv.Attempts[n-1].Outcome = invocation.WorkerLost
		}
		m.inv.State = invocation.Running
		m.inv.Attempts = append(m.inv.Attempts, invocation.Attempt{Number: len(m.inv.Attempts) + 1, Worker: worker})
		begun = store.Begun{Invocation: m.inv, Event: []byte(`{"body":"hi"}`), Attempt: len(m.inv.Attempts), Failures: m.failures}
		return nil
	})
	return begun, err
}

func (m *memory) Finish(_ context.Context, _ queue.Delivery, attempt int, end store.End, lines []invocation.LogLine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finishes++
	return m.guarded(m.breakFinish(m.finishes), func() error {
		if m.gone {
			return fault.New(fault.NotFound, "no such invocation")
		}
		if attempt != len(m.inv.Attempts) {
			return store.ErrFenced
		}
		last := &m.inv.Attempts[attempt-1]
		if last.Outcome == end.Outcome {
			return nil // the second time
		}
		last.Outcome, last.Error = end.Outcome, end.Failure
		m.lines = append(m.lines, lines...)
		m.delay = end.Verdict.Delay
		m.inv.State, m.inv.Result = end.Verdict.State, end.Result
		if end.Outcome.Counts() {
			m.failures++
		}
		return nil
	})
}

func (m *memory) AppendLog(ctx context.Context, _ store.LogSource, lines []invocation.LogLine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends++
	return m.guarded(m.breakLog(m.appends), func() error {
		m.lines = append(m.lines, lines...)
		return ctx.Err()
	})
}

func (m *memory) WatchCancels(ctx context.Context, fn func(string)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case id, ok := <-m.cancels:
			if !ok {
				return errRedis
			}
			fn(id)
		}
	}
}

func (m *memory) CancelRequested(_ context.Context, _ function.Kind, ids []string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.requested, nil
}

func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for _, l := range m.lines {
		all.WriteString(l.Stream + ": " + l.Text + "\n")
	}
	return all.String()
}

// runner is a pool whose one function the test writes.
type runner func(ctx context.Context, call pool.Call) (*pool.Response, error)

func (r runner) Invoke(ctx context.Context, _ pool.Code, call pool.Call, wait bool) (*pool.Response, error) {
	if !wait {
		return nil, errors.New("a queued call must wait for a process")
	}
	return r(ctx, call)
}

// answers is a function that returns a text.
func answers(text string) runner {
	return func(context.Context, pool.Call) (*pool.Response, error) {
		return response(strings.NewReader(text)), nil
	}
}

func response(body io.Reader) *pool.Response {
	return &pool.Response{Status: 200, Header: map[string][]string{"content-type": {"text/plain"}}, Body: io.NopCloser(body)}
}

// throws is a function that fails.
func throws(outcome invocation.Outcome) runner {
	return func(context.Context, pool.Call) (*pool.Response, error) {
		return nil, &pool.Failed{Outcome: outcome, Failure: invocation.Failure{Type: "Error", Message: "boom"}}
	}
}

// hangs is a function that ends when its context does, as the pool ends it.
func hangs(started chan<- struct{}) runner {
	return func(ctx context.Context, _ pool.Call) (*pool.Response, error) {
		close(started)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
}

// loader is a source of one function.
type loader struct {
	f        function.Function
	err      error
	wait     bool // until the context ends
	held     int
	released int
	redactor *redact.Redactor
}

func (l *loader) Load(ctx context.Context, target queue.Target) (*code.Loaded, error) {
	if l.wait {
		<-ctx.Done()
		return nil, fault.Wrap(context.Cause(ctx), fault.Unavailable, "waiting for the artifact")
	}
	if l.err != nil {
		return nil, l.err
	}
	l.held++
	return &code.Loaded{Code: pool.Code{Key: "d/f", Function: l.f}, Deploy: target.Deploy, Release: func() { l.released++ }, Redactor: l.redactor}, nil
}

// bench is an executor with everything around it.
type bench struct {
	*Executor
	store  *memory
	loader *loader
}

var delivery = queue.Delivery{ID: "01JD0000000000000000000000", Queue: function.Background, Target: queue.Target{Site: "s", Deploy: "d", Function: "f"}}

func setup(t *testing.T, r runner) *bench {
	t.Helper()
	b := &bench{store: newMemory(delivery.ID), loader: &loader{f: function.Function{Name: "f", Kind: function.Background}}}
	b.Executor = New(Config{
		Worker: "w1", Store: b.store, Ends: b.store, Logs: b.store, Runner: r, Loader: b.loader,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	b.draw = func() float64 { return 0 }
	return b
}
