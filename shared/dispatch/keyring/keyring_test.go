package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
)

// memory is a Store whose clock is ahead of this machine's.
type memory struct {
	mu    sync.Mutex
	keys  []dispatch.Key
	reads int
	away  bool
	slow  time.Duration
}

const ahead = 7 * time.Hour

func (m *memory) CallKeys(ctx context.Context, rotate, keep time.Duration) ([]dispatch.Key, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	select {
	case <-time.After(m.slow):
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
	if m.away {
		return nil, time.Time{}, errors.New("away")
	}
	now := time.Now().Add(ahead)
	m.keys = slices.DeleteFunc(m.keys, func(k dispatch.Key) bool { return now.Sub(k.MadeAt) >= keep })
	if len(m.keys) == 0 || now.Sub(m.keys[0].MadeAt) >= rotate {
		key := dispatch.Key{ID: fmt.Sprint("K", m.reads), Secret: "s", MadeAt: now}
		m.keys = append([]dispatch.Key{key}, m.keys...)
	}
	return slices.Clone(m.keys), now, nil
}

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// runs runs a ring for the rest of the test.
func runs(t *testing.T, m *memory) *Ring {
	t.Helper()
	r := New(m, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// current is the ID of the key that a ring signs with.
func current(t *testing.T, r *Ring) string {
	t.Helper()
	key, _, err := r.Current(t.Context())
	if err != nil {
		t.Fatalf("Current = %v", err)
	}
	return key.ID
}

func TestAKeyIsUsedOnceAllHaveIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		gateway := runs(t, m)
		time.Sleep(interval / 2) // in the bubble
		worker := runs(t, m)
		used := map[string]bool{}
		for range 24 * 60 * 3 {
			id := current(t, gateway)
			used[id] = true
			synctest.Wait()
			if _, known := worker.find(id); !known {
				t.Fatalf("after %v calls are signed with %s, which the worker has not read", time.Since(gateway.readAt), id)
			}
			time.Sleep(20 * time.Second)
		}
		if len(used) < 23 || len(used) > 25 {
			t.Errorf("%d keys were used in 24 h, want one an hour", len(used))
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.keys) > int(keep/rotate) {
			t.Errorf("%d keys are good at once", len(m.keys))
		}
		if want := 24*60*2 + 10; m.reads > want {
			t.Errorf("Redis was read %d times in 24 h, want at most %d", m.reads, want)
		}
	})
}

func TestWithoutRedisTheLastKeysGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := runs(t, m)
		id := current(t, r)
		m.set(func() { m.away = true })
		time.Sleep(outage - time.Minute)
		if got := current(t, r); got != id {
			t.Errorf("Current = %s, want %s", got, id)
		}
		if _, ok := r.Find(t.Context(), id); !ok {
			t.Errorf("Find(%s) finds nothing", id)
		}
		if off := time.Until(r.Now()) - ahead; off != 0 {
			t.Errorf("Now is %v from the clock of Redis", off)
		}
		time.Sleep(2 * time.Minute)
		if key, _, err := r.Current(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a day later Current = %s, %v; want Unavailable", key.ID, err)
		}
		if _, ok := r.Find(t.Context(), id); ok {
			t.Errorf("a day later Find(%s) finds it", id)
		}
		m.set(func() { m.away = false })
		time.Sleep(2 * pause)
		if got := current(t, r); got == id {
			t.Errorf("with Redis back Current = %s, want a new key", got)
		}
	})
}

// TestGarbageDoesNotHammerRedis: unknown IDs cause one read a second, and who
// comes with one does not wait for long, also if Redis hangs.
func TestGarbageDoesNotHammerRedis(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := &memory{}
			r := runs(t, m)
			current(t, r)
			if hangs {
				m.set(func() { m.slow = time.Hour })
			}
			var before int
			m.set(func() { before = m.reads })
			time.Sleep(pause)
			const rounds = 10
			var all sync.WaitGroup
			for range rounds {
				for range 50 {
					all.Go(func() {
						asked := time.Now()
						if _, ok := r.Find(t.Context(), "garbage"); ok {
							t.Error("Find finds garbage")
						}
						if took := time.Since(asked); took > patience {
							t.Errorf("Find took %v", took)
						}
					})
				}
				time.Sleep(pause / 2)
			}
			all.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			if got := m.reads - before; got > rounds/2+2 {
				t.Errorf("%d IDs caused %d reads (hangs: %v)", rounds*50, got, hangs)
			}
		})
	}
}

func TestAnUnknownKeyIsLookedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := runs(t, m)
		current(t, r)
		time.Sleep(2 * pause)
		m.set(func() { m.keys = []dispatch.Key{{ID: "ANEW", MadeAt: time.Now().Add(ahead)}} })
		if _, ok := r.Find(t.Context(), "ANEW"); !ok {
			t.Error("Find does not find a key that is new in Redis")
		}
		if got := current(t, r); got != "ANEW" {
			t.Errorf("Current = %s, want the only one that there is", got)
		}
	})
}

func TestTheFirstCallWaitsForAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: true}
		r := runs(t, m)
		asked := time.Now()
		if _, _, err := r.Current(t.Context()); !fault.Is(err, fault.Unavailable) || time.Since(asked) != first {
			t.Errorf("Current without Redis = %v after %v, want Unavailable after %v", err, time.Since(asked), first)
		}
		m.set(func() { m.away = false })
		if current(t, r) == "" {
			t.Error("Current = no key")
		}
	})
}
