package runtimeapi

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil" // bounds the connections of a listener
	"golang.org/x/time/rate"   // a bound of how often, with bursts
)

// Bounds of what a child may take of the worker: its API shares our process.
const (
	maxConns  = 32        // Lambda's own runtimes keep one or two
	maxHeader = 256 << 10 // Lambda's runtimes send stacks in a header
	// headerTime is how long a request's head may take from its first byte on.
	headerTime = 30 * time.Second
	// maxDiscarded is how much of a body that is too long is read, so that the
	// child reads why; then the connection ends.
	maxDiscarded = 64 << 20
	// A child that has made so many mistakes in a row is answered slowly.
	maxMistakes  = 100
	mistakeDelay = 50 * time.Millisecond
)

// refusals bounds how often, for all children together, somebody is told that
// this is not his API: to find out costs a pass over the processes.
var refusals = rate.NewLimiter(100, 100)

// Reason is why a connection or a request was refused.
type Reason string

// The closed list of reasons.
const (
	NotOwner Reason = "peer"   // another process connected
	NoSecret Reason = "secret" // the path is not the one that the child was told
)

// Socket is the other end of a connection, as its owner has it open.
type Socket struct {
	Inode uint64
	UID   uint32
}

// door is a listener that only the owner of an API gets through.
type door struct {
	net.Listener
	owner   func(context.Context, Socket) bool
	refused func(Reason)
	closed  context.Context
}

// newDoor lets everybody in if owner is nil.
func newDoor(l net.Listener, owner func(context.Context, Socket) bool, refused func(Reason), closed context.Context) net.Listener {
	if owner == nil {
		return netutil.LimitListener(l, maxConns)
	}
	return netutil.LimitListener(&door{l, owner, refused, closed}, maxConns)
}

// Accept looks at one connection after the other, once.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.admits(conn) {
			return conn, nil
		}
		_ = conn.Close()
		d.refused(NotOwner)
		if err := refusals.Wait(d.closed); err != nil {
			return nil, net.ErrClosed
		}
	}
}

// admits reports whether the other end of a connection is the owner's. What is
// looked up is the socket with exactly these addresses. It is the one that has
// connected, and not a later one with the same port, if the connection still
// stands when its owner is known.
func (d *door) admits(conn net.Conn) bool {
	socket, err := otherEnd(conn)
	return err == nil && d.owner(d.closed, socket) && stands(conn)
}

// PeerCheck says whether it can be told here whose connection one is; nil: it can.
func PeerCheck() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		return err
	}
	defer theirs.Close()
	socket, err := otherEnd(theirs)
	if err != nil {
		return err
	}
	if inode, err := inodeOf(ours); err != nil || inode != socket.Inode {
		return errors.Join(errors.New("a connection's other end is not found"), err)
	}
	return nil
}

// newSecret is a part of a path that nobody guesses.
func newSecret() string { return rand.Text() }

// guard hides an API behind a secret, if there is one, and slows down a child
// that makes one mistake after the other.
func (s *Server) guard(api http.Handler) http.Handler {
	if s.secret != "" {
		api = http.StripPrefix("/"+s.secret, api)
	}
	var mistakes atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mistakes.Load() > maxMistakes {
			select {
			case <-time.After(mistakeDelay):
			case <-r.Context().Done():
			case <-s.closed.Done():
			}
		}
		seen := &statusWriter{ResponseWriter: w}
		if s.isTold(r.URL.Path) {
			api.ServeHTTP(seen, r)
		} else {
			s.refused(NoSecret)
			render(seen, http.StatusForbidden, "Forbidden", "this is not the runtime API of your process")
		}
		if seen.status >= http.StatusBadRequest {
			mistakes.Add(1)
		} else {
			mistakes.Store(0)
		}
	})
}

// isTold reports whether a path begins with the secret.
func (s *Server) isTold(path string) bool {
	if s.secret == "" {
		return true
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return subtle.ConstantTimeCompare([]byte(first), []byte(s.secret)) == 1
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController through.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
