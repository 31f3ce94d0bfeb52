package store

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/heartbeat.lua
	heartbeatBody string
	//go:embed lua/workers.lua
	workersBody string

	heartbeatScript = redis.NewScript(heartbeatBody)
	workersScript   = redis.NewScript(workersBody)
)

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
	// Keys names the keys that it opens environments with (secret.Box.Keys).
	Keys []string `json:"keys,omitempty"`
}

// WarmKey names a function of a deploy in Worker.Warm.
func WarmKey(deployID, function string) string { return deployID + "/" + function }

// Heartbeat reports a worker as alive for the ttl, 1 ms or more.
func (s *Store) Heartbeat(ctx context.Context, w Worker, ttl time.Duration) error {
	const doing = "reporting a worker"
	if w.ID == "" || ttl < time.Millisecond {
		return fmt.Errorf("%s: ID %q for %v is no report", doing, w.ID, ttl)
	}
	data, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	err = heartbeatScript.Run(ctx, s.rdb, []string{workersKey()}, w.ID, ttl.Milliseconds(), data).Err()
	return failed(ctx, err, doing)
}

// Withdraw takes a worker off the list at once. One that is not on it: nil.
func (s *Store) Withdraw(ctx context.Context, id string) error {
	return failed(ctx, s.rdb.HDel(ctx, workersKey(), id).Err(), "withdrawing a worker")
}

// Workers lists the live workers, by ID. Expired ones are left out and removed.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	const doing = "listing workers"
	list, err := workersScript.Run(ctx, s.rdb, []string{workersKey()}).StringSlice()
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	workers := make([]Worker, len(list))
	for i, text := range list {
		if err := json.Unmarshal([]byte(text), &workers[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	slices.SortFunc(workers, func(a, b Worker) int { return cmp.Compare(a.ID, b.ID) })
	return workers, nil
}
