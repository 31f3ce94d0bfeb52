package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2" // the one Go Redis with the Lua, list and stream commands that we and asynq need
)

// clockTick is how often miniredis is told that time has passed. It never
// expires keys by itself.
const clockTick = 50 * time.Millisecond

// StartMini starts miniredis on loopback behind a random password.
func StartMini() (*Server, error) {
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("starting the in-memory Redis: %w", err)
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() { keepTime(m, quit) })
	stop := sync.OnceFunc(func() {
		close(quit)
		done.Wait()
		m.Close()
	})
	return &Server{
		kind: Miniredis,
		url:  "redis://:" + password + "@" + m.Addr() + "/0",
		stop: func(context.Context) error {
			stop()
			return nil
		},
	}, nil
}

func keepTime(m *miniredis.Miniredis, quit <-chan struct{}) {
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-quit:
			return
		case now := <-tick.C:
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}
