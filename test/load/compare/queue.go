package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/test/load/drive"
)

// connections is over how many calls come, where they come as fast as they can.
const connections = 64

// Percentiles of waits, in milliseconds.
type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func spreadOf(waits []time.Duration) spread {
	at := func(p float64) float64 { return rounded(drive.Percentile(waits, p)/float64(time.Millisecond), 3) }
	return spread{at(50), at(99), at(100)}
}

// queued is what background calls have met.
type queued struct {
	Calls         int             `json:"n"`
	Bad           int             `json:"bad"`
	Started       int             `json:"started"`
	Again         int             `json:"dup_starts"`
	HTTP          spread          `json:"http_ms"`
	AcceptToStart spread          `json:"accept_to_start_ms"`
	SendToStart   spread          `json:"send_to_start_ms"`
	AcceptRate    float64         `json:"accept_rps,omitempty"`
	Drained       float64         `json:"drained_per_s,omitempty"`
	CPU           map[string]int  `json:"cpu_us,omitempty"` // per invocation
	PeakRSS       float64         `json:"peak_rss_mib,omitempty"`
	Processes     map[string]used `json:"proc"`
}

func queuedOf(run *drive.Run) (queued, error) {
	if run.Bad > 0 || run.Started < run.Calls {
		return queued{}, fmt.Errorf("of %d calls %d were refused and %d started: %w", run.Calls, run.Bad, run.Started, run.Why)
	}
	return queued{
		Calls: run.Calls, Started: run.Started, Again: run.Again,
		HTTP: spreadOf(run.HTTP), AcceptToStart: spreadOf(run.AcceptToStart), SendToStart: spreadOf(run.SendToStart),
	}, nil
}

// accept measures how fast calls are accepted, with nobody to run them.
func (b *bench) accept(ctx context.Context, s system) error {
	r, err := s.start(ctx, b, false)
	if err != nil {
		return err
	}
	defer r.close()
	before, err := r.usage()
	if err != nil {
		return err
	}
	a, err := b.callWithWrk(ctx, r.target, b.acceptFor)
	if err != nil {
		return err
	}
	if a.Bad+a.Broken > 0 || a.Calls == 0 {
		return fmt.Errorf("of %d calls %d were refused and %d broken", a.Calls, a.Bad, a.Broken)
	}
	after, err := r.usage()
	if err != nil {
		return err
	}
	var total float64
	a.CPU, total = perCall(before, after, a.Calls)
	b.note(s.name, "accept64", a)
	b.book.add(s.name, map[string]float64{"accept/s": a.PerSecond, "accept p99 ms": a.P99, "accept µs": total})
	return nil
}

// latency measures how long calls wait on a machine that has little to do.
func (b *bench) latency(ctx context.Context, name string, r *running) error {
	run, err := drive.Steady(ctx, r.target, b.latencyCalls, 20)
	if err != nil {
		return err
	}
	q, err := queuedOf(run)
	if err != nil {
		return err
	}
	if q.Processes, err = r.usage(); err != nil {
		return err
	}
	b.note(name, "latency", q)
	b.book.add(name, map[string]float64{"start p50 ms": q.AcceptToStart.P50, "start p99 ms": q.AcceptToStart.P99})
	return nil
}

// settle is for how long processes may still do something about what has started,
// such as writing down how it ended, before it is counted what they have used.
const settle = 500 * time.Millisecond

// drain measures how fast a lot of calls are done with, and what that costs.
func (b *bench) drain(ctx context.Context, name string, r *running) error {
	before, err := r.usage()
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	peak := make(chan float64, 1)
	go func() { peak <- r.peak(stop) }()
	run, err := drive.Flood(ctx, b.drainCalls, connections, r.target)
	close(stop)
	most := <-peak
	if err != nil {
		return err
	}
	q, err := queuedOf(run)
	if err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	after, err := r.usage()
	if err != nil {
		return err
	}
	var total float64
	q.Processes, q.PeakRSS = after, most
	q.CPU, total = perCall(before, after, run.Calls)
	q.AcceptRate = rounded(float64(run.Calls)/run.Accepting.Seconds(), 0)
	q.Drained = rounded(float64(run.Started)/run.Draining.Seconds(), 0)
	b.note(name, "drain", q)
	b.book.add(name, map[string]float64{
		"drained/s": q.Drained, "CPU µs": total, "RSS MiB": services(after), "peak RSS MiB": most,
	})
	return nil
}

// perCall is the microseconds that each process computed for one call, and all did.
func perCall(before, after map[string]used, calls int) (each map[string]int, all float64) {
	each = map[string]int{}
	for process, u := range after {
		cpu := (u.CPU - before[process].CPU) * 1e6 / float64(calls)
		each[process] = int(rounded(cpu, 0))
		all += cpu
	}
	return each, rounded(all, 0)
}

// peak is the most memory that the services hold together, until stop.
func (r *running) peak(stop <-chan struct{}) float64 {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	most := 0.0
	for {
		if all, err := r.usage(); err == nil { // a process that has ended is found by who measures
			most = max(most, services(all))
		}
		select {
		case <-stop:
			return most
		case <-tick.C:
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work runs the parts that need workers, on one start of the system.
func (b *bench) work(ctx context.Context, s system) (err error) {
	if !b.any("latency", "drain") && (s.name != ours || !b.any("sync", "idle")) {
		return nil
	}
	r, err := s.start(ctx, b, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := drive.Warm(ctx, r.target, 1, time.Minute); err != nil {
		return err
	}
	if _, err := drive.Flood(ctx, b.warmCalls, connections, r.target); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		own  bool
		run  func(ctx context.Context, name string, r *running) error
	}{
		{"latency", false, b.latency}, {"sync", true, b.sync}, {"idle", true, b.idle}, {"drain", false, b.drain},
	} {
		if !b.any(part.name) || part.own && s.name != ours {
			continue
		}
		if err := part.run(ctx, s.name, r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
