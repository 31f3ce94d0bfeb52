package view_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
)

func TestBuilt(t *testing.T) {
	t.Parallel()
	functions := []build.Function{
		{Function: function.Function{Name: "hello", Kind: function.Sync}},
		{Function: function.Function{Name: "items", Kind: function.Background, Paths: []string{"/a", "/b"}, Methods: []string{"GET"}}},
		{Function: function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@daily"}},
		{Function: function.Function{Name: "route", Kind: function.Scheduled, Schedule: "@daily", Paths: []string{"/api/route"}}},
	}
	tests := map[string]struct {
		base string
		dev  bool
		want string
	}{
		"without a host": {"", false, "hello ANY /.netlify/functions/hello\nitems GET /a /b\ntick ANY \nroute ANY \n"},
		"dev":            {"http://x", true, "hello ANY http://x/.netlify/functions/hello\nitems GET http://x/a http://x/b\ntick ANY http://x/.netlify/functions/tick\nroute ANY http://x/api/route\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for _, f := range view.Built(functions, test.base, test.dev) {
				got += f.Name + " " + strings.Join(f.Methods, "|") + " " + strings.Join(f.URLs, " ") + "\n"
			}
			if got != test.want {
				t.Errorf("Built\n got %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 30, 23, 30, 15, 0, time.UTC)
	var got bytes.Buffer
	view.Schedules(&got, view.Plain, []api.Function{
		{Name: "hello", Kind: function.Sync},
		{Name: "nightly", Kind: function.Scheduled, Schedule: "0 6 * * *", Timezone: "Europe/Berlin"},
		{Name: "often", Kind: function.Scheduled, Schedule: "*/20 * * * * *"},
		{Name: "wrong", Kind: function.Scheduled, Schedule: "nope"},
	}, now, 3)
	want := `
  SCHEDULE  ZONE           NEXT TIMES
  nightly   Europe/Berlin  Thu 31 Dec 06:00, Fri 1 Jan 2027 06:00, Sat 2 Jan 2027 06:00
  often     UTC            Wed 30 Dec 23:30:20, Wed 30 Dec 23:30:40, Wed 30 Dec 23:31
  wrong     UTC            never
`
	if got.String() != want[1:] {
		t.Errorf("Schedules printed\n%s\nwant\n%s", got.String(), want[1:])
	}
	got.Reset()
	if view.Schedules(&got, view.Plain, []api.Function{{Name: "hello", Kind: function.Sync}}, now, 3); got.Len() > 0 {
		t.Errorf("Schedules without any printed %q", got.String())
	}
}

func TestDeploys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var got bytes.Buffer
	view.Deploys(&got, view.Plain, []api.Deploy{
		{ID: "bbbb", State: "ready", Context: "production", Branch: "main", Published: true, Locked: true, Withheld: "older", CreatedAt: now.Add(-5 * time.Minute), Title: "two\nlines \x1b[2Jof it"},
		{ID: "aaaa", State: "ready", Context: "production", Withheld: "locked", CreatedAt: now.Add(-3 * time.Hour), Title: strings.Repeat("ä", 70)},
		{ID: "9999", State: "error", Context: "deploy-preview", CreatedAt: now.Add(-100 * time.Hour), Title: "not this", ErrorMessage: "this"},
		{ID: "8888", State: "new"},
	}, now)
	want := `
  DEPLOY  STATE  CONTEXT          CREATED  PUBLISHED          TITLE
  bbbb    ready  production main  5m ago   published, locked  two lines [2Jof it
  aaaa    ready  production       3h ago   withheld: locked   ` + strings.Repeat("ä", 59) + `…
  9999    error  deploy-preview   4d ago   -                  this
  8888    new    -                -        -
`
	if got.String() != want[1:] {
		t.Errorf("Deploys printed\n%s\nwant\n%s", got.String(), want[1:])
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 4 * time.Second: "just now", 59 * time.Second: "59s ago", 61 * time.Second: "1m ago",
		119 * time.Minute: "1h ago", 47 * time.Hour: "47h ago", 49 * time.Hour: "2d ago",
	} {
		if got := view.Ago(now.Add(-d), now); got != want {
			t.Errorf("Ago(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB", 5 << 40: "5120.0 GiB"} {
		if got := view.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	now := time.Unix(0, 0)
	bar := view.NewTerminalBar(&got, "Uploading", 2048, 60, func() time.Time { return now })
	add := func(n int64, after time.Duration) { now = now.Add(after); bar.Add(n) }
	add(512, time.Second)
	add(512, time.Millisecond) // too soon to be drawn
	add(2048, time.Second)     // more than there is
	add(-3072, time.Second)    // and to be sent again
	bar.End()
	bar.Add(1) // after the end
	want := "\rUploading ██████░░░░░░░░░░░░░░░░░░  25 %  512 B of 2.0 KiB\x1b[K" +
		"\rUploading ████████████████████████ 100 %  2.0 KiB of 2.0 Ki\x1b[K" +
		"\rUploading ░░░░░░░░░░░░░░░░░░░░░░░░   0 %  0 B of 2.0 KiB\x1b[K" +
		"\r\x1b[K"
	if got.String() != want {
		t.Errorf("the bar wrote\n%q\nwant\n%q", got.String(), want)
	}
}

func TestBarAwayFromTerminals(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	bar := view.NewBar(&got, "Uploading", 100)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { bar.Add(25) })
	}
	all.Wait()
	bar.End()
	if got.Len() > 0 {
		t.Errorf("the bar wrote %q, want nothing", got.String())
	}
}
