package store

import (
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

func TestUnfinished(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		var want []string
		for i := range 12 {
			inv := invocation.Invocation{Site: []string{"shop", "blog"}[i%2], Deploy: "d1", Function: "f"}
			id := b.makes(t, inv)
			// Three of each millisecond, which are in order of their IDs.
			b.createdAt(t, id, base.Add(time.Duration(i/3)*time.Millisecond))
			switch i % 4 {
			case 1:
				b.begin(t, id, "w")
			case 2:
				b.finish(t, id, b.begin(t, id, "w").Attempt, ends[invocation.Failed])
			case 3:
				b.finish(t, id, b.begin(t, id, "w").Attempt, ends[invocation.Succeeded])
				continue
			}
			want = append(want, id)
		}
		b.makes(t, invocation.Invocation{Site: "shop", Deploy: "d1", Function: "f", Kind: function.Scheduled})
		slices.SortFunc(want, func(x, y string) int {
			if placeOf(b.read(t, y)).newer(placeOf(b.read(t, x))) {
				return -1
			}
			return 1
		})
		for _, limit := range []int{1, 2, 3, 100} {
			var got []string
			after := ""
			for range 20 {
				list, next, err := b.Unfinished(t.Context(), function.Background, after, limit)
				if err != nil || len(list) > limit {
					t.Fatalf("Unfinished = %d, %v; want %d at most", len(list), err, limit)
				}
				for _, inv := range list {
					got = append(got, inv.ID)
					if inv.State == invocation.Failed && inv.NextAttemptAt.IsZero() || inv.Deploy != "d1" {
						t.Errorf("it lacks something: %+v", inv)
					}
				}
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d: %v; want %v", limit, got, want)
			}
		}
		for name, err := range map[string]error{
			"kind":   second(b.Unfinished(t.Context(), function.Sync, "", 1)),
			"cursor": second(b.Unfinished(t.Context(), function.Background, "x", 1)),
		} {
			if !fault.Is(err, map[string]fault.Kind{"kind": fault.Internal, "cursor": fault.Invalid}[name]) {
				t.Errorf("a wrong %s: %v", name, err)
			}
		}
	})
}

func second(_ []invocation.Invocation, _ string, err error) error { return err }

func TestUnfinishedWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := New(server.Client(), Options{})
	server.Stop()
	if _, _, err := s.Unfinished(t.Context(), function.Background, "", 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Unfinished: %v; want unavailable", err)
	}
}
