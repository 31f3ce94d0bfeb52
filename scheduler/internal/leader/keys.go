package leader

// The two names that this package has in Redis.
const (
	lockKey         = "nightshift:scheduler:leader"
	releasedChannel = "nightshift:scheduler:released"
)
