package queue

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

// replicaTimeout bounds the wait for replicas; it must be over before the caller
// gives up, who else would not learn what is missing.
const replicaTimeout = time.Second

// errReplicas says that a task is stored, but not on enough replicas.
var errReplicas = errors.New("too few replicas have confirmed the task")

// MaxReplicas is the most that [Client.AwaitReplicas] takes.
const MaxReplicas = 10

// AwaitReplicas makes Enqueue return without an error only once n replicas have
// the task too, 0 (none, as without this call) to [MaxReplicas]. They have a
// second for that. If they do not confirm, the error is [fault.Unavailable],
// although the task is stored, runs if the master stays, and is there when
// Enqueue is called again with its ID.
//
// It must be called before the first Enqueue.
func (c *Client) AwaitReplicas(n int) error {
	if n < 0 || n > MaxReplicas {
		return fault.New(fault.Invalid, "NIGHTSHIFT_REDIS_WAIT_REPLICAS is %d; it must be 0 to %d", n, MaxReplicas)
	}
	c.redis.replicas = n
	return nil
}

// send sends commands in one round trip.
func (c *enqueueClient) send(ctx context.Context, cmds []redis.Cmder) {
	if c.replicas == 0 {
		script.Send(ctx, c.UniversalClient, cmds)
		return
	}
	c.replicated(ctx, cmds)
}

// replicated sends the commands in one round trip, and waits in the same one for
// the replicas. Commands whose effect they do not confirm get errReplicas.
//
// Redis waits for what the connection has written. A command that finds its work
// done by an earlier try, whose reply was lost, writes nothing: therefore all of
// them are followed by a write of ours, and what was written before it, on
// whatever connection, is confirmed with it.
func (c *enqueueClient) replicated(ctx context.Context, cmds []redis.Cmder) {
	for tag, some := range byTag(cmds) {
		node, err := c.master(ctx, tag)
		if err != nil {
			for _, cmd := range some {
				cmd.SetErr(err)
			}
			continue
		}
		pipe := node.Pipeline()
		for _, cmd := range some {
			_ = pipe.Process(ctx, cmd)
		}
		fence := pipe.Set(ctx, fenceKey(tag), 1, 0)
		wait := redis.NewIntCmd(ctx, "wait", c.replicas, replicaTimeout.Milliseconds())
		_ = pipe.Process(ctx, wait)
		_, _ = pipe.Exec(ctx) // each command has its own error
		if fence.Err() == nil && wait.Err() == nil && wait.Val() >= int64(c.replicas) {
			continue
		}
		for _, cmd := range some {
			if cmd.Err() == nil {
				cmd.SetErr(errReplicas)
			}
		}
	}
}

// pipeliner is one Redis server.
type pipeliner interface{ Pipeline() redis.Pipeliner }

// master is the server that has the keys of a hash tag. In a cluster a WAIT has
// no key, and would go to any node if it were left to the client.
func (c *enqueueClient) master(ctx context.Context, tag string) (pipeliner, error) {
	if cluster, ok := c.UniversalClient.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, fenceKey(tag))
	}
	return c.UniversalClient, nil
}

// byTag groups commands by the hash tag of their first key.
func byTag(cmds []redis.Cmder) map[string][]redis.Cmder {
	groups := map[string][]redis.Cmder{}
	for _, cmd := range cmds {
		key, _ := cmd.Args()[3].(string)
		_, tag, _ := strings.Cut(key, "{")
		tag, _, _ = strings.Cut(tag, "}")
		groups[tag] = append(groups[tag], cmd)
	}
	return groups
}
