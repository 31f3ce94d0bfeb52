// Package telemetry traces calls through the services, in OpenTelemetry's terms.
//
// A trace leads from a request to every attempt at it, whichever processes and
// however many hours lie between:
//
//	caller ─▶ request ─▶ enqueue ─┬─▶ attempt 1 ─▶ function
//	          (server)  (producer) ├─▶ attempt 2 ─▶ function
//	                               │   (consumer)
//	                               └─▶ callback ─▶ receiver
//	                                   (client)
//	caller ─▶ request ─▶ dispatch ──▶ attempt ──▶ function
//	          (server)  (client)     (server)
//
// Two things are apart. Where a call stands in a trace ([Place]) is handed on
// always: from the caller's headers into the record, to the function and to the
// receiver of a callback. Spans are made, and sent to a collector, only where
// the environment asks for it, in OpenTelemetry's own variables; see [Start].
//
// All spans and what they say are in this package ([Tracer]'s methods), so that
// one file shows what leaves the house: names and IDs. No bodies, no headers, no
// queries, no paths, no words of a function's failure.
//
// Nothing here is global. Each service has its own Tracer, also where several
// share a process.
package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/attribute" // OpenTelemetry: what collectors of every make understand
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope is who makes the spans.
const scope = "github.com/nightshift/nightshift"

// stopTimeout bounds how long Stop waits for a collector.
const stopTimeout = 5 * time.Second

// Tracer makes the spans of a service. It is safe for concurrent use. nil makes
// none, as does one that Start made where nothing asks for traces.
type Tracer struct {
	tracer   trace.Tracer // nil: off
	provider *sdk.TracerProvider
	exporter *exports
	log      *slog.Logger
}

// Start makes the Tracer of a service as the environment says. Spans are sent if
// OTEL_TRACES_EXPORTER is otlp, or is not set and OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is; not if OTEL_SDK_DISABLED is true. Then
// the other variables of the OpenTelemetry specification count: OTEL_SERVICE_NAME
// (default nightshift-<service>), OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER
// and …_ARG, OTEL_EXPORTER_OTLP_…, OTEL_BSP_…, OTEL_SPAN_….
//
// Nobody waits for the collector: spans go to a queue of OTEL_BSP_MAX_QUEUE_SIZE
// (2048), and where that is full they are dropped. That they cannot be sent is
// logged, once a minute at most.
//
// instance tells one process of a service from another, or is empty. A variable
// that makes no sense is fault.Invalid.
func Start(ctx context.Context, service, instance string, log *slog.Logger) (*Tracer, error) {
	set, err := readSettings()
	if err != nil || !set.on {
		return nil, err
	}
	log = log.With("component", "telemetry")
	about, err := describe(ctx, service, instance)
	if err != nil {
		return nil, err
	}
	exporter, err := newExporter(ctx, set, log)
	if err != nil {
		return nil, err
	}
	// The sampler and the queue take their settings from the environment.
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	name, _ := about.Set().Value(semconv.ServiceNameKey)
	log.Info("traces are sent", "service_name", name.AsString(), "protocol", set.protocol)
	return &Tracer{tracer: provider.Tracer(scope), provider: provider, exporter: exporter, log: log}, nil
}

// From makes a Tracer of a provider, which stays the caller's to stop.
func From(provider trace.TracerProvider) *Tracer { return &Tracer{tracer: provider.Tracer(scope)} }

// describe says who sends the spans. What the environment says goes before.
func describe(ctx context.Context, service, instance string) (*resource.Resource, error) {
	about := []attribute.KeyValue{semconv.ServiceName("nightshift-" + service)}
	if instance != "" {
		about = append(about, semconv.ServiceInstanceID(instance))
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		about = append(about, semconv.ServiceVersion(info.Main.Version))
	}
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(about...), resource.WithFromEnv())
	if err != nil {
		return nil, invalid("OTEL_RESOURCE_ATTRIBUTES cannot be read; it looks like key=value,key=value: %v", err)
	}
	return r, nil
}

// On reports whether spans are made.
func (t *Tracer) On() bool { return t != nil && t.tracer != nil }

// Stop sends what is left, for 5 s at most and within ctx, and returns when nothing
// of it runs any more. What was not sent is lost, and no failure of the service:
// the log says so.
func (t *Tracer) Stop(ctx context.Context) {
	if t == nil || t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	// The provider would return at the end of ctx, and leave behind what is sending.
	defer context.AfterFunc(ctx, t.exporter.cut)()
	if err := t.provider.Shutdown(context.WithoutCancel(ctx)); err != nil || ctx.Err() != nil {
		t.log.Warn("the last spans were not sent", "error", cmp.Or(err, context.Cause(ctx)))
	}
}
