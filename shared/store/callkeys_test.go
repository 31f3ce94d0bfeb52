package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/dispatch"
)

// ids are the IDs of keys, in their order.
func ids(keys []dispatch.Key) (all []string) {
	for _, k := range keys {
		all = append(all, k.ID)
	}
	return all
}

func TestCallKeys(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		read := func(rotate, keep time.Duration) []dispatch.Key {
			t.Helper()
			keys, now, err := b.CallKeys(t.Context(), rotate, keep)
			if err != nil {
				t.Fatalf("CallKeys = %v", err)
			}
			if redisNow, err := b.rdb.Time(t.Context()).Result(); err != nil || redisNow.Sub(now).Abs() > 15*time.Second {
				t.Errorf("the time is %v, that of Redis %v, %v", now, redisNow, err)
			}
			return keys
		}
		made := read(time.Hour, 3*time.Hour)
		if len(made) != 1 || len(made[0].ID) != 8 || len(made[0].Secret) < 50 {
			t.Fatalf("the first keys are %v", ids(made))
		}
		if again := read(time.Hour, 3*time.Hour); !slices.Equal(again, made) {
			t.Errorf("read again they are %v, want %v", ids(again), ids(made))
		}
		// Each of some age, by when it says that it was made.
		age := func(id string, d time.Duration) {
			t.Helper()
			now, err := b.rdb.Time(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			if err := b.rdb.HSet(t.Context(), callKeysKey(), id, fmt.Sprintf("%d secret-%s", now.Add(-d).UnixMilli(), id)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		age(made[0].ID, 90*time.Minute)
		age("OLD", 2*time.Hour)
		age("OUT", 4*time.Hour)
		age("AHEAD", -5*time.Hour)
		if err := b.rdb.HSet(t.Context(), callKeysKey(), "BROKEN", "x").Err(); err != nil {
			t.Fatal(err)
		}
		rotated := read(time.Hour, 3*time.Hour)
		if got := ids(rotated); len(got) != 3 || !slices.Equal(got[1:], []string{made[0].ID, "OLD"}) || got[0] == made[0].ID {
			t.Errorf("after a rotation the keys are %v, want a new one, %s and OLD", got, made[0].ID)
		}
		if rotated[0].Secret == made[0].Secret {
			t.Error("two keys have one secret")
		}
		if ttl, err := b.rdb.PTTL(t.Context(), callKeysKey()).Result(); err != nil || ttl <= 0 || ttl > 3*time.Hour {
			t.Errorf("they expire in %v, %v", ttl, err)
		}
	})
}

// TestOneKeyIsMade, whoever else asks at that moment.
func TestOneKeyIsMade(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var all sync.WaitGroup
		got := make([][]dispatch.Key, 8)
		for i := range got {
			all.Go(func() {
				keys, _, err := b.CallKeys(t.Context(), time.Hour, 3*time.Hour)
				if err != nil {
					t.Errorf("CallKeys = %v", err)
				}
				got[i] = keys
			})
		}
		all.Wait()
		for _, keys := range got {
			if len(keys) != 1 || !slices.Equal(keys, got[0]) {
				t.Errorf("somebody has %v, somebody else %v", ids(keys), ids(got[0]))
			}
		}
	})
}
