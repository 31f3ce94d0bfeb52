package redisdb_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// settings are the Setting of each finding.
func settings(found []redisdb.Finding) []string {
	var names []string
	for _, f := range found {
		names = append(names, f.Setting)
	}
	return names
}

func TestInspectARealRedis(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return // miniredis tells nothing; see the test of that
	}
	rdb := redistest.New(t)
	ctx := t.Context()
	steps := []struct {
		name   string
		config []string // a setting and its value, in turn
		want   []string
	}{
		{"as we start it ourselves", nil, nil},
		{"fsync left to the kernel", []string{"appendfsync", "no"}, []string{"appendfsync"}},
		{"eviction", []string{"appendfsync", "always", "maxmemory-policy", "allkeys-lru"}, []string{"maxmemory-policy"}},
		{"nothing on disk", []string{"appendonly", "no", "maxmemory-policy", "noeviction"}, []string{"appendonly"}},
		// Last, because it cannot be written to any more.
		{"a replica", []string{"appendonly", "yes"}, []string{"NIGHTSHIFT_REDIS_URL"}},
	}
	for _, step := range steps {
		for pair := range slices.Chunk(step.config, 2) {
			if err := rdb.ConfigSet(ctx, pair[0], pair[1]).Err(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if step.name == "a replica" {
			if err := rdb.SlaveOf(ctx, "127.0.0.1", "1").Err(); err != nil {
				t.Fatal(err)
			}
		}
		found, err := redisdb.Inspect(ctx, rdb)
		if err != nil || !slices.Equal(settings(found), step.want) {
			t.Errorf("%s: Inspect = %v, %v, want findings about %v", step.name, found, err, step.want)
		}
	}
}

// Managed Redis forbids CONFIG to everybody, by name or by its rules for users:
// then INFO tells a part, and nothing is guessed.
func TestInspectWhatMayBeRead(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return
	}
	tests := []struct {
		name, forbid string
		want         []string
	}{
		{"no CONFIG", "-config", []string{"appendonly", "maxmemory-policy"}},
		{"neither CONFIG nor INFO", "-@all +ping +hello +client", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			admin, ctx := server.Client(), t.Context()
			for _, pair := range [][2]string{{"appendonly", "no"}, {"maxmemory-policy", "allkeys-lru"}} {
				if err := admin.ConfigSet(ctx, pair[0], pair[1]).Err(); err != nil {
					t.Fatal(err)
				}
			}
			rules := append([]any{"acl", "setuser", "managed", "on", ">secret", "~*", "&*", "+@all"}, anys(strings.Fields(tt.forbid))...)
			if err := admin.Do(ctx, rules...).Err(); err != nil {
				t.Fatal(err)
			}
			rdb, err := redisdb.Open(server.URL(), func(o *redis.UniversalOptions) { o.Username, o.Password = "managed", "secret" })
			if err != nil {
				t.Fatal(err)
			}
			defer rdb.Close()
			found, err := redisdb.Inspect(ctx, rdb)
			if err != nil || !slices.Equal(settings(found), tt.want) {
				t.Errorf("Inspect = %v, %v, want findings about %v", found, err, tt.want)
			}
		})
	}
}

func anys(list []string) []any {
	var all []any
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

func TestInspectSaysNothingOfWhatItIsNotTold(t *testing.T) {
	t.Parallel()
	if found, err := redisdb.Inspect(t.Context(), redistest.NewMini(t)); err != nil || found != nil {
		t.Errorf("Inspect = %v, %v, want nothing", found, err)
	}
}

func TestInspectNeedsAnAnswer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client()
	server.Stop()
	if _, err := redisdb.Inspect(t.Context(), rdb); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Inspect = %v, want unavailable", err)
	}
}

// Warn waits for Redis, says each finding once, and is silent where all is well.
func TestWarn(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		return
	}
	rdb := redistest.New(t)
	var breaker redistest.Breaker
	rdb.AddHook(&breaker)
	warned := func() string {
		var out bytes.Buffer
		breaker.Break(1, redistest.Failed, nil)
		redisdb.Warn(t.Context(), rdb, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
		return out.String()
	}
	if got := warned(); got != "" {
		t.Errorf("Warn says of a good Redis: %s", got)
	}
	for _, pair := range [][2]string{{"appendonly", "no"}, {"maxmemory-policy", "volatile-lru"}} {
		if err := rdb.ConfigSet(t.Context(), pair[0], pair[1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	got := warned()
	for _, want := range []string{"setting=appendonly", "setting=maxmemory-policy"} {
		if strings.Count(got, "level=WARN") != 2 || !strings.Contains(got, want) {
			t.Errorf("Warn says, without %q once or with more than two lines:\n%s", want, got)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	breaker.Break(1000, redistest.Failed, nil)
	redisdb.Warn(ctx, rdb, slog.New(slog.DiscardHandler)) // returns
}

func TestHealthOfARealRedis(t *testing.T) {
	t.Parallel()
	clients := map[string]redis.UniversalClient{"alone": redistest.New(t)}
	if redistest.Real() {
		clients["cluster"] = redistest.StartCluster(t)(t)
	}
	for name, rdb := range clients {
		h, err := redisdb.ReadHealth(t.Context(), rdb)
		if err != nil || h.DiskFailed || redistest.Real() && h.MemoryUsed < 1<<16 {
			t.Errorf("%s: health = %+v, %v", name, h, err)
		}
	}
}
