// Command console measures how long the pages of the console take on an
// installation with very many invocations.
//
//	go run ./test/load/console
//	go run ./test/load/console -records 10000 -loads 5
//
// It starts a redis-server and a gateway, and makes the records itself: as many of
// background functions as of scheduled ones, accepted, begun and finished by the
// scripts of the services, 94 % of them succeeded. Then it loads each page in turn,
// round by round, and prints the median and the slowest of the times from the
// request to the last byte, on loopback. A million records take some minutes, and
// 6 GB of memory.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"
)

const (
	site      = "shop"
	token     = "the token of a measurement"
	functions = 20 // every other one is scheduled
	makers    = 64 // how many records are made at once
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	records := flag.Int("records", 1_000_000, "how many invocations there are, 1000 or more")
	loads := flag.Int("loads", 15, "how often each page is loaded, 1 or more")
	flag.Parse()
	if *records < 1000 || *loads < 1 {
		return errors.New("-records or -loads is out of its range, see -help")
	}
	dir, err := os.MkdirTemp("", "nightshift-console-")
	if err != nil {
		return err
	}
	fleet := &harness.Fleet{}
	defer func() { err = errors.Join(err, fleet.Close(), os.RemoveAll(dir)) }()
	server, err := fleet.StartRedis(ctx, harness.EverySecond)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close(), server.Remove()) }()
	m, err := newMaker(ctx, server.URL())
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := m.fill(ctx, *records); err != nil {
		return err
	}
	fmt.Printf("%d invocations made in %v\n", *records, time.Since(begun).Round(time.Second))

	bin := filepath.Join(dir, "bin")
	if err := harness.Build(ctx, bin); err != nil {
		return err
	}
	services, err := fleet.StartServices(ctx, harness.Setup{Bin: bin, Gateways: 1, Env: []string{
		"NIGHTSHIFT_REDIS_URL=" + server.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"), "NIGHTSHIFT_TOKEN=" + token,
	}})
	if err != nil {
		return err
	}
	pages, err := m.pages(ctx)
	if err != nil {
		return err
	}
	return measure(ctx, services.Admin[0], pages, *loads)
}

// maker makes what the console shows.
type maker struct {
	queue   *queue.Client
	records *store.Store
}

// newMaker publishes a deploy of the functions.
func newMaker(ctx context.Context, url string) (*maker, error) {
	rdb, err := redisdb.Open(url) // ends with the program
	if err != nil {
		return nil, err
	}
	q, err := queue.NewClient(rdb, true)
	if err != nil {
		return nil, err
	}
	m := &maker{queue: q, records: store.New(rdb, store.Options{})}
	d := deploy.Deploy{ID: "d1", Site: site, State: deploy.Ready}
	for i := range functions {
		f := function.Function{Name: fmt.Sprint("f", i), Kind: function.Background, API: function.APIv2, Runtime: "node", Entry: "f.mjs", Artifact: fmt.Sprintf("%064d", i)}
		if kindOf(i) == function.Scheduled {
			f.Kind, f.Schedule = function.Scheduled, "0 3 * * *"
		}
		d.Functions = append(d.Functions, f)
	}
	return m, errors.Join(m.records.CreateSite(ctx, site), m.records.CreateDeploy(ctx, d), m.records.Publish(ctx, site, d.ID))
}

// kindOf is the kind of the function that record i is of.
func kindOf(i int) function.Kind {
	if i%2 == 1 {
		return function.Scheduled
	}
	return function.Background
}

// fill makes n records.
func (m *maker) fill(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range makers {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := m.make(ctx, i); err != nil {
					return fmt.Errorf("making record %d: %w", i, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// make makes record i: of 100 of a function, 94 succeeded, 4 are dead, one each is
// queued and running.
func (m *maker) make(ctx context.Context, i int) error {
	id, err := ulid.New(ulid.Now(), rand.Reader)
	if err != nil {
		return err
	}
	kind, name := kindOf(i), fmt.Sprint("f", i%functions)
	inv := invocation.Invocation{ID: id.String(), Site: site, Deploy: "d1", Function: name, Kind: kind, State: invocation.Queued}
	event := []byte(`{"httpMethod":"POST","rawUrl":"http://shop.localhost/.netlify/functions/` + name + `","headers":{},"body":"{\"order\":8421}"}`)
	task := queue.Task{ID: inv.ID, Queue: kind, Timeout: time.Minute, Target: queue.Target{Site: site, Deploy: "d1", Function: name}}
	if _, err := m.queue.Enqueue(ctx, task, m.records.Create(inv, event)); err != nil {
		return err
	}
	fate := i / functions % 100
	if fate == 0 {
		return nil
	}
	if _, err := m.records.Begin(ctx, kind, inv.ID, "worker-1"); err != nil || fate == 1 {
		return err
	}
	end := store.End{Outcome: invocation.OK, Result: &invocation.Result{Status: 200, Body: `{"ok":true}`}, Verdict: invocation.Verdict{State: invocation.Succeeded}}
	if fate < 6 {
		end = store.End{Outcome: invocation.Error, Failure: &invocation.Failure{Type: "TypeError", Message: "the printer is on fire"}, Verdict: invocation.Verdict{State: invocation.Dead}}
	}
	return m.records.Finish(ctx, kind, inv.ID, 1, end)
}

// pages are the paths to load.
func (m *maker) pages(ctx context.Context) ([]string, error) {
	list, next, err := m.records.Invocations(ctx, store.Filter{Site: site, State: invocation.Dead}, "", 50)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("no invocation is dead: make more of them")
	}
	of := "/sites/" + site
	return []string{
		of, of + "/functions", of + "/invocations", of + "/invocations?cursor=" + next, of + "/invocations?state=succeeded&function=f2&deploy=d1",
		of + "/invocations?deploy=none", of + "/invocations/" + list[0].ID, of + "/schedules", of + "/schedules/f1", of + "/deploys",
		of + "/dead", of + "/dead/replay", of + "/callbacks", "/workers",
	}, nil
}

// measure loads the pages and prints what they took.
func measure(ctx context.Context, base string, pages []string, loads int) error {
	took, sizes := make([][]time.Duration, len(pages)), make([]int, len(pages))
	for range loads {
		for i, page := range pages {
			begun := time.Now()
			size, err := load(ctx, base+page)
			if err != nil {
				return err
			}
			took[i], sizes[i] = append(took[i], time.Since(begun)), size
		}
	}
	fmt.Printf("%9s %9s %9s  page\n", "median", "slowest", "bytes")
	for i, page := range pages {
		slices.Sort(took[i])
		fmt.Printf("%9v %9v %9d  %s\n", took[i][loads/2].Round(100*time.Microsecond), took[i][loads-1].Round(100*time.Microsecond), sizes[i], page)
	}
	return nil
}

// load loads a page, and says how long it is.
func load(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s = %s, %v", url, res.Status, err)
	}
	return len(body), nil
}
