package redis

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/test/harness"
)

// TestCluster runs all that there is on a cluster of three masters: a deploy,
// background calls, a schedule, a sync call, logs and a cancellation; and then
// through the death of the master that has the background queue.
func TestCluster(t *testing.T) {
	w := newWorld(t)
	redis, err := w.fleet.StartCluster(t.Context())
	w.must(err)
	w.start(redis, harness.Setup{Gateways: 1, Workers: 1, Schedulers: 1})
	w.deploy()
	w.eventually(20*time.Second, func() error { return w.accepts(0) })

	a := w.call(t.Context(), 0, http.MethodPost, work)
	w.invocation(a.id, 20*time.Second, invocation.Succeeded)
	lines, err := w.control.Logs(t.Context(), a.id, "")
	w.must(err)
	if !slices.ContainsFunc(lines, func(l invocation.LogLine) bool { return strings.Contains(l.Text, "ran "+a.id) }) {
		t.Errorf("the log of %s is %v, without what the function wrote", a.id, lines)
	}

	a = w.call(t.Context(), 0, http.MethodPost, "/.netlify/functions/wait-background")
	w.invocation(a.id, 20*time.Second, invocation.Running)
	_, err = w.control.Cancel(t.Context(), a.id)
	w.must(err)
	w.invocation(a.id, 10*time.Second, invocation.Cancelled)

	if a = w.call(t.Context(), 0, http.MethodGet, "/.netlify/functions/answer"); a.body != "answered" {
		t.Errorf("a sync call is answered %d %s %v", a.status, a.body, a.err)
	}
	if twice := w.checkTicks(); twice > 0 {
		t.Errorf("%d ticks ran twice", twice)
	}

	master, err := masterOf(w, redis, "asynq:{"+string(function.Background)+"}:pending")
	w.must(err)
	load := w.callers(4, 0, http.MethodPost, work, 20*time.Millisecond)
	w.pause(time.Second)
	failed := time.Now()
	w.must(master.Kill(t.Context()))
	w.eventually(30*time.Second, func() error { return w.accepts(0) })
	back := time.Now()
	w.pause(time.Second)
	answers := load.end()
	lost := w.fates(accepted(answers), time.Minute)
	t.Logf("kill -9 of a master: accepted again after %v; answers %v, accepted and lost %d",
		back.Sub(failed).Round(10*time.Millisecond), tally(answers), len(lost))
	for status := range tally(answers) {
		if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
			t.Errorf("answered %d", status)
		}
	}
	t.Logf("ticks: none left out, %d ran twice", w.checkTicks())
}

// masterOf is the node that has a key.
func masterOf(w *world, c *harness.Cluster, key string) (*harness.Node, error) {
	rdb, err := redisdb.Open(c.Nodes[0].URL())
	if err != nil {
		return nil, err
	}
	defer rdb.Close()
	slot, err := rdb.ClusterKeySlot(w.Context(), key).Result()
	if err != nil {
		return nil, err
	}
	ranges, err := rdb.ClusterSlots(w.Context()).Result()
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		if int(slot) < r.Start || int(slot) > r.End {
			continue
		}
		for _, n := range c.Nodes {
			if n.Addr() == r.Nodes[0].Addr {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("no node has the slot of %s", key)
}
