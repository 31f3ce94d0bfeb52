package schedule

import (
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzParse: no input makes Parse or Next panic or hang; ticks strictly grow,
// match their own schedule, and the canonical form means the same.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{
		"* * * * *", "5 4 * * *", "*/5 * * * *", "0 0 L * *", "0 0 * * 5L", "0 0 * * MON#2", "0 0 1,15 * 1",
		"0 0 31 2 *", "@hourly", "@midnight", "* * * * * *", "59 59 23 29 2 6", "0 0 ? * 7", "5-1 * * * *", "*/0 * * * *",
		"0 0 30 2 *", "0 0 29 FEB MON-FRI", ",,, * * * *", "1-2-3 * * * *", "0/1/2 * * * *",
	} {
		f.Add(expr, "", int64(1_900_000_000))
		f.Add(expr, "Europe/Berlin", int64(1_792_886_400))
		f.Add(expr, "Australia/Lord_Howe", int64(1_775_314_800))
	}
	// Runs into the leap years beyond Go's zone tables.
	f.Add("0 0 1 1 *", "Europe/Berlin", int64(1_792_886_351))
	f.Fuzz(func(t *testing.T, expr, zone string, seconds int64) {
		s, err := Parse(expr, zone)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("Parse(%q, %q) = %v, want an invalid fault", expr, zone, err)
			}
			return
		}
		again, err := Parse(s.expr, zone)
		if err != nil || again.String() != s.String() {
			t.Fatalf("Parse(%q) reads its own canonical form %q as %v, %v", expr, s.expr, again, err)
		}
		from := time.Unix(seconds%5_000_000_000, 0)
		began := time.Now()
		for range 50 {
			next, ok := s.Next(from)
			same, okSame := again.Next(from)
			if ok != okSame || !next.Equal(same) {
				t.Fatalf("%q and its canonical form %q differ after %v: %v, %v", expr, s.expr, from, next, same)
			}
			if !ok {
				break
			}
			if !next.After(from) {
				t.Fatalf("%q: the tick after %v is %v", expr, from, next)
			}
			from = next
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%q in %q took %v", expr, zone, took)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for name, zone := range map[string]string{"UTC": "", "Berlin": "Europe/Berlin"} {
		b.Run(name, func(b *testing.B) {
			s, err := Parse("*/5 9-17 * * 1-5", zone)
			if err != nil {
				b.Fatal(err)
			}
			t := time.Unix(1_900_000_000, 0)
			for b.Loop() {
				t, _ = s.Next(t)
				if t.IsZero() {
					t = time.Unix(1_900_000_000, 0)
				}
			}
		})
	}
}
