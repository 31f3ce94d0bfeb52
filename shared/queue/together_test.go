package queue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/script"
	"github.com/redis/go-redis/v9"
)

// Tasks that share a script leave Redis as they would one by one, whatever is there
// before: fleets, limits, tasks that wait, are buried or were deleted.
func TestTasksTogetherAreTasksOneByOne(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for seed := range uint64(60) {
			alone, aloneTold := c.history(seed, 1)
			together, togetherTold := c.history(seed, 32)
			if !slices.Equal(alone, together) || !slices.Equal(aloneTold, togetherTold) {
				t.Fatalf("seed %d: one by one\n%s\n%v\ntogether\n%s\n%v", seed,
					strings.Join(alone, "\n"), aloneTold, strings.Join(together, "\n"), togetherTold)
			}
		}
	})
}

// A task that tools deleted leaves its slot behind, which one of its ID takes over.
func TestATaskTakesOverItsOldSlot(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, c *crew) {
		for range 2 {
			c.must(c.rdb.Del(t.Context(), taskKeyPrefix(c.kind)+"a", pendingKey(c.kind)).Err())
			c.put("a", "shop/f")
		}
		bounds := c.rdb.HGetAll(t.Context(), lanePrefix(c.kind)+"bounds").Val()
		if bounds["released"] != "1" || bounds["slots:shop/f"] != "1" {
			t.Errorf("bounds = %v, want one slot", bounds)
		}
	})
}

// history makes what a seed says, some of it in batches of at most so many tasks, and
// returns what Redis has then and what the callers of those were told.
func (c *crew) history(seed uint64, most int) (state []string, told []int64) {
	c.Helper()
	c.must(c.rdb.FlushAll(c.Context()).Err())
	c.client = setupOn(c.T, c.rdb).client // the other one remembers what it has announced
	random := rand.New(rand.NewPCG(seed, 2))
	lane := func() string { return fmt.Sprintf("s%d/f%d", random.IntN(2), random.IntN(2)) }
	limits := map[string]int{}
	limit := func(lane string) int {
		if _, known := limits[lane]; !known || random.IntN(12) == 0 {
			limits[lane] = []int{0, 0, 1, 3}[random.IntN(4)]
		}
		return limits[lane]
	}
	if random.IntN(3) > 0 {
		c.sweep([]int{0, 1, 4, 100}[random.IntN(4)], []int{0, 0, 2}[random.IntN(3)])
	}
	for i := range 3 {
		in := lane()
		c.put(fmt.Sprintf("before%d", i), in, concurrency(limit(in)))
	}
	if id := c.take(); id != "" && random.IntN(2) == 0 {
		c.end(id, "archive")
	}
	if random.IntN(2) == 0 { // by tools, which do not know of slots
		c.must(c.rdb.Del(c.Context(), taskKeyPrefix(c.kind)+"before2").Err())
		c.must(c.rdb.LRem(c.Context(), pendingKey(c.kind), 0, "before2").Err())
		c.must(c.rdb.ZRem(c.Context(), delayedKey(c.kind), "before2").Err())
	}

	check := `return 1 - redis.call('EXISTS', KEYS[1])`
	if random.IntN(2) == 0 {
		check = "" // then a task is what says that it is there
	}
	step := func(id, word string) redisdb.Step {
		return redisdb.Step{
			Check: check, Apply: `redis.call('SET', KEYS[1], ARGV[1]) tally(KEYS[2], 'made', 1)`,
			Keys: []string{"r:{background}:" + id, "n:{background}"}, Args: []any{word},
		}
	}
	var calls []script.Call
	for i := range 20 {
		id := fmt.Sprintf("t%02d", random.IntN(i+2)) // some twice
		if random.IntN(8) == 0 {
			id = fmt.Sprintf("before%d", random.IntN(3))
		}
		tk := task(id)
		tk.Target.Site, tk.Target.Function, _ = strings.Cut(lane(), "/")
		tk.Concurrency = limit(tk.Target.lane())
		if random.IntN(8) == 0 {
			tk.NotBefore = time.Now().Add(time.Hour).Truncate(24 * time.Hour)
		}
		one, err := enqueueCall(&plan{task: &tk, steps: []redisdb.Step{step(id, fmt.Sprint(i))}}, []byte("message"))
		c.must(err)
		calls = append(calls, one)
	}
	for batch := range slices.Chunk(calls, most) {
		keys, args := batch[0].Shared, []any(nil)
		for _, one := range batch {
			keys, args = append(keys, one.Keys...), append(args, one.Args...)
		}
		verdicts, err := c.rdb.Eval(c.Context(), batch[0].Script.Source(), keys, args...).Int64Slice()
		c.must(err)
		told = append(told, verdicts...)
	}
	return c.everything(), told
}

// everything is all that Redis has, but for times of now.
func (c *crew) everything() (lines []string) {
	c.Helper()
	keys := c.rdb.Keys(c.Context(), "*").Val()
	slices.Sort(keys)
	for _, key := range keys {
		var value any
		switch kind := c.rdb.Type(c.Context(), key).Val(); kind {
		case "string":
			value = c.rdb.Get(c.Context(), key).Val()
		case "list":
			value = c.rdb.LRange(c.Context(), key, 0, -1).Val()
		case "set":
			value = slices.Sorted(slices.Values(c.rdb.SMembers(c.Context(), key).Val()))
		case "zset":
			zs := c.rdb.ZRangeWithScores(c.Context(), key, 0, -1).Val()
			if key == leaseKey(c.kind) || key == archivedKey(c.kind) {
				zs = withoutScores(zs)
			}
			value = zs
		case "hash":
			fields := c.rdb.HGetAll(c.Context(), key).Val()
			for _, time := range []string{"pending_since", "until"} {
				if fields[time] != "" && fields[time] != "0" {
					fields[time] = "some time"
				}
			}
			delete(fields, "msg")
			var all []string
			for _, field := range slices.Sorted(maps.Keys(fields)) {
				all = append(all, field+"="+fields[field])
			}
			value = all
		}
		if !strings.Contains(key, "processed") && !strings.Contains(key, "failed") { // named by the day
			lines = append(lines, fmt.Sprint(key, " ", value))
		}
	}
	return lines
}

func withoutScores(zs []redis.Z) []redis.Z {
	for i := range zs {
		zs[i].Score = 0
	}
	return zs
}
