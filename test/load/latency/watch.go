package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of CPU time in /proc; Linux fixes it for programs.
const ticksPerSecond = 100

// watch prints what each service uses while nothing is called.
func watch(ctx context.Context, services []service, d time.Duration) error {
	before := make([]time.Duration, len(services))
	for i, s := range services {
		var err error
		if before[i], err = cpuTime(s.pid); err != nil {
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
		after, err := cpuTime(s.pid)
		if err != nil {
			return err
		}
		kb, err := residentKB(s.pid)
		if err != nil {
			return err
		}
		fmt.Printf("%-14s idle %.2f %% of a core, %.1f MB resident\n", s.name, 100*float64(after-before[i])/float64(elapsed), float64(kb)/1024)
	}
	return nil
}

// cpuTime is the time that a process has computed, its children not included.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond, err
}

// residentKB is the memory that a process holds.
func residentKB(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/status names no VmRSS", pid)
}
