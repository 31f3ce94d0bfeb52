// Command accept measures what a 202 costs, by how sure it is: it stores
// background calls of 1 KiB as a gateway does, without HTTP, with several
// settings of Redis in turn.
//
//	go run ./test/load/accept [-callers 64] [-rounds 5] [-each 1.5s]
//
// The settings take turns in each round, so that what else the machine does hits
// all of them. It prints, for each, the calls per second over all rounds (and of
// the slowest and the fastest round), and percentiles of how long one took. The
// append-only files stand in the system's temporary directory: set TMPDIR to the
// disk that is to be measured.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/oklog/ulid/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "accept:", err)
		os.Exit(1)
	}
}

// setting is a Redis and what is asked of it.
type setting struct {
	name     string
	fsync    harness.Durability
	replicas int // that are waited for; there is one of each that is

	accept func(ctx context.Context) error
	rates  []float64 // calls per second, by round
	took   []time.Duration
}

func run(ctx context.Context) (err error) {
	callers := flag.Int("callers", 64, "how many call at once, 1 or more")
	rounds := flag.Int("rounds", 5, "how often each setting has its turn, 1 or more")
	each := flag.Duration("each", 1500*time.Millisecond, "how long a turn is, 100ms or more")
	flag.Parse()
	if *callers < 1 || *rounds < 1 || *each < 100*time.Millisecond {
		return fmt.Errorf("-callers, -rounds or -each is out of its range, see -help")
	}
	settings := []*setting{
		{name: "everysec", fsync: harness.EverySecond},
		{name: "always", fsync: harness.BeforeReply},
		{name: "everysec, WAIT 1", fsync: harness.EverySecond, replicas: 1},
		{name: "always, WAIT 1", fsync: harness.BeforeReply, replicas: 1},
	}
	fleet := &harness.Fleet{}
	var nodes []*harness.Node
	defer func() {
		err = cmp.Or(err, fleet.Close())
		for _, n := range nodes {
			_ = n.Remove()
		}
	}()
	for i, s := range settings {
		for replica := range s.replicas + 1 {
			args := []string{"--appendfsync", string(s.fsync), "--repl-diskless-sync-delay", "0"}
			if replica > 0 {
				args = append(args, "--replicaof", "127.0.0.1", fmt.Sprint(nodes[len(nodes)-1].Port()))
			}
			n, err := fleet.StartNode(ctx, fmt.Sprintf("redis%d-%d", i, replica), args...)
			if err != nil {
				return err
			}
			nodes = append(nodes, n)
		}
		if s.accept, err = acceptor(nodes[len(nodes)-1-s.replicas].URL(), s.replicas); err != nil {
			return err
		}
		// Until the scripts are loaded and the replica follows.
		if err := harness.Eventually(ctx, func() error { return s.accept(ctx) }); err != nil {
			return err
		}
	}
	for range *rounds {
		for _, s := range settings {
			if err := s.turn(ctx, *callers, *each); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	fmt.Printf("%d callers, %d rounds of %v\n%-18s %8s %17s %9s %9s\n", *callers, *rounds, *each, "appendfsync", "calls/s", "slowest–fastest", "p50", "p99")
	for _, s := range settings {
		slices.Sort(s.took)
		fmt.Printf("%-18s %8.0f %8.0f–%-8.0f %9v %9v\n", s.name, float64(len(s.took))/(each.Seconds()*float64(*rounds)),
			slices.Min(s.rates), slices.Max(s.rates), at(s.took, 0.50), at(s.took, 0.99))
	}
	return nil
}

// acceptor returns what stores one call.
func acceptor(url string, replicas int) (func(ctx context.Context) error, error) {
	rdb, err := redisdb.Open(url) // ends with the program
	if err != nil {
		return nil, err
	}
	q, err := queue.NewClient(rdb, true)
	if err != nil {
		return nil, err
	}
	if err := q.AwaitReplicas(replicas); err != nil {
		return nil, err
	}
	records, event := store.New(rdb, store.Options{}), make([]byte, 1024)
	return func(ctx context.Context) error {
		id, err := ulid.New(ulid.Now(), rand.Reader)
		if err != nil {
			return err
		}
		_, err = q.Enqueue(ctx, queue.Task{
			ID: id.String(), Queue: function.Background, Timeout: time.Minute,
			Target: queue.Target{Site: "site", Deploy: "deploy", Function: "work"},
		}, records.Create(invocation.Invocation{
			ID: id.String(), Site: "site", Deploy: "deploy", Function: "work", Kind: function.Background, State: invocation.Queued,
		}, event))
		return err
	}, nil
}

// turn lets the callers call for a while.
func (s *setting) turn(ctx context.Context, callers int, each time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(each)
	times := make([][]time.Duration, callers)
	var wait sync.WaitGroup
	for i := range callers {
		wait.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				start := time.Now()
				if err := s.accept(ctx); err != nil {
					cancel(err)
					return
				}
				times[i] = append(times[i], time.Since(start))
			}
		})
	}
	wait.Wait()
	n := len(s.took)
	s.took = append(s.took, slices.Concat(times...)...)
	s.rates = append(s.rates, float64(len(s.took)-n)/each.Seconds())
	return context.Cause(ctx)
}

// at is a percentile of sorted times.
func at(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))].Round(10 * time.Microsecond)
}
