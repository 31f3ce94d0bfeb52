package invoke

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// hintHeader says what the caller may not expect.
const hintHeader = "Nightshift-Hint"

// wait waits for the end of an invocation and answers with it. It is false, and
// nothing but headers is written, if the end did not come in time.
func (i *Invoker) wait(w http.ResponseWriter, r *http.Request, f *function.Function, id string, limit time.Duration) (answered bool, err error) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + writeLimit))
	inv, ok := i.cfg.Waiters.Wait(r.Context(), id, limit)
	if !ok {
		return false, nil
	}
	h := w.Header()
	applied := func() { h.Set(appliedHeader, "wait="+strconv.Itoa(int(limit/time.Second))) }
	switch inv.State {
	case invocation.Succeeded:
		if inv.Result != nil && inv.Result.Truncated {
			// Half a body must not pass for a whole one.
			h.Set(hintHeader, "the function answered with more than is kept; the record at Location has the beginning")
			return false, nil
		}
		applied()
		return true, writeResult(w, r, inv)
	case invocation.Dead:
		applied()
		return true, ended(f, inv)
	default:
		applied()
		return true, fault.New(fault.Conflict, "Invocation %s was cancelled before it had an answer.", inv.ID)
	}
}

// ended words the end of a dead invocation as that of a sync call.
func ended(f *function.Function, inv invocation.Invocation) error {
	if len(inv.Attempts) == 0 {
		return &Failed{Status: http.StatusBadGateway, Text: fmt.Sprintf("invocation %s was given up before it ran", inv.ID)}
	}
	last := inv.Attempts[len(inv.Attempts)-1]
	failure := invocation.Failure{Message: "the worker did not say what went wrong"}
	if last.Error != nil {
		failure = *last.Error
	}
	return failedWith(f, last.Outcome, failure)
}

// writeResult answers with what the record keeps of the function's response.
func writeResult(w http.ResponseWriter, r *http.Request, inv invocation.Invocation) error {
	result := inv.Result
	if result == nil {
		result = &invocation.Result{Status: http.StatusOK}
	}
	body := []byte(result.Body)
	if result.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(result.Body); err != nil {
			return fault.Wrap(err, fault.Internal, "reading the result of invocation %s", inv.ID)
		}
	}
	header := make(http.Header, len(result.Headers))
	for name, values := range result.Headers {
		header[textproto.CanonicalMIMEHeaderKey(name)] = values
	}
	copyHeader(w.Header(), header)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if result.Status == http.StatusNoContent || result.Status == http.StatusNotModified {
		w.Header().Del("Content-Length")
		body = nil
	}
	w.WriteHeader(result.Status)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := w.Write(body); err != nil && len(body) > 0 {
		return ErrGone
	}
	return nil
}
