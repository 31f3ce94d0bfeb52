// Package drive is the load of the measurements: it posts calls, hears from
// functions that they have started, and says how long all that took. It does
// little itself, because it shares the machine with what is measured.
package drive

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Run is what some calls met.
type Run struct {
	Calls   int
	Bad     int   // not accepted
	Why     error // of one of them
	Started int
	Again   int // starts beside the first of a call

	Accepting time.Duration // until the last call was answered
	Draining  time.Duration // until the last one started

	HTTP          []time.Duration // from sending to the answer
	AcceptToStart []time.Duration // may be negative: a worker can be faster than the answer
	SendToStart   []time.Duration
}

// drive is a run that is under way.
type drive struct {
	sink   *Sink
	sent   []time.Duration // after the sink's begun, by call
	answer []time.Duration // the same; 0: not accepted
	bad    atomic.Int64
	why    atomic.Pointer[error]
}

func newDrive(calls int) (*drive, error) {
	sink, err := NewSink(calls)
	if err != nil {
		return nil, err
	}
	return &drive{sink: sink, sent: make([]time.Duration, calls), answer: make([]time.Duration, calls)}, nil
}

func (d *drive) call(c *Conn, i int) {
	body := Body(i, d.sink.Addr())
	d.sent[i] = time.Since(d.sink.begun)
	status, err := c.Post(body)
	if err == nil && status/100 != 2 {
		err = refused(status)
	}
	if err != nil {
		d.bad.Add(1)
		d.why.Store(&err)
		return
	}
	d.answer[i] = time.Since(d.sink.begun)
}

// lost is for how long nothing may start before the rest counts as lost.
const lost = 15 * time.Second

// drained waits until all that was accepted has started, or nothing does any more.
func (d *drive) drained(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	heard, at := -1, time.Now()
	for {
		now := d.sink.Heard()
		if now >= len(d.sent)-int(d.bad.Load()) {
			return nil
		}
		if now != heard {
			heard, at = now, time.Now()
		}
		if time.Since(at) > lost {
			return nil // the run says how many started
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// result closes the sink.
func (d *drive) result() *Run {
	d.sink.Close()
	first := d.sent[0]
	r := &Run{Calls: len(d.sent), Bad: int(d.bad.Load()), Again: int(d.sink.again.Load())}
	if why := d.why.Load(); why != nil {
		r.Why = *why
	}
	for i := range d.sent {
		if d.answer[i] == 0 {
			continue
		}
		r.HTTP = append(r.HTTP, d.answer[i]-d.sent[i])
		r.Accepting = max(r.Accepting, d.answer[i]-first)
		if started := time.Duration(d.sink.started[i].Load()); started != 0 {
			r.Started++
			r.SendToStart = append(r.SendToStart, started-d.sent[i])
			r.AcceptToStart = append(r.AcceptToStart, started-d.answer[i])
		}
	}
	r.Draining = time.Duration(d.sink.last.Load()) - first
	return r
}

// Steady makes calls one after the other at a steady rate, and waits until all
// have started.
func Steady(ctx context.Context, target string, calls int, rate float64) (*Run, error) {
	d, err := newDrive(calls)
	if err != nil {
		return nil, err
	}
	defer d.sink.Close()
	c, err := NewConn(target)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := range calls {
		d.call(c, i)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	if err := d.drained(ctx); err != nil {
		return nil, err
	}
	return d.result(), nil
}

// Flood makes calls over so many connections, which are shared out among the
// targets. Each sends the next call when the one before is answered. It waits
// until all have started.
func Flood(ctx context.Context, calls, connections int, targets ...string) (*Run, error) {
	d, err := newDrive(calls)
	if err != nil {
		return nil, err
	}
	defer d.sink.Close()
	if err := flood(ctx, calls, connections, targets, d.call); err != nil {
		return nil, err
	}
	if err := d.drained(ctx); err != nil {
		return nil, err
	}
	return d.result(), nil
}

// fillTries is how often a call of Fill is made again.
const fillTries = 20

// Fill makes the calls from one number up to another, as Flood does, and does not
// wait for their starts, of which the sink hears. What is refused because Redis was
// late is called again, as callers do: a few may be accepted twice.
func Fill(ctx context.Context, sink *Sink, from, to, connections int, targets ...string) (took []time.Duration, err error) {
	took = make([]time.Duration, to-from)
	var failed atomic.Pointer[error]
	err = flood(ctx, to-from, connections, targets, func(c *Conn, i int) {
		body, begun := Body(from+i, sink.Addr()), time.Now()
		status, err := c.Post(body)
		for again := 0; again < fillTries && err == nil && status == http.StatusServiceUnavailable; again++ {
			status, err = c.Post(body)
		}
		if err == nil && status/100 != 2 {
			err = refused(status)
		}
		if err != nil {
			failed.Store(&err)
		}
		took[i] = time.Since(begun)
	})
	if why := failed.Load(); why != nil {
		return nil, *why
	}
	return took, err
}

func flood(ctx context.Context, calls, connections int, targets []string, call func(c *Conn, i int)) error {
	var next atomic.Int64
	var posting sync.WaitGroup
	defer posting.Wait()
	for n := range connections {
		c, err := NewConn(targets[n%len(targets)])
		if err != nil {
			return err
		}
		posting.Go(func() {
			defer c.Close()
			for i := int(next.Add(1)) - 1; i < calls && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				call(c, i)
			}
		})
	}
	posting.Wait()
	return ctx.Err()
}

func refused(status int) error {
	return fmt.Errorf("a call is answered %d %s", status, http.StatusText(status))
}

// Sync makes calls with a body one after the other, without a pause, and returns how long each
// took. Another answer than 200 is an error.
func Sync(ctx context.Context, target string, body []byte, calls int) ([]time.Duration, error) {
	c, err := NewConn(target)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	took := make([]time.Duration, 0, calls)
	for range calls {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		begun := time.Now()
		status, err := c.Post(body)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			return nil, fmt.Errorf("a call is answered %d %s, want 200", status, http.StatusText(status))
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// Warm calls until so many calls have started, for at most so long.
func Warm(ctx context.Context, target string, calls int, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		run, err := Steady(ctx, target, 1, 50)
		if err != nil {
			return fmt.Errorf("the function does not start: %w", err)
		}
		if calls -= run.Started; calls <= 0 {
			return nil
		}
	}
}
