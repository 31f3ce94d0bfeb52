// Package runtimeapi is the AWS Lambda Runtime API, version 2018-06-01, as one
// child process sees it. Every existing Lambda runtime speaks it.
//
//	child                                     Server                        owner
//	GET  …/runtime/invocation/next      ─▶  waits for Invoke          ◀─  Invoke(inv) → Exchange
//	POST …/invocation/{id}/response     ─▶  Exchange.Answered               reads Answer
//	  or …/invocation/{id}/error
//	GET  …/runtime/invocation/next      ─▶  Exchange.Back             ─▶  the child is free again
//
// A Server belongs to one child, and listens on a loopback port of its own, which
// everybody on the machine can reach. So whoever connects is looked at: the
// socket at the other end must be open in a process of the child's (see [Config]).
// Our own bootstrap must also know a secret, which is a part of the path.
//
// Existing runtimes are not told a secret. AWS_LAMBDA_RUNTIME_API is host:port by
// its documentation, and only some of them bear more: aws-lambda-go and shell
// scripts put it between "http://" and the path as it is, but the Rust runtime
// reads it as a URI, where a path without a scheme is an error, Python's
// http.client as a host with a port, and Node's cuts it at the colon and takes
// the number behind it.
//
// The connection of our own bootstrap is served without net/http (see line), as
// far as what comes over it looks as usual: requests, answers and states are the same.
package runtimeapi

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// Limits of the Lambda platform, in bytes.
const (
	MaxBuffered = 6 << 20  // a buffered response
	MaxStreamed = 20 << 20 // the body of a streamed response
	maxError    = 1 << 20  // an error report
)

const prefix = "/2018-06-01/runtime/"

// phase is where the child stands.
type phase int

const (
	starting  phase = iota // has not asked for work yet
	waiting                // asks for work, or is about to get it
	running                // works on an invocation
	answering              // is sending its response
	answered               // has answered, has not asked for more yet
)

func (p phase) String() string {
	return [...]string{"Started", "Ready", "Running", "RuntimeStreamingResponse", "RuntimeResponseSent"}[p]
}

// Server is the API for one child.
type Server struct {
	listener net.Listener
	http     *http.Server
	serving  sync.WaitGroup
	secret   string // empty: none
	refused  func(Reason)

	queue    chan *Exchange  // at most one invocation, not delivered yet
	assigned chan Assignment // at most one
	parked   chan struct{}   // closed when a spare asks for its assignment
	closed   context.Context
	close    context.CancelFunc

	mu      sync.Mutex
	phase   phase
	current *Exchange // from delivery until the child asks for more
	asking  *line     // asks for work, and there was none
	isUp    bool      // parked is closed

	initFailed  chan struct{} // closed when initFailure is set
	initFailure *Problem
}

// Config says who may use an API.
type Config struct {
	// Secret makes a secret a part of the path. Without it Endpoint is host:port.
	Secret bool
	// Owner reports whether a socket is the child's. It is called for each
	// connection, one after the other, and may wait until the child is known or ctx
	// ends, with the Server. Nil: everybody may connect, where it cannot be told
	// (see [PeerCheck]).
	Owner func(ctx context.Context, s Socket) bool
	// Refused, if set, is told why somebody was refused.
	Refused func(Reason)
}

// Listen opens a Server on a free loopback port and serves until Close.
func Listen(cfg Config) (*Server, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port for a function's process: %w", err)
	}
	s := newServer(cfg)
	s.listener = listener
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: headerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // a child that hangs up is no news: its exit is
	}
	entrance := newDoor(listener, cfg.Owner, s.refused, s.closed)
	s.serving.Go(func() { _ = s.http.Serve(entrance) })
	return s, nil
}

func newServer(cfg Config) *Server {
	s := &Server{
		refused:    cfg.Refused,
		queue:      make(chan *Exchange, 1),
		assigned:   make(chan Assignment, 1),
		parked:     make(chan struct{}),
		initFailed: make(chan struct{}),
	}
	s.closed, s.close = context.WithCancel(context.Background())
	if s.refused == nil {
		s.refused = func(Reason) {}
	}
	if cfg.Secret {
		s.secret = newSecret()
	}
	return s
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"invocation/next", s.next)
	mux.HandleFunc("POST "+prefix+"invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+prefix+"invocation/{id}/error", s.invocationError)
	mux.HandleFunc("POST "+prefix+"init/error", s.initError)
	mux.HandleFunc("GET /nightshift/assignment", s.assignment)
	return mux
}

// Addr is host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Endpoint is the value of AWS_LAMBDA_RUNTIME_API: host:port, with the secret
// behind it if there is one.
func (s *Server) Endpoint() string {
	if s.secret == "" {
		return s.Addr()
	}
	return s.Addr() + "/" + s.secret
}

// Close ends the API and all its connections.
func (s *Server) Close() error {
	s.close()
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// Invoke gives the child an invocation as soon as it asks for one. The owner
// calls it again only after the Exchange before came Back.
func (s *Server) Invoke(inv Invocation) *Exchange {
	x := &Exchange{inv: inv, answered: make(chan struct{}), back: make(chan struct{})}
	s.mu.Lock()
	l := s.asking
	if l == nil {
		s.queue <- x
		s.mu.Unlock()
		return x
	}
	s.asking = nil
	s.hand(x)
	s.mu.Unlock()
	l.deliver(x) // by us, so that nobody has to be woken for it
	return x
}

// hand notes that the child is given an invocation. The caller holds mu.
func (s *Server) hand(x *Exchange) {
	s.phase, s.current = running, x
	x.mu.Lock()
	x.delivered = time.Now()
	x.mu.Unlock()
}

// wait notes that the child asks for more, which ends the exchange before. The
// caller holds mu.
func (s *Server) wait() {
	s.phase = waiting
	if s.current != nil {
		close(s.current.back)
		s.current = nil
	}
}

// Withdraw takes an invocation back. It reports false if the child has it already.
func (s *Server) Withdraw(x *Exchange) bool {
	select {
	case <-s.queue:
		return true
	default:
		return false
	}
}

// InitFailed is closed when the child reported that it could not start.
func (s *Server) InitFailed() <-chan struct{} { return s.initFailed }

// InitFailure is what it reported. Call it after InitFailed.
func (s *Server) InitFailure() *Problem { return s.initFailure }

// Started reports whether the child has ever asked for work.
func (s *Server) Started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase != starting
}

// Invocation is what the child is given.
type Invocation struct {
	ID       string
	Attempt  int // from 1
	Event    []byte
	Deadline time.Time
	ARN      string
	// ClientContext is what is known about the caller, as JSON in ASCII; empty: nothing.
	ClientContext string
	// Trace is where the attempt stands in a trace; zero: in none.
	Trace telemetry.Place
}

// Exchange is one invocation and what came back for it.
type Exchange struct {
	inv      Invocation
	answered chan struct{}
	back     chan struct{}
	answer   Answer // set before answered is closed

	mu        sync.Mutex
	problem   *Problem
	complete  bool
	delivered time.Time // zero before
}

// Answer is the child's response or error. Exactly one of Payload, Head and
// Problem is set.
type Answer struct {
	Payload []byte // a buffered response, not nil

	Head *Head // a streamed response
	Body io.Reader
	// Length is the body's, or -1 if it is not known.
	Length int64

	Problem *Problem
}

// Problem is an attempt that went wrong as the child tells it. As the error of
// an Answer's Body it says why the body ends early.
type Problem struct {
	Outcome invocation.Outcome
	Failure invocation.Failure
}

func (p *Problem) Error() string { return p.Failure.Message }

// Answered is closed when there is an Answer.
func (x *Exchange) Answered() <-chan struct{} { return x.answered }

// Answer returns the answer. Call it after Answered.
func (x *Exchange) Answer() Answer { return x.answer }

// Back is closed when the child, after its answer, has asked for more work. If it
// sends both at once, Back is closed when Answered is.
func (x *Exchange) Back() <-chan struct{} { return x.back }

// Problem is what is known to have gone wrong, be it after the response's head;
// nil if nothing has.
func (x *Exchange) Problem() *Problem {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.problem
}

// Delivered says when the child was given the invocation, if it was.
func (x *Exchange) Delivered() (time.Time, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.delivered, !x.delivered.IsZero()
}

// Complete reports whether the whole response has arrived, with nothing wrong.
func (x *Exchange) Complete() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.complete && x.problem == nil
}

// fail keeps the first problem.
func (x *Exchange) fail(p *Problem) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.problem == nil {
		x.problem = p
	}
}

// reply publishes the answer.
func (x *Exchange) reply(a Answer) {
	x.answer = a
	close(x.answered)
}

// begin moves the child from running to answering the invocation with the id,
// or renders why it may not.
func (s *Server) begin(w http.ResponseWriter, id string) *Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		forbid(w, s.phase, answered)
		return nil
	}
	if s.current.inv.ID != id {
		render(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return nil
	}
	s.phase = answering
	return s.current
}

// finish moves it from answering to answered.
func (s *Server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = answered
	s.current.mu.Lock()
	s.current.complete = true
	s.current.mu.Unlock()
}

// gone reports whether the request's sender or the API itself has ended.
func (s *Server) gone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-s.closed.Done():
		return true
	default:
		return false
	}
}
