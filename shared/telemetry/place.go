package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// maxState bounds the tracestate that travels, in bytes. W3C Trace Context asks
// for as much to be passed on, and allows to drop what is longer.
const maxState = 512

// Header names, as net/http spells them.
const (
	parentHeader = "Traceparent"
	stateHeader  = "Tracestate"
)

// w3c reads and writes the headers.
var w3c propagation.TraceContext

// Place is where something stands in a trace: the two headers of W3C Trace
// Context. The zero value is in no trace.
type Place struct {
	Traceparent string // 00-<trace ID>-<span ID>-<flags>
	Tracestate  string // of vendors, often empty
}

// At is where ctx stands.
func At(ctx context.Context) Place {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return Place{}
	}
	headers := propagation.MapCarrier{}
	w3c.Inject(ctx, headers)
	p := Place{Traceparent: headers["traceparent"], Tracestate: headers["tracestate"]}
	if len(p.Tracestate) > maxState {
		p.Tracestate = ""
	}
	return p
}

// ParsePlace reads what String wrote. Anything else is no place.
func ParsePlace(text string) Place {
	parent, state, _ := strings.Cut(text, " ")
	return Place{Traceparent: parent, Tracestate: state}
}

// String is the place in one line, for a record; empty if it is none.
func (p Place) String() string {
	if p.Tracestate == "" {
		return p.Traceparent
	}
	return p.Traceparent + " " + p.Tracestate
}

// Enter is ctx in the trace of the place: the next span is its child. A place
// that is none, or cannot be read, leaves ctx as it is.
func (p Place) Enter(ctx context.Context) context.Context {
	if p.Traceparent == "" {
		return ctx
	}
	return w3c.Extract(ctx, propagation.MapCarrier{"traceparent": p.Traceparent, "tracestate": p.Tracestate})
}

// XRay is the place as Lambda runtimes are told of it, in the form of AWS X-Ray;
// empty if it is none.
func (p Place) XRay() string {
	sc := p.spanContext()
	if !sc.IsValid() {
		return ""
	}
	id, sampled := sc.TraceID().String(), "0"
	if sc.IsSampled() {
		sampled = "1"
	}
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + sc.SpanID().String() + ";Sampled=" + sampled
}

func (p Place) spanContext() trace.SpanContext {
	if p.Traceparent == "" {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(p.Enter(context.Background()))
}

// Extract is ctx in the trace that a request's headers name, or as it is if they
// name none.
func Extract(ctx context.Context, h http.Header) context.Context {
	if len(h[parentHeader]) != 1 { // several are none, by the specification
		return ctx
	}
	return Place{Traceparent: h[parentHeader][0], Tracestate: strings.Join(h[stateHeader], ",")}.Enter(ctx)
}

// Inject writes where ctx stands into the headers of a request of ours.
func Inject(ctx context.Context, h http.Header) {
	p := At(ctx)
	if p.Traceparent == "" {
		return
	}
	h.Set(parentHeader, p.Traceparent)
	if p.Tracestate != "" {
		h.Set(stateHeader, p.Tracestate)
	}
}

// TraceID is the ID of the trace that ctx stands in; empty if there is none.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// Logger is a logger whose lines name the trace that ctx stands in, if any.
func Logger(ctx context.Context, log *slog.Logger) *slog.Logger {
	if id := TraceID(ctx); id != "" {
		return log.With("trace_id", id)
	}
	return log
}
