package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/store"
)

// shown asks asynqmon's API and returns the answer.
func (b *bundle) shown(path string) string {
	b.t.Helper()
	req := b.request("GET", b.control("/queues/api/"+path), nil)
	req.Header.Set("Authorization", "Bearer "+token)
	got := b.do(req)
	if got.status != 200 {
		b.t.Fatalf("GET %s = %d %s", path, got.status, got.body)
	}
	return got.body
}

// queueCounts are what asynqmon says of a queue.
type queueCounts struct {
	Queue                                                        string
	Size, Active, Pending, Scheduled, Retry, Archived, Completed int64
	Processed, Succeeded, Failed                                 int64
	Paused                                                       bool
}

// queues are what asynqmon says of all queues, by name. What has ended is that of
// all days: the test may run at midnight.
func (b *bundle) queues() map[string]queueCounts {
	b.t.Helper()
	days := decode[struct{ Stats map[string][]queueCounts }](b.t, b.shown("queue_stats")).Stats
	byName := map[string]queueCounts{}
	for _, q := range decode[struct{ Queues []queueCounts }](b.t, b.shown("queues")).Queues {
		q.Processed, q.Succeeded, q.Failed = 0, 0, 0
		for _, day := range days[q.Queue] {
			q.Processed, q.Succeeded, q.Failed = q.Processed+day.Processed, q.Succeeded+day.Succeeded, q.Failed+day.Failed
		}
		byName[q.Queue] = q
	}
	return byName
}

// listed are the IDs that asynqmon lists as being in a state.
func (b *bundle) listed(kind function.Kind, state string) []string {
	b.t.Helper()
	var ids []string
	text := b.shown(fmt.Sprintf("queues/%s/%s_tasks?size=100", kind, state))
	for _, task := range decode[struct{ Tasks []struct{ ID string } }](b.t, text).Tasks {
		ids = append(ids, task.ID)
	}
	slices.Sort(ids)
	return ids
}

// works runs invocations as a worker does, one or more at once, until the test
// ends: what becomes of one is in the name of its function.
func (b *bundle) works(concurrency int) {
	b.t.Helper()
	held := make(chan struct{})
	server, err := queue.NewServer(queue.ServerConfig{
		Redis: b.server.Client(), Concurrency: concurrency, Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
		Handler: func(ctx context.Context, d queue.Delivery) queue.Disposition {
			begun, err := b.store.Begin(ctx, d.Queue, d.ID, "w1")
			if err != nil {
				b.t.Errorf("Begin = %v", err)
				return queue.Done()
			}
			end, then := store.End{Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}}, queue.Done()
			switch name := d.Target.Function; {
			case strings.HasPrefix(name, "again"):
				end, then = store.End{Outcome: invocation.Error, Verdict: invocation.Verdict{State: invocation.Failed, Delay: time.Hour}}, queue.RetryIn(time.Hour)
			case strings.HasPrefix(name, "broken"):
				end, then = store.End{Outcome: invocation.Error, Verdict: invocation.Verdict{State: invocation.Dead}}, queue.Bury("error: it is broken")
			case strings.HasPrefix(name, "hold"):
				<-held
			}
			if err := b.store.Finish(ctx, d.Queue, d.ID, begun.Attempt, end); err != nil {
				b.t.Errorf("Finish = %v", err)
			}
			return then
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		close(held)
		if err := server.Stop(context.Background()); err != nil {
			b.t.Errorf("stopping the worker: %v", err)
		}
	})
}

// calls calls a background function n times and returns the IDs.
func (b *bundle) calls(name string, n int, headers ...string) (ids []string) {
	b.t.Helper()
	for range n {
		req := b.request("POST", "/.netlify/functions/"+name, strings.NewReader("a secret of the caller"))
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		got := b.do(req)
		if got.status != http.StatusAccepted {
			b.t.Fatalf("calling %s = %d %s", name, got.status, got.body)
		}
		ids = append(ids, got.header.Get("X-Nf-Request-Id"))
	}
	return ids
}

// What asynqmon says agrees with the records, once one knows where asynq keeps
// what waits in a lane: docs/queues.md.
func TestQueuesAgreeWithTheRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	background := func(name string, concurrency int) function.Function {
		return function.Function{Name: name, Kind: function.Background, Concurrency: concurrency}
	}
	b.deploy("default", background("fine", 0), background("again", 0), background("broken", 0), background("hold", 2), background("later", 0))

	b.works(2)
	const fine, again, broken = 4, 2, 3
	retries := append(b.calls("again", again), b.calls("fine", fine)...)[:again]
	buried := b.calls("broken", broken)
	counts := func() store.Counts {
		t.Helper()
		byKind, err := b.store.CountsByKind(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return byKind[function.Background]
	}
	eventually(t, "what ends has ended", func() bool {
		q := b.queues()["background"]
		return q.Size == again+broken && q.Active == 0
	})

	// Both of the worker's places are taken; three of the function's lane wait for
	// them, and four of another one's have left theirs.
	active := b.calls("hold", 2)
	eventually(t, "the worker is busy", func() bool { return counts().Running == 2 })
	waiting := b.calls("hold", 3)
	delayed := b.calls("later", 2, "Nightshift-Not-Before", "1h")
	pending := b.calls("fine", 4)

	c := counts()
	want := queueCounts{
		Queue: "background", Size: 16, Active: 2, Pending: 4, Scheduled: 5, Retry: again, Archived: broken,
		Processed: fine + again + broken, Succeeded: fine, Failed: again + broken, // attempts that ended
	}
	got := b.queues()["background"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asynqmon (-want +got):\n%s", diff)
	}
	if got.Pending+got.Scheduled != c.Queued || got.Active != c.Running || got.Retry != c.Failed || got.Archived != c.Dead {
		t.Errorf("asynqmon says %+v, the records %+v", got, c)
	}
	site, err := b.store.SiteCounts(t.Context(), "default")
	if err != nil || site.Unfinished()+site.Dead != got.Size || site.Succeeded != got.Succeeded {
		t.Errorf("asynqmon says %+v, the site %+v, %v", got, site, err)
	}
	for state, ids := range map[string][]string{
		"active": active, "pending": pending, "scheduled": append(waiting, delayed...), "retry": retries, "archived": buried, "completed": nil,
	} {
		slices.Sort(ids)
		if diff := cmp.Diff(ids, b.listed(function.Background, state)); diff != "" {
			t.Errorf("%s tasks (-want +got):\n%s", state, diff)
		}
	}
	// One finds there what is found elsewhere by the same ID, and no caller's words.
	task := b.shown("queues/background/tasks/" + waiting[0])
	if !strings.Contains(task, waiting[0]) || !strings.Contains(task, `\"function\":\"hold\"`) || !strings.Contains(task, `\"site\":\"default\"`) {
		t.Errorf("the task is shown as %s", task)
	}
	for _, path := range []string{
		"queues", "queues/background", "queue_stats", "servers", "scheduler_entries", "queues/background/tasks/" + waiting[0],
		"queues/background/active_tasks", "queues/background/pending_tasks", "queues/background/scheduled_tasks",
		"queues/background/retry_tasks", "queues/background/archived_tasks",
	} {
		if text := b.shown(path); strings.Contains(text, "secret") {
			t.Errorf("%s shows what a caller sent: %s", path, text)
		}
	}
}

// The queues are the operators', as all of the control plane is: browsers are sent
// to sign in, and what they fetch without that is refused.
func TestQueuesNeedTheToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, path := range []string{"/queues", "/queues/", "/queues/api/queues", "/queues/static/js/main.js", "/queues/servers"} {
		for mode, want := range map[string]int{"navigate": http.StatusSeeOther, "cors": http.StatusUnauthorized, "no-cors": http.StatusUnauthorized} {
			r := b.request("GET", b.control(path), nil)
			r.Header.Set("Sec-Fetch-Mode", mode)
			resp, err := b.http.Transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("GET %s (%s) without the token = %s, want %d", path, mode, resp.Status, want)
			}
		}
	}
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405} {
		for _, path := range []string{"/queues", "/queues/", "/queues/servers", "/queues/api/queues"} {
			req := b.request(method, b.control(path), nil)
			req.Header.Set("Authorization", "Bearer "+token)
			if got := b.do(req); got.status != want {
				t.Errorf("%s %s = %d %s, want %d", method, path, got.status, got.body, want)
			}
		}
	}
	if got := b.get("/queues"); got.status != http.StatusNotFound {
		t.Errorf("/queues on the data plane = %d: it is the site's", got.status)
	}
}

// A gateway that has stopped has no connection to Redis left, of asynqmon either.
func TestStopClosesTheQueuesConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	connections := func() int { return strings.Count(b.redis.ClientList(t.Context()).Val(), "\n") }
	b.shown("queues")
	before := connections()
	if err := b.gateway.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connections are closed", func() bool { return connections() == 1 })
	if before < 3 {
		t.Errorf("there were %d connections while it ran, want those of the gateway and of asynqmon", before)
	}
}
