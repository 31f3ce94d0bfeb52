// Package audit keeps the audit log: who did what on the control plane, on what,
// from where, and what came of it.
//
// An entry is written in two places: in Redis, where the API and the console read
// it, and as a line of the gateway's log, which an operator may ship to where
// nobody here can change it. What was refused is written too, but at a bounded
// rate and apart from what was done, so that no flood of it pushes anything out.
//
// If Redis does not take an entry, the line says so, and it is counted. What was
// done is not undone for that, since Redis is where it was done: with one
// exception, which is at the call.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate" // token buckets
)

const (
	// writeLimit bounds the writing of an entry, which goes on if whoever made the
	// request has gone.
	writeLimit = 2 * time.Second
	// refusedEach and refusedBurst are how many refusals are written: of nobody that
	// is known together, and of those with a token together.
	refusedEach  = time.Second
	refusedBurst = 60
	// maxText bounds each text of an entry, in bytes.
	maxText = 300
)

// Store keeps entries; see package store.
type Store interface {
	AppendAudit(ctx context.Context, e store.AuditEntry, keep time.Duration) error
}

// Config configures a Log. All fields but Registry are required.
type Config struct {
	Store Store
	// Keep is how long entries are kept.
	Keep   time.Duration
	Logger *slog.Logger
	// Registry is where the figures of this package are registered; nil: nowhere.
	Registry prometheus.Registerer
}

// Log is safe for concurrent use.
type Log struct {
	cfg            Config
	log            *slog.Logger
	unknown, known refusals
	failed         prometheus.Counter
}

// refusals are those of one kind of caller.
type refusals struct {
	limiter *rate.Limiter
	missed  atomic.Int64 // since the last one that was written
}

// New makes a log.
func New(cfg Config) *Log {
	l := &Log{cfg: cfg, log: cfg.Logger.With("component", "audit")}
	for _, r := range []*refusals{&l.unknown, &l.known} {
		r.limiter = rate.NewLimiter(rate.Every(refusedEach), refusedBurst)
	}
	l.failed = promauto.With(cfg.Registry).NewCounter(prometheus.CounterOpts{
		Name: "nightshift_gateway_audit_failures_total", Help: "Entries of the audit log that Redis did not take; they stand in the log of the gateway.",
	})
	return l
}

// Entry begins an entry about what somebody does.
func Entry(who access.Who, from, action string) store.AuditEntry {
	e := store.AuditEntry{Actor: who.Name(), From: from, Action: action}
	if t, ok := who.Token(); ok {
		e.Token = t.ID
	}
	return e
}

// RefusedToken writes that a token was not right, whatever it was shown for.
func (l *Log) RefusedToken(ctx context.Context, from string, status int) {
	_ = l.Write(ctx, store.AuditEntry{From: from, Action: "token.refused", Status: status}) // it has been logged
}

// Write writes an entry, or leaves it out if too much is refused. The error is
// for those who undo what could not be written; it has been logged.
func (l *Log) Write(ctx context.Context, e store.AuditEntry) error {
	e.Trace = telemetry.TraceID(ctx)
	for _, text := range []*string{&e.Site, &e.Deploy, &e.Function, &e.Invocation, &e.Details} { // what is asked for may be any text
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "") + "…"
		}
	}
	if e.Refused() {
		of := &l.known
		if e.Actor == "" {
			of = &l.unknown
		}
		if !of.limiter.Allow() {
			of.missed.Add(1)
			return nil
		}
		e.Missed = int(of.missed.Swap(0))
	}
	attrs := attrsOf(e)
	l.log.Info("audit", attrs...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	err := l.cfg.Store.AppendAudit(ctx, e, l.cfg.Keep)
	if err != nil {
		l.failed.Inc()
		l.log.Error("audit entry not stored", append(attrs, "error", err)...)
	}
	return err
}

// attrsOf is an entry for the log, without what is empty.
func attrsOf(e store.AuditEntry) []any {
	attrs := []any{"action", e.Action, "status", e.Status}
	for _, a := range [][2]string{
		{"actor", e.Actor}, {"token", e.Token}, {"from", e.From}, {"site", e.Site}, {"deploy", e.Deploy}, {"function", e.Function},
		{"invocation", e.Invocation}, {"details", e.Details}, {"trace_id", e.Trace},
	} {
		if a[1] != "" {
			attrs = append(attrs, a[0], a[1])
		}
	}
	if e.Missed > 0 {
		attrs = append(attrs, "missed", e.Missed)
	}
	return attrs
}
