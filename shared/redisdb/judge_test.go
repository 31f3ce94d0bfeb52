package redisdb

import (
	"slices"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	good := facts{
		"redis_version": "7.0.15", "role": "master", "appendonly": "yes", "appendfsync": "everysec",
		"save": "", "maxmemory": "0", "maxmemory-policy": "noeviction",
	}
	tests := []struct {
		name    string
		change  facts  // "?" is: not known
		setting string // "": nothing is wrong
		problem string // is in the problem
	}{
		{"good", nil, "", ""},
		{"before each reply", facts{"appendfsync": "always"}, "", ""},
		{"with snapshots too", facts{"save": "3600 1"}, "", ""},
		{"full of memory, but no eviction", facts{"maxmemory": "1000000"}, "", ""},
		{"Valkey", facts{"redis_version": "7.2.4"}, "", ""},
		{"a later major", facts{"redis_version": "8.0.0"}, "", ""},
		{"the oldest that works", facts{"redis_version": "6.2.0"}, "", ""},

		{"too old by a minor", facts{"redis_version": "6.0.16"}, "version", "6.0.16"},
		{"too old by a major", facts{"redis_version": "5.9.1"}, "version", "5.9.1"},
		{"a version that is none", facts{"redis_version": "unstable"}, "", ""},
		{"no version told", facts{"redis_version": "?"}, "", ""},

		{"a replica", facts{"role": "slave"}, "NIGHTSHIFT_REDIS_URL", "replica"},
		{"no role told", facts{"role": "?"}, "", ""},

		{"snapshots only", facts{"appendonly": "no", "save": "3600 1"}, "appendonly", "since its last snapshot"},
		{"nothing on disk", facts{"appendonly": "no"}, "appendonly", "neither an append-only file nor snapshots"},
		{"no file, snapshots not told", facts{"appendonly": "no", "save": "?"}, "appendonly", "since its last snapshot"},
		{"no file, so no fsync to speak of", facts{"appendonly": "no", "appendfsync": "no"}, "appendonly", "neither"},
		{"file not told", facts{"appendonly": "?", "appendfsync": "no"}, "", ""},

		{"fsync by the kernel", facts{"appendfsync": "no"}, "appendfsync", "30 s"},
		{"fsync not told", facts{"appendfsync": "?"}, "", ""},

		{"eviction of all", facts{"maxmemory": "1000000", "maxmemory-policy": "allkeys-lru"}, "maxmemory-policy", "queued calls"},
		{"eviction of what expires", facts{"maxmemory": "1000000", "maxmemory-policy": "volatile-ttl"}, "maxmemory-policy", "the leader's lock"},
		{"eviction without a limit", facts{"maxmemory-policy": "allkeys-lfu"}, "maxmemory-policy", "may be set any day"},
		{"eviction, limit not told", facts{"maxmemory-policy": "allkeys-random", "maxmemory": "?"}, "maxmemory-policy", "allkeys-random"},
		{"policy not told", facts{"maxmemory-policy": "?", "maxmemory": "1000"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			node := facts{}
			for _, from := range []facts{good, tt.change} {
				for name, value := range from {
					if node[name] = value; value == "?" {
						delete(node, name)
					}
				}
			}
			found := judge(node)
			if tt.setting == "" {
				if len(found) != 0 {
					t.Errorf("judge = %v, want nothing", found)
				}
				return
			}
			if len(found) != 1 || found[0].Setting != tt.setting || !strings.Contains(found[0].Problem, tt.problem) || found[0].Advice == "" {
				t.Errorf("judge = %+v, want one about %s with %q", found, tt.setting, tt.problem)
			}
		})
	}
	if found := judge(facts{}); found != nil {
		t.Errorf("judge of nothing = %v, want nothing", found)
	}
}

func TestJudgeNamesTheGravestFirst(t *testing.T) {
	t.Parallel()
	found := judge(facts{"redis_version": "5.0", "role": "slave", "appendonly": "no", "maxmemory-policy": "allkeys-lru"})
	var got []string
	for _, f := range found {
		got = append(got, f.Setting)
	}
	if want := []string{"version", "NIGHTSHIFT_REDIS_URL", "appendonly", "maxmemory-policy"}; !slices.Equal(got, want) {
		t.Errorf("judge finds %v, want %v", got, want)
	}
}

func TestMergeTellsTheNodes(t *testing.T) {
	t.Parallel()
	bad := []Finding{{Setting: "appendonly", Problem: "none"}}
	all := merge(nil, bad, "b:1")
	all = merge(all, nil, "c:1")
	all = merge(all, bad, "a:1")
	if len(all) != 1 || !slices.Equal(all[0].Nodes, []string{"a:1", "b:1"}) {
		t.Errorf("merge = %+v, want one finding of a:1 and b:1", all)
	}
	if len(bad[0].Nodes) != 0 {
		t.Errorf("merge changed what it was given: %+v", bad)
	}
}
