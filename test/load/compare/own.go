package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/nightshift/nightshift/test/load/drive"
	"github.com/nightshift/nightshift/test/load/meter"
)

// syncCalls is how many calls of a warm function are measured, after as many more
// as it takes until it is warm.
const (
	syncCalls = 3000
	syncWarm  = 500
)

// sync measures calls that wait for the function's answer, one after the other.
func (b *bench) sync(ctx context.Context, name string, r *running) error {
	for figure, function := range map[string]string{"sync v1": "warm", "sync v2": "warm2"} {
		target, err := sibling(r.target, function)
		if err != nil {
			return err
		}
		if _, err := drive.Sync(ctx, target, drive.Body(0, ""), syncWarm); err != nil {
			return err
		}
		took, err := drive.Sync(ctx, target, drive.Body(0, ""), syncCalls)
		if err != nil {
			return err
		}
		s := spreadOf(took)
		b.note(name, figure, s)
		b.book.add(name, map[string]float64{figure + " p50 ms": s.P50, figure + " p99 ms": s.P99})
	}
	return nil
}

// sibling is the URL of another function of the same site.
func sibling(target, function string) (string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	return u.ResolveReference(&url.URL{Path: function}).String(), nil
}

// idling is what a system uses while nothing happens.
type idling struct {
	Cores    map[string]float64 `json:"percent_of_a_core"`
	Sent     float64            `json:"commands_per_s"` // by clients
	Executed float64            `json:"executed_per_s"` // by Redis, those of scripts included
	ByName   map[string]int     `json:"commands"`       // sent, in all
}

// idle watches a system to which nothing happens.
func (b *bench) idle(ctx context.Context, name string, r *running) error {
	redis, err := meter.NewRedis(ctx, r.redis)
	if err != nil {
		return err
	}
	defer redis.Close()
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, err := r.usage()
	if err != nil {
		return err
	}
	counted, err := redis.Read(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	watch, err := redis.StartWatch()
	if err != nil {
		return err
	}
	waited := pause(ctx, b.idleFor)
	sent, err := watch.Stop()
	if err := cmp.Or(waited, err); err != nil {
		return err
	}
	elapsed := time.Since(begun).Seconds()
	after, err := r.usage()
	if err != nil {
		return err
	}
	now, err := redis.Read(ctx)
	if err != nil {
		return err
	}
	i := idling{Cores: map[string]float64{}, ByName: sent, Executed: rounded(float64(now.Commands-counted.Commands-1)/elapsed, 1)} // 1: MONITOR
	for _, n := range sent {
		i.Sent += float64(n)
	}
	i.Sent = rounded(i.Sent/elapsed, 1)
	figures := map[string]float64{"idle commands/s": i.Sent}
	for process, u := range after {
		i.Cores[process] = rounded(100*(u.CPU-before[process].CPU)/elapsed, 2)
		figures[fmt.Sprintf("idle %s %%", process)] = i.Cores[process]
	}
	b.note(name, "idle", i)
	b.book.add(name, figures)
	return nil
}
