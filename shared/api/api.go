// Package api holds the JSON types of the public HTTP API, with no behaviour
// beyond translating from the domain. Names are snake_case, instants RFC 3339
// UTC, durations integers with their unit in the name.
package api

import (
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
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
	Attempts      []Attempt          `json:"attempts"`
	Result        *invocation.Result `json:"result"`
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
		Attempts: make([]Attempt, 0, len(inv.Attempts)), Result: inv.Result,
	}
	for _, a := range inv.Attempts {
		out.Attempts = append(out.Attempts, Attempt{
			Number: a.Number, Worker: a.Worker, StartedAt: a.StartedAt.UTC(), FinishedAt: instant(a.FinishedAt),
			Outcome: a.Outcome, Error: a.Error,
		})
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

// CreateDeploy is the body of POST /api/v1/sites/{site}/deploys.
type CreateDeploy struct {
	// Draft keeps the deploy unpublished: it is reachable on its permalink only.
	Draft     bool                `json:"draft"`
	Branch    string              `json:"branch,omitempty"`
	Functions []function.Function `json:"functions"`
	// Files are the static files by path, without a slash in front.
	Files map[string]deploy.File `json:"files,omitempty"`
	// Redirects and Headers are rules for the paths of the site, in order.
	Redirects []deploy.Redirect   `json:"redirects,omitempty"`
	Headers   []deploy.HeaderRule `json:"headers,omitempty"`
}

// Deploy is the answer to every call about one deploy.
type Deploy struct {
	ID        string    `json:"id"`
	Site      string    `json:"name"`
	State     string    `json:"state"`
	Branch    string    `json:"branch,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Published bool      `json:"published"`
	URL       string    `json:"url"`        // of the site
	DeployURL string    `json:"deploy_url"` // permalink of this deploy
	// Required are the digests of static files that the server does not have yet.
	// One file of each is sent with PUT /api/v1/deploys/{id}/files/{path}.
	Required []string `json:"required"`
	// RequiredFunctions are the digests that the server does not have yet. Each
	// is sent with PUT /api/v1/deploys/{id}/functions/{name}; the deploy is ready
	// (and published, unless it is a draft) once neither file nor code is missing.
	RequiredFunctions []string   `json:"required_functions"`
	Functions         []Function `json:"functions"`
	Files             int        `json:"file_count"` // static files
}

// File is the answer to the upload of a static file.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Function is a function with what people want to know about it.
type Function struct {
	Name     string        `json:"name"`
	Kind     function.Kind `json:"kind"`
	Runtime  string        `json:"runtime"` // node, or provided for a program
	URLs     []string      `json:"urls"`
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
