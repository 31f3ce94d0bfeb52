package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/redis/go-redis/v9"
)

// The script is our own: redis_rate, the ready-made one, spreads calls evenly
// (GCRA), and Netlify's limits are sliding windows that may be used up at once.
var (
	//go:embed lua/rate.lua
	rateBody   string
	rateScript = redis.NewScript(rateBody)
)

// Rate is a limit and whose calls it counts.
type Rate struct {
	// Site and Function are what is called; without a function all of the site's
	// are counted together.
	Site, Function string
	// Caller is what the limit is counted by, for example the address of the
	// client, in any form. It is kept as a digest only.
	Caller string
	Limit  function.RateLimit
}

// CountCall counts a call against a limit that all gateways share. wait is 0 if
// it is within the limit; if not, it is not counted, and wait says when one
// would be. Deploys of a site share the count of a function.
//
// An error says that the call may or may not have been counted.
func (s *Store) CountCall(ctx context.Context, r Rate) (wait time.Duration, err error) {
	const doing = "counting a call against its rate limit"
	if r.Limit.Limit < 1 || r.Limit.WindowMS < 1 {
		return 0, fmt.Errorf("%s: %d calls in %d ms are no limit", doing, r.Limit.Limit, r.Limit.WindowMS)
	}
	ms, err := rateScript.Run(ctx, s.rdb, []string{rateKey(r.Site, r.Function, r.Caller)},
		r.Limit.WindowMS, r.Limit.Limit, newToken()).Int64()
	return time.Duration(ms) * time.Millisecond, failed(ctx, err, doing)
}
