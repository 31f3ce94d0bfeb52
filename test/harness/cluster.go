package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of three masters with a replica each.
type Cluster struct {
	Nodes []*Node // the masters, then the replica of each in the same order
}

// clusterSlots is how many slots a cluster has.
const clusterSlots = 16384

// StartCluster starts the servers, joins them, and waits until all of them say
// that the cluster is whole. args are further options of all.
func (f *Fleet) StartCluster(ctx context.Context, args ...string) (*Cluster, error) {
	c := &Cluster{}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var clients []*redis.Client
	for i := range 6 {
		bus, err := FreePort()
		if err != nil {
			return nil, err
		}
		n, err := f.StartNode(ctx, fmt.Sprintf("redis%d", i+1), append([]string{
			"--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus), "--cluster-node-timeout", "2000",
			"--repl-diskless-sync-delay", "0",
		}, args...)...)
		if err != nil {
			return nil, err
		}
		rdb := redis.NewClient(&redis.Options{Addr: n.Addr()})
		defer rdb.Close()
		if err := rdb.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return nil, err
		}
		if i > 0 {
			if err := clients[0].Do(ctx, "cluster", "meet", "127.0.0.1", n.Port(), bus).Err(); err != nil {
				return nil, err
			}
		}
		c.Nodes, clients = append(c.Nodes, n), append(clients, rdb)
	}
	for i, master := range clients[:3] {
		if err := master.ClusterAddSlotsRange(ctx, i*clusterSlots/3, (i+1)*clusterSlots/3-1).Err(); err != nil {
			return nil, err
		}
		id, err := master.ClusterMyID(ctx).Result()
		if err != nil {
			return nil, err
		}
		// Once the replica has heard of its master.
		if err := Eventually(ctx, func() error { return clients[i+3].ClusterReplicate(ctx, id).Err() }); err != nil {
			return nil, err
		}
	}
	return c, Eventually(ctx, func() error { return whole(ctx, clients) })
}

// whole says whether all nodes see a cluster that can fail over.
func whole(ctx context.Context, clients []*redis.Client) error {
	for i, rdb := range clients {
		info, err := rdb.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		for _, want := range []string{"cluster_state:ok", "cluster_known_nodes:6", "cluster_size:3"} {
			if !strings.Contains(info, want+"\r\n") {
				return fmt.Errorf("node %d does not say %s:\n%s", i+1, want, info)
			}
		}
		if i < 3 {
			continue
		}
		if state, err := rdb.Info(ctx, "replication").Result(); err != nil || !strings.Contains(state, "master_link_status:up") {
			return fmt.Errorf("replica %d has no copy yet: %v", i+1, err)
		}
	}
	return nil
}

// URL is what NIGHTSHIFT_REDIS_URL takes: it names one node, which tells of the others.
func (c *Cluster) URL() string {
	return "redis+cluster://" + c.Nodes[0].Addr() + "," + c.Nodes[1].Addr()
}

// Remove deletes the data. The fleet must be closed.
func (c *Cluster) Remove() error { return removeAll(c.Nodes) }
