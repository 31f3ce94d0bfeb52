// Package queue is the seam to asynq, and its only importer.
package queue

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// Target is a task's payload: who is to be called. The event itself stands in
// the invocation's record, so asynq's heartbeat never copies it and asynqmon
// shows something readable.
type Target struct {
	Site     string `json:"site"`
	Deploy   string `json:"deploy"`
	Function string `json:"function"`
}

// Task is one invocation on its way to a worker.
type Task struct {
	ID     string        // the invocation's ID; enqueuing the same ID twice enqueues once
	Queue  function.Kind // Background or Scheduled: each kind is a queue, and a priority class
	Target Target
	// Timeout is the function's own limit. asynq's stands 30 s above it.
	Timeout time.Duration
}

// Enqueued says what became of a task.
type Enqueued int

// Client puts tasks into queues.
type Client struct{}

// NewClient makes a client. With pipelined true, concurrent calls share round
// trips (go-redis AutoPipeline): the gateway's way. The caller keeps rdb.
func NewClient(rdb redis.UniversalClient, pipelined bool) (*Client, error) { panic("stub") }

// Enqueue stores the task together with the steps, atomically and durably, or
// not at all. It detaches from ctx's cancellation (the caller's client hanging
// up must not leave it open whether the task is accepted) and gives up after
// 2 s. stopped is 0 if the task is in the queue, now or by an earlier try whose
// reply was lost, else the integer with which a step's Check refused... see Step.
// Errors are fault.Unavailable: Redis did not take it, or nobody can say whether it did.
func (c *Client) Enqueue(ctx context.Context, t Task, steps ...redisdb.Step) (verdict int, err error) {
	panic("stub")
}

// Close releases what NewClient made.
func (c *Client) Close() error { panic("stub") }

// Delivery is a task that a worker was given.
type Delivery struct {
	ID     string
	Queue  function.Kind
	Target Target
}

// Disposition says what is to happen with a delivered task.
type Disposition struct { /* made by Done, RetryIn, Bury, HandBack */
}

// Done acknowledges: the task is gone.
func Done() Disposition { panic("stub") }

// RetryIn delivers the task again after d.
func RetryIn(d time.Duration) Disposition { panic("stub") }

// Bury moves the task to asynq's archive, where asynqmon shows it; reason is
// shown with it. Our own record is what counts.
func Bury(reason string) Disposition { panic("stub") }

// HandBack puts the task back at the head of its queue, uncounted: a draining worker's way.
func HandBack() Disposition { panic("stub") }

// Handler runs one delivery and says what is to happen with it. ctx is
// cancelled when the server stops for good or loses the task's lease
// (context.Cause tells which: ErrStopping, ErrLeaseLost); the handler must then
// return soon. It never carries the function's deadline: that is the handler's.
type Handler func(ctx context.Context, d Delivery) Disposition

// ServerConfig configures a Server.
type ServerConfig struct {
	Redis redis.UniversalClient
	// Concurrency is how many deliveries run at once, 1 or more.
	Concurrency int
	// Loops is how many asynq servers share the concurrency; each dequeues one
	// task per round trip. Default 2, at most Concurrency.
	Loops   int
	Handler Handler
	Logger  *slog.Logger
}

// Server consumes both queues, scheduled before background.
type Server struct{}

// NewServer validates the configuration.
func NewServer(cfg ServerConfig) (*Server, error) { panic("stub") }

// Start begins to pull tasks.
func (s *Server) Start() error { panic("stub") }

// Pause stops pulling; running deliveries go on. Idempotent.
func (s *Server) Pause() { panic("stub") }

// Stop pauses, waits for running deliveries until ctx ends, then cancels them
// with ErrStopping and waits for their handlers. Idempotent.
func (s *Server) Stop(ctx context.Context) error { panic("stub") }

// Reaper hands tasks of dead workers back to their queues.
type Reaper struct{}

// NewReaper makes a reaper.
func NewReaper(rdb redis.UniversalClient, log *slog.Logger) *Reaper { panic("stub") }

// Sweep does one round and returns how many tasks it handed back.
func (r *Reaper) Sweep(ctx context.Context) (int, error) { panic("stub") }

var _ = json.Marshal
