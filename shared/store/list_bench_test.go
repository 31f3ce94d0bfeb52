package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkInvocations reads pages of 50 of a site's 100,000 records: the first
// one, and one from the middle.
func BenchmarkInvocations(b *testing.B) {
	if testing.Short() {
		b.Skip("makes 100,000 records")
	}
	server := redistest.Start(b)
	s := &backend{Store: New(server.Client(), Options{})}
	for i := range 10 { // ten functions, of both kinds, in all states
		s.crowd(b, recordKinds()[i%2], "shop", fmt.Sprint("f", i), states[i%len(states)], 10_000)
	}
	s.crowd(b, function.Background, "blog", "f", invocation.Succeeded, 1000)
	pages := []struct {
		name string
		f    Filter
	}{
		{"site", Filter{Site: "shop"}},
		{"function and state", Filter{Site: "shop", Function: "f3", State: invocation.Succeeded}},
		{"state", Filter{Site: "shop", State: invocation.Dead}},
		{"deploy", Filter{Site: "shop", Deploy: "d7"}}, // of 100: the bound ends the look
		{"from the middle", Filter{Site: "shop", To: time.UnixMilli(6000)}},
	}
	for _, page := range pages {
		b.Run(page.name, func(b *testing.B) {
			found, from := 0, server.ProcessorTime()
			for b.Loop() {
				list, next, err := s.Invocations(b.Context(), page.f, "", 50)
				if err != nil || next == "" {
					b.Fatalf("Invocations = %d, %q, %v", len(list), next, err)
				}
				found += len(list)
			}
			b.ReportMetric(float64(found)/float64(b.N), "found/op")
			b.ReportMetric((server.ProcessorTime()-from)/float64(b.N)*1e3, "redis-ms/op")
		})
	}
}
