package queue

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// replicate makes a replica of the master, and waits until it follows.
func replicate(t *testing.T, master redis.UniversalClient) (replica redis.UniversalClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	replica = redistest.New(t)
	for _, err := range []error{
		master.ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err(),
		master.ConfigSet(t.Context(), "port", port).Err(),
		replica.SlaveOf(t.Context(), "127.0.0.1", port).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(master.Info(t.Context(), "replication").Val(), "state=online")
	})
	return replica
}

func TestAwaitReplicas(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis has no replicas
	}
	for _, pipelined := range []bool{false, true} {
		t.Run(fmt.Sprintf("pipelined=%t", pipelined), func(t *testing.T) {
			t.Parallel()
			master := redistest.New(t)
			client, err := NewClient(master, pipelined)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.AwaitReplicas(1); err != nil {
				t.Fatal(err)
			}
			// Nobody confirms: not the first time, and not when the ID is tried again.
			for range 2 {
				if _, err := client.Enqueue(t.Context(), task("alone"), create()); !fault.Is(err, fault.Unavailable) {
					t.Errorf("Enqueue without a replica = %v, want unavailable", err)
				}
			}
			if n := master.Exists(t.Context(), taskKeyPrefix(function.Background)+"alone", recordKey).Val(); n != 2 {
				t.Error("the call that no replica has is not stored at all")
			}

			replica := replicate(t, master)
			var callers sync.WaitGroup
			for i := range 20 {
				callers.Go(func() {
					queued := task(fmt.Sprintf("t%d", i))
					queued.Queue = queues[i%2]
					if v, err := client.Enqueue(t.Context(), queued); v != Queued || err != nil {
						t.Errorf("Enqueue = %d, %v, want queued", v, err)
					}
					// At this very moment, without any waiting.
					if n := replica.Exists(t.Context(), taskKeyPrefix(queued.Queue)+queued.ID).Val(); n != 1 {
						t.Errorf("task %s is confirmed, and the replica does not have it", queued.ID)
					}
				})
			}
			callers.Wait()
			if v, err := client.Enqueue(t.Context(), task("alone"), create()); v != Existed || err != nil {
				t.Errorf("Enqueue of what is there = %d, %v, want existed", v, err)
			}
			if err := client.AwaitReplicas(2); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Enqueue(t.Context(), task("two")); !fault.Is(err, fault.Unavailable) {
				t.Errorf("Enqueue with one replica of two = %v, want unavailable", err)
			}
		})
	}
}

// Redis waits for what the connection has written, and a repetition writes
// nothing: so each wait has a write of its own before it.
func TestEachWaitHasAWriteBeforeIt(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return
	}
	rdb := redistest.New(t)
	client, err := NewClient(rdb, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.AwaitReplicas(1); err != nil {
		t.Fatal(err)
	}
	seen := &pipelines{}
	rdb.AddHook(seen)
	_, _ = client.Enqueue(t.Context(), task("a"))
	if len(seen.names) == 0 {
		t.Fatal("no pipeline was sent")
	}
	for _, names := range seen.names {
		if n := len(names); n < 3 || !slices.Equal(names[n-2:], []string{"set", "wait"}) {
			t.Errorf("a pipeline has %v, want it to end with set and wait", names)
		}
	}
}

// pipelines notes the names of the commands of each pipeline.
type pipelines struct {
	redistest.Breaker
	names [][]string
}

func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		var names []string
		for _, cmd := range cmds {
			names = append(names, cmd.Name())
		}
		if names[0] != "client" { // the greeting of a new connection
			p.names = append(p.names, names)
		}
		return next(ctx, cmds)
	}
}

func TestAwaitReplicasHasARange(t *testing.T) {
	t.Parallel()
	client, err := NewClient(redistest.New(t), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, MaxReplicas + 1} {
		if err := client.AwaitReplicas(n); !fault.Is(err, fault.Invalid) {
			t.Errorf("AwaitReplicas(%d) = %v, want invalid", n, err)
		}
	}
	if replicaTimeout >= enqueueTimeout-500*time.Millisecond {
		t.Error("a caller gives up before it could learn that replicas do not answer")
	}
}
