package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of our own, beside those of OpenTelemetry's conventions.
const (
	siteKey     = attribute.Key("nightshift.site")
	deployKey   = attribute.Key("nightshift.deploy")
	functionKey = attribute.Key("nightshift.function")
	kindKey     = attribute.Key("nightshift.kind")
	attemptKey  = attribute.Key("nightshift.attempt") // from 1
	outcomeKey  = attribute.Key("nightshift.outcome") // of the attempt
	stateKey    = attribute.Key("nightshift.state")   // that the invocation goes to
	workerKey   = attribute.Key("nightshift.worker")
	tickKey     = attribute.Key("nightshift.tick") // RFC 3339, UTC
	replayOfKey = attribute.Key("nightshift.replay_of")
	replayedKey = attribute.Key("nightshift.replayed")
	requestKey  = attribute.Key("nightshift.callback.request") // from 1
)

// What messaging conventions call our queue.
const (
	messagingSystem = "asynq"
	enqueue         = "enqueue"
	process         = "attempt"
)

// Call is what a span is about. Empty fields are left out.
type Call struct {
	Site, Deploy, Function string
	Kind                   string // of the function: sync, background, scheduled
	Invocation             string
}

// with are the call's attributes and others.
func (c Call) with(others ...attribute.KeyValue) trace.SpanStartEventOption {
	all := append(make([]attribute.KeyValue, 0, 6+len(others)),
		siteKey.String(c.Site), deployKey.String(c.Deploy), functionKey.String(c.Function))
	if c.Kind != "" {
		all = append(all, kindKey.String(c.Kind))
	}
	if c.Invocation != "" {
		all = append(all, semconv.FaaSInvocationID(c.Invocation))
	}
	return trace.WithAttributes(append(all, others...)...)
}

// start starts a span if spans are made.
func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind, options ...trace.SpanStartOption) (context.Context, Span) {
	ctx, span := t.tracer.Start(ctx, name, append(options, trace.WithSpanKind(kind))...)
	return ctx, Span{span}
}

// Request is the span of a request for a function, from its routing to the end
// of its answer. route is the pattern of the path, never the path.
func (t *Tracer) Request(ctx context.Context, method, scheme, route string, c Call) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	name := method
	if !known[method] { // anybody may make one up
		name, method = "HTTP", "_OTHER"
	}
	return t.start(ctx, name+" "+route, trace.SpanKindServer, c.with(
		semconv.HTTPRequestMethodKey.String(method), semconv.URLScheme(scheme), semconv.HTTPRoute(route)))
}

// known are the methods that conventions name.
var known = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true,
	http.MethodDelete: true, http.MethodOptions: true, http.MethodConnect: true, http.MethodTrace: true,
}

// Enqueued is what an enqueue is about beside its call.
type Enqueued struct {
	Size int       // of the event, in bytes
	Tick time.Time // zero: none
	Cron string    // of the schedule; empty: none
	// ReplayOf is the invocation that this one repeats, and Original where that
	// stands; the span links to it.
	ReplayOf string
	Original Place
}

// Enqueue is the span of putting an invocation into its queue. Its place
// travels in the record, so all attempts are its children.
func (t *Tracer) Enqueue(ctx context.Context, c Call, e Enqueued) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	attributes := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(messagingSystem),
		semconv.MessagingOperationTypeSend, semconv.MessagingOperationName(enqueue),
		semconv.MessagingDestinationName(c.Kind), semconv.MessagingMessageID(c.Invocation), semconv.MessagingMessageBodySize(e.Size),
	}
	if !e.Tick.IsZero() {
		attributes = append(attributes, tickKey.String(e.Tick.UTC().Format(time.RFC3339)))
	}
	if e.Cron != "" {
		attributes = append(attributes, semconv.FaaSCron(e.Cron))
	}
	if e.ReplayOf != "" {
		attributes = append(attributes, replayOfKey.String(e.ReplayOf))
	}
	options := []trace.SpanStartOption{c.with(attributes...)}
	if sc := e.Original.spanContext(); sc.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	return t.start(ctx, enqueue+" "+c.Kind, trace.SpanKindProducer, options...)
}

// Dispatch is the span of sending a sync call to one worker. before is how many
// were asked before it.
func (t *Tracer) Dispatch(ctx context.Context, c Call, worker string, before int) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	attributes := []attribute.KeyValue{semconv.HTTPRequestMethodPost, workerKey.String(worker)}
	if before > 0 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(before))
	}
	return t.start(ctx, "dispatch "+c.Function, trace.SpanKindClient, c.with(attributes...))
}

// Attempt is the span of an attempt, from its beginning in the record to its
// recorded end. number counts from 1.
func (t *Tracer) Attempt(ctx context.Context, c Call, number int, worker string) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	trigger := semconv.FaaSTriggerPubSub
	if c.Kind == "scheduled" {
		trigger = semconv.FaaSTriggerTimer
	}
	return t.start(ctx, process+" "+c.Function, trace.SpanKindConsumer, c.with(
		semconv.MessagingSystemKey.String(messagingSystem),
		semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName(process),
		semconv.MessagingDestinationName(c.Kind), semconv.MessagingMessageID(c.Invocation),
		trigger, attemptKey.Int(number), workerKey.String(worker)))
}

// SyncAttempt is the span of the one attempt of a sync call.
func (t *Tracer) SyncAttempt(ctx context.Context, c Call) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	return t.start(ctx, process+" "+c.Function, trace.SpanKindServer, c.with(semconv.FaaSTriggerHTTP, attemptKey.Int(1)))
}

// Callback is the span of a request that tells a receiver of an invocation's
// end. host is that of the URL, whose rest may be secret; number counts from 1.
func (t *Tracer) Callback(ctx context.Context, c Call, host string, number int) (context.Context, Span) {
	if !t.On() {
		return ctx, Span{}
	}
	return t.start(ctx, "callback", trace.SpanKindClient, c.with(
		semconv.HTTPRequestMethodPost, semconv.ServerAddress(host), requestKey.Int(number)))
}

// Span is work that is being traced. The zero value is none: everything may be
// called on it, and nothing happens.
type Span struct{ span trace.Span }

// Each method asks first: attributes cost memory as soon as they are made.

// Invocation names the invocation, where it was not known at the start.
func (s Span) Invocation(id string) {
	if s.span != nil && id != "" {
		s.span.SetAttributes(semconv.FaaSInvocationID(id))
	}
}

// Replayed says that an earlier call with the same key, or an earlier try, had
// made the invocation.
func (s Span) Replayed() {
	if s.span != nil {
		s.span.SetAttributes(replayedKey.Bool(true))
	}
}

// Answered says with what status a request was answered. 500 and more is a failure.
func (s Span) Answered(status int) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		s.Failed(strconv.Itoa(status))
	}
}

// Outcome says how an attempt ended, and, if that is recorded, which state
// follows. failed says that it is the function's failure.
func (s Span) Outcome(outcome, state string, failed bool) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(outcomeKey.String(outcome))
	if state != "" {
		s.span.SetAttributes(stateKey.String(state))
	}
	if failed {
		s.Failed(outcome)
	}
}

// Failed says that the work failed, and of what kind that is: one of a few
// words of ours, never those of an error.
func (s Span) Failed(kind string) {
	if s.span != nil {
		s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		s.span.SetStatus(codes.Error, kind)
	}
}

// End ends the work.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
