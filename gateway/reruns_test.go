package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// dead makes n dead invocations and returns their IDs, oldest first.
func (b *bundle) dead(n int) []string {
	b.t.Helper()
	var ids []string
	for range n {
		id := idOf(b.ask())
		b.finish(function.Background, id, bad)
		ids = append(ids, id)
	}
	return ids
}

func TestInvocationList(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	d := b.deploy("default", job)
	ids := b.dead(3)
	last := idOf(b.ask())
	list, err := b.api.Invocations(t.Context(), "default", client.InvocationQuery{Function: job.Name, State: invocation.Dead, Deploy: d.ID, Limit: 2})
	if err != nil || len(list.Invocations) != 2 || list.Invocations[0].ID != ids[2] || list.NextCursor == "" {
		t.Fatalf("first page = %+v, %v", list, err)
	}
	rest, err := b.api.Invocations(t.Context(), "default", client.InvocationQuery{State: invocation.Dead, Cursor: list.NextCursor})
	if err != nil || len(rest.Invocations) != 1 || rest.Invocations[0].ID != ids[0] || rest.NextCursor != "" {
		t.Errorf("second page = %+v, %v", rest, err)
	}
	all, err := b.api.Invocations(t.Context(), "default", client.InvocationQuery{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)})
	if err != nil || len(all.Invocations) != 4 || all.Invocations[0].ID != last {
		t.Errorf("all = %+v, %v", all, err)
	}
	if _, err := b.api.Invocations(t.Context(), "nope", client.InvocationQuery{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a site that is not there: %v", err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	id := b.dead(1)[0]
	inv, err := b.api.Retry(t.Context(), id)
	if err != nil || inv.ID != id || inv.State != invocation.Queued || len(inv.Attempts) != 1 {
		t.Fatalf("Retry = %+v, %v", inv, err)
	}
	if _, err := b.api.Retry(t.Context(), id); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "queued") {
		t.Errorf("once more = %v, want a conflict that says it is queued", err)
	}
	b.finish(function.Background, id, good)
	if inv, err = b.api.Invocation(t.Context(), id); err != nil || inv.State != invocation.Succeeded || inv.Attempts[1].Number != 2 {
		t.Errorf("after it = %+v, %v", inv, err)
	}
	if _, err := b.api.Retry(t.Context(), id); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "nightshift replay") {
		t.Errorf("of one that succeeded = %v, want a conflict that says to replay", err)
	}
	if _, err := b.api.Retry(t.Context(), "01M806MVKXM72EWXY9R4RTBS7M"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of none = %v", err)
	}
}

func TestRetryWithoutDeploy(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	old := b.deploy("default", job)
	id := b.dead(1)[0]
	b.deploy("default", function.Function{Name: "other"})
	b.removeDeploy(old.ID)
	if _, err := b.api.Retry(t.Context(), id); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "nightshift replay "+id) {
		t.Errorf("Retry = %v, want a conflict that says to replay", err)
	}
	if _, err := b.api.Replay(t.Context(), id, ""); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "publish one") {
		t.Errorf("Replay without a function = %v, want a conflict", err)
	}
	fixed := b.deploy("default", job)
	made, err := b.api.Replay(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	if inv, err := b.api.Invocation(t.Context(), made.ID); err != nil || inv.Deploy != fixed.ID {
		t.Errorf("the replay runs on %s, want the one that is published, %s; %v", inv.Deploy, fixed.ID, err)
	}
}

// removeDeploy does what garbage collection does to a deploy in the end.
func (b *bundle) removeDeploy(id string) {
	b.t.Helper()
	for _, key := range b.redis.Keys(b.t.Context(), "nightshift:{catalog}:deploy:"+id).Val() {
		if err := b.redis.Del(b.t.Context(), key).Err(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	id := b.dead(1)[0]
	fixed := b.deploy("default", function.Function{Name: job.Name, Kind: function.Background, TimeoutMS: 5000})
	made, err := b.api.Replay(t.Context(), id, "k")
	if err != nil || made.ReplayOf != id || made.Existed || len(made.ID) != 26 {
		t.Fatalf("Replay = %+v, %v", made, err)
	}
	inv, err := b.api.Invocation(t.Context(), made.ID)
	if err != nil || inv.ReplayOf != id || inv.Deploy != fixed.ID || inv.State != invocation.Queued {
		t.Errorf("the replay = %+v, %v", inv, err)
	}
	before, err := b.store.Event(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	after, err := b.store.Event(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	want, err := event.Replay(before, event.Meta{RequestID: made.ID, Deploy: fixed.ID, Published: true, Context: "production"})
	if err != nil || string(after) != string(want) || !strings.Contains(string(after), `"body":`) {
		t.Errorf("event = %s\nwant %s, %v", after, want, err)
	}
	if again, err := b.api.Replay(t.Context(), id, "k"); err != nil || again.ID != made.ID || !again.Existed {
		t.Errorf("the same request = %+v, %v; want the same replay", again, err)
	}
	if other, err := b.api.Replay(t.Context(), id, "other"); err != nil || other.ID == made.ID {
		t.Errorf("another request = %+v, %v; want another replay", other, err)
	}
	if _, err := b.api.Replay(t.Context(), made.ID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("of one that is queued = %v, want a conflict", err)
	}
	// A caller's own key is not that of a replay.
	if a := b.ask("Idempotency-Key: k"); a.header.Get("Idempotency-Replayed") != "" {
		t.Error("a call took the key of a replay")
	}
}

// A preview's call stays on its preview, whatever is published.
func TestReplayOfPreview(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	_, digest := code(t, "export default () => new Response('hi')")
	draft, err := b.api.CreateDeploy(t.Context(), "default", api.CreateDeploy{Draft: true, Functions: []function.Function{fn(job, digest)}})
	if err != nil || draft.State != "ready" {
		t.Fatalf("draft = %+v, %v", draft, err)
	}
	req := b.request("POST", jobURL, nil)
	req.Host = draft.ID + "--default.localhost"
	id := idOf(b.do(req))
	b.finish(function.Background, id, bad)
	made, err := b.api.Replay(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.store.Event(t.Context(), made.ID)
	if err != nil || event.Published(raw) || !strings.Contains(string(raw), `"x-nf-deploy-id":"`+draft.ID) {
		t.Errorf("event = %s, %v; want the preview's", raw, err)
	}
	if inv, err := b.api.Invocation(t.Context(), made.ID); err != nil || inv.Deploy != draft.ID {
		t.Errorf("the replay runs on %s, want %s; %v", inv.Deploy, draft.ID, err)
	}
}

func TestReplayByFilter(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job, function.Function{Name: "other-background", Kind: function.Background})
	ids := b.dead(5)
	b.finish(function.Background, idOf(b.ask()), good)
	in := api.ReplayInvocations{Function: job.Name, Limit: 3, DryRun: true}
	dry, err := b.api.ReplayAll(t.Context(), "default", in, "k")
	if err != nil || fmt.Sprint(dry.Matched) != fmt.Sprint(ids[2:]) || len(dry.Replays) != 0 || dry.NextCursor == "" {
		t.Fatalf("dry run = %+v, %v; want the newest three, oldest first", dry, err)
	}
	if counts, err := b.store.Counts(t.Context()); err != nil || counts.Accepted != 6 {
		t.Errorf("a dry run made something: %+v, %v", counts, err)
	}
	in.DryRun = false
	first, err := b.api.ReplayAll(t.Context(), "default", in, "k")
	if err != nil || len(first.Replays) != 3 || first.Replays[0].ReplayOf != ids[2] || first.NextCursor != dry.NextCursor {
		t.Fatalf("first = %+v, %v", first, err)
	}
	again, err := b.api.ReplayAll(t.Context(), "default", in, "k")
	if err != nil || len(again.Replays) != 3 {
		t.Fatalf("the same again = %+v, %v", again, err)
	}
	for i, r := range again.Replays {
		if !r.Existed || r.ID != first.Replays[i].ID {
			t.Errorf("the same again made %+v, want %+v", r, first.Replays[i])
		}
	}
	in.Cursor = first.NextCursor
	rest, err := b.api.ReplayAll(t.Context(), "default", in, "k")
	if err != nil || len(rest.Replays) != 2 || rest.NextCursor != "" {
		t.Errorf("the rest = %+v, %v", rest, err)
	}
	if counts, err := b.store.Counts(t.Context()); err != nil || counts.Accepted != 11 || counts.Drift() != 0 {
		t.Errorf("counts = %+v, %v; want 6 and 5 replays", counts, err)
	}
	// What nothing can run is told, and does not stop the others.
	b.deploy("default", function.Function{Name: "other-background", Kind: function.Background})
	inv, err := b.api.Invocation(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	b.removeDeploy(inv.Deploy)
	refused, err := b.api.ReplayAll(t.Context(), "default", api.ReplayInvocations{}, "")
	if err != nil || len(refused.Refusals) != 5 || !strings.Contains(refused.Refusals[0].Message, "is gone") {
		t.Errorf("without a function = %+v, %v", refused, err)
	}
}

func TestRerunsRefuse(t *testing.T) {
	t.Parallel()
	r := setupRefuser(t)
	const id = "01M806MVKXM72EWXY9R4RTBS7M"
	tests := []struct {
		name, method, path string
		body               any
		status             int
		want               []string
	}{
		{"a state that is none", "GET", "/sites/shop/invocations?state=lost", nil, 400, []string{"no state", "lost"}},
		{"a limit that is none", "GET", "/sites/shop/invocations?limit=x", nil, 400, []string{"limit is \"x\"", "1 to 200"}},
		{"a limit over it", "GET", "/sites/shop/invocations?limit=201", nil, 400, []string{"1 to 200"}},
		{"a time that is none", "GET", "/sites/shop/invocations?from=monday", nil, 400, []string{"from is \"monday\"", "RFC 3339"}},
		{"a to that is none", "GET", "/sites/shop/invocations?to=1", nil, 400, []string{"to is \"1\""}},
		{"a cursor that is none", "GET", "/sites/shop/invocations?cursor=x", nil, 400, []string{"not a cursor"}},
		{"a parameter that is none", "GET", "/sites/shop/invocations?status=dead", nil, 400, []string{"status", "state"}},
		{"a function that cannot be", "GET", "/sites/shop/invocations?function=a:b", nil, 400, []string{"a:b"}},
		{"a site that is not there", "GET", "/sites/nope/invocations", nil, 404, []string{"nope"}},
		{"retry of none", "POST", "/invocations/" + id + "/retry", nil, 404, []string{id}},
		{"retry of nonsense", "POST", "/invocations/x/retry", nil, 404, []string{"x"}},
		{"replay of none", "POST", "/invocations/" + id + "/replay", nil, 404, []string{id}},
		{"replay of what is not finished", "POST", "/sites/shop/invocations/replay", map[string]any{"state": "running"}, 400, []string{"running", "dead"}},
		{"replay of too many", "POST", "/sites/shop/invocations/replay", map[string]any{"limit": 1001}, 400, []string{"1001", "1 to 1000"}},
		{"replay of less than none", "POST", "/sites/shop/invocations/replay", map[string]any{"limit": -1}, 400, []string{"1 to 1000"}},
		{"replay by a misspelt filter", "POST", "/sites/shop/invocations/replay", map[string]any{"funktion": "a"}, 400, []string{"funktion"}},
		{"replay by nonsense", "POST", "/sites/shop/invocations/replay", "nonsense", 400, []string{"not the JSON that is expected"}},
		{"replay by a book", "POST", "/sites/shop/invocations/replay", `{"function": "` + strings.Repeat("x", 64<<10) + `"}`, 413, []string{"64 KiB"}},
		{"replay from nowhere", "POST", "/sites/shop/invocations/replay", map[string]any{"cursor": "x"}, 400, []string{"not a cursor"}},
		{"replay of another time", "POST", "/sites/shop/invocations/replay", map[string]any{"from": "monday"}, 400, []string{"not the JSON that is expected"}},
		{"replay on no site", "POST", "/sites/nope/invocations/replay", nil, 404, []string{"nope"}},
		{"callbacks of no site", "GET", "/sites/nope/callbacks", nil, 404, []string{"nope"}},
		{"callbacks from nowhere", "GET", "/sites/shop/callbacks?cursor=x", nil, 400, []string{"not a cursor"}},
		{"callbacks by a filter", "GET", "/sites/shop/callbacks?state=dead", nil, 400, []string{"state", "cursor"}},
		{"retry of no callback", "POST", "/invocations/" + id + "/callback/retry", nil, 404, []string{id}},
	}
	for _, tt := range tests {
		r.refused(tt.name, r.call(tt.method, tt.path, tt.body), tt.status, tt.want...)
	}
	for _, path := range []string{"/invocations/" + id + "/replay", "/sites/shop/invocations/replay", "/sites/shop/schedules/tick/trigger", "/sites/shop/schedules/tick/backfill"} {
		req := r.request("POST", r.control("/api/v1"+path), strings.NewReader("{}"))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Idempotency-Key", strings.Repeat("k", 256))
		r.refused("a long key of "+path, r.do(req), 400, "256 bytes")
	}
	if counts, err := r.store.Counts(t.Context()); err != nil || counts.Accepted != 0 {
		t.Errorf("something was made: %+v, %v", counts, err)
	}
}
