package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/embedded"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// Every script keeps to one slot, or the node refuses it.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis knows no slots
	}
	b := newBackend(t, startCluster(t))
	ctx := t.Context()

	watched := make(chan Catalog, 10)
	runs(t, func(ctx context.Context) error { return b.WatchCatalog(ctx, func(c Catalog) { watched <- c }) })
	for kind, lines := range map[function.Kind]int{function.Background: 3, function.Scheduled: 3} {
		id := b.create(t, kind)
		src := LogSource{Site: "shop", Kind: kind, Invocation: id}
		if _, err := b.Begin(ctx, kind, id, "w1"); err != nil {
			t.Errorf("Begin = %v", err)
		}
		if pinned, err := b.Pinned(ctx); err != nil || pinned["d1"] != 1 {
			t.Errorf("Pinned = %v, %v, want d1 once", pinned, err)
		}
		if err := b.AppendLog(ctx, src, numbered(1, 0, lines)); err != nil {
			t.Errorf("AppendLog = %v", err)
		}
		if state, err := b.Cancel(ctx, id); err != nil || state != invocation.Running {
			t.Errorf("Cancel = %s, %v, want running", state, err)
		}
		if ids, err := b.CancelRequested(ctx, kind, []string{newID(), id}); err != nil || len(ids) != 1 {
			t.Errorf("CancelRequested = %v, %v, want one", ids, err)
		}
		if err := b.Finish(ctx, kind, id, 1, ends[invocation.Cancelled]); err != nil {
			t.Errorf("Finish = %v", err)
		}
		followed := 0
		err := b.FollowLog(ctx, id, "", func(invocation.LogLine) error { followed++; return nil })
		if err != nil || followed != lines {
			t.Errorf("FollowLog = %d lines, %v, want %d", followed, err, lines)
		}
	}
	b.listsAndRetries(t)
	for _, id := range []string{"d1", "d2"} {
		if err := b.CreateDeploy(ctx, deploy.Deploy{ID: id, Site: "shop"}); err != nil {
			t.Errorf("CreateDeploy = %v", err)
		}
		if err := b.Await(ctx, id, []string{"a"}); err != nil {
			t.Errorf("Await = %v", err)
		}
		if left, err := b.Arrived(ctx, id, "a"); err != nil || left != 0 {
			t.Errorf("Arrived = %d, %v, want none left", left, err)
		}
		if err := b.Describe(ctx, deploy.Deploy{ID: id, Site: "shop"}, []byte("sealed")); err != nil {
			t.Errorf("Describe = %v", err)
		}
		if got, err := b.Seal(ctx, deploy.Deploy{ID: id, Site: "shop", Branch: "main", Draft: true}); err != nil || got != SealedReady {
			t.Errorf("Seal = %s, %v, want ready", got, err)
		}
		if err := b.Publish(ctx, "shop", id); err != nil {
			t.Errorf("Publish = %v", err)
		}
	}
	eventually(t, "the second deploy", func() bool { return (<-watched).Published["shop"].ID == "d2" })
	if id, err := b.Rollback(ctx, "shop"); err != nil || id != "d1" {
		t.Errorf("Rollback = %s, %v, want d1", id, err)
	}
	if err := errors.Join(b.CreateSite(ctx, "shop"), b.Lock(ctx, "shop", "d1"), b.Unlock(ctx, "shop"), b.Unpublish(ctx, "shop")); err != nil {
		t.Errorf("making, locking, unlocking and unpublishing a site = %v", err)
	}
	if err := b.CreateDeploy(ctx, deploy.Deploy{ID: "d3", Site: "other"}); err != nil {
		t.Errorf("CreateDeploy = %v", err)
	}
	if err := b.Fail(ctx, "d3", "why"); err != nil {
		t.Errorf("Fail = %v", err)
	}
	if all, err := b.Deploys(ctx, "shop", 0); err != nil || len(all) != 2 {
		t.Errorf("Deploys = %v, %v, want two", all, err)
	}
	b.collects(t)
	if err := b.Heartbeat(ctx, Worker{ID: "w1"}, time.Minute); err != nil {
		t.Errorf("Heartbeat = %v", err)
	}
	if all, err := b.Workers(ctx); err != nil || len(all) != 1 {
		t.Errorf("Workers = %v, %v, want one", all, err)
	}
	limit := function.RateLimit{Limit: 1, WindowMS: 60_000}
	for _, caller := range []string{"a", "b"} {
		if wait, err := b.CountCall(ctx, Rate{Site: "shop", Function: "f", Caller: caller, Limit: limit}); err != nil || wait != 0 {
			t.Errorf("CountCall(%s) = %v, %v, want none to wait", caller, wait, err)
		}
	}
	term, err := b.BeginTerm(ctx)
	if err != nil {
		t.Errorf("BeginTerm = %v", err)
	}
	cursors, err := b.SyncCursors(ctx, term, []string{"a", "b"})
	if err != nil || len(cursors) != 2 {
		t.Errorf("SyncCursors = %v, %v, want two", cursors, err)
	}
	inv := invocation.Invocation{ID: newID(), Kind: function.Scheduled}
	if got := b.do(t, b.Fire(term, "a", cursors["a"].Add(time.Minute)), b.Create(inv, nil)); got != 1 {
		t.Errorf("Fire with Create = %d, want 1", got)
	}
	if err := b.Skip(ctx, term, "b", cursors["b"].Add(time.Minute)); err != nil {
		t.Errorf("Skip = %v", err)
	}
}

// listsAndRetries has an invocation accepted, listed, ended, retried, counted and expired.
func (b *backend) listsAndRetries(t testing.TB) {
	t.Helper()
	inv := invocation.Invocation{
		ID: newID(), Site: "listed", Deploy: "d1", Function: "f", Kind: function.Background,
		Awaited: true, Callback: &invocation.Callback{URL: "https://example.com"},
	}
	steps := []redisdb.Step{b.Once(inv.Kind, inv.Site, inv.Function, "k", inv.ID, time.Hour), b.Create(inv, nil), b.Room(inv.Kind, inv.Site, 1)}
	if got := b.do(t, steps...); got != 1 {
		t.Errorf("Once, Create and Room = %d, want 1", got)
	}
	if id, err := b.OnceID(t.Context(), inv.Kind, inv.Site, inv.Function, "k"); err != nil || id != inv.ID {
		t.Errorf("OnceID = %s, %v, want %s", id, err, inv.ID)
	}
	for attempt := 1; attempt <= 2; attempt++ {
		b.begin(t, inv.ID, "w")
		b.finish(t, inv.ID, attempt, ends[invocation.Dead])
		if list, _, err := b.Invocations(t.Context(), Filter{Site: "listed", State: invocation.Dead, Deploy: "d1"}, "", 10); err != nil || len(list) != 1 {
			t.Errorf("Invocations = %v, %v, want one", list, err)
		}
		if attempt == 1 {
			if got := b.do(t, b.Retry(inv.Kind, inv.ID)); got != 1 {
				t.Errorf("Retry = %d, want 1", got)
			}
		}
	}
	if counts, err := b.Counts(t.Context()); err != nil || counts.Drift() != 0 || counts.Dead != 1 {
		t.Errorf("Counts = %+v, %v, want one dead and no drift", counts, err)
	}
	b.expire(t, inv.ID)
	if n, err := b.TrimIndex(t.Context()); err != nil || n != 1 {
		t.Errorf("TrimIndex = %d, %v, want 1", n, err)
	}
}

// startCluster starts a Redis Cluster of one node, which refuses scripts whose
// keys are in several slots just as a large one does, and returns a maker of
// clients.
func startCluster(t testing.TB) func(testing.TB) redis.UniversalClient {
	t.Helper()
	path, _, _ := embedded.Find()
	// The port may be taken between our look and the server's bind; then another one is not.
	for range 5 {
		if addr, ok := tryCluster(t, path); ok {
			return func(t testing.TB) redis.UniversalClient {
				rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true})
				t.Cleanup(func() { _ = rdb.Close() })
				return rdb
			}
		}
	}
	t.Fatal("no Redis Cluster came up")
	return nil
}

func tryCluster(t testing.TB, path string) (addr string, ok bool) {
	t.Helper()
	port := freePort(t)
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	server := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)), "--save", "", "--appendonly", "no")
	if err := server.Start(); err != nil {
		t.Fatalf("starting a Redis Cluster: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for rdb.ClusterAddSlotsRange(ctx, 0, 16383).Err() != nil {
		if pause(ctx, 10*time.Millisecond) != nil {
			return "", false
		}
	}
	for {
		info, err := rdb.ClusterInfo(ctx).Result()
		if err == nil && len(info) > 0 && info[:len("cluster_state:ok")] == "cluster_state:ok" {
			return addr, true
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return "", false
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
