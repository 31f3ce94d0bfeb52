package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// masterName is what sentinels call the one master that they watch.
const masterName = "nightshift"

// Password is what services show to a master; sentinels and replicas need none.
const Password = "services"

// Sentinels are three sentinels over a master and its replicas.
type Sentinels struct {
	Nodes     []*Node // the first master, then its replicas
	sentinels []*Node
}

// DownAfter is how long a master is silent until a sentinel takes it for dead.
const DownAfter = time.Second

// StartSentinels starts a master, two replicas and three sentinels, and waits
// until all know of each other. args are further options of masters and replicas.
func (f *Fleet) StartSentinels(ctx context.Context, args ...string) (*Sentinels, error) {
	s := &Sentinels{}
	// Services are a user of their own, so that a test can shut out all others:
	// to these the master then looks cut off.
	args = append([]string{"--user", "services", "on", ">" + Password, "~*", "&*", "+@all", "--repl-diskless-sync-delay", "0"}, args...)
	for i := range 3 {
		own := args
		if i > 0 {
			own = append([]string{"--replicaof", "127.0.0.1", fmt.Sprint(s.Nodes[0].Port())}, args...)
		}
		n, err := f.StartNode(ctx, fmt.Sprintf("redis%d", i+1), own...)
		if err != nil {
			return nil, err
		}
		s.Nodes = append(s.Nodes, n)
	}
	for i := range 3 {
		n, err := f.newNode(fmt.Sprintf("sentinel%d", i+1))
		if err != nil {
			return nil, err
		}
		config := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\nsentinel down-after-milliseconds %[1]s %[3]d\n"+
			"sentinel failover-timeout %[1]s 1500\nsentinel parallel-syncs %[1]s 2\n", masterName, s.Nodes[0].Port(), DownAfter.Milliseconds())
		if err := os.WriteFile(n.config(), []byte(config), 0o600); err != nil {
			return nil, err
		}
		n.args = []string{"--sentinel"}
		if err := n.startSomewhere(ctx); err != nil {
			return nil, err
		}
		s.sentinels = append(s.sentinels, n)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return s, Eventually(ctx, func() error { return s.known(ctx) })
}

// known says who does not know whom.
func (s *Sentinels) known(ctx context.Context) error {
	for _, n := range s.sentinels {
		rdb := redis.NewSentinelClient(&redis.Options{Addr: n.Addr()})
		state, err := rdb.Master(ctx, masterName).Result()
		_ = rdb.Close()
		if err != nil {
			return err
		}
		if state["flags"] != "master" || state["num-slaves"] != "2" || state["num-other-sentinels"] != "2" {
			return fmt.Errorf("a sentinel sees the master as %s, with %s replicas and %s other sentinels",
				state["flags"], state["num-slaves"], state["num-other-sentinels"])
		}
	}
	return nil
}

// URL is what NIGHTSHIFT_REDIS_URL takes.
func (s *Sentinels) URL() string {
	var hosts []string
	for _, n := range s.sentinels {
		hosts = append(hosts, n.Addr())
	}
	return "redis+sentinel://services:" + Password + "@" + strings.Join(hosts, ",") + "/" + masterName
}

// Master is the node that the first sentinel takes for the master.
func (s *Sentinels) Master(ctx context.Context) (*Node, error) {
	rdb := redis.NewSentinelClient(&redis.Options{Addr: s.sentinels[0].Addr()})
	defer rdb.Close()
	addr, err := rdb.GetMasterAddrByName(ctx, masterName).Result()
	if err != nil {
		return nil, err
	}
	for _, n := range s.Nodes {
		if n.Addr() == strings.Join(addr, ":") {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the master is %v, which is none of ours", addr)
}

// Settled waits until the given number of replicas follow the master.
func (s *Sentinels) Settled(ctx context.Context, replicas int) error {
	return Eventually(ctx, func() error {
		master, err := s.Master(ctx)
		if err != nil {
			return err
		}
		rdb, err := redisdb.Open(master.serviceURL())
		if err != nil {
			return err
		}
		defer rdb.Close()
		state, err := rdb.Info(ctx, "replication").Result()
		if err != nil {
			return err
		}
		if got := strings.Count(state, "state=online"); got != replicas || !strings.Contains(state, "role:master") {
			return fmt.Errorf("%d replicas follow the master, want %d:\n%s", got, replicas, state)
		}
		return nil
	})
}

// Do runs a command on a node, as a service.
func (s *Sentinels) Do(ctx context.Context, n *Node, args ...any) error {
	rdb, err := redisdb.Open(n.serviceURL())
	if err != nil {
		return err
	}
	defer rdb.Close()
	return rdb.Do(ctx, args...).Err()
}

func (n *Node) serviceURL() string { return "redis://services:" + Password + "@" + n.Addr() }

// Join undoes CutOff: the node is found by the sentinels, which make a replica of it.
func (s *Sentinels) Join(ctx context.Context, n *Node) error {
	return s.Do(ctx, n, "acl", "setuser", "default", "on")
}

// CutOff separates a node from its replicas and from the sentinels, while
// services still reach it: the half of a network that has the old master and a
// part of the callers.
func (s *Sentinels) CutOff(ctx context.Context, n *Node) error {
	rdb, err := redisdb.Open(n.serviceURL())
	if err != nil {
		return err
	}
	defer rdb.Close()
	// In one round trip, so that nobody of them comes back in between.
	_, err = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Do(ctx, "acl", "setuser", "default", "off")
		p.Do(ctx, "client", "kill", "user", "default")
		return nil
	})
	return err
}

// Remove deletes the data. The fleet must be closed.
func (s *Sentinels) Remove() error { return removeAll(append(s.Nodes, s.sentinels...)) }
