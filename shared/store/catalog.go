package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/redis/go-redis/v9"
)

// catalogCheck is how often a watcher asks for the version, beside when it has
// (re-)connected: what pub/sub lost although the connection seemed to stand is
// known within a second, with some time left to read it.
const catalogCheck = 750 * time.Millisecond

// Catalog is what all callers route by: each site's published deploy, and the
// newest ones of its branches.
type Catalog struct {
	Version   int64                    // grows with each change
	Published map[string]deploy.Deploy // by site name; sites without a published deploy are absent
	// Branches are the IDs of the newest deploys, by site and deploy.BranchLabel.
	Branches map[string]map[string]string
}

// Catalog reads the whole catalog.
func (s *Store) Catalog(ctx context.Context) (Catalog, error) { return s.catalog(ctx, Catalog{}) }

// catalog reads the catalog, except those deploys that an earlier one holds
// already: a published deploy never changes.
func (s *Store) catalog(ctx context.Context, before Catalog) (Catalog, error) {
	var version *redis.StringCmd
	var pointers, branches *redis.MapStringStringCmd
	// One transaction: the version must not be newer than the pointers, or a
	// watcher would take old ones for the newest.
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		version = p.Get(ctx, versionKey())
		pointers = p.HGetAll(ctx, publishedKey())
		branches = p.HGetAll(ctx, branchesKey())
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return Catalog{}, failed(ctx, err, "reading the catalog")
	}
	catalog := Catalog{Published: make(map[string]deploy.Deploy, len(pointers.Val())), Branches: parseBranches(branches.Val())}
	if catalog.Version, err = parseVersion(version); err != nil {
		return Catalog{}, err
	}
	var unread []string
	for _, site := range slices.Sorted(maps.Keys(pointers.Val())) {
		id := pointers.Val()[site]
		if d, ok := before.Published[site]; ok && d.ID == id {
			catalog.Published[site] = d
			continue
		}
		unread = append(unread, id)
	}
	read, err := s.deploys(ctx, unread)
	if err != nil {
		return Catalog{}, err
	}
	for _, d := range read {
		catalog.Published[d.Site] = d
	}
	return catalog, nil
}

// parseBranches reads fields that branchField made.
func parseBranches(stored map[string]string) map[string]map[string]string {
	branches := map[string]map[string]string{}
	for field, id := range stored {
		site, label, _ := strings.Cut(field, "/")
		if branches[site] == nil {
			branches[site] = map[string]string{}
		}
		branches[site][label] = id
	}
	return branches
}

// CatalogVersion reads only the version: one GET.
func (s *Store) CatalogVersion(ctx context.Context) (int64, error) {
	version := s.rdb.Get(ctx, versionKey())
	if err := version.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return 0, failed(ctx, err, "reading the catalog's version")
	}
	return parseVersion(version)
}

// parseVersion is 0 before the first publish.
func parseVersion(cmd *redis.StringCmd) (int64, error) {
	if errors.Is(cmd.Err(), redis.Nil) {
		return 0, nil
	}
	version, err := cmd.Int64()
	if err != nil {
		return 0, fmt.Errorf("reading the catalog's version: %w", err)
	}
	return version, nil
}

// WatchCatalog calls fn with the catalog: once at the start, and after each
// change, within a second, until ctx ends, and then returns the context's error.
// Pub/sub tells it at once; a look when it stands again after a break, and checks of
// the version, catch what pub/sub lost. While Redis is away it keeps quiet and goes
// on afterwards. fn is never called twice at once, and must not change what it is
// given.
func (s *Store) WatchCatalog(ctx context.Context, fn func(Catalog)) error {
	return s.watchCatalog(ctx, catalogCheck, fn)
}

func (s *Store) watchCatalog(ctx context.Context, check time.Duration, fn func(Catalog)) error {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{}, 1)
	tell := func() {
		select {
		case told <- struct{}{}:
		default: // one is waiting already
		}
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		// What it returns is the end of ctx, which the loop below sees too.
		_ = s.listen(ctx, catalogChannel(), idlePing, tell, func(string) { tell() })
	}()
	defer func() {
		cancel()
		<-listening
	}()

	timer := time.NewTimer(check)
	defer timer.Stop()
	var seen *Catalog
	for {
		if catalog, changed := s.newerCatalog(ctx, seen); changed {
			fn(catalog)
			seen = &catalog
		}
		timer.Reset(check)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-told:
		case <-timer.C:
		}
	}
}

// newerCatalog reads the catalog if it is another one than seen. A Redis that does
// not answer has nothing newer. A version that went back counts as a change: then
// Redis has lost data, and what it has now is what holds.
func (s *Store) newerCatalog(ctx context.Context, seen *Catalog) (catalog Catalog, changed bool) {
	before := Catalog{}
	if seen != nil {
		before = *seen
		version, err := s.CatalogVersion(ctx)
		if err != nil || version == seen.Version {
			return Catalog{}, false
		}
	}
	catalog, err := s.catalog(ctx, before)
	return catalog, err == nil
}
