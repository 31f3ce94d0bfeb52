package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc" // OTLP over gRPC, which the next one links anyway
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp" // OTLP over HTTP, the specification's default
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// sayEvery is the time between two log lines about spans that were not sent.
const sayEvery = time.Minute

// newExporter makes what sends spans. It does not connect yet.
func newExporter(ctx context.Context, set settings, log *slog.Logger) (*exports, error) {
	var exporter sdk.SpanExporter
	var err error
	if set.protocol == protocolGRPC {
		exporter, err = otlptracegrpc.New(ctx)
	} else {
		exporter, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return nil, invalid("the OTEL_EXPORTER_OTLP_… variables cannot be used: %v", err)
	}
	return exportsTo(exporter, log), nil
}

// exports says once in a while that spans were lost. Without it the SDK would
// say so for every batch, and past our log.
type exports struct {
	sdk.SpanExporter
	log   *slog.Logger
	now   func() time.Time
	whole context.Context // ends with cut
	cut   func()          // ends what is being sent, and lets nothing more be

	mu   sync.Mutex
	lost int // since the last line
	said time.Time
}

func exportsTo(exporter sdk.SpanExporter, log *slog.Logger) *exports {
	e := &exports{SpanExporter: exporter, log: log, now: time.Now}
	e.whole, e.cut = context.WithCancel(context.Background())
	return e
}

// ExportSpans sends spans, or counts them as lost.
func (e *exports) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.whole, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost += len(spans)
	if now := e.now(); e.said.IsZero() || now.Sub(e.said) >= sayEvery {
		e.log.Warn("spans were not taken by the collector and are lost", "spans", e.lost, "error", err)
		e.lost, e.said = 0, now
	}
	return nil
}
