package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix" // CLOCK_MONOTONIC itself, which Node's hrtime reads too
)

// sample is one call. All times are readings of the monotonic clock.
type sample struct{ sent, accepted, started time.Duration }

func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // no such clock on this system: nothing can be measured
	}
	return time.Duration(ts.Nano())
}

// lost is how long to wait for the last handlers before calls count as lost.
const lost = 5 * time.Second

// measure makes calls at a steady rate, whatever the earlier ones do.
func measure(ctx context.Context, target string, calls int, rate float64) ([]sample, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	samples := make([]sample, calls)
	var reading sync.WaitGroup
	reading.Go(func() { receive(socket, samples) })

	failures := make([]error, calls)
	var calling sync.WaitGroup
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	for i := range calls {
		calling.Go(func() { failures[i] = call(ctx, target, socket.LocalAddr().(*net.UDPAddr).Port, i, &samples[i]) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	tick.Stop()
	calling.Wait()
	_ = socket.SetReadDeadline(time.Now().Add(lost))
	reading.Wait()
	_ = socket.Close()
	if err := errors.Join(append(failures, ctx.Err())...); err != nil {
		return nil, err
	}
	for i, s := range samples {
		if s.started == 0 {
			return nil, fmt.Errorf("call %d was accepted and its handler did not start within %v", i, lost)
		}
	}
	return samples, nil
}

// receive notes when handlers started, until all did or the socket's deadline.
func receive(socket *net.UDPConn, samples []sample) {
	buf := make([]byte, 64)
	for range samples {
		n, err := socket.Read(buf)
		if err != nil {
			return
		}
		var i int
		var started int64
		if _, err := fmt.Sscan(string(buf[:n]), &i, &started); err == nil && i < len(samples) {
			samples[i].started = time.Duration(started)
		}
	}
}

func call(ctx context.Context, target string, port, i int, s *sample) error {
	body := strings.NewReader(fmt.Sprintf(`{"port":%d,"call":%d}`, port, i))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	s.sent = monotonic()
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	s.accepted = monotonic()
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("call %d was answered %s, want 202", i, res.Status)
	}
	return nil
}
