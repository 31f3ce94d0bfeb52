package runtimeapi

import (
	"cmp"
	"net/http"
	"strconv"
	"time"
)

// next answers GET /2018-06-01/runtime/invocation/next: it waits for work.
func (s *Server) next(w http.ResponseWriter, r *http.Request) {
	if !s.askForWork(w) {
		return
	}
	select {
	case x := <-s.queue:
		if s.gone(r.Context()) {
			s.queue <- x // nobody is there to take it
			return
		}
		s.deliver(w, x)
	case <-r.Context().Done():
	case <-s.closed.Done():
	}
}

// askForWork moves the child to waiting, which ends the exchange before.
func (s *Server) askForWork(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == running || s.phase == answering {
		forbid(w, s.phase, waiting)
		return false
	}
	s.phase = waiting
	if s.current != nil {
		close(s.current.back)
		s.current = nil
	}
	return true
}

// Headers that are not part of Lambda's API. Runtimes pass over what they do not know.
const (
	// attemptHeader tells the child which attempt of the invocation this is.
	attemptHeader = "Lambda-Runtime-Nightshift-Attempt"
	// parentHeader and stateHeader are the trace context of the attempt, which
	// takes the place of the one that the event was accepted with. The event itself
	// is passed on as it is.
	parentHeader = "Lambda-Runtime-Nightshift-Traceparent"
	stateHeader  = "Lambda-Runtime-Nightshift-Tracestate"
)

// noTrace is what Lambda's runtimes are told where there is no trace: they insist
// on being told something.
const noTrace = "Root=1-00000000-000000000000000000000000;Sampled=0"

func (s *Server) deliver(w http.ResponseWriter, x *Exchange) {
	s.mu.Lock()
	s.phase, s.current = running, x
	s.mu.Unlock()
	x.mu.Lock()
	x.delivered = time.Now()
	x.mu.Unlock()

	h := w.Header()
	h.Set("Lambda-Runtime-Aws-Request-Id", x.inv.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(x.inv.Deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", x.inv.ARN)
	h.Set("Lambda-Runtime-Trace-Id", cmp.Or(x.inv.Trace.XRay(), noTrace))
	if x.inv.Trace.Traceparent != "" {
		h.Set(parentHeader, x.inv.Trace.Traceparent)
	}
	if x.inv.Trace.Tracestate != "" {
		h.Set(stateHeader, x.inv.Trace.Tracestate)
	}
	h.Set(attemptHeader, strconv.Itoa(x.inv.Attempt))
	if x.inv.ClientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", x.inv.ClientContext)
	}
	write(w, http.StatusOK, x.inv.Event)
}
