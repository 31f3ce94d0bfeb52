package redisdb

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// Finding is one way in which a Redis is set up such that what was accepted can
// get lost, or nothing works.
type Finding struct {
	// Setting is what to change: a setting of Redis, or of ours.
	Setting string
	// Problem says what is wrong, and what can be lost by it.
	Problem string
	// Advice says what to do.
	Advice string
	// Nodes are the masters of a cluster that it is found on. Without a cluster, nil.
	Nodes []string
}

// Inspect asks Redis how it is set up and judges that, the gravest finding
// first. What Redis does not tell, as managed ones do, is not judged: there CONFIG
// is forbidden and INFO may be cut short. In a cluster every master is asked.
//
// Errors are [fault.Unavailable]: Redis did not answer, or is still loading.
func Inspect(ctx context.Context, rdb redis.UniversalClient) ([]Finding, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		node, err := read(ctx, rdb)
		if err != nil {
			return nil, err
		}
		return judge(node), nil
	}
	var (
		mu    sync.Mutex
		found []Finding
	)
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		node, err := read(ctx, master)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found = merge(found, judge(node), master.Options().Addr)
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "reading the settings of the Redis Cluster")
	}
	return found, nil
}

// merge adds a node's findings: nodes with the same one share a line.
func merge(all, more []Finding, node string) []Finding {
	for _, f := range more {
		i := slices.IndexFunc(all, func(have Finding) bool { return have.Setting == f.Setting && have.Problem == f.Problem })
		if i < 0 {
			all, i = append(all, f), len(all)
		}
		all[i].Nodes = append(all[i].Nodes, node)
		slices.Sort(all[i].Nodes)
	}
	return all
}

// Pauses of [Warn] between tries.
const (
	firstWarnPause = 500 * time.Millisecond
	maxWarnPause   = 10 * time.Second
)

// Warn waits until Redis answers, inspects it once, and logs each finding as a
// warning. It returns then, or when ctx ends: run it beside the start of a
// service, which must not wait for Redis. What waiting will not cure, a wrong
// password or certificate for one, it logs as an error, once.
func Warn(ctx context.Context, rdb redis.UniversalClient, log *slog.Logger) {
	said := ""
	for pause := firstWarnPause; ; pause = min(2*pause, maxWarnPause) {
		found, err := Inspect(ctx, rdb)
		if err == nil {
			for _, f := range found {
				attrs := []any{"setting", f.Setting, "do", f.Advice}
				if f.Nodes != nil {
					attrs = append(attrs, "nodes", strings.Join(f.Nodes, ","))
				}
				log.Warn(f.Problem, attrs...)
			}
			return
		}
		if advice := advise(err); advice != said && advice != "" && ctx.Err() == nil {
			log.Error("Redis cannot be used as it is set up: "+advice, "error", err)
			said = advice
		}
		log.Debug("the settings of Redis are not known yet", "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// facts are a node's settings and state by the names that Redis has for them.
// What is missing is not known.
type facts map[string]string

// told are the lines of INFO that are judged, and sections the parts with them.
var (
	told     = []string{"redis_version", "role", "aof_enabled", "maxmemory", "maxmemory_policy"}
	sections = []string{"server", "replication", "persistence", "memory"}
)

// configured are the settings that CONFIG tells and INFO does not, or not of all
// versions.
var configured = []string{"appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy"}

// asker is a node, as a client of its own or as the only one.
type asker interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
	ConfigGet(ctx context.Context, parameter string) *redis.MapStringStringCmd
}

// read asks a node for all that it tells.
func read(ctx context.Context, node asker) (facts, error) {
	got := facts{}
	for _, section := range sections { // one at a time: before 7.0 INFO takes one
		text, err := node.Info(ctx, section).Result()
		if forbidden(err) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "reading the state of Redis")
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if slices.Contains(told, name) {
				got[name] = value
			}
		}
	}
	for _, name := range configured {
		values, err := node.ConfigGet(ctx, name).Result()
		if forbidden(err) {
			break
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "reading the settings of Redis")
		}
		if value, ok := values[name]; ok {
			got[name] = value
		}
	}
	got.unify("maxmemory-policy", "maxmemory_policy")
	if _, ok := got["appendonly"]; !ok {
		switch got["aof_enabled"] {
		case "1":
			got["appendonly"] = "yes"
		case "0":
			got["appendonly"] = "no"
		}
	}
	return got, nil
}

// unify takes what INFO calls otherwise, if CONFIG did not tell.
func (f facts) unify(setting, line string) {
	if _, ok := f[setting]; ok {
		return
	}
	if value, ok := f[line]; ok {
		f[setting] = value
	}
}

// later are the answers of a Redis that cannot tell yet.
var later = []string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH", "WRONGPASS"}

// forbidden reports whether Redis answered that it does not tell: it has no such
// command, or the user may not run it, in whatever words.
func forbidden(err error) bool {
	if _, replied := errors.AsType[redis.Error](err); !replied {
		return false
	}
	return !slices.ContainsFunc(later, func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) })
}
