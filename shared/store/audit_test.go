package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// appended appends an entry that must be appended.
func (b *backend) appended(t testing.TB, e AuditEntry) {
	t.Helper()
	if err := b.AppendAudit(t.Context(), e, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// What was done and what was refused are read as one log, newest first, page by
// page, and none is left out or told twice.
func TestAudit(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var want []AuditEntry
		for i := range 40 {
			e := AuditEntry{Actor: "root", From: "192.0.2.1", Action: "site.create", Site: fmt.Sprint("s", i%4), Details: fmt.Sprint(i), Status: 201}
			if i%3 == 0 {
				e.Actor, e.Token, e.Status = "ci", "0123456789abcdef", 403
			}
			b.appended(t, e)
			want = append([]AuditEntry{e}, want...)
		}
		for _, limit := range []int{1, 7, 40, 100} {
			var got []AuditEntry
			seen, cursor := map[string]bool{}, ""
			for {
				list, next, err := b.Audit(t.Context(), AuditFilter{}, cursor, limit)
				if err != nil || len(list) > limit {
					t.Fatalf("Audit = %d entries, %v, want %d at most", len(list), err, limit)
				}
				for _, e := range list {
					if seen[e.ID] || time.Since(e.At).Abs() > time.Minute {
						t.Errorf("entry %+v: seen before %t", e, seen[e.ID])
					}
					seen[e.ID] = true
					e.ID, e.At = "", time.Time{}
					got = append(got, e)
				}
				if cursor = next; next == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("by %d (-want +got):\n%s", limit, diff)
			}
		}
		for f, n := range map[AuditFilter]int{
			{Site: "s1"}: 10, {Actor: "ci"}: 14, {Actor: "0123456789abcdef"}: 14, {Actor: "root", Site: "s1"}: 7, {Site: "nope"}: 0,
			{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}: 40, {From: time.Now().Add(time.Hour)}: 0, {To: time.Now().Add(-time.Hour)}: 0,
		} {
			if list, _, err := b.Audit(t.Context(), f, "", 100); err != nil || len(list) != n {
				t.Errorf("Audit(%+v) = %d entries, %v, want %d", f, len(list), err, n)
			}
		}
		if _, _, err := b.Audit(t.Context(), AuditFilter{}, "x", 1); !fault.Is(err, fault.Invalid) {
			t.Errorf("with a cursor that is none: %v", err)
		}
	})
}

// redisXAdd is an entry that is there already.
func redisXAdd(key string) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: key, Values: []any{"token", "x", "entry", `{"action":"old","status":401}`}}
}

// A flood of what is refused pushes nothing out that was done.
func TestAuditIsBounded(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.appended(t, AuditEntry{Action: "token.create", Status: 201})
		pipe := b.rdb.Pipeline()
		for range maxAuditRefused + 10 {
			pipe.XAdd(t.Context(), redisXAdd(auditRefusedKey()))
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.appended(t, AuditEntry{Action: "token.refused", Status: 401})
		if n := b.rdb.XLen(t.Context(), auditRefusedKey()).Val(); n != maxAuditRefused {
			t.Errorf("%d refusals are kept, want %d", n, maxAuditRefused)
		}
		if n := b.rdb.XLen(t.Context(), auditKey()).Val(); n != 1 {
			t.Errorf("%d deeds are kept, want 1", n)
		}
	})
}

// Entries go when their time is over.
func TestAuditGrowsOld(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		old := redisXAdd(auditKey())
		old.ID = fmt.Sprint(time.Now().Add(-2*time.Hour).UnixMilli(), "-0")
		if err := b.rdb.XAdd(t.Context(), old).Err(); err != nil {
			t.Fatal(err)
		}
		b.appended(t, AuditEntry{Action: "site.create", Status: 201})
		list, _, err := b.Audit(t.Context(), AuditFilter{}, "", 10)
		if err != nil || len(list) != 1 || list[0].Action != "site.create" {
			t.Errorf("Audit = %+v, %v, want the new one", list, err)
		}
	})
}
