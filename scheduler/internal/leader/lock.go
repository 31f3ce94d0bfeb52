package leader

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/go-redsync/redsync/v4" // the lock's scripts and their edge cases; the term logic around it is ours
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// lock is the lock that electors compete for. An elector uses it from one
// goroutine at a time.
type lock interface {
	// Acquire tries once. False without an error: somebody else has it.
	Acquire(ctx context.Context) (bool, error)
	// Renew makes the lock last for the TTL from now. False without an error:
	// it is not ours any more. After an error nobody knows.
	Renew(ctx context.Context) (bool, error)
	// Release gives the lock back, if it is still ours, and tells the others.
	Release(ctx context.Context) error
	// Released delivers something after somebody else released the lock. Signals
	// coalesce, and get lost when the connection breaks.
	Released() <-chan struct{}
	// Close ends the listening. The lock stays as it is.
	Close() error
}

// redisLock is one key with a random value and a time to live.
type redisLock struct {
	rdb      redis.UniversalClient
	id       string // tells our own messages from others'
	mutex    *redsync.Mutex
	heard    *redis.PubSub
	released chan struct{}
	done     chan struct{} // closed when the listening has ended
}

func newRedisLock(rdb redis.UniversalClient, ttl time.Duration) *redisLock {
	l := &redisLock{
		rdb: rdb,
		id:  rand.Text(),
		mutex: redsync.New(goredis.NewPool(rdb)).NewMutex(lockKey,
			redsync.WithExpiry(ttl),
			redsync.WithTries(1),
			// The library's own 5 % would be 250 ms at the default TTL, less
			// than a busy machine needs now and then for a fresh connection.
			redsync.WithTimeoutFactor(0.2)),
		heard:    rdb.Subscribe(context.Background(), releasedChannel),
		released: make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	go l.listen()
	return l
}

// listen ends when heard is closed.
func (l *redisLock) listen() {
	defer close(l.done)
	// A dead connection costs only the early wake-up: look after it rarely.
	for message := range l.heard.Channel(redis.WithChannelHealthCheckInterval(30 * time.Second)) {
		if message.Payload == l.id {
			continue // whoever gave its term up is not to take the next one at once
		}
		select {
		case l.released <- struct{}{}:
		default:
		}
	}
}

func (l *redisLock) Acquire(ctx context.Context) (bool, error) {
	err := l.mutex.TryLockContext(ctx)
	if err == nil {
		return true, nil
	}
	if _, taken := errors.AsType[*redsync.ErrTaken](err); taken || errors.Is(err, redsync.ErrFailed) {
		return false, nil
	}
	return false, fmt.Errorf("taking the leader's lock: %w", err)
}

func (l *redisLock) Renew(ctx context.Context) (bool, error) {
	ours, err := l.mutex.ExtendContext(ctx)
	if _, taken := errors.AsType[*redsync.ErrTaken](err); taken {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("renewing the leader's lock: %w", err)
	}
	return ours, nil
}

func (l *redisLock) Release(ctx context.Context) error {
	_, err := l.mutex.UnlockContext(ctx)
	_, taken := errors.AsType[*redsync.ErrTaken](err)
	if err != nil && !taken && !errors.Is(err, redsync.ErrLockAlreadyExpired) {
		return fmt.Errorf("releasing the leader's lock: %w", err)
	}
	if err := l.rdb.Publish(ctx, releasedChannel, l.id).Err(); err != nil {
		return fmt.Errorf("telling the standbys: %w", err)
	}
	return nil
}

func (l *redisLock) Released() <-chan struct{} { return l.released }

func (l *redisLock) Close() error {
	err := l.heard.Close()
	<-l.done
	return err
}
