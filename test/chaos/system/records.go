package system

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/redis/go-redis/v9"
)

// keys looks at what Redis holds, also at what nobody was told of.
type keys struct{ rdb redis.UniversalClient }

// IDs lists the invocations of a kind that have a record.
func (s *System) IDs(ctx context.Context, kind function.Kind) ([]string, error) {
	prefix := "nightshift:{" + string(kind) + "}:inv:"
	found := map[string]bool{} // a scan may show a key twice
	iter := s.keys.rdb.Scan(ctx, 0, prefix+"*", 10_000).Iterator()
	for iter.Next(ctx) {
		found[strings.TrimPrefix(iter.Val(), prefix)] = true
	}
	ids := make([]string, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	return ids, iter.Err()
}

// Records reads records. Those that are not there are left out.
func (s *System) Records(ctx context.Context, ids []string) (map[string]invocation.Invocation, error) {
	var (
		mu     sync.Mutex
		wait   sync.WaitGroup
		failed error
		next   = make(chan string)
		all    = make(map[string]invocation.Invocation, len(ids))
	)
	for range 8 {
		wait.Go(func() {
			for id := range next {
				inv, err := s.Store.Invocation(ctx, id)
				mu.Lock()
				switch {
				case err == nil:
					all[id] = inv
				case !fault.Is(err, fault.NotFound):
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	wait.Wait()
	return all, failed
}

// CallOf is the number of the call that became a background invocation, from the
// request that is stored with it.
func (s *System) CallOf(ctx context.Context, id string) (n int, err error) {
	stored, err := s.Store.Event(ctx, id)
	if err != nil {
		return 0, err
	}
	var event struct {
		Body string `json:"body"`
	}
	var body struct {
		N int `json:"n"`
	}
	if err := json.Unmarshal(stored, &event); err != nil {
		return 0, fmt.Errorf("the event of %s: %w", id, err)
	}
	if err := json.Unmarshal([]byte(event.Body), &body); err != nil {
		return 0, fmt.Errorf("the body of %s: %w", id, err)
	}
	return body.N, nil
}

// DeadCallbacks lists the invocations of a site whose callback was given up.
func (s *System) DeadCallbacks(ctx context.Context, site string) (map[string]bool, error) {
	dead := map[string]bool{}
	for cursor := ""; ; {
		page, next, err := s.Store.DeadCallbacks(ctx, site, cursor, store.MaxDeadCallbacks)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			dead[c.Invocation.ID] = true
		}
		if cursor = next; cursor == "" {
			return dead, nil
		}
	}
}

// Ledger reads all that is kept of the ledger of a schedule, newest first.
func (s *System) Ledger(ctx context.Context, key string) (all []store.LedgerEntry, err error) {
	for cursor := ""; ; {
		page, next, err := s.Store.Ledger(ctx, key, cursor, 200)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if cursor = next; cursor == "" {
			return all, nil
		}
	}
}

// States counts the records of a kind by state.
func (s *System) States(ctx context.Context, kind function.Kind) (map[invocation.State]int, error) {
	ids, err := s.IDs(ctx, kind)
	if err != nil {
		return nil, err
	}
	prefix := "nightshift:{" + string(kind) + "}:inv:"
	counts := map[invocation.State]int{}
	for len(ids) > 0 {
		chunk := ids[:min(1000, len(ids))]
		ids = ids[len(chunk):]
		answers, err := s.keys.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, id := range chunk {
				p.HGet(ctx, prefix+id, "state")
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			counts[invocation.State(a.(*redis.StringCmd).Val())]++
		}
	}
	return counts, nil
}

// Worker finds the process of a live worker, by its ID in records.
func (s *System) Worker(ctx context.Context, id string) (*harness.Process, error) {
	workers, err := s.Store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range workers {
		if w.ID == id {
			return s.Services.At(w.Addr)
		}
	}
	return nil, fmt.Errorf("no live worker has the ID %s", id)
}
