package tick

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
)

// BenchmarkBurst fires one tick each of 10,000 schedules that are due together,
// which nobody takes. It reports Redis's processor time for a tick.
func BenchmarkBurst(b *testing.B) {
	const sites, functions = 100, 100
	server := redistest.Start(b)
	rdb := server.Client()
	client, err := queue.NewClient(rdb, true)
	if err != nil {
		b.Fatal(err)
	}
	st := store.New(rdb, store.Options{})
	term, err := st.BeginTerm(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	t := &termLoop{
		Config: Config{
			Store: st, Queue: client, Logger: slog.New(slog.DiscardHandler),
			RedisNow: func(ctx context.Context) (time.Time, error) { return rdb.Time(ctx).Result() },
			BaseURL:  func(site string) string { return "http://" + site + ".localhost:8080" },
		},
		log: slog.New(slog.DiscardHandler), term: term, parser: parser{}, metrics: newMetrics(nil),
	}
	t.clock = &clock{redisNow: t.RedisNow, localNow: time.Now, log: t.log}
	if err := t.clock.measure(b.Context()); err != nil {
		b.Fatal(err)
	}
	var due []*entry
	var keys []string
	for i := range sites {
		d := deploy.Deploy{ID: fmt.Sprintf("deploy-%03d", i)}
		for n := range functions {
			d.Functions = append(d.Functions, scheduled(fmt.Sprintf("function-%06d", i*functions+n), "* * * * * *"))
		}
		for key, e := range t.parser.read(fmt.Sprintf("site-%03d", i), &d, t.log) {
			due, keys = append(due, e), append(keys, key)
		}
	}
	cursors, err := st.SyncCursors(b.Context(), term, keys)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range due {
		e.advance(cursors[e.key])
	}
	var redis float64
	for b.Loop() {
		from := server.ProcessorTime()
		if err := t.dealAll(b.Context(), due); err != nil {
			b.Fatal(err)
		}
		redis += server.ProcessorTime() - from
	}
	ticks := float64(b.N) * float64(len(due))
	b.ReportMetric(redis/ticks*1e6, "redis-µs/tick")
	b.ReportMetric(b.Elapsed().Seconds()/ticks*1e6, "µs/tick")
	totals, err := st.TickTotals(b.Context())
	if err != nil || totals.Due != int64(ticks) || totals.Drift() != 0 {
		b.Errorf("of %.0f ticks %d were counted as due, %d have no outcome: %v", ticks, totals.Due, totals.Drift(), err)
	}
}
