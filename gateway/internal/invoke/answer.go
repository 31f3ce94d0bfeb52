package invoke

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
)

// Failed is the answer for a function that ran and failed: in the function's
// own words, as Netlify shows them.
type Failed struct {
	Status  int
	Text    string // for the caller
	Outcome invocation.Outcome
}

func (f *Failed) Error() string { return string(f.Outcome) + ": " + f.Text }

// unsupportedValue is the type of the failure of a v2 function that returned
// something other than a Response. It is Netlify's, and shown.
const unsupportedValue = "NetlifyUserError"

// failed words a failure that a worker described.
func failed(f *function.Function, outcome invocation.Outcome, body io.Reader) error {
	var failure invocation.Failure
	// To its end, so that the connection to the worker can be used again.
	raw, err := io.ReadAll(io.LimitReader(body, maxFailure))
	if err != nil || json.Unmarshal(raw, &failure) != nil {
		failure = invocation.Failure{Message: "the worker did not say what went wrong"}
	}
	return failedWith(f, outcome, failure)
}

// failedWith words how a function failed.
func failedWith(f *function.Function, outcome invocation.Outcome, failure invocation.Failure) error {
	switch outcome {
	case invocation.TimedOut:
		return timedOut(f)
	case invocation.BadResponse:
		if failure.Type == unsupportedValue {
			return &Failed{Status: http.StatusInternalServerError, Text: words(failure), Outcome: outcome}
		}
		// The message alone is Netlify's text.
		return &Failed{Status: http.StatusInternalServerError, Text: failure.Message, Outcome: outcome}
	case invocation.Error, invocation.InitError:
		return &Failed{Status: http.StatusInternalServerError, Text: words(failure), Outcome: outcome}
	default: // its process or its worker ended under it
		return &Failed{Status: http.StatusBadGateway, Text: words(failure), Outcome: outcome}
	}
}

// timedOut is the answer for a function that ran into its limit.
func timedOut(f *function.Function) error {
	return &Failed{
		Status: http.StatusGatewayTimeout, Outcome: invocation.TimedOut,
		Text: fmt.Sprintf("TimeoutError: Task timed out after %.2f seconds", f.Timeout().Seconds()),
	}
}

// words is "<Type>: <message>" and the function's own stack below it.
func words(f invocation.Failure) string {
	head := f.Message
	if f.Type != "" {
		head = f.Type + ": " + f.Message
	}
	// V8's stacks repeat the head. It is cut off by its own length, since a
	// message may have several lines.
	stack := strings.TrimSpace(strings.TrimPrefix(f.Stack, head))
	if stack == "" {
		return head
	}
	return head + "\n    " + stack
}

// hopByHop are the headers that concern one connection only (RFC 9110, 7.6.1).
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// buffers are for passing bodies on.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pass streams the function's answer to the caller.
func (i *Invoker) pass(ctx context.Context, w http.ResponseWriter, r *http.Request, resp *http.Response) error {
	copyHeader(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		// Nobody gets a body, but a worker that is hung up on kills the function.
		_, _ = io.Copy(io.Discard, resp.Body)
		return nil
	}
	// What has a length does not stream; everything else goes out as it comes.
	control := http.NewResponseController(w)
	streams := resp.ContentLength < 0
	if streams {
		_ = control.Flush()
	}
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return ErrGone
			}
			if streams && control.Flush() != nil {
				return ErrGone
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
		case r.Context().Err() != nil:
			return ErrGone
		default:
			telemetry.Logger(ctx, i.log).Warn("answer of a function broke off", "invocation", w.Header().Get(RequestIDHeader), "error", err, "cause", context.Cause(ctx))
			return ErrCut
		}
	}
}

// copyHeader takes over a function's headers, without those of the connection
// to the worker and without our own.
func copyHeader(to, from http.Header) {
	var named []string
	for _, v := range from["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			named = append(named, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	for name, values := range from {
		switch {
		case slices.Contains(hopByHop, name), slices.Contains(named, name):
		case strings.HasPrefix(name, dispatch.HeaderPrefix), name == "Date", name == RequestIDHeader:
		default:
			to[name] = values
		}
	}
	if _, ok := from["Content-Type"]; !ok {
		to["Content-Type"] = nil // else net/http guesses one from the body
	}
}
