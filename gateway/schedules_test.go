package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

// ticker has a schedule of one tick a minute.
var ticker = function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "* * * * *", Timezone: "Europe/Berlin"}

func TestSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := t.Context()
	if list, err := b.api.Schedules(ctx, "default"); err != nil || len(list) != 0 {
		t.Errorf("with nothing published: %+v, %v", list, err)
	}
	b.deploy("default", job, ticker, function.Function{Name: "daily", Kind: function.Scheduled, Schedule: "@daily"})
	list, err := b.api.Schedules(ctx, "default")
	if err != nil || len(list) != 2 {
		t.Fatalf("Schedules = %+v, %v", list, err)
	}
	if got := list[0]; got.Function != "tick" || got.Schedule != "* * * * *" || got.Timezone != "Europe/Berlin" || len(got.NextRuns) != 5 || got.PausedSince != nil || len(got.Recent) != 0 || got.NextRuns[1].Sub(got.NextRuns[0]) != time.Minute {
		t.Errorf("schedule = %+v", got)
	}
	if err := b.api.PauseSchedule(ctx, "default", "tick"); err != nil {
		t.Fatal(err)
	}
	if list, err = b.api.Schedules(ctx, "default"); err != nil || list[0].PausedSince == nil || list[0].PausedBy != "127.0.0.1" || list[1].PausedSince != nil {
		t.Errorf("paused = %+v, %v", list, err)
	}
	// One that is not published any more can be resumed, and not be paused.
	b.deploy("default", job)
	if err := b.api.ResumeSchedule(ctx, "default", "tick"); err != nil {
		t.Error(err)
	}
	if err := b.api.PauseSchedule(ctx, "default", "tick"); !fault.Is(err, fault.NotFound) {
		t.Errorf("pausing what is not published: %v", err)
	}
	b.deploy("default", ticker)
	if list, err = b.api.Schedules(ctx, "default"); err != nil || list[0].PausedSince != nil {
		t.Errorf("resumed = %+v, %v", list, err)
	}
}

// TestHashedSchedule shows the times and the ledger that a schedule with an H has
// for the scheduler, which computes it from the names of site and function.
func TestHashedSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := t.Context()
	hashed := function.Function{Name: "hashed", Kind: function.Scheduled, Schedule: "H H * * *"}
	b.deploy("default", hashed)
	s, err := schedule.ParseFor("default", "hashed", hashed.Schedule, "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.api.Schedules(ctx, "default")
	if err != nil || len(list) != 1 || len(list[0].NextRuns) != 5 {
		t.Fatalf("Schedules = %+v, %v", list, err)
	}
	if want, _ := s.Next(list[0].NextRuns[0].Add(-time.Second)); !list[0].NextRuns[0].Equal(want) {
		t.Errorf("the next run is %v, and the scheduler's is %v", list[0].NextRuns[0], want)
	}
	key := schedule.Key("default", "hashed", s)
	term, err := b.store.BeginTerm(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at, err := b.store.MoveCursors(ctx, term, []string{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tick := list[0].NextRuns[0]
	if err := b.store.Skip(ctx, term, store.Skipping{Key: key, After: at[key], From: tick, To: tick, Count: 1, Reason: store.SkipPaused}); err != nil {
		t.Fatal(err)
	}
	if list, err = b.api.Schedules(ctx, "default"); err != nil || len(list[0].Recent) != 1 {
		t.Errorf("after a tick: %+v, %v", list, err)
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	d := b.deploy("default", job, ticker)
	got, err := b.api.Trigger(t.Context(), "default", "tick", "")
	if err != nil {
		t.Fatal(err)
	}
	inv, err := b.api.Invocation(t.Context(), got.ID)
	if err != nil || inv.Kind != function.Scheduled || inv.Function != "tick" || inv.Deploy != d.ID || inv.Tick != nil || inv.State != invocation.Queued {
		t.Errorf("invocation = %+v, %v", inv, err)
	}
	raw, err := b.store.Event(t.Context(), got.ID)
	for _, part := range []string{`"X-NF-Event":"schedule"`, `next_run`, `"x-nf-request-id":"` + got.ID, `"x-nf-deploy-published":"1"`} {
		if err != nil || !strings.Contains(string(raw), part) {
			t.Errorf("event %s does not hold %s; %v", raw, part, err)
		}
	}
	one, err := b.api.Trigger(t.Context(), "default", "tick", "k")
	two, again := b.api.Trigger(t.Context(), "default", "tick", "k")
	if err != nil || again != nil || one.ID != two.ID || one.Existed || !two.Existed || one.ID == got.ID {
		t.Errorf("with a key: %+v, %v and %+v, %v", one, err, two, again)
	}
	a := b.do(b.authorised("POST", "/api/v1/sites/default/schedules/tick/trigger"))
	if a.status != 202 || a.header.Get("Location") != "/api/v1/invocations/"+idOf(a) {
		t.Errorf("answer = %d %v", a.status, a.header)
	}
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", ticker)
	ctx := t.Context()
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := api.Backfill{From: from, To: from.Add(5 * time.Minute), Limit: 3}
	first, err := b.api.Backfill(ctx, "default", "tick", in, "")
	if err != nil || len(first.Invocations) != 3 || first.NextFrom == nil || !first.NextFrom.Equal(from.Add(3*time.Minute)) {
		t.Fatalf("Backfill = %+v, %v", first, err)
	}
	for i, m := range first.Invocations {
		tick := from.Add(time.Duration(i) * time.Minute)
		inv, err := b.api.Invocation(ctx, m.ID)
		if err != nil || !m.Tick.Equal(tick) || inv.Tick == nil || !inv.Tick.Equal(tick) || m.Existed {
			t.Errorf("tick %d = %+v, %+v, %v", i, m, inv, err)
		}
		raw, err := b.store.Event(ctx, m.ID)
		if want := tick.Add(time.Minute).Format("2006-01-02T15:04:05.000Z"); err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("event %s does not hold %s; %v", raw, want, err)
		}
	}
	again, err := b.api.Backfill(ctx, "default", "tick", in, "")
	if err != nil || len(again.Invocations) != 3 || again.Invocations[0].ID != first.Invocations[0].ID || !again.Invocations[0].Existed {
		t.Errorf("the same again = %+v, %v", again, err)
	}
	in.From = *first.NextFrom
	rest, err := b.api.Backfill(ctx, "default", "tick", in, "")
	if err != nil || len(rest.Invocations) != 2 || rest.NextFrom != nil {
		t.Errorf("the rest = %+v, %v", rest, err)
	}
	if other, err := b.api.Backfill(ctx, "default", "tick", in, "on purpose"); err != nil || other.Invocations[0].Existed {
		t.Errorf("with a key = %+v, %v; want it made again", other, err)
	}
	if n := b.redis.LLen(ctx, "asynq:{scheduled}:pending").Val(); n != 7 {
		t.Errorf("%d tasks in the queue, want 5 and 2", n)
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", ticker)
	ctx := t.Context()
	parsed, err := schedule.Parse(ticker.Schedule, ticker.Timezone)
	if err != nil {
		t.Fatal(err)
	}
	key := schedule.Key("default", "tick", parsed)
	term, err := b.store.BeginTerm(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cursors, err := b.store.SyncCursors(ctx, term, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	at := cursors[key]
	for i := range 3 {
		first, _ := parsed.Next(at)
		last, _ := parsed.Next(first)
		if err := b.store.Skip(ctx, term, store.Skipping{Key: key, After: at, From: first, To: last, Count: 2, Reason: store.SkipPaused}); err != nil {
			t.Fatal(i, err)
		}
		at = last
	}
	page, err := b.api.Ledger(ctx, "default", "tick", "", 2)
	if err != nil || len(page.Ticks) != 2 || page.NextCursor == "" {
		t.Fatalf("Ledger = %+v, %v", page, err)
	}
	if got := page.Ticks[0]; !got.Tick.Equal(at) || got.From == nil || got.Count != 2 || got.Outcome != "skipped" || got.Reason != "paused" {
		t.Errorf("tick = %+v", got)
	}
	if rest, err := b.api.Ledger(ctx, "default", "tick", page.NextCursor, 2); err != nil || len(rest.Ticks) != 1 || rest.NextCursor != "" {
		t.Errorf("the rest = %+v, %v", rest, err)
	}
	if list, err := b.api.Schedules(ctx, "default"); err != nil || len(list[0].Recent) != 3 {
		t.Errorf("recent ticks = %+v, %v", list, err)
	}
}

func TestSchedulesRefuse(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	r.deploy("shop", function.Function{Name: "hello"}, ticker)
	future := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	tests := []struct {
		name, method, path string
		body               any
		status             int
		want               []string
	}{
		{"schedules of no site", "GET", "/sites/nope/schedules", nil, 404, []string{"nope"}},
		{"trigger of nothing", "POST", "/sites/shop/schedules/nope/trigger", nil, 404, []string{"nope", "tick"}},
		{"trigger of a sync function", "POST", "/sites/shop/schedules/hello/trigger", nil, 409, []string{"hello is a sync function"}},
		{"trigger on no site", "POST", "/sites/nope/schedules/tick/trigger", nil, 404, []string{"nope"}},
		{"pause of nothing", "POST", "/sites/shop/schedules/nope/pause", nil, 404, []string{"nope"}},
		{"resume of nothing", "POST", "/sites/shop/schedules/nope/resume", nil, 404, []string{"nope"}},
		{"resume on no site", "POST", "/sites/nope/schedules/tick/resume", nil, 404, []string{"nope"}},
		{"ledger of nothing", "GET", "/sites/shop/schedules/nope/ledger", nil, 404, []string{"nope"}},
		{"ledger from nowhere", "GET", "/sites/shop/schedules/tick/ledger?cursor=x", nil, 400, []string{"not a cursor"}},
		{"ledger with a limit", "GET", "/sites/shop/schedules/tick/ledger?limit=0", nil, 400, []string{"1 to 200"}},
		{"ledger with a filter", "GET", "/sites/shop/schedules/tick/ledger?before=1", nil, 400, []string{"before", "cursor"}},
		{"backfill of no time", "POST", "/sites/shop/schedules/tick/backfill", "{}", 400, []string{"from must be before to"}},
		{"backfill of nothing", "POST", "/sites/shop/schedules/tick/backfill", nil, 400, []string{"not the JSON that is expected"}},
		{"backfill backwards", "POST", "/sites/shop/schedules/tick/backfill", map[string]any{"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, []string{"from must be before to"}},
		{"backfill of the future", "POST", "/sites/shop/schedules/tick/backfill", map[string]any{"from": "2026-02-01T00:00:00Z", "to": future}, 400, []string{"yet to come"}},
		{"backfill of too much", "POST", "/sites/shop/schedules/tick/backfill", map[string]any{"from": "2026-02-01T00:00:00Z", "to": "2026-02-02T00:00:00Z", "limit": 1001}, 400, []string{"1 to 1000"}},
		{"backfill of a misspelt span", "POST", "/sites/shop/schedules/tick/backfill", map[string]any{"start": "2026-02-01T00:00:00Z"}, 400, []string{"start"}},
		{"backfill by nonsense", "POST", "/sites/shop/schedules/tick/backfill", "x", 400, []string{"not the JSON that is expected"}},
	}
	for _, tt := range tests {
		r.refused(tt.name, r.call(tt.method, tt.path, tt.body), tt.status, tt.want...)
	}
	paused, err := r.store.Paused(t.Context(), "shop")
	if counts, countErr := r.store.Counts(t.Context()); err != nil || countErr != nil || counts.Accepted != 0 || len(paused) != 0 {
		t.Errorf("something was made: %+v, %v; %v, %v", counts, countErr, paused, err)
	}
}

// authorised is a request of the control plane with its token.
func (b *bundle) authorised(method, path string) (req *http.Request) {
	req = b.request(method, b.control(path), nil)
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.Drain = time.Second })
	b.deploy("default", job)
	if a := b.get(b.control("/metrics")); a.status != 401 {
		t.Errorf("without the token: %d", a.status)
	}
	b.dead(2)
	b.finish(function.Background, idOf(b.ask()), good)
	b.ask()
	var text string
	for _, line := range []string{
		"nightshift_invocations_accepted_total 4", `nightshift_invocations{state="queued"} 1`, `nightshift_invocations{state="running"} 0`,
		`nightshift_invocations_finished_total{state="dead"} 2`, `nightshift_invocations_finished_total{state="succeeded"} 1`,
		"nightshift_conservation_drift 0", "nightshift_ticks_due_total 0", `nightshift_ticks_skipped_total{reason="overlap"} 0`, "nightshift_ticks_drift 0",
		`nightshift_tick_lateness_seconds_bucket{le="+Inf"} 0`, "nightshift_callbacks_pending 0", `nightshift_callbacks_total{outcome="dead"} 0`,
	} {
		eventually(t, line, func() bool { // a reading is a second old at most
			a := b.do(b.authorised("GET", "/metrics"))
			text = a.body
			return a.status == 200 && strings.Contains("\n"+text, "\n"+line+"\n")
		})
	}
	b.server.Stop()
	eventually(t, "metrics tell that Redis is away, and nothing of the installation", func() bool {
		a := b.do(b.authorised("GET", "/metrics"))
		return a.status == 200 && strings.Contains(a.body, "\nnightshift_redis_up 0\n") && !strings.Contains(a.body, "nightshift_conservation_drift")
	})
}
