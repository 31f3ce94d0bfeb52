package store

import (
	"context"

	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

// alone makes a script of a step that rides in no other, so that what it does has
// one source. Its answer is the verdict: 1, or what the Check returned.
func alone(step redisdb.Step) *redis.Script {
	return redis.NewScript(redisdb.ClockHead + step.Head +
		"local function check()\n" + step.Check + "\nend\n" +
		"local function apply()\n" + step.Apply + "\nend\n" +
		"local verdict = check()\n" +
		"if verdict == 1 then apply() end\n" +
		step.Tail +
		"return verdict\n")
}

// runStep runs a script that [alone] made, with the operands of the step.
func (s *Store) runStep(ctx context.Context, script *redis.Script, doing string, step redisdb.Step) (int, error) {
	verdict, err := script.Run(ctx, s.rdb, step.Keys, step.Args...).Int()
	return verdict, failed(ctx, err, doing)
}
