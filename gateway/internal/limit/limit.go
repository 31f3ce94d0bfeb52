// Package limit holds calls of functions to the rate limits that the functions
// state, across all gateways.
//
// The counters are in Redis. A limit protects the function, and the gateway
// must not be what takes it down: while Redis does not answer, calls pass.
package limit

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/store"
)

const (
	// patience is how long a call waits for Redis.
	patience = time.Second
	// misses is how many calls in a row have to wait in vain before Redis is left
	// alone: one slow answer must not open the gate for everybody.
	misses = 3
	// rest is the time between two calls that ask a Redis that is left alone; the
	// others pass at once.
	rest = time.Second
)

// Counters count calls; see [store.Store.CountCall].
type Counters interface {
	CountCall(ctx context.Context, r store.Rate) (wait time.Duration, err error)
}

// Limiter is safe for concurrent use.
type Limiter struct {
	counters Counters
	log      *slog.Logger
	missed   atomic.Int32 // calls in a row that Redis did not answer
	again    atomic.Int64 // when it is asked again, nanoseconds since 1970
}

// New makes a limiter.
func New(counters Counters, log *slog.Logger) *Limiter {
	return &Limiter{counters: counters, log: log.With("component", "limit")}
}

// Caller is who calls, as limits tell callers apart.
type Caller struct {
	IP   string
	Host string // the Host header
}

// Wait counts a call and returns 0 if the function may have it, or when it may
// be tried again. A target without a limit costs nothing.
func (l *Limiter) Wait(ctx context.Context, target route.Target, caller Caller) time.Duration {
	if target.Function == nil || target.Function.RateLimit == nil {
		return 0
	}
	if !l.asks() {
		return 0
	}
	limit := *target.Function.RateLimit
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait, err := l.counters.CountCall(asked, store.Rate{
		Site: target.Site, Function: target.Function.Name, Caller: caller.by(limit.By), Limit: limit,
	})
	switch {
	case err == nil:
		if l.missed.Swap(0) > 0 {
			l.log.Info("Redis answers again: rate limits hold")
		}
		return wait
	case ctx.Err() != nil: // the caller hung up, which says nothing about Redis
		return 0
	}
	l.again.Store(time.Now().Add(rest).UnixNano())
	if l.missed.Add(1) == 1 { // once, until it answers again
		l.log.Warn("rate limits are not held while Redis does not answer", "site", target.Site, "function", target.Function.Name, "error", err)
	}
	return 0
}

// asks reports whether a call asks Redis: each one, or, while it is left alone,
// one at a time.
func (l *Limiter) asks() bool {
	if l.missed.Load() < misses {
		return true
	}
	now, again := time.Now(), l.again.Load()
	return now.UnixNano() >= again && l.again.CompareAndSwap(again, now.Add(rest).UnixNano())
}

// by is the part of a caller that a limit counts by.
func (c Caller) by(parts []string) string {
	var key strings.Builder
	for _, part := range parts {
		switch part {
		case "ip":
			key.WriteString(" ip " + c.IP)
		case "domain":
			key.WriteString(" domain " + domain(c.Host))
		}
	}
	return key.String()
}

// domain is a Host header without its port.
func domain(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
