// Package function describes one deployable function: what it is called, what
// kind of calls it takes, how long it may run and how it is retried.
//
// A Function is part of a deploy and as immutable as the deploy is. The builder
// makes it from the source; gateway, scheduler and worker only read it.
package function

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Kind says how calls reach a function and what the caller gets.
type Kind string

// The closed list of kinds.
const (
	Sync       Kind = "sync"       // the caller waits for the function's own response
	Background Kind = "background" // the caller gets 202 at once, the run is recorded
	Scheduled  Kind = "scheduled"  // fired by the scheduler; 404 over HTTP on a real deploy
)

// API is the calling convention that the function's code was written for.
type API int

// The calling conventions.
const (
	APIv1 API = 1 // Lambda style: handler(event, context[, callback])
	APIv2 API = 2 // Fetch style: default export (Request, Context) => Response
)

// Limits and defaults. Source: docs/architecture.md, "Limits".
const (
	MaxTimeout               = 15 * time.Minute
	DefaultSyncTimeout       = 10 * time.Second
	DefaultScheduledTimeout  = 30 * time.Second
	DefaultBackgroundTimeout = 15 * time.Minute
	DefaultRetries           = 2
	MaxRetries               = 20
	MaxRetryDelay            = 24 * time.Hour
)

// DefaultRetryDelays are the waits before the first and the second retry. The
// last one repeats where more retries are allowed.
func DefaultRetryDelays() []time.Duration { return []time.Duration{time.Minute, 2 * time.Minute} }

// Function is one function of one deploy.
type Function struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	API  API    `json:"api"`

	// Runtime is "node" for code that our Node bootstrap loads, or "provided"
	// for an executable that speaks the Lambda Runtime API by itself.
	Runtime string `json:"runtime"`
	// Entry is the file to load, or to execute, relative to the artifact's root.
	Entry string `json:"entry"`
	// Artifact is the lower-case hex SHA-256 of the zip that holds the code.
	Artifact string `json:"artifact"`
	// Source is where the function stands in the repository, for people.
	Source string `json:"source,omitempty"`

	// Schedule is a cron expression or an @ name; set exactly for Kind Scheduled.
	Schedule string `json:"schedule,omitempty"`
	// Timezone is the IANA name of the zone that Schedule is read in. Default UTC.
	Timezone string `json:"timezone,omitempty"`
	// CatchUp says what happens with ticks that are older than the schedule's
	// lateness window: "last" (default), "all" or "none".
	CatchUp string `json:"catch_up,omitempty"`
	// Overlap says whether a tick may start while the one before still runs:
	// "allow" (default) or "skip".
	Overlap string `json:"overlap,omitempty"`

	// OnRollback says which code runs what was accepted before the site went to
	// another deploy: "pinned" (default) is that of the deploy that accepted it,
	// "latest" that of the published one, if it has this function. Calls of a
	// preview always run on it.
	OnRollback string `json:"on_rollback,omitempty"`

	// Paths are the URL patterns that the function is served on instead of its
	// default URL; see package pattern. Empty: the default URL only. Those of a
	// scheduled function, which only framework routes have, are answered 404 but
	// under dev, so that no other function's pattern takes their calls.
	Paths         []string `json:"paths,omitempty"`
	ExcludedPaths []string `json:"excluded_paths,omitempty"`
	// Methods are the HTTP methods that Paths answer to, upper case. Empty: all.
	Methods []string `json:"methods,omitempty"`
	// PreferStatic lets a static file of the same path win.
	PreferStatic bool `json:"prefer_static,omitempty"`

	// RateLimit bounds how often it may be called over HTTP. nil: no bound.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`

	// TimeoutMS bounds one attempt, in milliseconds, 1 to 900,000. 0: the
	// kind's default.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// Retries is how many more attempts follow a failed one, 0 to 20. nil: 2.
	Retries *int `json:"retries,omitempty"`
	// RetryDelaysMS are the waits before each retry, in milliseconds; the last
	// one repeats. Empty: 60,000 and 120,000.
	RetryDelaysMS []int64 `json:"retry_delays_ms,omitempty"`
	// Concurrency bounds the attempts running at once across the fleet. 0: no bound.
	Concurrency int `json:"concurrency,omitempty"`
}

// RateLimit is how many calls are served within a sliding window. What is over
// it is answered 429, or served by another path.
type RateLimit struct {
	// Limit is how many calls one window has, 1 or more.
	Limit int `json:"limit"`
	// WindowMS is the length of the window, in milliseconds, 1,000 to 180,000.
	WindowMS int64 `json:"window_ms"`
	// By is what has a limit of its own: each "ip", each "domain", each pair of
	// them. Empty: all callers share one.
	By []string `json:"by,omitempty"`
	// RewriteTo is the path that serves calls over the limit. Empty: 429.
	RewriteTo string `json:"rewrite_to,omitempty"`
}

// MaxRateWindow is the longest window of a rate limit, as Netlify has it.
const MaxRateWindow = 180 * time.Second

// validate says what is wrong with r, or nil.
func (r *RateLimit) validate() error {
	switch {
	case r == nil:
		return nil
	case r.Limit < 1:
		return errors.New("rateLimit.windowLimit must be 1 or more")
	case r.WindowMS < 1000 || r.WindowMS > MaxRateWindow.Milliseconds():
		return errors.New("rateLimit.windowSize must be 1 to 180 seconds")
	case slices.ContainsFunc(r.By, func(by string) bool { return by != "ip" && by != "domain" }):
		return fmt.Errorf("rateLimit.aggregateBy must be ip, domain or both, not %q", r.By)
	case r.RewriteTo != "" && !strings.HasPrefix(r.RewriteTo, "/"):
		return fmt.Errorf("rateLimit.to %q must start with a '/'", r.RewriteTo)
	default:
		return nil
	}
}

// DefaultPath is where a function without Paths is served.
func DefaultPath(name string) string { return "/.netlify/functions/" + name }

// Timeout is how long one attempt may take.
func (f *Function) Timeout() time.Duration {
	if f.TimeoutMS > 0 {
		return time.Duration(f.TimeoutMS) * time.Millisecond
	}
	switch f.Kind {
	case Background:
		return DefaultBackgroundTimeout
	case Scheduled:
		return DefaultScheduledTimeout
	default:
		return DefaultSyncTimeout
	}
}

// RetryDelay returns the wait before the attempt that follows the given number
// of failed ones, and false if no further attempt is allowed.
func (f *Function) RetryDelay(failures int) (time.Duration, bool) {
	retries := DefaultRetries
	if f.Retries != nil {
		retries = *f.Retries
	}
	if failures > retries {
		return 0, false
	}
	delays := DefaultRetryDelays()
	if len(f.RetryDelaysMS) > 0 {
		delays = delays[:0]
		for _, ms := range f.RetryDelaysMS {
			delays = append(delays, time.Duration(ms)*time.Millisecond)
		}
	}
	return delays[min(max(failures, 1), len(delays))-1], true
}

var (
	validName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ValidName reports whether a name consists only of letters, digits, hyphen
// and underscore, 1 to 128 of them.
func ValidName(name string) bool { return validName.MatchString(name) }

// ReservedName is the file name that Netlify's bundler keeps for itself.
const ReservedName = "___netlify-entry-point"

// Validate says what is wrong with f, or nil. The text names the field and the
// accepted values. The cron expression itself is checked by package schedule.
func (f *Function) Validate() error {
	switch {
	case !ValidName(f.Name):
		return fmt.Errorf("function name %q: only letters, digits, hyphen and underscore are allowed, 128 at most", f.Name)
	case f.Name == ReservedName:
		return fmt.Errorf("function name %q is reserved", f.Name)
	case !slices.Contains([]Kind{Sync, Background, Scheduled}, f.Kind):
		return fmt.Errorf("function %s: kind %q is not sync, background or scheduled", f.Name, f.Kind)
	case (f.Kind == Scheduled) != (f.Schedule != ""):
		return fmt.Errorf("function %s: a schedule and the kind \"scheduled\" go together", f.Name)
	case f.Runtime != "node" && f.Runtime != "provided":
		return fmt.Errorf("function %s: runtime %q is not node or provided", f.Name, f.Runtime)
	case f.Runtime == "node" && f.API != APIv1 && f.API != APIv2:
		return fmt.Errorf("function %s: api %d is not 1 or 2", f.Name, f.API)
	case f.Entry == "" || strings.HasPrefix(f.Entry, "/") || slices.Contains(strings.Split(f.Entry, "/"), ".."):
		return fmt.Errorf("function %s: entry %q must be a path inside the artifact", f.Name, f.Entry)
	case !validDigest.MatchString(f.Artifact):
		return fmt.Errorf("function %s: artifact %q is not a SHA-256 in hex", f.Name, f.Artifact)
	case f.TimeoutMS < 0 || f.TimeoutMS > MaxTimeout.Milliseconds():
		return fmt.Errorf("function %s: timeout must be 1 to 900 seconds", f.Name)
	case f.Retries != nil && (*f.Retries < 0 || *f.Retries > MaxRetries):
		return fmt.Errorf("function %s: retries must be 0 to %d", f.Name, MaxRetries)
	case slices.ContainsFunc(f.RetryDelaysMS, func(ms int64) bool { return ms < 0 || ms > MaxRetryDelay.Milliseconds() }):
		return fmt.Errorf("function %s: each of retryDelays must be 0 s to 24 h", f.Name)
	case f.Concurrency < 0:
		return fmt.Errorf("function %s: concurrency must not be negative", f.Name)
	case !slices.Contains([]string{"", "last", "all", "none"}, f.CatchUp):
		return fmt.Errorf("function %s: catchUp %q is not last, all or none", f.Name, f.CatchUp)
	case !slices.Contains([]string{"", "allow", "skip"}, f.Overlap):
		return fmt.Errorf("function %s: overlap %q is not allow or skip", f.Name, f.Overlap)
	case !slices.Contains([]string{"", "pinned", "latest"}, f.OnRollback):
		return fmt.Errorf("function %s: onRollback %q is not pinned or latest", f.Name, f.OnRollback)
	}
	if err := f.RateLimit.validate(); err != nil {
		return fmt.Errorf("function %s: %w", f.Name, err)
	}
	for _, p := range slices.Concat(f.Paths, f.ExcludedPaths) {
		if !strings.HasPrefix(p, "/") {
			return fmt.Errorf("function %s: path %q must start with a '/'", f.Name, p)
		}
	}
	return nil
}
