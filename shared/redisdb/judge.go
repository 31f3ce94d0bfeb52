package redisdb

import (
	"fmt"
	"strconv"
	"strings"
)

// oldest is the first version of Redis on which the queue works.
var oldest = [2]int{6, 2}

// judge says what is wrong with a node, the gravest first.
func judge(node facts) []Finding {
	var found []Finding
	for _, look := range []func(facts) (Finding, bool){judgeVersion, judgeRole, judgePersistence, judgeFsync, judgeEviction} {
		if f, wrong := look(node); wrong {
			found = append(found, f)
		}
	}
	return found
}

func judgeVersion(node facts) (Finding, bool) {
	var have [2]int
	major, rest, _ := strings.Cut(node["redis_version"], ".")
	minor, _, _ := strings.Cut(rest, ".")
	for i, text := range []string{major, minor} {
		var err error
		if have[i], err = strconv.Atoi(text); err != nil {
			return Finding{}, false
		}
	}
	if have[0] > oldest[0] || have[0] == oldest[0] && have[1] >= oldest[1] {
		return Finding{}, false
	}
	return Finding{
		Setting: "version",
		Problem: fmt.Sprintf("Redis %s is too old: commands that the queue needs are missing, so tasks stay where they are", node["redis_version"]),
		Advice:  fmt.Sprintf("run Redis %d.%d or later, or Valkey", oldest[0], oldest[1]),
	}, true
}

func judgeRole(node facts) (Finding, bool) {
	if node["role"] != "slave" {
		return Finding{}, false
	}
	return Finding{
		Setting: "NIGHTSHIFT_REDIS_URL",
		Problem: "Redis is a replica: it refuses what is written to it, or drops that when it next copies its master",
		Advice:  "name the master; redis+sentinel://host:26379/master-name follows it through failovers",
	}, true
}

func judgePersistence(node facts) (Finding, bool) {
	if node["appendonly"] != "no" {
		return Finding{}, false
	}
	f := Finding{
		Setting: "appendonly",
		Problem: "Redis keeps no append-only file: when it crashes, all that was accepted since its last snapshot is lost",
		Advice:  "set appendonly yes, with appendfsync everysec, or always",
	}
	if save, known := node["save"]; known && save == "" {
		f.Problem = "Redis writes nothing to disk, neither an append-only file nor snapshots: when it ends, all that was accepted is lost"
	}
	return f, true
}

func judgeFsync(node facts) (Finding, bool) {
	if node["appendonly"] != "yes" || node["appendfsync"] != "no" {
		return Finding{}, false
	}
	return Finding{
		Setting: "appendfsync",
		Problem: "Redis leaves it to the kernel when its append-only file reaches the disk: when the machine dies, about the last 30 s of what was accepted are lost",
		Advice:  "set appendfsync everysec, which loses a second or two, or always, which loses nothing",
	}, true
}

func judgeEviction(node facts) (Finding, bool) {
	policy := node["maxmemory-policy"]
	if policy == "" || policy == "noeviction" {
		return Finding{}, false
	}
	f := Finding{Setting: "maxmemory-policy", Advice: "set maxmemory-policy noeviction: then a full Redis refuses calls, with 503, and forgets none"}
	lost := "queued calls, deploys and environment variables among them"
	if strings.HasPrefix(policy, "volatile-") {
		lost = "records of finished calls, the leader's lock and heartbeats of workers among them"
	}
	f.Problem = fmt.Sprintf("maxmemory-policy is %s: when its memory is full, Redis removes keys, %s", policy, lost)
	if limit, known := node["maxmemory"]; known && limit == "0" {
		f.Problem += "; there is no maxmemory now, but one may be set any day"
	}
	return f, true
}
