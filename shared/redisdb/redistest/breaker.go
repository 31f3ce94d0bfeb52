package redistest

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrBroken is what a broken command returns.
var ErrBroken = errors.New("redistest: broken on purpose")

// Fault is the way in which a command breaks.
type Fault int

// The two rows that every remote write has in a failure table.
const (
	Failed        Fault = iota // the command never reached the server
	FailedButDone              // the server did it, the reply was lost
)

// Breaker is a go-redis hook that breaks chosen commands. Add it to a client
// with AddHook.
type Breaker struct {
	mu    sync.Mutex
	match func(redis.Cmder) bool
	fault Fault
	left  int
	broke int
}

// Break breaks the next n commands for which match is true; nil matches all.
func (b *Breaker) Break(n int, fault Fault, match func(redis.Cmder) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.match, b.fault, b.left = match, fault, n
}

// Broke is how many commands were broken so far.
func (b *Breaker) Broke() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broke
}

func (b *Breaker) hit(cmds ...redis.Cmder) (Fault, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cmd := range cmds {
		if b.left > 0 && (b.match == nil || b.match(cmd)) {
			b.left--
			b.broke++
			return b.fault, true
		}
	}
	return 0, false
}

// DialHook is part of redis.Hook.
func (b *Breaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook is part of redis.Hook.
func (b *Breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		fault, hit := b.hit(cmd)
		if hit && fault == FailedButDone {
			_ = next(ctx, cmd)
		}
		if hit {
			cmd.SetErr(ErrBroken)
			return ErrBroken
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook is part of redis.Hook. A hit breaks the whole pipeline.
func (b *Breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		fault, hit := b.hit(cmds...)
		if hit && fault == FailedButDone {
			_ = next(ctx, cmds)
		}
		if hit {
			for _, cmd := range cmds {
				cmd.SetErr(ErrBroken)
			}
			return ErrBroken
		}
		return next(ctx, cmds)
	}
}
