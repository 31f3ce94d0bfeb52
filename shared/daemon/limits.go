package daemon

import (
	"cmp"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// Limits are what a client may take of an HTTP server. Zero values take the
// default that is named, which no honest client comes near.
type Limits struct {
	// MaxConnections is how many connections a plane may have at once; what comes
	// over that is closed. Each takes a file descriptor. Default 16,384; -1 is no
	// bound.
	MaxConnections int `env:"MAX_CONNECTIONS"`
	// MaxConnectionsPerAddress is how many of them one address may have, or one
	// /64 network of IPv6. Proxies that are trusted (NIGHTSHIFT_TRUST_PROXY) are
	// not counted. Default 2,048; -1 is no bound.
	MaxConnectionsPerAddress int `env:"MAX_CONNECTIONS_PER_ADDRESS"`
	// MaxRequestsPerConnection is how many requests a connection may carry before
	// it is closed, in good order. Default 10,000; -1 is no bound.
	MaxRequestsPerConnection int64 `env:"MAX_REQUESTS_PER_CONNECTION"`
	// MaxURL is how many bytes the path of a request may have, with its query;
	// what is longer is answered 414. Default 8,192.
	MaxURL int `env:"MAX_URL"`
	// MaxHeaderBytes is how many bytes the head of a request may have, its first
	// line included; what is longer is answered 431. Default 65,536.
	MaxHeaderBytes int `env:"MAX_HEADER_BYTES"`
	// MaxHeaderFields is how many header fields a request may have; more are
	// answered 431. Default 256.
	MaxHeaderFields int `env:"MAX_HEADER_FIELDS"`
	// HeaderTimeout is how long the head of a request may take. Default 10s.
	HeaderTimeout time.Duration `env:"HEADER_TIMEOUT"`
	// BodyTimeout is how long nothing may come of a body. Default 30s.
	BodyTimeout time.Duration `env:"BODY_TIMEOUT"`
	// MinBodyRate is how many bytes of a body a client must send each second, on
	// average, after BodyTimeout; one that is slower is cut off. Static files must be
	// taken as fast. Default 8,192.
	MinBodyRate int64 `env:"MIN_BODY_RATE"`
	// IdleTimeout is how long a connection is kept open between two requests.
	// Default 2m.
	IdleTimeout time.Duration `env:"IDLE_TIMEOUT"`
}

// withDefaults fills in what is not set and says what is wrong with the rest.
func (l Limits) withDefaults() (Limits, error) {
	l.MaxConnections = cmp.Or(l.MaxConnections, 16_384)
	l.MaxConnectionsPerAddress = cmp.Or(l.MaxConnectionsPerAddress, 2_048)
	l.MaxRequestsPerConnection = cmp.Or(l.MaxRequestsPerConnection, 10_000)
	l.MaxURL = cmp.Or(l.MaxURL, 8<<10)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, 64<<10)
	l.MaxHeaderFields = cmp.Or(l.MaxHeaderFields, 256)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 10*time.Second)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, 30*time.Second)
	l.MinBodyRate = cmp.Or(l.MinBodyRate, 8<<10)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	return l, l.Validate()
}

// Validate says what is wrong with limits, as fault.Invalid, or nil.
func (l Limits) Validate() error {
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case l.MaxConnections < -1:
		return invalid("NIGHTSHIFT_MAX_CONNECTIONS is %d; it must be 1 or more, or -1 for no bound", l.MaxConnections)
	case l.MaxConnectionsPerAddress < -1:
		return invalid("NIGHTSHIFT_MAX_CONNECTIONS_PER_ADDRESS is %d; it must be 1 or more, or -1 for no bound", l.MaxConnectionsPerAddress)
	case l.MaxRequestsPerConnection < -1:
		return invalid("NIGHTSHIFT_MAX_REQUESTS_PER_CONNECTION is %d; it must be 1 or more, or -1 for no bound", l.MaxRequestsPerConnection)
	case l.MaxURL != 0 && l.MaxURL < 256:
		return invalid("NIGHTSHIFT_MAX_URL is %d; it must be 256 or more", l.MaxURL)
	case l.MaxHeaderBytes != 0 && l.MaxHeaderBytes < 1024:
		return invalid("NIGHTSHIFT_MAX_HEADER_BYTES is %d; it must be 1024 or more", l.MaxHeaderBytes)
	case l.MaxHeaderFields != 0 && l.MaxHeaderFields < 16:
		return invalid("NIGHTSHIFT_MAX_HEADER_FIELDS is %d; it must be 16 or more", l.MaxHeaderFields)
	case l.HeaderTimeout < 0 || l.BodyTimeout < 0 || l.IdleTimeout < 0:
		return invalid("NIGHTSHIFT_HEADER_TIMEOUT, NIGHTSHIFT_BODY_TIMEOUT and NIGHTSHIFT_IDLE_TIMEOUT must be more than 0")
	case l.MinBodyRate < 0:
		return invalid("NIGHTSHIFT_MIN_BODY_RATE is %d; it must be 1 or more", l.MinBodyRate)
	}
	return nil
}

// Pace is how slowly a body may pass: nothing of it for Stall at the most, and
// beyond that Rate bytes a second on average.
type Pace struct {
	Stall time.Duration
	Rate  int64
}

// Pace is that of the limits.
func (l Limits) Pace() Pace {
	return Pace{cmp.Or(l.BodyTimeout, 30*time.Second), cmp.Or(l.MinBodyRate, 8<<10)}
}

// Deadline is when the next bytes of a body must have passed that began then, and
// of which that many have passed by now.
func (p Pace) Deadline(begun, now time.Time, passed int64) time.Time {
	average := begun.Add(p.Stall + time.Duration(float64(passed)/float64(p.Rate)*float64(time.Second)))
	if stall := now.Add(p.Stall); stall.Before(average) {
		return stall
	}
	return average
}
