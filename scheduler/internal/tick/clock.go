package tick

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// maxSkew is how far the local clock may be from that of Redis to be believed.
	maxSkew = 2 * time.Second
	// maxAge is how long a measurement is good: quartz drifts by less than 5 ms
	// in that time.
	maxAge = 30 * time.Second
	// maxRoundTrip: a reply that took longer says too little about the time.
	maxRoundTrip = time.Second
)

// clock tells the time that ticks are due by. See the package doc.
type clock struct {
	redisNow func(ctx context.Context) (time.Time, error)
	localNow func() time.Time
	log      *slog.Logger

	wall   time.Time // the time at the last measurement
	at     time.Time // when that was, monotonic; zero before the first
	skewed bool
}

// age is how old the last measurement is.
func (c *clock) age() time.Duration {
	if c.at.IsZero() {
		return maxAge
	}
	return time.Since(c.at)
}

// now needs a measurement before.
func (c *clock) now() time.Time { return c.wall.Add(time.Since(c.at)) }

// measure compares the clocks. After an error the last measurement stays.
func (c *clock) measure(ctx context.Context) error {
	sent := time.Now()
	redis, err := c.redisNow(ctx)
	if err != nil {
		return err
	}
	received, local := time.Now(), c.localNow()
	took := received.Sub(sent)
	if took > maxRoundTrip {
		return fmt.Errorf("reading the clock of Redis took %v", took)
	}
	redis = redis.Add(took / 2)
	local = local.Round(0) // without the monotonic part, which would hide a jump
	skew := local.Sub(redis)
	skewed := skew.Abs() > maxSkew
	if skewed != c.skewed {
		if skewed {
			c.log.Warn("the local clock disagrees with that of redis, which is used instead", "skew", skew)
		} else {
			c.log.Info("the local clock agrees with that of redis again", "skew", skew)
		}
	}
	c.skewed, c.at, c.wall = skewed, received, local
	if skewed {
		c.wall = redis
	}
	return nil
}
