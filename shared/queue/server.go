package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

const (
	defaultLoops = 1
	// panicDelay is when a task is run again whose handler panicked.
	panicDelay = time.Minute
	// obeyTime is how long handlers may take to return after ErrStopping. asynq
	// takes the tasks of slower ones from them.
	obeyTime = 30 * time.Second
	// delayedInterval is how often asynq asks for tasks that are due, which costs
	// Redis only something when it is time: see looks.
	delayedInterval = time.Second
	// never is for the upkeep of asynq that one loop does for all.
	never = 365 * 24 * time.Hour
)

// Causes of the end of a handler's context.
var (
	// ErrStopping: the server stops for good. The handler ends its work and
	// returns, as a rule with [HandBack].
	ErrStopping = errors.New("the server is stopping")
	// ErrLeaseLost: the task is no longer this worker's. Redis was out of reach
	// for longer than the lease, or an operator cancelled the task with asynq's
	// own tools. Whatever the handler returns is ignored.
	ErrLeaseLost = errors.New("the lease of the task is lost")
)

// Handler runs one delivery and says what is to happen with it. ctx is
// cancelled when the server stops for good or loses the task's lease
// (context.Cause tells which: [ErrStopping], [ErrLeaseLost]); the handler must
// then return soon. It never carries the function's deadline: that is the
// handler's, and the handler must return within [Task].Timeout + 30 s.
// A panic is logged, and the task runs again after a minute.
type Handler func(ctx context.Context, d Delivery) Disposition

// ServerConfig configures a Server.
type ServerConfig struct {
	// Redis is used as it is: no hooks are added, and the caller closes it after
	// Stop. From a *redis.Client or *redis.ClusterClient the server derives one
	// more client, with a connection per queue, for commands that block.
	Redis redis.UniversalClient
	// Concurrency is how many deliveries run at once, 1 or more.
	Concurrency int
	// Loops is how many asynq servers share the concurrency; each takes tasks in
	// round trips of its own. Default 1, at most Concurrency.
	Loops   int
	Handler Handler
	// Settler, if set, is with what the handler ends deliveries by itself.
	Settler *Settler
	Logger  *slog.Logger
}

// Server consumes both queues, scheduled before background.
// It goes New → Start → (Pause) → Stop, once.
type Server struct {
	cfg      ServerConfig
	waker    *waker
	clock    *clock
	blocking redis.UniversalClient // derived, or nil
	loops    []*asynq.Server
	clients  []*loopClient // of the loops
	handed   atomic.Int64  // hand-backs so far
	due      dueTimes
	looks    *looks
	read     lastTarget

	ctx    context.Context // ends with ErrStopping
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	started bool
	running int
	idle    chan struct{} // closed while running is 0

	pause    sync.Once
	shutdown sync.Once
}

// NewServer validates the configuration. Redis need not be there yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Loops == 0 {
		cfg.Loops = min(defaultLoops, cfg.Concurrency)
	}
	switch {
	case cfg.Redis == nil || cfg.Handler == nil || cfg.Logger == nil:
		return nil, fault.New(fault.Internal, "queue.NewServer needs Redis, Handler and Logger")
	case cfg.Concurrency < 1:
		return nil, fault.New(fault.Invalid, "the concurrency is %d and must be 1 or more", cfg.Concurrency)
	case cfg.Loops < 1 || cfg.Loops > cfg.Concurrency:
		return nil, fault.New(fault.Invalid, "the number of loops is %d and must be 1 to %d, the concurrency", cfg.Loops, cfg.Concurrency)
	}
	s := &Server{cfg: cfg, looks: newLooks(), idle: make(chan struct{})}
	close(s.idle)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.blocking = derive(cfg.Redis)
	wakeOn := s.blocking
	if wakeOn == nil {
		wakeOn = cfg.Redis
	}
	s.waker = newWaker(wakeOn, cfg.Logger)
	s.clock = &clock{rdb: cfg.Redis, log: cfg.Logger, now: time.Now}
	for i := range cfg.Loops {
		s.loops = append(s.loops, s.newLoop(i))
	}
	return s, nil
}

func (s *Server) newLoop(i int) *asynq.Server {
	concurrency := s.cfg.Concurrency / s.cfg.Loops
	if i < s.cfg.Concurrency%s.cfg.Loops {
		concurrency++
	}
	priorities := make(map[string]int, len(queues))
	for rank, q := range queues {
		priorities[string(q)] = len(queues) - rank
	}
	rdb := &loopClient{
		UniversalClient: s.cfg.Redis, waker: s.waker, clock: s.clock, due: &s.due, looks: s.looks, settler: s.cfg.Settler,
		server: uuid.NewString(), log: s.cfg.Logger, slots: concurrency, empty: map[function.Kind]time.Time{},
	}
	s.clients = append(s.clients, rdb)
	cfg := asynq.Config{
		Concurrency:              concurrency,
		Queues:                   priorities,
		StrictPriority:           true, // a fixed order, so that the last queue is known
		TaskCheckInterval:        1,    // the pause is loopClient's
		DelayedTaskCheckInterval: delayedInterval,
		JanitorInterval:          never, // of tasks that are kept when they are done: ours are gone
		ShutdownTimeout:          obeyTime,
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			return delay(err, s.handed.Add(1))
		},
		IsFailure: func(err error) bool { _, failed := errors.AsType[retryError](err); return failed },
		Logger:    asynqLog{s.cfg.Logger},
		LogLevel:  asynq.InfoLevel,
	}
	if i > 0 {
		// The first loop's upkeep serves all: it looks at the same keys.
		cfg.DelayedTaskCheckInterval = never
	}
	return asynq.NewServerFromRedisClient(rdb, cfg)
}

// derive makes a client for blocking commands, so that closing it ends them and
// they never hold the connections that others wait for. It is nil for kinds of
// client that it does not know; then the caller's is used, and Pause waits up to
// 6 s for the commands under way.
func derive(rdb redis.UniversalClient) redis.UniversalClient {
	switch rdb := rdb.(type) {
	case *redis.Client:
		opts := *rdb.Options()
		opts.PoolSize, opts.MinIdleConns, opts.MaxRetries = len(queues), 0, -1
		opts.PushNotificationProcessor = nil // holds handlers of that client's; each has its own
		return redis.NewClient(&opts)
	case *redis.ClusterClient:
		opts := *rdb.Options()
		opts.PoolSize, opts.MinIdleConns = len(queues), 0
		opts.PushNotificationProcessor = nil
		return redis.NewClusterClient(&opts)
	default:
		return nil
	}
}

// Start begins to pull tasks. A second Start is an error.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.ctx.Err() != nil || s.waker.stopped() {
		return fault.New(fault.Internal, "the queue server was started before, or is stopped")
	}
	s.started = true
	s.waker.start()
	for i, loop := range s.loops {
		client := s.clients[i]
		if err := loop.Start(asynq.HandlerFunc(func(lease context.Context, t *asynq.Task) error {
			defer client.returned()
			grow()
			return s.process(lease, t)
		})); err != nil {
			return fault.Wrap(err, fault.Internal, "starting loop %d of the queue server", i+1)
		}
	}
	return nil
}

// Pause stops pulling and returns when no further task will be taken; running
// deliveries go on, and keep their leases. It cannot be undone. Idempotent.
func (s *Server) Pause() {
	s.pause.Do(func() {
		s.waker.stop()
		if s.blocking != nil {
			_ = s.blocking.Close() // ends the blocking commands; there is nothing to lose
		}
		var all sync.WaitGroup
		for _, loop := range s.loops {
			all.Go(loop.Stop)
		}
		all.Wait()
		s.waker.running.Wait()
		for _, client := range s.clients {
			client.giveBack()
		}
	})
}

// Stop pauses, waits for running deliveries until ctx ends, then cancels them
// with [ErrStopping] and waits for their handlers. It returns when the last
// acknowledgement is written. A handler that has not returned 30 s after its
// cancellation loses its task to other workers, and Stop says so in its error.
// Idempotent; a second, more impatient Stop shortens the first.
func (s *Server) Stop(ctx context.Context) error {
	s.Pause()
	select {
	case <-s.whenIdle():
	case <-ctx.Done():
	}
	s.cancel(ErrStopping)
	s.shutdown.Do(func() {
		var all sync.WaitGroup
		for _, loop := range s.loops {
			all.Go(loop.Shutdown)
		}
		all.Wait()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running > 0 {
		return fmt.Errorf("stopping the queue server: %d handlers did not return within %v of being cancelled; their tasks are back in the queue", s.running, obeyTime)
	}
	return nil
}

// stack is what a handler may need, in bytes, of which a goroutine has 2 KB at first.
const stack = 7 << 10

// grow makes room on the stack. Without it the stack of each task's goroutine, of
// which asynq makes a new one, is copied three times on the way down, with all that
// is on it by then; here nothing is.
//
//go:noinline
func grow() {
	var room [stack]byte
	runtime.KeepAlive(&room)
}

// process is asynq's handler.
func (s *Server) process(lease context.Context, t *asynq.Task) error {
	id, _ := asynq.GetTaskID(lease)
	queue, _ := asynq.GetQueueName(lease)
	target, err := s.read.target(t.Payload())
	if err != nil {
		return buryError{"the payload is not a target: " + err.Error()}
	}
	d := Delivery{ID: id, Queue: function.Kind(queue), Target: target}
	if !s.enter() {
		return errHandBack // pulled at the very moment of Stop
	}
	defer s.leave()

	// asynq's context carries its own deadline and says no cause. All its ends
	// mean one thing to the handler.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(lease))
	defer cancel(nil)
	defer context.AfterFunc(lease, func() { cancel(ErrLeaseLost) })()
	defer context.AfterFunc(s.ctx, func() { cancel(ErrStopping) })()
	s.due.forget(id)
	s.cfg.Settler.took(id) // by an earlier delivery, whose lease was over before asynq asked
	err = s.handle(ctx, d)
	if retry, ok := errors.AsType[retryError](err); ok {
		s.due.set(id, retry.after)
	}
	return err
}

// lastTarget is the payload that was read last, with what it says: all calls of a
// function have the same one, and they often come one after the other.
type lastTarget struct{ last atomic.Pointer[readTarget] }

type readTarget struct {
	payload []byte
	target  Target
}

// target reads a payload.
func (r *lastTarget) target(payload []byte) (Target, error) {
	if last := r.last.Load(); last != nil && bytes.Equal(last.payload, payload) {
		return last.target, nil
	}
	var t Target
	if err := json.Unmarshal(payload, &t); err != nil {
		return Target{}, err
	}
	r.last.Store(&readTarget{payload, t})
	return t, nil
}

func (s *Server) handle(ctx context.Context, d Delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Logger.Error("the task handler panicked", "invocation", d.ID, "site", d.Target.Site, "function", d.Target.Function, "queue", string(d.Queue),
				"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = retryError{panicDelay}
		}
	}()
	return s.cfg.Handler(ctx, d).err
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	if s.running == 0 {
		s.idle = make(chan struct{})
	}
	s.running++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.running == 0 {
		close(s.idle)
	}
}

func (s *Server) whenIdle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle
}

// asynqLog passes asynq's log on. What asynq calls information is its own
// life cycle, of no use to an operator of ours.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) {}
func (l asynqLog) Info(args ...any)  { l.log.Debug("asynq says", "text", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq warns", "text", fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) {
	l.log.Error("asynq reports an error", "text", fmt.Sprint(args...))
}

// Fatal does not end the process, as asynq's own logger does: that is main's.
func (l asynqLog) Fatal(args ...any) { l.Error(args...) }
