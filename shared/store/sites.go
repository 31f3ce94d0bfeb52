package store

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/site_create.lua
	siteCreateBody string
	//go:embed lua/lock.lua
	lockBody string

	siteCreateScript = redis.NewScript(siteCreateBody)
	lockScript       = redis.NewScript(lockBody)
)

// CreateSite makes a site. A name that is taken: fault.Conflict; one that
// cannot be a site's: fault.Invalid.
func (s *Store) CreateSite(ctx context.Context, name string) error {
	const doing = "creating a site"
	if !deploy.ValidSite(name) {
		return fault.New(fault.Invalid, "%.80q cannot be the name of a site: use lower-case letters, digits and inner single hyphens, %d at most", name, deploy.MaxSiteName)
	}
	word, err := s.run(ctx, siteCreateScript, doing, []string{sitesKey()}, name, newToken())
	switch {
	case err != nil:
		return err
	case word == "created":
		return nil
	case word == "exists":
		return fault.New(fault.Conflict, "there is a site %s already; choose another name", name)
	default:
		return unexpected(doing, word)
	}
}

// Site reads a site, or fault.NotFound.
func (s *Store) Site(ctx context.Context, name string) (deploy.Site, error) {
	if !deploy.ValidSite(name) {
		return deploy.Site{}, UnknownSite(name)
	}
	var created, published, locked *redis.StringCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		created = p.HGet(ctx, sitesKey(), name)
		published = p.HGet(ctx, publishedKey(), name)
		locked = p.HGet(ctx, lockedKey(), name)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return deploy.Site{}, failed(ctx, err, "reading a site")
	}
	if created.Err() != nil {
		return deploy.Site{}, UnknownSite(name)
	}
	return parseSite(name, created.Val(), published.Val(), locked.Val())
}

// UnknownSite is the error for a site that is not there, or not for whoever asks.
func UnknownSite(name string) error {
	return fault.New(fault.NotFound, "there is no site %.80q; make it with: nightshift sites create NAME", name)
}

// Sites lists all sites by name.
func (s *Store) Sites(ctx context.Context) ([]deploy.Site, error) {
	var created, published, locked *redis.MapStringStringCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		created = p.HGetAll(ctx, sitesKey())
		published = p.HGetAll(ctx, publishedKey())
		locked = p.HGetAll(ctx, lockedKey())
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, "listing the sites")
	}
	sites := make([]deploy.Site, 0, len(created.Val()))
	for name, stored := range created.Val() {
		site, err := parseSite(name, stored, published.Val()[name], locked.Val()[name])
		if err != nil {
			return nil, err
		}
		sites = append(sites, site)
	}
	slices.SortFunc(sites, func(a, b deploy.Site) int { return cmp.Compare(a.Name, b.Name) })
	return sites, nil
}

// parseSite reads "<ms> <token>", as site_create.lua writes it.
func parseSite(name, stored, published, locked string) (deploy.Site, error) {
	text, _, _ := strings.Cut(stored, " ")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return deploy.Site{}, fmt.Errorf("reading the site %s: %w", name, err)
	}
	return deploy.Site{Name: name, CreatedAt: fromMillis(ms), Published: published, Locked: locked}, nil
}

// Lock keeps a site at the deploy that is published on it, until Unlock. Another
// deploy than the published one: fault.Conflict.
func (s *Store) Lock(ctx context.Context, site, deployID string) error {
	const doing = "locking a site"
	word, err := s.run(ctx, lockScript, doing, []string{publishedKey(), lockedKey()}, site, deployID)
	switch {
	case err != nil:
		return err
	case word == "locked":
		return nil
	case word == "other":
		return fault.New(fault.Conflict, "deploy %.80s is not the published one of site %.80s; a site can be locked to that one only, so publish it first", deployID, site)
	default:
		return unexpected(doing, word)
	}
}

// Unlock lets the pointer of a site move again. A site that is not locked: nil.
func (s *Store) Unlock(ctx context.Context, site string) error {
	return failed(ctx, s.rdb.HDel(ctx, lockedKey(), site).Err(), "unlocking a site")
}
