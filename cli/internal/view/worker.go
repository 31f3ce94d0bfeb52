package view

import (
	"fmt"
	"io"
	"time"

	"github.com/nightshift/nightshift/shared/api"
)

// Workers prints a table of workers: how many queued invocations each takes at
// once, and how many of its processes run an attempt, wait warm, and may exist.
func Workers(w io.Writer, s Style, workers []api.Worker, now time.Time) {
	rows := make([][]string, len(workers))
	for i, worker := range workers {
		state := "ready"
		if worker.Draining {
			state = "draining"
		}
		rows[i] = []string{
			worker.ID, worker.Addr, state, Ago(worker.StartedAt, now), fmt.Sprint(worker.Concurrency),
			fmt.Sprintf("%d busy, %d warm, of %d", worker.Busy, worker.Warm, worker.Capacity),
		}
	}
	table(w, s, []column{{"WORKER", 0}, {"ADDRESS", 0}, {"STATE", 0}, {"STARTED", 0}, {"CONCURRENCY", 0}, {"PROCESSES", 0}}, rows)
}
