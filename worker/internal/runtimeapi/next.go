package runtimeapi

import (
	"cmp"
	"net/http"
	"strconv"
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
	s.wait()
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
	s.hand(x)
	s.mu.Unlock()
	h := w.Header()
	for name, value := range x.headers {
		h.Set(name, value)
	}
	h.Set("Lambda-Runtime-Trace-Id", cmp.Or(x.inv.Trace.XRay(), noTrace))
	write(w, http.StatusOK, x.inv.Event)
}

// headers are those of an invocation, but for what only Lambda's own runtimes read.
func (x *Exchange) headers(yield func(name, value string) bool) {
	_ = yield("Lambda-Runtime-Aws-Request-Id", x.inv.ID) &&
		yield("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(x.inv.Deadline.UnixMilli(), 10)) &&
		yield("Lambda-Runtime-Invoked-Function-Arn", x.inv.ARN) &&
		yield(attemptHeader, strconv.Itoa(x.inv.Attempt)) &&
		(x.inv.Trace.Traceparent == "" || yield(parentHeader, x.inv.Trace.Traceparent)) &&
		(x.inv.Trace.Tracestate == "" || yield(stateHeader, x.inv.Trace.Tracestate)) &&
		(x.inv.ClientContext == "" || yield("Lambda-Runtime-Client-Context", x.inv.ClientContext))
}
