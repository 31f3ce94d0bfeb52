package redis

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/test/harness"
)

const (
	// deadline is what the gateway waits for Redis, and slack what two cores with
	// 200 callers add to that.
	deadline = 2 * time.Second
	slack    = 2 * time.Second
	// crowd is the number of callers that call without a pause.
	crowd = 200
	mark  = "/.netlify/functions/mark-background"
)

// TestStalledRedis stops the redis-server where it is, so that its connections
// stay and nobody answers, while many call.
func TestStalledRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	redis, err := w.fleet.StartNode(t.Context(), "redis1")
	w.must(err)
	w.start(redis, harness.Setup{Gateways: 1, Workers: 1, Schedulers: 1})
	w.deploy()
	w.eventually(20*time.Second, func() error { return w.accepts(0) })
	w.eventually(20*time.Second, func() error {
		if a := w.call(t.Context(), 0, http.MethodGet, "/.netlify/functions/answer"); a.status != http.StatusOK {
			return fmt.Errorf("answered %d %s", a.status, a.body)
		}
		return nil
	})
	gateway, err := w.fleet.Process("gateway1")
	w.must(err)
	w.callers(crowd, 0, http.MethodGet, "/", 100*time.Millisecond).within(w, time.Second) // the connections are there
	before := resident(w, gateway.Pid())

	w.must(redis.Freeze())
	frozen := time.Now()
	background := w.callers(crowd, 0, http.MethodPost, mark, 0)
	static := w.callers(2, 0, http.MethodGet, "/", 50*time.Millisecond)
	syncs := w.callers(2, 0, http.MethodGet, "/.netlify/functions/answer", 50*time.Millisecond)
	w.pause(20 * time.Second)
	after := resident(w, gateway.Pid())
	refused, pages, answers := background.end(), static.end(), syncs.end()

	t.Logf("%d callers for 20 s: background %v, longest %v; static %v, longest %v; sync %v, longest %v; memory of the gateway %d → %d MiB",
		crowd, tally(refused), longest(refused), tally(pages), longest(pages), tally(answers), longest(answers), before>>20, after>>20)
	if got := tally(refused); got[http.StatusServiceUnavailable] != len(refused) || len(refused) < crowd {
		t.Errorf("background calls were answered %v, want 503 for all", got)
	}
	// A machine that is busy with other things is late with everything; how late,
	// a page tells, which has nothing to do with Redis.
	if d, late := longest(refused), longest(pages); d > deadline+slack+2*late {
		t.Errorf("a background call was answered after %v, where a page takes up to %v", d, late)
	}
	for what, all := range map[string][]answer{"static files": pages, "sync calls": answers} {
		if got := tally(all); got[http.StatusOK] != len(all) || len(all) < 20 {
			t.Errorf("%s were answered %v, want 200 for all", what, got)
		}
	}
	if after > before+64<<20 {
		t.Errorf("the gateway has grown from %d to %d MiB", before>>20, after>>20)
	}

	w.must(redis.Thaw())
	w.eventually(20*time.Second, func() error { return w.accepts(0) })
	w.pause(3 * time.Second)
	ran := w.marks()
	t.Logf("after %v: %d of %d refused calls ran, all of which were on their way when Redis froze", time.Since(frozen).Round(time.Second), ran, len(refused))
	// What was written to a connection may run: the first calls, and then one at a
	// time for as long as a call is waited for. All others were withdrawn.
	if ran > 50 {
		t.Errorf("%d of %d refused calls ran", ran, len(refused))
	}

	w.must(redis.Freeze())
	w.callers(crowd, 0, http.MethodPost, mark, 0) // ends with the test
	w.pause(4 * time.Second)
	w.must(gateway.Signal(syscall.SIGQUIT)) // Go prints all goroutines, and ends
	_, err = gateway.Wait(t.Context())
	w.must(err)
	// A server, a handler and a waiter for each caller, and what a gateway has anyway.
	goroutines := gateway.Log.Count(regexp.MustCompile(`(?m)^goroutine \d+ .*\[`))
	t.Logf("%d goroutines with %d callers", goroutines, crowd)
	if goroutines > 4*crowd+100 {
		t.Errorf("the gateway has %d goroutines with %d callers", goroutines, crowd)
	}
	w.must(redis.Thaw())
}

// TestReconnect lets Redis go and come back under many callers, and counts the
// connections that it gets.
func TestReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	redis, err := w.fleet.StartNode(t.Context(), "redis1")
	w.must(err)
	w.start(redis, harness.Setup{Gateways: 1, Workers: 1, Schedulers: 1})
	w.deploy()
	w.eventually(20*time.Second, func() error { return w.accepts(0) })
	load := w.callers(crowd, 0, http.MethodPost, work, 0)
	w.pause(time.Second)
	w.must(redis.Kill(t.Context()))
	w.pause(2 * time.Second)
	w.must(redis.Restart(t.Context()))
	up := time.Now()
	w.eventually(20*time.Second, func() error { return w.accepts(0) })
	back := time.Since(up)
	w.pause(2 * time.Second)
	load.end()

	rdb, err := redisdb.Open(redis.URL())
	w.must(err)
	defer rdb.Close()
	stats, err := rdb.Info(t.Context(), "stats").Result()
	w.must(err)
	_, rest, _ := strings.Cut(stats, "total_connections_received:")
	text, _, _ := strings.Cut(rest, "\r\n")
	opened, err := strconv.Atoi(text)
	w.must(err)
	// A pool of each process, and its own connections for messages and waiting.
	bound := 3*10*runtime.GOMAXPROCS(0) + 30
	t.Logf("%d callers: accepted again %v after the restart; %d connections were opened, of at most %d", crowd, back.Round(10*time.Millisecond), opened, bound)
	if opened > bound {
		t.Errorf("%d connections were opened, want %d at most", opened, bound)
	}
}

// within lets a load run for a while.
func (l *load) within(w *world, d time.Duration) {
	w.pause(d)
	l.end()
}

// marks is how many calls of mark ran.
func (w *world) marks() (n int) {
	for _, hit := range w.collector.Hits() {
		if hit.Query.Has("mark") {
			n++
		}
	}
	return n
}

func longest(answers []answer) (d time.Duration) {
	for _, a := range answers {
		d = max(d, a.took)
	}
	return d.Round(10 * time.Millisecond)
}

// resident is the memory of a process, in bytes.
func resident(w *world, pid int) int {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	w.must(err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	w.must(err)
	return pages * os.Getpagesize()
}
