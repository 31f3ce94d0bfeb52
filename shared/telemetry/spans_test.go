package telemetry

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var call = Call{Site: "shop", Deploy: "d1", Function: "mail", Kind: "background", Invocation: "01J"}

// recorded is a Tracer, and what it has made so far.
func recorded() (*Tracer, func() []sdk.ReadOnlySpan) {
	recorder := tracetest.NewSpanRecorder()
	return From(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))), recorder.Ended
}

// TestSpans states each span in full: what is not here does not leave the house.
func TestSpans(t *testing.T) {
	t.Parallel()
	tick := time.Date(2027, 1, 2, 3, 0, 0, 0, time.UTC)
	about := map[attribute.Key]string{
		"nightshift.site": "shop", "nightshift.deploy": "d1", "nightshift.function": "mail",
		"nightshift.kind": "background", "faas.invocation_id": "01J",
	}
	tests := map[string]struct {
		do     func(t *Tracer, ctx context.Context) (context.Context, Span)
		end    func(s Span)
		kind   trace.SpanKind
		status codes.Code
		want   map[attribute.Key]string
	}{
		"POST /.netlify/functions/mail": {
			do: func(t *Tracer, ctx context.Context) (context.Context, Span) {
				c := call
				c.Invocation = ""
				return t.Request(ctx, "POST", "https", "/.netlify/functions/mail", c)
			},
			end:  func(s Span) { s.Invocation("01J"); s.Answered(202) },
			kind: trace.SpanKindServer,
			want: map[attribute.Key]string{
				"http.request.method": "POST", "url.scheme": "https", "http.route": "/.netlify/functions/mail",
				"http.response.status_code": "202",
			},
		},
		"HTTP /a/:id": {
			do: func(t *Tracer, ctx context.Context) (context.Context, Span) {
				return t.Request(ctx, "SECRET", "http", "/a/:id", call)
			},
			end:    func(s Span) { s.Answered(503) },
			kind:   trace.SpanKindServer,
			status: codes.Error,
			want: map[attribute.Key]string{
				"http.request.method": "_OTHER", "url.scheme": "http", "http.route": "/a/:id",
				"http.response.status_code": "503", "error.type": "503",
			},
		},
		"enqueue background": {
			do: func(t *Tracer, ctx context.Context) (context.Context, Span) {
				return t.Enqueue(ctx, call, Enqueued{Size: 12, Tick: tick, Cron: "@hourly", ReplayOf: "01A"})
			},
			end:  func(s Span) { s.Replayed() },
			kind: trace.SpanKindProducer,
			want: map[attribute.Key]string{
				"messaging.system": "asynq", "messaging.operation.type": "send", "messaging.operation.name": "enqueue",
				"messaging.destination.name": "background", "messaging.message.id": "01J", "messaging.message.body.size": "12",
				"nightshift.tick": "2027-01-02T03:00:00Z", "faas.cron": "@hourly", "nightshift.replay_of": "01A", "nightshift.replayed": "true",
			},
		},
		"dispatch mail": {
			do: func(t *Tracer, ctx context.Context) (context.Context, Span) { return t.Dispatch(ctx, call, "w1", 2) },
			end: func(s Span) {
				s.Failed("not_reached")
			},
			kind: trace.SpanKindClient, status: codes.Error,
			want: map[attribute.Key]string{
				"http.request.method": "POST", "nightshift.worker": "w1", "http.request.resend_count": "2", "error.type": "not_reached",
			},
		},
		"attempt mail": {
			do:   func(t *Tracer, ctx context.Context) (context.Context, Span) { return t.Attempt(ctx, call, 3, "w1") },
			end:  func(s Span) { s.Outcome("timeout", "failed", true) },
			kind: trace.SpanKindConsumer, status: codes.Error,
			want: map[attribute.Key]string{
				"messaging.system": "asynq", "messaging.operation.type": "process", "messaging.operation.name": "attempt",
				"messaging.destination.name": "background", "messaging.message.id": "01J",
				"faas.trigger": "pubsub", "nightshift.attempt": "3", "nightshift.worker": "w1",
				"nightshift.outcome": "timeout", "nightshift.state": "failed", "error.type": "timeout",
			},
		},
		"callback": {
			do: func(t *Tracer, ctx context.Context) (context.Context, Span) {
				return t.Callback(ctx, call, "example.com", 2)
			},
			end:  func(s Span) { s.Answered(204) },
			kind: trace.SpanKindClient,
			want: map[attribute.Key]string{
				"http.request.method": "POST", "server.address": "example.com", "nightshift.callback.request": "2",
				"http.response.status_code": "204",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracer, ended := recorded()
			in := ParsePlace(parent).Enter(t.Context())
			ctx, span := test.do(tracer, in)
			test.end(span)
			span.End()
			s := ended()[0]
			if s.Name() != name || s.SpanKind() != test.kind || s.Status().Code != test.status {
				t.Errorf("span %q, kind %s, status %v; want %q, %s, %s", s.Name(), s.SpanKind(), s.Status(), name, test.kind, test.status)
			}
			if s.SpanContext().TraceID().String() != traceID || s.Parent().SpanID().String() != "b7ad6b7169203331" {
				t.Errorf("the span is not a child of %s", parent)
			}
			if got := At(ctx).Traceparent; got != "00-"+traceID+"-"+s.SpanContext().SpanID().String()+"-01" {
				t.Errorf("what follows stands at %s, which is not the span", got)
			}
			for _, a := range s.Attributes() {
				want, ok := test.want[a.Key]
				if !ok {
					want, ok = about[a.Key]
				}
				if !ok || a.Value.String() != want {
					t.Errorf("attribute %s = %s, want %q", a.Key, a.Value.String(), want)
				}
			}
			if got, want := len(s.Attributes()), len(test.want)+len(about); got != want {
				t.Errorf("%d attributes, want %d: %v", got, want, s.Attributes())
			}
		})
	}
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	tracer, ended := recorded()
	c := call
	c.Kind = "scheduled"
	_, span := tracer.Attempt(t.Context(), c, 1, "w1")
	span.End()
	c.Kind = "sync"
	_, span = tracer.SyncAttempt(t.Context(), c)
	span.Outcome("succeeded", "", false)
	span.End()
	for i, want := range []attribute.KeyValue{attribute.String("faas.trigger", "timer"), attribute.String("faas.trigger", "http")} {
		if s := ended()[i]; !slices.Contains(s.Attributes(), want) {
			t.Errorf("%s has %v, want %v", s.SpanKind(), s.Attributes(), want)
		}
	}
	if kind := ended()[1].SpanKind(); kind != trace.SpanKindServer {
		t.Errorf("a sync attempt is a %s span", kind)
	}
}

func TestReplaysLinkToTheOriginal(t *testing.T) {
	t.Parallel()
	tracer, ended := recorded()
	for _, original := range []Place{ParsePlace(parent), {}, ParsePlace("nonsense")} {
		_, span := tracer.Enqueue(t.Context(), call, Enqueued{ReplayOf: "01A", Original: original})
		span.End()
	}
	if links := ended()[0].Links(); len(links) != 1 || links[0].SpanContext.TraceID().String() != traceID {
		t.Errorf("links = %v, want one to trace %s", links, traceID)
	}
	for _, s := range ended()[1:] {
		if len(s.Links()) != 0 {
			t.Errorf("links = %v, want none", s.Links())
		}
	}
	if ended()[0].SpanContext().TraceID().String() == traceID {
		t.Error("a replay stands in the trace of its original; it is a trace of its own")
	}
}

// accept is what a background call asks of this package.
func accept(t *Tracer, ctx context.Context, h http.Header) string {
	ctx, request := t.Request(Extract(ctx, h), "POST", "http", "/.netlify/functions/mail", call)
	defer request.End()
	ctx, enqueue := t.Enqueue(ctx, call, Enqueued{Size: 12})
	defer enqueue.End()
	request.Answered(202)
	return At(ctx).String()
}

// TestOffCostsNothing holds the hot path to no allocation where nothing is traced.
func TestOffCostsNothing(t *testing.T) {
	t.Parallel()
	h := header("Content-Type", "application/json")
	for name, tracer := range map[string]*Tracer{"nil": nil, "off": {}} {
		if got := accept(tracer, t.Context(), h); got != "" {
			t.Errorf("%s: a call without a trace stands at %q", name, got)
		}
		if got, want := accept(tracer, t.Context(), header("traceparent", parent, "tracestate", "a=1")), parent+" a=1"; got != want {
			t.Errorf("%s: the caller's trace was passed on as %q, want %q", name, got, want)
		}
	}
}

func BenchmarkAccept(b *testing.B) {
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(tracetest.NewNoopExporter())))
	defer func() { _ = provider.Shutdown(context.WithoutCancel(b.Context())) }()
	plain, traced := header("Content-Type", "application/json"), header("traceparent", parent)
	for _, bench := range []struct {
		name   string
		tracer *Tracer
		h      http.Header
	}{
		{"off", nil, plain}, {"off, traceparent", nil, traced},
		{"on", From(provider), plain}, {"on, traceparent", From(provider), traced},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				accept(bench.tracer, b.Context(), bench.h)
			}
		})
	}
}
