package store

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkRecord is what the life of a record costs: its Create, and then its
// Begin and Finish. It reports Redis's processor time of each, and Redis's memory
// for each record, while it is queued and when it is finished.
func BenchmarkRecord(b *testing.B) {
	server := redistest.Start(b)
	s := &backend{Store: New(server.Client(), Options{})}
	event := make([]byte, 512)
	memory := func() float64 {
		used, err := s.rdb.InfoMap(b.Context(), "memory").Result()
		if err != nil {
			b.Fatal(err)
		}
		n, err := strconv.ParseFloat(used["Memory"]["used_memory"], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	var create, attempt, queued, finished float64
	for b.Loop() {
		const n = 10_000
		before, from := memory(), server.ProcessorTime()
		var ids []string
		for i := range n {
			inv := invocation.Invocation{
				ID: newID(), Site: "shop", Deploy: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Function: fmt.Sprint("send-email-", i%10), Kind: function.Background,
			}
			script, keys, args := compose(s.Create(inv, event))
			if err := script.Run(b.Context(), s.rdb, keys, args...).Err(); err != nil {
				b.Fatal(err)
			}
			ids = append(ids, inv.ID)
		}
		create += (server.ProcessorTime() - from) / n
		queued += (memory() - before) / n
		from = server.ProcessorTime()
		for _, id := range ids {
			s.finish(b, id, s.begin(b, id, "w").Attempt, ends[invocation.Succeeded])
		}
		attempt += (server.ProcessorTime() - from) / n
		finished += (memory() - before) / n
		b.StopTimer()
		if err := s.rdb.FlushAll(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	rounds := float64(b.N)
	b.ReportMetric(create/rounds*1e6, "redis-µs/create")
	b.ReportMetric(attempt/rounds*1e6, "redis-µs/attempt")
	b.ReportMetric(queued/rounds, "B/queued")
	b.ReportMetric(finished/rounds, "B/finished")
}
