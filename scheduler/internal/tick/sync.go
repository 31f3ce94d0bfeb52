package tick

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"time"
)

// siteSchedules are the schedules of a site's published deploy, by key.
type siteSchedules struct {
	deploy  string // which never changes
	entries map[string]*entry
}

// sync makes the plan of the catalog. What is of deploys that were published
// before is left as it is; so a new deploy costs what it has, and not what all
// sites have.
func (t *termLoop) sync(ctx context.Context) error {
	sites := make(map[string]siteSchedules, len(t.catalog.Published))
	var changed []string
	for site, d := range t.catalog.Published {
		if before, ok := t.sites[site]; ok && before.deploy == d.ID {
			sites[site] = before
			continue
		}
		sites[site] = siteSchedules{d.ID, t.parser.read(site, &d, t.log)}
		changed = append(changed, site)
	}
	cursors, err := t.cursorsOf(ctx, sites, changed)
	if err != nil {
		return err
	}
	for _, site := range changed {
		for key, e := range sites[site].entries {
			if cursor, ok := cursors[key]; ok {
				e.advance(cursor)
			} else { // cannot be: it was asked for
				delete(sites[site].entries, key)
			}
		}
	}
	t.sites, t.plan, t.synced = sites, t.plan[:0], true
	for _, s := range sites {
		for _, e := range s.entries {
			if !e.due.IsZero() {
				t.plan = append(t.plan, e)
			}
		}
	}
	heap.Init(&t.plan)
	t.metrics.schedules.Set(float64(len(t.plan)))
	t.log.Info("schedules read", "catalog", t.catalog.Version, "schedules", len(t.plan), "sites_changed", len(changed))
	return nil
}

// cursorsOf makes the stored cursors those of the sites, and returns those of
// the changed ones. What this term does not know yet, it reads from the store.
func (t *termLoop) cursorsOf(ctx context.Context, sites map[string]siteSchedules, changed []string) (map[string]time.Time, error) {
	if t.sites == nil {
		var keys []string
		for _, s := range sites {
			keys = slices.AppendSeq(keys, maps.Keys(s.entries))
		}
		return t.Store.SyncCursors(ctx, t.term, keys)
	}
	cursors := map[string]time.Time{}
	var add, drop []string
	for _, site := range changed {
		before := t.sites[site].entries
		for key := range sites[site].entries {
			if e, ok := before[key]; ok {
				cursors[key] = e.cursor
			} else {
				add = append(add, key)
			}
		}
	}
	for site, before := range t.sites {
		for key := range before.entries {
			if _, stays := sites[site].entries[key]; !stays {
				drop = append(drop, key)
			}
		}
	}
	added, err := t.Store.MoveCursors(ctx, t.term, add, drop)
	if err != nil {
		return nil, err
	}
	maps.Copy(cursors, added)
	return cursors, nil
}

// resync reads all cursors again in the next round.
func (t *termLoop) resync() { t.sites, t.synced = nil, false }
