package installation

import (
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nightshift_"+name, help, labels, nil)
}

var (
	up         = desc("redis_up", "1 if Redis answered for this scrape. With 0, all that is told of the installation is left out.")
	memoryUsed = desc("redis_memory_used_bytes", "Memory that Redis uses; in a cluster, its fullest master.")
	memoryMax  = desc("redis_memory_limit_bytes", "Memory that Redis may use; 0: no limit, or not told.")
	diskFailed = desc("redis_disk_failed", "1 if the last write of Redis to its disk failed.")

	accepted = desc("invocations_accepted_total", "Background and scheduled invocations that were ever accepted.")
	unended  = desc("invocations", "Invocations that are in a state now.", "state")
	ended    = desc("invocations_finished_total", "Invocations that ended in a state. A retry takes one out of dead again.", "state")
	drift    = desc("conservation_drift", "Accepted invocations less all that are there or have ended: not 0 means that one was lost or counted twice.")

	tasks  = desc("queue_tasks", "Tasks in a queue: pending, waiting for a slot, delayed, active, in retry, buried.", "queue", "state")
	oldest = desc("queue_oldest_age_seconds", "For how long the first of those in a queue that could run has been waiting; 0 if none is.", "queue")

	workers   = desc("workers", "Live workers: ready ones, and those that drain.", "state")
	slots     = desc("workers_concurrency", "Queued invocations that all ready workers run at once.")
	processes = desc("workers_processes_limit", "Function processes that all ready workers may have.")
	busy      = desc("workers_processes_busy", "Function processes of all workers that run a call.")

	due       = desc("ticks_due_total", "Ticks that were due, by the arithmetic of the schedules.")
	fired     = desc("ticks_fired_total", "Ticks that made an invocation within the lateness window.")
	caughtUp  = desc("ticks_caught_up_total", "Ticks that made an invocation later than that.")
	skipped   = desc("ticks_skipped_total", "Ticks that made none, by reason.", "reason")
	held      = desc("ticks_suppressed_total", "Ticks that were about to fire a second time and did not.")
	tickDrift = desc("ticks_drift", "Due ticks less all that have an outcome: not 0 means that one was missed or fired twice.")
	lateness  = desc("tick_lateness_seconds", "Time from a tick until it was fired.")

	pending   = desc("callbacks_pending", "Finished invocations whose callback is still to be made.")
	callbacks = desc("callbacks_total", "Callbacks that ended so.", "outcome")
)

// described are all of them.
var described = []*prometheus.Desc{
	up, memoryUsed, memoryMax, diskFailed, accepted, unended, ended, drift, tasks, oldest, workers, slots, processes, busy,
	due, fired, caughtUp, skipped, held, tickDrift, lateness, pending, callbacks,
}

// told collects metrics.
type told []prometheus.Metric

func (t *told) gauge(d *prometheus.Desc, value float64, labels ...string) {
	*t = append(*t, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

func (t *told) counter(d *prometheus.Desc, value int64, labels ...string) {
	*t = append(*t, prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...))
}

// metrics translates what was read.
func (r *reading) metrics() []prometheus.Metric {
	var t told
	r.tellRedis(&t)
	r.tellInvocations(&t)
	r.tellQueues(&t)
	r.tellWorkers(&t)
	r.tellTicks(&t)
	t.gauge(pending, float64(r.callbacks.Pending))
	t.counter(callbacks, r.callbacks.Delivered, "delivered")
	t.counter(callbacks, r.callbacks.Died, "dead")
	t.counter(callbacks, r.callbacks.Lost, "lost")
	return t
}

func (r *reading) tellRedis(t *told) {
	t.gauge(up, 1)
	t.gauge(memoryUsed, float64(r.health.MemoryUsed))
	t.gauge(memoryMax, float64(r.health.MemoryLimit))
	failed := 0.0
	if r.health.DiskFailed {
		failed = 1
	}
	t.gauge(diskFailed, failed)
}

func (r *reading) tellInvocations(t *told) {
	t.counter(accepted, r.counts.Accepted)
	t.gauge(unended, float64(r.counts.Queued), "queued")
	t.gauge(unended, float64(r.counts.Running), "running")
	t.gauge(unended, float64(r.counts.Failed), "failed")
	t.counter(ended, r.counts.Succeeded, "succeeded")
	t.counter(ended, r.counts.Dead, "dead")
	t.counter(ended, r.counts.Cancelled, "cancelled")
	t.gauge(drift, float64(r.counts.Drift()))
}

func (r *reading) tellQueues(t *told) {
	for kind, d := range r.queues {
		q := string(kind)
		t.gauge(tasks, float64(d.Pending), q, "pending")
		t.gauge(tasks, float64(d.Waiting), q, "waiting")
		t.gauge(tasks, float64(d.Delayed), q, "delayed")
		t.gauge(tasks, float64(d.Active), q, "active")
		t.gauge(tasks, float64(d.Retry), q, "retry")
		t.gauge(tasks, float64(d.Buried), q, "buried")
		t.gauge(oldest, d.Oldest.Seconds(), q)
	}
}

func (r *reading) tellWorkers(t *told) {
	var ready, draining, concurrency, limit, running int
	for _, w := range r.workers {
		running += w.Busy
		if w.Draining {
			draining++
			continue
		}
		ready++
		concurrency += w.Concurrency
		limit += w.Capacity
	}
	t.gauge(workers, float64(ready), "ready")
	t.gauge(workers, float64(draining), "draining")
	t.gauge(slots, float64(concurrency))
	t.gauge(processes, float64(limit))
	t.gauge(busy, float64(running))
}

func (r *reading) tellTicks(t *told) {
	t.counter(due, r.ticks.Due)
	t.counter(fired, r.ticks.Fired)
	t.counter(caughtUp, r.ticks.CaughtUp)
	for reason, n := range r.ticks.SkippedBy {
		t.counter(skipped, n, string(reason))
	}
	t.counter(held, r.ticks.Suppressed)
	t.gauge(tickDrift, float64(r.ticks.Drift()))
	*t = append(*t, latenessOf(r.ticks))
}

// latenessOf makes the histogram: its buckets hold what is below them too.
func latenessOf(ticks store.TickTotals) prometheus.Metric {
	buckets, sum := map[float64]uint64{}, uint64(0)
	for _, b := range ticks.Lateness {
		sum += uint64(max(b.Count, 0))
		if b.UpTo > 0 {
			buckets[b.UpTo.Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(lateness, sum, ticks.LateSum.Seconds(), buckets)
}
