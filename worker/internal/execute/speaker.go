package execute

import (
	"context"
	"log/slog"

	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

// speaker is the worker's own log of a delivery. It is no logger that has been told
// whom its lines are about: to make one costs as much as a line, and nearly every
// delivery says one only.
type speaker struct {
	log     *slog.Logger
	d       queue.Delivery
	attempt int    // 0 until it has begun
	trace   string // empty: none
}

func (s speaker) warn(text string, about ...slog.Attr) { s.that(slog.LevelWarn, text, about...) }

// that writes a line.
func (s speaker) that(level slog.Level, text string, about ...slog.Attr) {
	ctx := context.Background()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("invocation", s.d.ID), slog.String("site", s.d.Target.Site),
		slog.String("deploy", s.d.Target.Deploy), slog.String("function", s.d.Target.Function))
	if s.attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", s.attempt))
	}
	if s.trace != "" {
		attrs = append(attrs, slog.String("trace_id", s.trace))
	}
	s.log.LogAttrs(ctx, level, text, append(attrs, about...)...)
}

// outcome is how an attempt ended, for a line.
func outcome(end store.End) slog.Attr { return slog.String("outcome", string(end.Outcome)) }
