package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// watch prints what each service uses while nothing is called.
func watch(ctx context.Context, services []service, d time.Duration) error {
	before := make([]time.Duration, len(services))
	for i, s := range services {
		var err error
		if before[i], err = harness.CPUTime(s.pid); err != nil {
			return err
		}
	}
	begun := time.Now()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	elapsed := time.Since(begun)
	for i, s := range services {
		after, err := harness.CPUTime(s.pid)
		if err != nil {
			return err
		}
		kb, err := harness.ResidentKB(s.pid)
		if err != nil {
			return err
		}
		fmt.Printf("%-14s idle %.2f %% of a core, %.1f MB resident\n", s.name, 100*float64(after-before[i])/float64(elapsed), float64(kb)/1024)
	}
	return nil
}
