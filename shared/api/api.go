// Package api holds the JSON types of the public HTTP API, with no behaviour
// beyond translating from the domain. Names are snake_case, instants RFC 3339
// UTC, durations integers with their unit in the name.
package api

import (
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Error is the body of every error answer.
type Error struct {
	Code    int    `json:"code"`    // the HTTP status again, as Netlify's API has it
	Kind    string `json:"kind"`    // see package fault
	Message string `json:"message"` // what was being done, what is wrong, what to do
}

// Invocation is the body of GET /.nightshift/invocations/<id>.
type Invocation struct {
	ID            string             `json:"id"`
	Site          string             `json:"site"`
	Deploy        string             `json:"deploy"`
	Function      string             `json:"function"`
	Kind          function.Kind      `json:"kind"`
	State         invocation.State   `json:"state"`
	CreatedAt     time.Time          `json:"created_at"`
	StartedAt     *time.Time         `json:"started_at"`
	FinishedAt    *time.Time         `json:"finished_at"`
	NextAttemptAt *time.Time         `json:"next_attempt_at,omitempty"`
	Tick          *time.Time         `json:"tick,omitempty"`
	NotBefore     *time.Time         `json:"not_before,omitempty"`
	ReplayOf      string             `json:"replay_of,omitempty"` // ID of the invocation whose event this one repeats
	Callback      *Callback          `json:"callback,omitempty"`
	Attempts      []Attempt          `json:"attempts"`
	Result        *invocation.Result `json:"result"` // null in a list
}

// Attempt is one try.
type Attempt struct {
	Number     int                 `json:"number"`
	Worker     string              `json:"worker"`
	StartedAt  time.Time           `json:"started_at"`
	FinishedAt *time.Time          `json:"finished_at"`
	Outcome    invocation.Outcome  `json:"outcome,omitempty"`
	Error      *invocation.Failure `json:"error,omitempty"`
}

// FromInvocation translates a record.
func FromInvocation(inv invocation.Invocation) Invocation {
	out := Invocation{
		ID: inv.ID, Site: inv.Site, Deploy: inv.Deploy, Function: inv.Function, Kind: inv.Kind, State: inv.State,
		CreatedAt: inv.CreatedAt.UTC(), StartedAt: instant(inv.StartedAt), FinishedAt: instant(inv.FinishedAt),
		NextAttemptAt: instant(inv.NextAttemptAt), Tick: instant(inv.Tick),
		NotBefore: instant(inv.NotBefore), ReplayOf: inv.ReplayOf,
		Attempts: make([]Attempt, 0, len(inv.Attempts)), Result: inv.Result,
	}
	for _, a := range inv.Attempts {
		out.Attempts = append(out.Attempts, Attempt{
			Number: a.Number, Worker: a.Worker, StartedAt: a.StartedAt.UTC(), FinishedAt: instant(a.FinishedAt),
			Outcome: a.Outcome, Error: a.Error,
		})
	}
	if c := inv.Callback; c != nil {
		out.Callback = &Callback{URL: c.URL, State: c.State, Attempts: c.Attempts, Error: c.Error}
	}
	return out
}

// instant is null on the wire for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// File is the answer to the upload of a static file.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Function is a function with what people want to know about it.
type Function struct {
	Name string `json:"name"`
	// Kind and Runtime are empty in a deploy whose maker lets the code say them,
	// until that has been sent.
	Kind     function.Kind `json:"kind"`
	Runtime  string        `json:"runtime"` // node, or provided for a program
	URLs     []string      `json:"urls"`
	Methods  []string      `json:"methods,omitempty"` // that the URLs answer to; empty: all
	Schedule string        `json:"schedule,omitempty"`
	Timezone string        `json:"timezone,omitempty"`
	// NextRuns are the next fire times of a scheduled function.
	NextRuns  []time.Time `json:"next_runs,omitempty"`
	TimeoutMS int64       `json:"timeout_ms"`
	// RateLimit bounds how often it may be called; see package function.
	RateLimit *function.RateLimit `json:"rate_limit,omitempty"`
	// PreferStatic lets a static file of the same path win.
	PreferStatic bool   `json:"prefer_static,omitempty"`
	Source       string `json:"source,omitempty"`
}

// FromFunction translates a function that is reached by urls.
func FromFunction(f *function.Function, urls []string) Function {
	return Function{
		Name: f.Name, Kind: f.Kind, Runtime: f.Runtime, URLs: append([]string{}, urls...), Methods: f.Methods, Schedule: f.Schedule, Timezone: f.Timezone,
		TimeoutMS: f.Timeout().Milliseconds(), RateLimit: f.RateLimit, PreferStatic: f.PreferStatic, Source: f.Source,
	}
}

// Worker is a live worker.
type Worker struct {
	ID          string    `json:"id"`
	Addr        string    `json:"addr"` // host:port where it takes sync calls
	StartedAt   time.Time `json:"started_at"`
	Concurrency int       `json:"concurrency"` // queued invocations at once
	Capacity    int       `json:"capacity"`    // function processes at once
	Busy        int       `json:"busy"`        // processes that run an attempt
	Warm        int       `json:"warm"`        // idle processes with a function loaded
	Draining    bool      `json:"draining"`
}

// LogLine is one line that an attempt wrote. An invocation's log is an array of them.
type LogLine = invocation.LogLine
