package schedule

import (
	"slices"
	"testing"
	"time"
)

// TestDaylightSaving lists local wall-clock ticks around changes of the clock.
// Each want is the local time with its offset.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	const (
		berlin   = "Europe/Berlin"       // 2026: 02:00 → 03:00 on 29 March, 03:00 → 02:00 on 25 October
		newYork  = "America/New_York"    // 2026: 02:00 → 03:00 on 8 March, 02:00 → 01:00 on 1 November
		lordHowe = "Australia/Lord_Howe" // 2026: 02:00 → 01:30 on 5 April, 02:00 → 02:30 on 4 October
		// Clocks there are set back for Ramadan, and forward after it.
		casablanca = "Africa/Casablanca" // 2026: 03:00 → 02:00 on 15 February, 02:00 → 03:00 on 22 March
	)
	tests := map[string]struct {
		expr, zone, from string
		want             []string
	}{
		"Berlin, skipped time": {"30 2 * * *", berlin, "2026-03-27T12:00:00+01:00",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		"Berlin, several skipped times at once": {"*/20 2 * * *", berlin, "2026-03-28T02:30:00+01:00",
			[]string{"2026-03-28T02:40:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		"Berlin, a tick at the gap's end is not doubled": {"0,30 2,3 * * *", berlin, "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"}},
		"Berlin, every two hours over the gap": {"0 */2 * * *", berlin, "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00", "2026-03-29T06:00:00+02:00"}},
		"Berlin, repeated time": {"30 2 * * *", berlin, "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		"Berlin, asked within the repeat": {"30 2 * * *", berlin, "2026-10-25T02:10:00+01:00",
			[]string{"2026-10-26T02:30:00+01:00"}},
		"Berlin, the end of the repeat": {"0 2,3 * * *", berlin, "2026-10-25T00:00:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T02:00:00+01:00"}},
		"Berlin, hourly over the gap": {"30 * * * *", berlin, "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
		"Berlin, hourly through the repeat": {"@hourly", berlin, "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		"Berlin, every 30 minutes through the repeat": {"*/30 * * * *", berlin, "2026-10-25T02:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		"New York, skipped time": {"0 2 * * *", newYork, "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		"New York, repeated time": {"59 1 * * *", newYork, "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:59:00-04:00", "2026-11-02T01:59:00-05:00"}},
		"New York, noon is not touched": {"0 12 * * *", newYork, "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T12:00:00-04:00"}},
		"New York, every second through the repeat": {"* * * * * *", newYork, "2026-11-01T01:59:58-04:00",
			[]string{"2026-11-01T01:59:59-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T01:00:01-05:00"}},
		"Lord Howe, half an hour skipped": {"15 2 * * *", lordHowe, "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		"Lord Howe, half an hour repeated": {"45 1 * * *", lordHowe, "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		"Lord Howe, before the repeated half": {"15,45 1 * * *", lordHowe, "2026-04-05T01:50:00+11:00",
			[]string{"2026-04-06T01:15:00+10:30"}},
		"Lord Howe, hourly through the repeat": {"45 * * * *", lordHowe, "2026-04-05T01:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T02:45:00+10:30"}},
		"Santiago, midnight skipped": {"@daily", "America/Santiago", "2026-09-05T12:00:00-04:00",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}},
		"Apia, a whole day skipped": {"0 9 * * *", "Pacific/Apia", "2011-12-28T12:00:00-10:00",
			[]string{"2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"}},
		"Lord Howe, every ten minutes over the skipped half": {"*/10 * * * *", lordHowe, "2026-10-04T01:45:00+10:30",
			[]string{"2026-10-04T01:50:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T02:40:00+11:00"}},
		"Casablanca, repeated time": {"30 2 * * *", casablanca, "2026-02-14T12:00:00+01:00",
			[]string{"2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00Z"}},
		"Casablanca, skipped time": {"30 2 * * *", casablanca, "2026-03-21T12:00:00Z",
			[]string{"2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"}},
		"Casablanca, hourly through the repeat": {"@hourly", casablanca, "2026-02-15T01:30:00+01:00",
			[]string{"2026-02-15T02:00:00+01:00", "2026-02-15T02:00:00Z", "2026-02-15T03:00:00Z"}},
		"Casablanca, hourly over the gap": {"15 * * * *", casablanca, "2026-03-22T01:00:00Z",
			[]string{"2026-03-22T01:15:00Z", "2026-03-22T03:15:00+01:00"}},
		"Phoenix, while its neighbours skip an hour": {"30 2 * * *", "America/Phoenix", "2026-03-07T12:00:00-07:00",
			[]string{"2026-03-08T02:30:00-07:00", "2026-03-09T02:30:00-07:00"}},
		"Phoenix, while its neighbours repeat an hour": {"*/30 1 * * *", "America/Phoenix", "2026-11-01T00:00:00-07:00",
			[]string{"2026-11-01T01:00:00-07:00", "2026-11-01T01:30:00-07:00", "2026-11-02T01:00:00-07:00"}},
		"Kolkata, an odd offset": {"0 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00+05:30",
			[]string{"2026-01-01T09:00:00+05:30", "2026-01-02T09:00:00+05:30"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustParse(t, tt.expr, tt.zone)
			var got []string
			from := at(t, tt.from)
			for range tt.want {
				next, ok := s.Next(from)
				if !ok {
					t.Fatalf("no tick after %v", from)
				}
				if next.Location() != time.UTC {
					t.Fatalf("Next returned a time in %v, want UTC", next.Location())
				}
				got = append(got, next.In(s.zone).Format(time.RFC3339))
				from = next
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("ticks of %q after %s:\n got %v\nwant %v", tt.expr, tt.from, got, tt.want)
			}
		})
	}
}

// TestOneRunPerDay: a daily schedule has exactly one tick on every local day of
// every zone, whatever its clocks do. (Apia's missing day has none of its own.)
func TestOneRunPerDay(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Asia/Gaza", "Antarctica/Troll"} {
		for _, expr := range []string{"0 0 * * *", "30 0 * * *", "45 1 * * *", "30 2 * * *", "0 3 * * *"} {
			s := mustParse(t, expr, zone)
			from := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)
			day, _ := s.Next(from)
			for range 10 * 365 {
				next, ok := s.Next(day)
				if !ok {
					t.Fatalf("%q in %s ends at %v", expr, zone, day)
				}
				a, b := day.In(s.zone), next.In(s.zone)
				if want := time.Date(a.Year(), a.Month(), a.Day()+1, 12, 0, 0, 0, time.UTC).Format(time.DateOnly); b.Format(time.DateOnly) != want {
					t.Fatalf("%q in %s: the tick after %v is %v, want one on %s", expr, zone, a, b, want)
				}
				day = next
			}
		}
	}
}
