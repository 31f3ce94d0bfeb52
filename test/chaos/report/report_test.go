package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
)

// Of what took longer than promised, the report says what else was broken then.
func TestReportNamesWhatTookLonger(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	r := &Report{
		Again: []Rerun{
			{"in-time", at(10), at(45)},
			{"late", at(10), at(45.5)},
			{"later", at(100), at(150)},
		},
		Faults: []history.Fault{
			{Name: "Before", Begun: at(1), Healthy: at(9)},
			{Name: "CutRedis", What: "silent", Begun: at(8), Healthy: at(12)},
			{Name: "KillLeader", What: "s1", Begun: at(120), Healthy: at(121)},
			{Name: "After", Begun: at(151), Healthy: at(152)},
		},
	}
	want := []string{
		"later after 50s, with KillLeader (s1, +20.0 to +21.0 s);",
		"late after 35.5s, with CutRedis (silent, -2.0 to +2.0 s);",
	}
	if got := r.slowest(); !slices.Equal(got, want) {
		t.Errorf("slowest = %q, want %q", got, want)
	}
	if text := r.String(); !strings.Contains(text, "p50 35.5s, max 50s, 3 of them\n  "+want[0]) {
		t.Errorf("the report says\n%s", text)
	}
}
