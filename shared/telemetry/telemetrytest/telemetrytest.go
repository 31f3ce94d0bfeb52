// Package telemetrytest records the spans that a test makes.
package telemetrytest

import (
	"github.com/nightshift/nightshift/shared/telemetry"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Span is a span that has ended.
type Span struct {
	Name, Kind        string // Kind in lower case: server, client, producer, consumer
	Trace, ID, Parent string // in hexadecimal; Parent is zeros at the root
	Failed            bool
	Attributes        map[string]string
	Links             []string // trace IDs
}

// Traceparent is what a child of the span is told.
func (s Span) Traceparent() string { return "00-" + s.Trace + "-" + s.ID + "-01" }

// Recorder keeps spans. It is safe for concurrent use.
type Recorder struct {
	spans  *tracetest.SpanRecorder
	tracer *telemetry.Tracer
}

// New makes a Recorder.
func New() *Recorder {
	spans := tracetest.NewSpanRecorder()
	return &Recorder{spans, telemetry.From(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)))}
}

// Tracer makes the spans that are recorded.
func (r *Recorder) Tracer() *telemetry.Tracer { return r.tracer }

// Ended are the spans so far, in the order in which they ended.
func (r *Recorder) Ended() []Span {
	var all []Span
	for _, s := range r.spans.Ended() {
		span := Span{
			Name: s.Name(), Kind: s.SpanKind().String(), Failed: s.Status().Code == codes.Error, Attributes: map[string]string{},
			Trace: s.SpanContext().TraceID().String(), ID: s.SpanContext().SpanID().String(), Parent: s.Parent().SpanID().String(),
		}
		for _, a := range s.Attributes() {
			span.Attributes[string(a.Key)] = a.Value.String()
		}
		for _, link := range s.Links() {
			span.Links = append(span.Links, link.SpanContext.TraceID().String())
		}
		all = append(all, span)
	}
	return all
}
