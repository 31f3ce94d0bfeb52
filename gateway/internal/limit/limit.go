// Package limit holds calls of functions to the rate limits that the functions
// state, and to those that an operator sets for every site, across all gateways.
//
// The counters are in Redis. A limit protects the function, and the gateway
// must not be what takes it down: while Redis does not answer, calls pass.
package limit

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
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

// Rates are those that each site is held to, beside what its functions state.
// nil: none.
type Rates struct {
	// Site is for all calls of a site's functions, and Address for those that come
	// from one address, or from one /64 network of IPv6.
	Site, Address *function.RateLimit
}

// ParseRate reads a rate as 600/1m: that many calls in a window of that length. Of
// an empty text it is nil.
func ParseRate(text string) (*function.RateLimit, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil
	}
	count, length, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	window, badWindow := time.ParseDuration(length)
	if err != nil || badWindow != nil || n < 1 || n > maxRate || window < time.Second || window > time.Hour || window%time.Second != 0 {
		return nil, fault.New(fault.Invalid, "%q is no rate; it looks like 600/1m, with 1 to %d calls in 1s to 1h, in whole seconds", text, maxRate)
	}
	return &function.RateLimit{Limit: n, WindowMS: window.Milliseconds()}, nil
}

// maxRate bounds the calls of a rate.
const maxRate = 100_000_000

// Limiter is safe for concurrent use.
type Limiter struct {
	counters Counters
	rates    Rates
	log      *slog.Logger
	missed   atomic.Int32 // calls in a row that Redis did not answer
	again    atomic.Int64 // when it is asked again, nanoseconds since 1970
}

// New makes a limiter.
func New(counters Counters, rates Rates, log *slog.Logger) *Limiter {
	return &Limiter{counters: counters, rates: rates, log: log.With("component", "limit")}
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
	limit := *target.Function.RateLimit
	return l.count(ctx, store.Rate{Site: target.Site, Function: target.Function.Name, Caller: caller.by(limit.By), Limit: limit})
}

// WaitForAddress is Wait for what one address may ask of a site, and WaitForSite
// for what all of them may.
func (l *Limiter) WaitForAddress(ctx context.Context, site string, caller Caller) time.Duration {
	if l.rates.Address == nil {
		return 0
	}
	return l.count(ctx, store.Rate{Site: site, Caller: "network " + network(caller.IP), Limit: *l.rates.Address})
}

// WaitForSite is described with WaitForAddress.
func (l *Limiter) WaitForSite(ctx context.Context, site string) time.Duration {
	if l.rates.Site == nil {
		return 0
	}
	return l.count(ctx, store.Rate{Site: site, Limit: *l.rates.Site})
}

// count counts a call, if Redis is to be asked.
func (l *Limiter) count(ctx context.Context, rate store.Rate) time.Duration {
	if !l.asks() {
		return 0
	}
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait, err := l.counters.CountCall(asked, rate)
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
		l.log.Warn("rate limits are not held while Redis does not answer", "site", rate.Site, "function", rate.Function, "error", err)
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

// network is an address, and of IPv6 the network, of which everybody has as many
// addresses as they like.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	return daemon.Network(addr).String()
}

// domain is a Host header without its port.
func domain(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
