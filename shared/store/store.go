// Package store keeps what must outlive a process: invocation records with
// their attempts, results and logs; sites and deploys; live workers; schedule
// cursors. All of it is in Redis, and this package makes every key of it.
//
// # Records
//
// A record is one hash. It stands in the hash slot of the queue that delivers
// it, so that one script makes the record and the task. Its state moves along
// invocation.CanMove only, by scripts that are given that table and check it
// inside Redis. Running means that the newest attempt is open; the number of
// that attempt is the fencing token, and whoever holds an older one is refused.
// Attempts are a journal, one line for each start and one for each end, so that
// a reader takes everything but the event in one command, and no script parses JSON.
//
// Every write may be repeated. The driver sends a command again when a
// connection breaks, and then nobody knows whether the first one got through:
// scripts that are not idempotent by nature therefore carry a token of the call
// and recognise the second arrival.
//
// # Figures
//
// What a console shows of a site (how many invocations are in which state, how
// functions ran lately) is computed of the index and the records when somebody
// looks: nothing is written for it. A call is one round trip for each of the kinds
// that have records, and of each kind it tells what holds at one moment. Entries
// of records that have expired are counted until [Store.TrimIndex] removes them.
//
// # Pins
//
// An unfinished record pins the deploy that it will run on. How many records pin
// a deploy is counted in a hash beside the records, by the scripts that make and
// finish them; each record remembers that it is counted, so that nothing counts
// twice.
//
// # Clocks
//
// Every instant that is stored or compared is Redis's own, to the millisecond.
//
// # Errors
//
// A Redis that does not answer, or refuses, is fault.Unavailable with the cause
// inside. When the caller's context has ended, the error wraps context.Canceled
// or context.DeadlineExceeded instead.
package store

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

// Options are the same for all services of an installation. The zero value is good.
type Options struct {
	// Retention is how long a finished record is kept. Default 168h; 1m or more.
	Retention time.Duration `env:"RETENTION"`
	// DeadRetention is the same for records in state dead. Default 720h; 1m or more.
	DeadRetention time.Duration `env:"DEAD_RETENTION"`
	// MaxLogLines is how many log lines an invocation keeps, newest; Redis keeps
	// up to a hundred more where that is cheaper. Default 10,000; 1 or more.
	MaxLogLines int `env:"MAX_LOG_LINES"`
}

// Defaults and limits.
const (
	defaultRetention     = 7 * 24 * time.Hour
	defaultDeadRetention = 30 * 24 * time.Hour
	defaultMaxLogLines   = 10_000
	minRetention         = time.Minute

	// sharedTimeout bounds a round trip that several callers share; one that is made
	// for one caller ends with its context.
	sharedTimeout = 5 * time.Second
	// beginGap lets attempts that begin one shortly after the other share a script.
	beginGap = time.Millisecond

	// retryAfter is when a caller may expect Redis to be back.
	retryAfter = 2 * time.Second
)

// Validate says what is wrong with the options, as fault.Invalid, or nil.
func (o Options) Validate() error {
	switch {
	case o.Retention != 0 && o.Retention < minRetention:
		return fault.New(fault.Invalid, "the retention of finished invocations is %v; it must be 1m or more", o.Retention)
	case o.DeadRetention != 0 && o.DeadRetention < minRetention:
		return fault.New(fault.Invalid, "the retention of dead invocations is %v; it must be 1m or more", o.DeadRetention)
	case o.MaxLogLines < 0:
		return fault.New(fault.Invalid, "an invocation cannot keep %d log lines; it must be 1 or more", o.MaxLogLines)
	}
	return nil
}

// withDefaults fills what is zero, and raises what Validate would refuse.
func (o Options) withDefaults() Options {
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.DeadRetention == 0 {
		o.DeadRetention = defaultDeadRetention
	}
	if o.MaxLogLines <= 0 {
		o.MaxLogLines = defaultMaxLogLines
	}
	o.Retention = max(o.Retention, minRetention)
	o.DeadRetention = max(o.DeadRetention, minRetention)
	return o
}

// Store is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	opts   Options
	begins *script.Batcher
}

// New makes a store. The caller keeps rdb. Options that [Options.Validate]
// would refuse are raised to the least that is allowed.
func New(rdb redis.UniversalClient, opts Options) *Store {
	return &Store{
		rdb: rdb, opts: opts.withDefaults(),
		begins: script.NewBatcher(script.Config{Redis: rdb, Flights: 1, Gap: beginGap, Timeout: sharedTimeout}),
	}
}

// Errors that callers act on. Everything else is a fault (NotFound, Unavailable).
var (
	// ErrFinished: the invocation is in a terminal state; acknowledge the task.
	ErrFinished = errors.New("the invocation is already finished")
	// ErrFenced: a newer attempt owns the invocation; drop what you have.
	ErrFenced = errors.New("a newer attempt owns the invocation")
	// ErrSuperseded: a newer term leads.
	ErrSuperseded = errors.New("a newer term leads")
)

// failed turns an error of the driver into one that callers can act on. doing
// says what was being done, as in "reading the catalog".
func failed(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", doing, ended)
	}
	// The driver hands the deadline to the socket, whose timer may fire a moment
	// before the context's own.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return fmt.Errorf("%s: %w", doing, context.DeadlineExceeded)
	}
	return fault.Wrap(redisdb.Explain(err), fault.Unavailable, "%s: Redis does not answer as it should; try again in a moment", doing).After(retryAfter)
}

// run runs a script that answers with one word.
func (s *Store) run(ctx context.Context, script *redis.Script, doing string, keys []string, args ...any) (string, error) {
	word, err := script.Run(ctx, s.rdb, keys, args...).Text()
	return word, failed(ctx, err, doing)
}

// runList runs a script that answers with a list, which begins with a word.
func (s *Store) runList(ctx context.Context, script *redis.Script, doing string, keys []string, args ...any) (string, []string, error) {
	list, err := script.Run(ctx, s.rdb, keys, args...).StringSlice()
	if err != nil {
		return "", nil, failed(ctx, err, doing)
	}
	if len(list) == 0 {
		return "", nil, fmt.Errorf("%s: the script answered with nothing", doing)
	}
	return list[0], list[1:], nil
}

// unexpected is the error for an answer that no script gives.
func unexpected(doing, answer string) error {
	return fmt.Errorf("%s: the script answered %q", doing, answer)
}

// pairs makes a map of a flat list of fields and values.
func pairs(list []string) map[string]string {
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// newToken names one call, so that a script can tell its repetition from another call.
func newToken() string { return rand.Text() }

// pause waits for d, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe calls fn with each message of a channel, one at a time, until ctx
// ends, and returns the context's error. The driver reconnects and subscribes
// again when the connection breaks; what was sent meanwhile is lost. ready, if
// not nil, is called once, as soon as the subscription stands. A reader slower
// than the sender misses messages.
func (s *Store) subscribe(ctx context.Context, channel string, ready func(), fn func(payload string)) error {
	var once sync.Once
	return s.listen(ctx, channel, activePing, func() {
		if ready != nil {
			once.Do(ready)
		}
	}, fn)
}

// How often is looked whether a connection is dead that messages should come on:
// where messages are all there is, and where somebody looks for what is lost.
const (
	activePing = 3 * time.Second
	idlePing   = 15 * time.Second
)

// listen is subscribe for those who look for what is lost: it calls stands each time
// that the subscription stands, also again.
func (s *Store) listen(ctx context.Context, channel string, ping time.Duration, stands func(), fn func(payload string)) error {
	sub := s.rdb.Subscribe(ctx, channel)
	defer sub.Close()
	messages := sub.ChannelWithSubscriptions(redis.WithChannelSize(256), redis.WithChannelSendTimeout(time.Second),
		redis.WithChannelHealthCheckInterval(ping))
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, open := <-messages:
			if !open {
				return fault.New(fault.Unavailable, "watching %s: the Redis client was closed", channel)
			}
			switch m := m.(type) {
			case *redis.Subscription:
				stands()
			case *redis.Message:
				fn(m.Payload)
			}
		}
	}
}
