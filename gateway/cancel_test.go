package gateway_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// hasTask reports whether the queue knows a task of an invocation.
func (b *bundle) hasTask(id string) bool {
	b.t.Helper()
	n, err := b.redis.Exists(b.t.Context(), "asynq:{background}:t:"+id).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return n == 1
}

// touches matches a script or command one of whose parts holds a text.
func touches(part string) func(redis.Cmder) bool {
	return func(cmd redis.Cmder) bool {
		return slices.ContainsFunc(cmd.Args(), func(arg any) bool { return strings.Contains(fmt.Sprint(arg), part) })
	}
}

// What waits for its time or its turn leaves the queue when it is cancelled,
// by whichever plane.
func TestCancelWithdraws(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	single := function.Function{Name: job.Name, Kind: function.Background, Concurrency: 1}
	b.deploy("default", single)
	running := idOf(b.ask())
	tests := []struct {
		name, header string
		cancel       func(id string) invocation.State
	}{
		{"waits for its time, by the data plane", "Nightshift-Not-Before: 1h", func(id string) invocation.State {
			return decode[api.Invocation](t, b.do(b.request("DELETE", "/.nightshift/invocations/"+id, nil)).body).State
		}},
		{"waits for its turn, by the control plane", "X-None: 1", func(id string) invocation.State {
			inv, err := b.api.Cancel(t.Context(), id)
			if err != nil {
				t.Error(err)
			}
			return inv.State
		}},
	}
	for _, tt := range tests {
		id := idOf(b.ask(tt.header))
		if !b.hasTask(id) {
			t.Fatalf("%s: the call has no task", tt.name)
		}
		if state := tt.cancel(id); state != invocation.Cancelled {
			t.Errorf("%s: it is %s, want cancelled", tt.name, state)
		}
		if b.hasTask(id) {
			t.Errorf("%s: the task is still there", tt.name)
		}
	}
	if n := b.redis.ZCard(t.Context(), "asynq:{background}:scheduled").Val(); n != 0 {
		t.Errorf("%d tasks wait, want none", n)
	}
	// The one whose turn it is may be on its way to a worker already: its task
	// stays, and finds it finished.
	if inv, err := b.api.Cancel(t.Context(), running); err != nil || inv.State != invocation.Cancelled || !b.hasTask(running) {
		t.Errorf("the released one = %+v, %v, task %v; want it cancelled, with its task", inv, err, b.hasTask(running))
	}
}

// The record decides, whatever becomes of the task.
func TestCancelWithoutQueue(t *testing.T) {
	t.Parallel()
	for _, how := range []redistest.Fault{redistest.Failed, redistest.FailedButDone} {
		log := logged{out: t.Output()}
		b := setup(t, func(c *gateway.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		b.deploy("default", job)
		if _, err := b.api.Cancel(t.Context(), idOf(b.ask("Nightshift-Not-Before: 1h"))); err != nil { // loads the script
			t.Fatal(err)
		}
		id := idOf(b.ask("Nightshift-Not-Before: 1h"))
		b.broken.Break(1, how, touches("asynq:{background}:t:"+id))
		inv, err := b.api.Cancel(t.Context(), id)
		if err != nil || inv.State != invocation.Cancelled {
			t.Errorf("Cancel = %+v, %v; want it cancelled", inv, err)
		}
		if left := b.hasTask(id); left != (how == redistest.Failed) || b.broken.Broke() != 1 {
			t.Errorf("the task is there: %v, after %d faults", left, b.broken.Broke())
		}
		if text := log.String(); !strings.Contains(text, "may stay in the queue") || !strings.Contains(text, id) {
			t.Errorf("the log does not say that the task may stay:\n%s", text)
		}
	}
}
