package queue

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

const (
	// enqueueTimeout bounds Enqueue.
	enqueueTimeout = 2 * time.Second
	// timeoutMargin is what asynq's timeout stands above the function's: asynq
	// frees the slot and forgets the handler's verdict at its own timeout, so
	// the handler must always be done before.
	timeoutMargin = 30 * time.Second
	// noRetryLimit keeps asynq from ever archiving a task by itself.
	noRetryLimit = math.MaxInt32
)

//go:embed enqueue.lua
var enqueueBody string

var enqueueTemplate = script.NewTemplate(laneBody(enqueueBody))

// Verdicts of [Client.Enqueue] that do not come from a step's own convention.
const (
	// Queued: the task is in its queue, and all steps are applied.
	Queued = 1
	// Existed is what a step's Check returns, by convention, when its work was
	// done by an earlier try whose reply was lost.
	Existed = 0
)

// Client puts tasks into queues. It is safe for concurrent use.
type Client struct {
	asynq *asynq.Client
	redis *enqueueClient
}

// NewClient makes a client. With pipelined true, concurrent calls share round
// trips and scripts: the way of the gateway and the scheduler. A lone call is as
// fast either way. The caller keeps rdb, and closes it after the client.
func NewClient(rdb redis.UniversalClient, pipelined bool) (*Client, error) {
	if rdb == nil {
		return nil, fault.New(fault.Internal, "queue.NewClient needs a Redis client")
	}
	c := &enqueueClient{UniversalClient: rdb}
	cfg := script.Config{Redis: rdb, Timeout: enqueueTimeout, Flights: math.MaxInt}
	if pipelined {
		cfg.Flights = script.Flights
	}
	cfg.Send = c.send
	c.batch = script.NewBatcher(cfg)
	return &Client{asynq: asynq.NewClientFromRedisClient(c), redis: c}, nil
}

// Enqueue stores the task together with the steps, atomically, or not at all.
//
// It detaches from ctx's cancellation (the caller's client hanging up must not
// leave it open whether the task is accepted) and gives up after 2 s.
//
// The verdict, if err is nil:
//
//   - [Queued] (1): the task is in its queue, now or from an earlier try with
//     the same ID, and every step's Apply has run. A task of that ID that was
//     buried is taken out of the archive and runs anew.
//   - anything else is the integer with which the first unwilling step's Check
//     stopped the script; then this call has written nothing. [Existed] (0)
//     means by convention that an earlier try had stored everything and only
//     its reply was lost: a caller that chose a fresh ID treats it as accepted.
//
// Steps are checked in the order given. A step that says "done already" for a
// part of the work only (a record) must stand after those that fence (a cursor).
//
// Errors: [fault.Unavailable] with RetryAfter if Redis did not take the task, or
// nobody can say whether it did; trying again with the same ID is safe. A task
// that makes no sense, and a step whose Lua breaks, are [fault.Internal]: bugs.
func (c *Client) Enqueue(ctx context.Context, t Task, steps ...redisdb.Step) (verdict int, err error) {
	if err := t.validate(); err != nil {
		return 0, err
	}
	payload, err := json.Marshal(t.Target)
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "encoding the target of task %s", t.ID)
	}
	p := &plan{task: &t, steps: steps}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueTimeout)
	defer cancel()
	_, err = c.asynq.EnqueueContext(context.WithValue(ctx, planKey{}, p), asynq.NewTask(taskType, payload),
		asynq.TaskID(t.ID),
		asynq.Queue(string(t.Queue)),
		asynq.MaxRetry(noRetryLimit),
		asynq.Timeout(asynqTimeout(t.Timeout)))
	if err != nil {
		if p.err != nil {
			err = p.err // asynq keeps only the text of it
		}
		return 0, enqueueFault(err, t.ID)
	}
	return p.verdict, nil
}

// Close waits for the round trips under way, at most 2 s. There must be no
// Enqueue after it.
func (c *Client) Close() error {
	c.redis.batch.Wait()
	return nil
}

func (t *Task) validate() error {
	switch {
	case t.ID == "" || strings.ContainsAny(t.ID, "{} \t\n"):
		return fault.New(fault.Internal, "enqueuing a task: the ID %q is empty or has a brace or a space", t.ID)
	case !isQueue(t.Queue):
		return fault.New(fault.Internal, "enqueuing task %s: there is no queue %q, only background and scheduled", t.ID, t.Queue)
	case strings.Contains(t.Target.Function, "/"):
		return fault.New(fault.Internal, "enqueuing task %s: the function %q has a slash", t.ID, t.Target.Function)
	case t.Concurrency < 0:
		return fault.New(fault.Internal, "enqueuing task %s: the concurrency is %d and must be 0 or more", t.ID, t.Concurrency)
	case t.Timeout <= 0:
		return fault.New(fault.Internal, "enqueuing task %s: the timeout is %v and must be more than 0", t.ID, t.Timeout)
	}
	return nil
}

// asynqTimeout rounds up to whole seconds: asynq cuts the rest off, and takes a
// timeout below one second for none.
func asynqTimeout(own time.Duration) time.Duration {
	return (own + timeoutMargin + time.Second - 1).Truncate(time.Second)
}

// enqueueFault says whose fault it is. Everything that Redis, the network or a
// deadline did is Unavailable; a script that Redis cannot run is a bug of ours.
func enqueueFault(err error, id string) error {
	if errors.Is(err, errReplicas) {
		return fault.Wrap(err, fault.Unavailable, "The call is stored, but not on as many replicas as it should be. It may run all the same, and may get lost.").After(2 * time.Second)
	}
	if script.Broken(err) || fault.KindOf(err) == fault.Internal && isFault(err) {
		return fault.Wrap(err, fault.Internal, "enqueuing task %s", id)
	}
	return fault.Wrap(err, fault.Unavailable, "The queue does not take work at the moment. Try again in a few seconds.").After(2 * time.Second)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// plan rides on the context through asynq to [enqueueClient.EvalSha].
type plan struct {
	task    *Task
	steps   []redisdb.Step
	verdict int
	err     error
}

type planKey struct{}

// enqueueClient is the Redis that our asynq.Client sees: where asynq runs its
// enqueue script, ours runs instead, with the steps in it.
type enqueueClient struct {
	redis.UniversalClient
	batch *script.Batcher
	// replicas is how many of them must have a task before its caller is told.
	replicas int
}

// EvalSha replaces the one script that asynq's client runs.
func (c *enqueueClient) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	p, ok := ctx.Value(planKey{}).(*plan)
	if !ok || !enqueueShape.matches(keys, args) {
		cmd.SetErr(fault.New(fault.Internal, "asynq runs an enqueue script of an unknown shape: %d keys, %d arguments", len(keys), len(args)))
		return cmd
	}
	if p.verdict, p.err = c.enqueue(ctx, p, args[0]); p.err != nil {
		cmd.SetErr(p.err)
		return cmd
	}
	cmd.SetVal(int64(1)) // asynq need not know the verdict
	return cmd
}

// enqueue runs our script. Of what asynq gave its own, the message is what we
// cannot make.
func (c *enqueueClient) enqueue(ctx context.Context, p *plan, message any) (verdict int, err error) {
	call, err := enqueueCall(p, message)
	if err != nil {
		return 0, err
	}
	return verdictOf(c.batch.Do(ctx, call))
}

// verdictOf reads the answer of a script in which steps ride.
func verdictOf(result any, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	verdict, ok := result.(int64)
	if !ok {
		return 0, errors.New("the script answered no integer (user_script)")
	}
	return int(verdict), nil
}

func enqueueCall(p *plan, message any) (script.Call, error) {
	s, err := enqueueTemplate.With(p.steps)
	if err != nil {
		return script.Call{}, err
	}
	t, notBefore := p.task, int64(0)
	if !t.NotBefore.IsZero() {
		notBefore = t.NotBefore.UnixMilli()
	}
	keys, args := script.Operands([]any{message, t.ID, t.Target.lane(), t.Concurrency, notBefore}, p.steps)
	return script.Call{Script: s, Shared: laneKeys(t.Queue), Keys: keys, Args: args}, nil
}
