package store

import (
	"context"
	_ "embed"
	"errors"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/pointer.lua
	pointerHead string
	//go:embed lua/publish.lua
	publishBody string
	//go:embed lua/rollback.lua
	rollbackBody string
	//go:embed lua/unpublish.lua
	unpublishBody string

	publishScript   = redis.NewScript(pointerHead + publishBody)
	rollbackScript  = redis.NewScript(pointerHead + rollbackBody)
	unpublishScript = redis.NewScript(pointerHead + unpublishBody)
)

// pointerKeys are the keys that pointer.lua names, and more behind them.
func pointerKeys(site string, more ...string) []string {
	return append([]string{publishedKey(), versionKey(), lockedKey(), historyKey(site)}, more...)
}

// siteLocked is the fault for a pointer that may not move.
func siteLocked(site string) error {
	return fault.New(fault.Conflict, "site %.80s is locked to its published deploy; unlock it first: nightshift unlock --site %.80s", site, site)
}

// Publish points the site at a deploy of it that is ready, else fault.Conflict,
// as is a site that is locked to another deploy. It tells everybody who watches.
// A deploy that is not there, or of another site: fault.NotFound.
func (s *Store) Publish(ctx context.Context, site, deployID string) error {
	const doing = "publishing a deploy"
	if !validDeployID(deployID) {
		return UnknownDeploy(deployID)
	}
	word, err := s.run(ctx, publishScript, doing, pointerKeys(site, deployKey(deployID)),
		site, deployID, string(deploy.Ready), deployKey(""), catalogChannel())
	if err != nil {
		return err
	}
	switch word {
	case "published":
		return nil
	case "missing", "foreign": // a deploy of another site is none of this one's, and nobody learns of it here
		return UnknownDeploy(deployID)
	case "unready":
		return fault.New(fault.Conflict, "deploy %s is not complete, or has expired, and cannot be published; deploy again", deployID)
	case "locked":
		return siteLocked(site)
	default:
		return unexpected(doing, word)
	}
}

// Rollback points the site at the deploy that was published before the current
// one, and returns its ID. Another rollback goes further back. Nothing before
// it, and a locked site: fault.Conflict.
func (s *Store) Rollback(ctx context.Context, site string) (deployID string, err error) {
	const doing = "rolling back"
	word, rest, err := s.runList(ctx, rollbackScript, doing, pointerKeys(site, rollbackKey(site)),
		site, newToken(), string(deploy.Ready), deployKey(""), catalogChannel())
	switch {
	case err != nil:
		return "", err
	case word == "published" && len(rest) == 1:
		return rest[0], nil
	case word == "locked":
		return "", siteLocked(site)
	case word == "none":
		return "", fault.New(fault.Conflict, "nothing was published on site %.80s before; choose a deploy: nightshift publish ID", site)
	default:
		return "", unexpected(doing, word)
	}
}

// Unpublish points the site at nothing: its callers get 404, and its schedules
// rest. A rollback undoes it. A locked site: fault.Conflict.
func (s *Store) Unpublish(ctx context.Context, site string) error {
	const doing = "unpublishing a site"
	word, err := s.run(ctx, unpublishScript, doing, pointerKeys(site), site, deployKey(""), catalogChannel())
	switch {
	case err != nil:
		return err
	case word == "unpublished":
		return nil
	case word == "locked":
		return siteLocked(site)
	default:
		return unexpected(doing, word)
	}
}

// Published reads which deploy is published on a site; empty: none.
func (s *Store) Published(ctx context.Context, site string) (deployID string, err error) {
	id, err := s.rdb.HGet(ctx, publishedKey(), site).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return id, failed(ctx, err, "reading what is published")
}

// History lists the deploys that were published on a site, newest first, the
// current one included.
func (s *Store) History(ctx context.Context, site string) ([]string, error) {
	ids, err := s.rdb.LRange(ctx, historyKey(site), 0, -1).Result()
	if err != nil {
		return nil, failed(ctx, err, "reading the publication history")
	}
	out := make([]string, 0, len(ids))
	for i := len(ids) - 1; i >= 0; i-- {
		out = append(out, ids[i])
	}
	return out, nil
}
