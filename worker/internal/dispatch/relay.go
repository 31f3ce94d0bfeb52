package dispatch

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

const (
	// flushAfter is how long written bytes wait for more of them.
	flushAfter = 2 * time.Millisecond
	// writeGrace is how long after the function's deadline a slow reader may
	// take what is left.
	writeGrace = 10 * time.Second
	// maxHeader bounds the headers of an answer, in bytes. Browsers and proxies take
	// less, and without a bound one function's could fill a gateway.
	maxHeader = 64 << 10
)

// perHop are headers that belong to one connection, or that the server makes.
var perHop = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-authorization": true,
	"proxy-connection": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
	"content-length": true, "date": true,
}

// relay passes on a response. An error means that the answer has begun and
// cannot be completed. The body is at its end, or all of its bytes were passed
// on and only the end is still to come.
func relay(w http.ResponseWriter, response *pool.Response, deadline time.Time) error {
	if failure := unfit(response); failure != nil {
		fail(w, failure)
		return nil
	}
	bodyAllowed := response.Status != http.StatusNoContent && response.Status != http.StatusNotModified
	header := w.Header()
	maps.Copy(header, responseHeader(response.Header))
	header.Set(dispatch.HeaderOutcome, string(invocation.OK))
	if response.Length >= 0 && bodyAllowed {
		header.Set("Content-Length", strconv.FormatInt(response.Length, 10))
	}
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(deadline.Add(writeGrace)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("limiting the time to write: %w", err)
	}
	w.WriteHeader(response.Status)
	if !bodyAllowed {
		return nil
	}
	out := newDelayedFlusher(w, control.Flush)
	defer out.stop()
	var err error
	if response.Length >= 0 {
		_, err = io.CopyN(out, response.Body, response.Length)
	} else {
		// Not Body: the caller need not wait for what follows the response.
		_, err = io.Copy(out, response.Stream())
	}
	if err != nil {
		return fmt.Errorf("passing on the body: %w", err)
	}
	return nil
}

// unfit says why a response cannot be passed on, or nil.
func unfit(response *pool.Response) *pool.Failed {
	size := 0
	for name, values := range response.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	failure := invocation.Failure{}
	switch {
	case response.Status < 200 || response.Status > 999:
		failure = invocation.Failure{Type: "Nightshift.BadStatus", Message: fmt.Sprintf("the function answered with the status %d; it must be 200 to 999", response.Status)}
	case size > maxHeader:
		failure = invocation.Failure{Type: "Nightshift.HeadersTooLarge", Message: fmt.Sprintf("the function answered with %d bytes of headers; %d are allowed", size, maxHeader)}
	default:
		return nil
	}
	return &pool.Failed{Outcome: invocation.BadResponse, Failure: failure}
}

// responseHeader is what goes out of a function's headers.
func responseHeader(from map[string][]string) http.Header {
	var named []string // headers of one connection, by its own word
	for _, value := range from["connection"] {
		for name := range strings.SplitSeq(value, ",") {
			named = append(named, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	header := http.Header{"Content-Type": nil} // the server must not guess one
	for name, values := range from {
		if perHop[name] || slices.Contains(named, name) || strings.HasPrefix(name, strings.ToLower(dispatch.HeaderPrefix)) {
			continue
		}
		header[http.CanonicalHeaderKey(name)] = latin1(values)
	}
	return header
}

// latin1 writes values as HTTP headers have them, one byte for each character.
func latin1(values []string) []string {
	ascii := func(value string) bool {
		return !strings.ContainsFunc(value, func(r rune) bool { return r >= utf8.RuneSelf })
	}
	if !slices.ContainsFunc(values, func(value string) bool { return !ascii(value) }) {
		return values // nearly always
	}
	out := make([]string, len(values))
	for i, value := range values {
		bytes := make([]byte, 0, len(value))
		for _, r := range value {
			bytes = append(bytes, byte(r)) // whoever reads a response refuses what is not Latin-1
		}
		out[i] = string(bytes)
	}
	return out
}

// delayedFlusher flushes a while after a write, so that streams stream and
// short answers are not cut into pieces.
type delayedFlusher struct {
	w     io.Writer
	flush func() error

	mu      sync.Mutex // the writer and the timer must not meet
	timer   *time.Timer
	pending bool // something is written and not flushed
	stopped bool
}

// newDelayedFlusher makes one whose first flush is for the head of the answer.
func newDelayedFlusher(w io.Writer, flush func() error) *delayedFlusher {
	f := &delayedFlusher{w: w, flush: flush, pending: true}
	f.mu.Lock() // the timer must not fire before it is stored
	defer f.mu.Unlock()
	f.timer = time.AfterFunc(flushAfter, f.fire)
	return f
}

func (f *delayedFlusher) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.w.Write(p)
	if err != nil || f.pending {
		return n, err
	}
	f.pending = true
	f.timer.Reset(flushAfter)
	return n, nil
}

func (f *delayedFlusher) fire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped || !f.pending {
		return
	}
	f.pending = false
	_ = f.flush() // the next write reports what is wrong
}

// stop returns when the timer cannot touch the response any more.
func (f *delayedFlusher) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.timer.Stop()
}
