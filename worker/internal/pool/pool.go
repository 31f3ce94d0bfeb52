// Package pool keeps function processes warm and runs calls in them.
package pool

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Config configures a Pool.
type Config struct {
	// Max is how many function processes may exist at once, idle ones included. 1 or more.
	Max int
	// Spares is how many Node processes stand ready that have not loaded a function. Default 1; 0 is none.
	Spares int
	// IdleTimeout ends a process that has had no call for so long. Default 5m.
	IdleTimeout time.Duration
	// Grace is how long a process group has between TERM and KILL. Default 2s.
	Grace time.Duration
	// MaxOutput bounds the log bytes of one attempt; what is over is counted and dropped. Default 1 MiB.
	MaxOutput int64
	// Node is the node executable, as FindNode returned it. Empty: only "provided" runtimes.
	Node   string
	Logger *slog.Logger
}

// Code is a function that is unpacked and ready to be loaded.
type Code struct {
	// Key names the function of the deploy (store.WarmKey). Processes are shared by key.
	Key      string
	Dir      string // the unpacked artifact; LAMBDA_TASK_ROOT
	Function function.Function
	Env      []string // the function's own environment, KEY=value
}

// Call is one attempt.
type Call struct {
	ID       string // the invocation's ID: awsRequestId
	Attempt  int
	Event    []byte
	Deadline time.Time // the process group is killed at it
	// Log is given each line that the attempt writes, in order, from one goroutine at a time.
	Log func(stream, text string)
}

// Response is what the function returned. Body streams; reading it to the end
// or closing it ends the call and frees the process. Its Read returns a *Failed
// if the function failed half-way.
type Response struct {
	Status int
	Header map[string][]string // names in lower case
	Body   io.ReadCloser
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
type Pool struct{}

// New validates the configuration and starts nothing.
func New(cfg Config) (*Pool, error) { panic("stub") }

// Start starts the spare processes and the reaper of idle ones.
func (p *Pool) Start(ctx context.Context) error { panic("stub") }

// Stop ends all processes, running ones too: with TERM, and KILL after the grace.
func (p *Pool) Stop(ctx context.Context) error { panic("stub") }

// Invoke runs a call. With wait, it waits for a free process; else ErrBusy at
// once. It returns when the response's head is there. All log lines of the
// attempt were given to call.Log before the body's Read returned io.EOF, or
// before Invoke returned a *Failed.
func (p *Pool) Invoke(ctx context.Context, code Code, call Call, wait bool) (*Response, error) {
	panic("stub")
}

// Forget ends the idle processes of a key, and the running ones after their call.
func (p *Pool) Forget(key string) { panic("stub") }

// Stats is a snapshot for heartbeats.
type Stats struct {
	Busy   int
	Spares int
	Warm   map[string]int // idle processes by key
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats { panic("stub") }
