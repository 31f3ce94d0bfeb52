// Package store keeps what must outlive a process: invocation records with
// their attempts, results and logs; sites and deploys; live workers; schedule
// cursors. All of it is in Redis, and this package makes every key of it.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// Options are the same for all services of an installation.
type Options struct {
	// Retention is how long a finished record is kept. Default 168h; 1m or more.
	Retention time.Duration
	// DeadRetention is the same for records in state dead. Default 720h.
	DeadRetention time.Duration
	// MaxLogLines is how many log lines an invocation keeps, newest. Default 10,000.
	MaxLogLines int
}

// Store is safe for concurrent use.
type Store struct{}

// New makes a store. The caller keeps rdb.
func New(rdb redis.UniversalClient, opts Options) *Store { panic("stub") }

// Errors that callers act on. Everything else is a fault (NotFound, Unavailable).
var (
	// ErrFinished: the invocation is in a terminal state; acknowledge the task.
	ErrFinished = errors.New("the invocation is already finished")
	// ErrFenced: a newer attempt owns the invocation; drop what you have.
	ErrFenced = errors.New("a newer attempt owns the invocation")
)

// ---- invocations

// Create is the step that makes a record in state queued, in the same script
// that enqueues its task. Its Check returns 0 when the record is there already.
func (s *Store) Create(inv invocation.Invocation, event []byte) redisdb.Step { panic("stub") }

// Begun is an attempt that may run.
type Begun struct {
	Invocation invocation.Invocation // with the new attempt as its last one
	Event      []byte
	Attempt    int
	Failures   int // earlier attempts that count against the retry limit
}

// Begin opens the next attempt. An attempt that was still open is closed as
// worker_lost; after invocation.MaxCrashes of those the invocation is dead
// instead and Begin returns ErrFinished, as it does for every terminal state,
// and for a cancelled one. Without a record (expired): fault.NotFound.
func (s *Store) Begin(ctx context.Context, kind function.Kind, id, worker string) (Begun, error) {
	panic("stub")
}

// End is how an attempt ended.
type End struct {
	Outcome invocation.Outcome
	Failure *invocation.Failure
	Result  *invocation.Result
	Verdict invocation.Verdict
}

// Finish closes an attempt and moves the invocation to the verdict's state. It
// returns ErrFenced if the attempt is not the open, newest one. Doing it twice
// (a lost reply) is nil the second time.
func (s *Store) Finish(ctx context.Context, kind function.Kind, id string, attempt int, end End) error {
	panic("stub")
}

// Cancel asks for an end. Queued and failed invocations become cancelled at
// once; of a running one the worker is told, and the state returned is still
// running. Terminal: fault.Conflict. Unknown: fault.NotFound.
func (s *Store) Cancel(ctx context.Context, id string) (invocation.State, error) { panic("stub") }

// WatchCancels calls fn with the ID of each running invocation that is to be
// cancelled, until ctx ends. It misses some when the connection breaks, so
// callers also poll CancelRequested.
func (s *Store) WatchCancels(ctx context.Context, fn func(id string)) error { panic("stub") }

// CancelRequested returns those of the invocations that are to be cancelled.
func (s *Store) CancelRequested(ctx context.Context, kind function.Kind, ids []string) ([]string, error) {
	panic("stub")
}

// Invocation reads a record, or fault.NotFound.
func (s *Store) Invocation(ctx context.Context, id string) (invocation.Invocation, error) {
	panic("stub")
}

// ---- logs

// LogSource says who wrote log lines.
type LogSource struct {
	Site       string        `json:"site"`
	Deploy     string        `json:"deploy"`
	Function   string        `json:"function"`
	Kind       function.Kind `json:"kind"`
	Invocation string        `json:"invocation"`
}

// LogEntry is a line of the live feed.
type LogEntry struct {
	LogSource
	invocation.LogLine
}

// AppendLog adds lines to the invocation's log, if it has a record (sync calls
// have none) and the attempt is its newest, and sends them to the live feed.
func (s *Store) AppendLog(ctx context.Context, src LogSource, lines []invocation.LogLine) error {
	panic("stub")
}

// Log reads up to limit lines after the cursor ("" is the beginning).
func (s *Store) Log(ctx context.Context, id, after string, limit int) ([]invocation.LogLine, error) {
	panic("stub")
}

// FollowLog calls emit for each line after the cursor, waits for more, and
// returns nil once the invocation is terminal and its last line was emitted,
// or the error that emit or ctx gave.
func (s *Store) FollowLog(ctx context.Context, id, after string, emit func(invocation.LogLine) error) error {
	panic("stub")
}

// WatchLogs calls fn for each line that any function of the site writes from
// now on, until ctx ends. Best effort: a slow reader misses lines. ready, if
// not nil, is closed once the subscription stands.
func (s *Store) WatchLogs(ctx context.Context, site string, ready chan<- struct{}, fn func(LogEntry)) error {
	panic("stub")
}

// ---- catalog: sites and deploys

// CreateDeploy stores a new deploy. Same ID twice: fault.Conflict.
func (s *Store) CreateDeploy(ctx context.Context, d deploy.Deploy) error { panic("stub") }

// SetDeployState moves a deploy from uploading to ready or error.
// Already there: nil. Any other move: fault.Conflict.
func (s *Store) SetDeployState(ctx context.Context, id string, to deploy.State) error { panic("stub") }

// Publish points the site at a deploy of it that is ready, else fault.Conflict.
// It makes the site if there is none, and tells everybody who watches.
func (s *Store) Publish(ctx context.Context, site, deployID string) error { panic("stub") }

// Deploy reads a deploy, or fault.NotFound.
func (s *Store) Deploy(ctx context.Context, id string) (deploy.Deploy, error) { panic("stub") }

// Deploys lists a site's deploys, newest first.
func (s *Store) Deploys(ctx context.Context, site string, limit int) ([]deploy.Deploy, error) {
	panic("stub")
}

// Catalog is what all callers route by: each site's published deploy.
type Catalog struct {
	Version   int64                    // grows with each publish
	Published map[string]deploy.Deploy // by site name; sites without a published deploy are absent
}

// Catalog reads the whole catalog.
func (s *Store) Catalog(ctx context.Context) (Catalog, error) { panic("stub") }

// CatalogVersion reads only the version: one GET.
func (s *Store) CatalogVersion(ctx context.Context) (int64, error) { panic("stub") }

// WatchCatalog calls fn with the catalog: once at the start, and after each
// change, within a second, until ctx ends. Pub/sub tells it at once; a version
// check each second catches what pub/sub lost. While Redis is away it keeps quiet
// and goes on afterwards.
func (s *Store) WatchCatalog(ctx context.Context, fn func(Catalog)) error { panic("stub") }

// ---- workers

// Worker is a live worker, as it reports itself.
type Worker struct {
	ID          string         `json:"id"`
	Addr        string         `json:"addr"` // host:port where it takes sync calls
	StartedAt   time.Time      `json:"started_at"`
	Concurrency int            `json:"concurrency"` // queued deliveries at once
	Capacity    int            `json:"capacity"`    // function processes at once
	Busy        int            `json:"busy"`        // processes running an attempt
	Warm        map[string]int `json:"warm"`        // idle processes by WarmKey
	Draining    bool           `json:"draining"`
}

// WarmKey names a function of a deploy in Worker.Warm.
func WarmKey(deployID, function string) string { return deployID + "/" + function }

// Heartbeat reports a worker as alive for the ttl.
func (s *Store) Heartbeat(ctx context.Context, w Worker, ttl time.Duration) error { panic("stub") }

// Withdraw takes a worker off the list at once.
func (s *Store) Withdraw(ctx context.Context, id string) error { panic("stub") }

// Workers lists the live workers, by ID. Expired ones are left out and removed.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) { panic("stub") }

// ---- schedules

// Reasons with which Fire's Check stops a script.
const (
	FireAlready    = -1 // the cursor has passed this tick: somebody fired it
	FireSuperseded = -2 // a newer term leads: stop being the leader
	FireUnknown    = -3 // the cursor is gone: the schedule was dropped or changed
)

// BeginTerm starts a new term of leadership and returns its number. All writes
// of lower terms are refused from then on.
func (s *Store) BeginTerm(ctx context.Context) (int64, error) { panic("stub") }

// Cursors reads all schedule cursors: by schedule key, the last tick that was
// fired or skipped, or the moment at which the schedule was first seen.
func (s *Store) Cursors(ctx context.Context) (map[string]time.Time, error) { panic("stub") }

// SyncCursors makes the set of cursors equal to keys: new ones start at Redis's
// now, others are dropped, those that stay keep their place. It returns the
// resulting cursors, or ErrSuperseded.
func (s *Store) SyncCursors(ctx context.Context, term int64, keys []string) (map[string]time.Time, error) {
	panic("stub")
}

// ErrSuperseded: a newer term leads.
var ErrSuperseded = errors.New("a newer term leads")

// Fire is the step that advances a schedule's cursor to a tick, in the same
// script that enqueues the tick's task. Check returns one of the reasons above.
func (s *Store) Fire(term int64, key string, tick time.Time) redisdb.Step { panic("stub") }

// Skip advances a cursor without firing, with the same checks.
func (s *Store) Skip(ctx context.Context, term int64, key string, tick time.Time) error {
	panic("stub")
}
