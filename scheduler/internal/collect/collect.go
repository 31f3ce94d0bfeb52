// Package collect does garbage collection: it takes deploys out of use that
// nobody needs any more, removes them, and deletes the blobs that no deploy needs.
//
// The leader runs it, a round every ten minutes, in this order:
//
//  1. Expire. A ready deploy that nothing points at, and that has been so for
//     longer than the retention, is taken out of use. Gateways serve it no more;
//     invocations that it has accepted still run on it.
//  2. Remove. What was out of use in an earlier round and has no unfinished
//     invocation is removed, and what was announced and never completed.
//  3. Delete. Blobs that are a day old and that no deploy needs are deleted.
//
// The third is done beside clients who deploy, without a lock. Blobs to delete are
// noted as doomed first, then the deploys are read again, then what none of them
// needs is deleted. Who deploys writes the deploy first and then asks what is
// doomed, and takes that for missing. So a blob that is needed is seen by the one
// or by the other. Blobs that a client has sent and whose deploy is still to come
// are protected by their age.
//
// A round may end anywhere. What it has noted as doomed is what the next one, of
// whichever leader, begins with. A leader that was frozen and comes back asks
// before each deletion whether it still leads: what is left then is a freeze
// between that answer and the deletion, and a client that deploys the same
// contents within it.
package collect

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// Interval is the time between two rounds, and what a round may take at most.
	Interval = 10 * time.Minute
	// grace is how old a blob is at least that is deleted, and how long a deploy
	// is left alone that was announced and not completed.
	grace = 24 * time.Hour
	// afterExpiry is how long a deploy is out of use at least before it is
	// removed: longer than a round, so that invocations that were accepted until
	// then are counted.
	afterExpiry = Interval
	// maxRemoved and maxDeleted bound what one round does.
	maxRemoved = 1000
	maxDeleted = 1000
	// maxSpan is the longest time between two looks at all blobs. In between,
	// only the removal of a deploy can leave any behind.
	maxSpan = 24 * time.Hour
	// deletedAtOnce is how many blobs are deleted before that is noted, and with
	// that how many a client may have to wait for that sends one of them.
	deletedAtOnce = 100
)

// Blobs is where artifacts are kept; artifact.Store is one.
type Blobs interface {
	List(ctx context.Context, fn func(artifact.Blob) error) error
	Delete(ctx context.Context, digest string, kind artifact.Kind) error
	Tidy(ctx context.Context, before time.Time) error
}

// Config configures a Collector. All of it but Metrics is required.
type Config struct {
	Store *store.Store
	Blobs Blobs
	// Retention is how long a deploy is kept that nothing points at; 0 is for ever.
	Retention time.Duration
	// Now is Redis's clock, by which deploys are dated.
	Now    func(context.Context) (time.Time, error)
	Logger *slog.Logger
	// Metrics is where the collector's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Collector collects garbage. It is used by one goroutine.
type Collector struct {
	cfg     Config
	metrics metrics
	// due says that the next round looks at the blobs, looked when that was last done.
	due    bool
	looked time.Time
}

// New makes a collector.
func New(cfg Config) *Collector {
	return &Collector{cfg: cfg, metrics: newMetrics(cfg.Metrics)}
}

// Run does a round at once and then one every [Interval], until ctx ends or
// another term leads.
func (c *Collector) Run(ctx context.Context, term int64) {
	c.due = true // what an earlier leader left
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		counts, err := c.round(ctx, term)
		c.metrics.did(counts, err)
		switch {
		case ctx.Err() != nil || errors.Is(err, store.ErrSuperseded):
			return
		case err != nil:
			c.due = true
			c.cfg.Logger.Warn("garbage collection ended early; the next round goes on", "error", err, "counts", counts)
		default:
			c.cfg.Logger.Info("garbage collected", "counts", counts)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// counts are what a round did.
type counts struct {
	deploys int // that there are
	pinned  int // of those out of use, kept for their invocations
	expired int
	removed int
	blobs   int // deleted
	bytes   int64
	left    int // garbage for the next round
}

// LogValue makes a group of it.
func (n counts) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("deploys", n.deploys), slog.Int("pinned", n.pinned), slog.Int("expired", n.expired),
		slog.Int("removed", n.removed), slog.Int("blobs", n.blobs), slog.Int64("bytes", n.bytes), slog.Int("left", n.left))
}

// round does all of it once.
func (c *Collector) round(ctx context.Context, term int64) (n counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, Interval)
	defer cancel()
	now, err := c.cfg.Now(ctx)
	if err != nil {
		return n, err
	}
	var b *blobs // nil: not in this round
	if c.due || now.Sub(c.looked) >= maxSpan {
		if b, err = c.listBlobs(ctx, now); err != nil {
			return n, err
		}
	}
	found, err := c.look(ctx, now, b, &n)
	if err != nil {
		return n, err
	}
	if err := c.expire(ctx, found, &n); err != nil {
		return n, err
	}
	if err := c.remove(ctx, found, &n); err != nil {
		return n, err
	}
	if b != nil {
		if err := c.delete(ctx, term, found, b, &n); err != nil {
			return n, err
		}
		if err := c.cfg.Blobs.Tidy(ctx, now.Add(-grace)); err != nil {
			return n, err
		}
		c.looked = now
	}
	// The blobs of what was removed have been seen as needed in this round.
	c.due = n.left > 0 || n.removed > 0
	return n, nil
}

// findings are what a look at all deploys gives.
type findings struct {
	unused    map[string][]string // ready deploys over the retention, by site
	removable []store.Held
	final     map[string]bool // IDs of deploys whose needs do not change any more
}

// look reads all deploys, and takes what they need off the blobs.
func (c *Collector) look(ctx context.Context, now time.Time, b *blobs, n *counts) (findings, error) {
	f := findings{unused: map[string][]string{}, final: map[string]bool{}}
	pinned, err := c.cfg.Store.Pinned(ctx)
	if err != nil {
		return f, err
	}
	err = c.cfg.Store.EachDeploy(ctx, nil, func(d store.Held) error {
		n.deploys++
		b.need(d)
		switch d.State {
		case deploy.Ready:
			f.final[d.ID] = true
			if c.cfg.Retention > 0 && now.Sub(d.Unused()) > c.cfg.Retention {
				f.unused[d.Site] = append(f.unused[d.Site], d.ID)
			}
		case deploy.Expired:
			f.final[d.ID] = true
			if pinned[d.ID] > 0 {
				n.pinned++
			} else {
				f.removable = append(f.removable, brief(d))
			}
		default:
			if now.Sub(d.Created) > grace && pinned[d.ID] == 0 {
				f.removable = append(f.removable, brief(d))
			}
		}
		return nil
	})
	return f, err
}

// brief is a deploy without the long lists.
func brief(d store.Held) store.Held { return store.Held{ID: d.ID, Site: d.Site} }

func (c *Collector) expire(ctx context.Context, f findings, n *counts) error {
	for site, ids := range f.unused {
		expired, err := c.cfg.Store.Expire(ctx, site, ids, c.cfg.Retention)
		n.expired += len(expired)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Collector) remove(ctx context.Context, f findings, n *counts) error {
	for _, d := range f.removable {
		if n.removed == maxRemoved {
			return nil // the rest in the next round
		}
		removed, err := c.cfg.Store.Remove(ctx, d.Site, d.ID, afterExpiry, grace)
		if err != nil {
			return err
		}
		if removed {
			n.removed++
		}
	}
	return nil
}
