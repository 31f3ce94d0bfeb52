package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/deploy_create.lua
	deployCreateBody string
	//go:embed lua/deploy_state.lua
	deployStateBody string
	//go:embed lua/publish.lua
	publishBody string

	deployCreateScript = redis.NewScript(deployCreateBody)
	deployStateScript  = redis.NewScript(deployStateBody)
	publishScript      = redis.NewScript(publishBody)
)

// Fields of a deploy's hash. Only the state ever changes. The scripts name them
// too, and add the token of the call that made the deploy.
const (
	deployState   = "state"
	deployCreated = "created" // milliseconds since 1970
	deployData    = "data"    // the deploy as JSON
)

// catalogCheck is how often a watcher asks for the version.
const catalogCheck = time.Second

// CreateDeploy stores a new deploy in state uploading (the default) or ready.
// Same ID twice: fault.Conflict. An ID, a site or a state that cannot be one:
// fault.Invalid. Its time of creation is kept if it is set, to the millisecond,
// and is Redis's now otherwise.
func (s *Store) CreateDeploy(ctx context.Context, d deploy.Deploy) error {
	const doing = "creating a deploy"
	if d.State == "" {
		d.State = deploy.Uploading
	}
	switch {
	case !validDeployID(d.ID):
		return fault.New(fault.Invalid, "%s: the ID %.80q is not 1 to 64 letters, digits, hyphens and underscores", doing, d.ID)
	case !deploy.ValidSite(d.Site):
		return fault.New(fault.Invalid, "%s: %.80q is not a site name", doing, d.Site)
	case d.State != deploy.Uploading && d.State != deploy.Ready:
		return fault.New(fault.Invalid, "%s: a deploy does not begin in state %q", doing, d.State)
	}
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var created int64
	if !d.CreatedAt.IsZero() {
		created = d.CreatedAt.UnixMilli()
	}
	word, err := s.run(ctx, deployCreateScript, doing, []string{deployKey(d.ID), deploysKey(d.Site)},
		d.ID, newToken(), d.Site, string(d.State), created, data)
	if err != nil {
		return err
	}
	switch word {
	case "created":
		return nil
	case "exists":
		return fault.New(fault.Conflict, "%s: there is a deploy %s already", doing, d.ID)
	default:
		return unexpected(doing, word)
	}
}

// SetDeployState moves a deploy from uploading to ready or error.
// Already there: nil. Any other move: fault.Conflict. Unknown: fault.NotFound.
func (s *Store) SetDeployState(ctx context.Context, id string, to deploy.State) error {
	if to != deploy.Ready && to != deploy.Failed {
		return fault.New(fault.Conflict, "a deploy cannot become %q", to)
	}
	if !validDeployID(id) {
		return unknownDeploy(id)
	}
	before, err := s.run(ctx, deployStateScript, "changing a deploy's state", []string{deployKey(id)},
		string(deploy.Uploading), string(to))
	switch {
	case err != nil:
		return err
	case before == "missing":
		return unknownDeploy(id)
	case before == string(deploy.Uploading) || before == string(to):
		return nil
	default:
		return fault.New(fault.Conflict, "deploy %s is in state %q and cannot become %q", id, before, to)
	}
}

// Publish points the site at a deploy of it that is ready, else fault.Conflict.
// It makes the site if there is none, and tells everybody who watches. A deploy
// that is not there at all: fault.NotFound.
func (s *Store) Publish(ctx context.Context, site, deployID string) error {
	const doing = "publishing a deploy"
	if !validDeployID(deployID) {
		return unknownDeploy(deployID)
	}
	word, err := s.run(ctx, publishScript, doing, []string{deployKey(deployID), publishedKey(), versionKey()},
		site, deployID, string(deploy.Ready), catalogChannel())
	if err != nil {
		return err
	}
	switch word {
	case "published":
		return nil
	case "missing":
		return unknownDeploy(deployID)
	case "foreign":
		return fault.New(fault.Conflict, "deploy %s belongs to another site than %.80q and cannot be published there", deployID, site)
	case "unready":
		return fault.New(fault.Conflict, "deploy %s is not complete and cannot be published; upload what is missing first", deployID)
	default:
		return unexpected(doing, word)
	}
}

// Deploy reads a deploy, or fault.NotFound.
func (s *Store) Deploy(ctx context.Context, id string) (deploy.Deploy, error) {
	if !validDeployID(id) {
		return deploy.Deploy{}, unknownDeploy(id)
	}
	found, err := s.deploys(ctx, []string{id})
	if err != nil {
		return deploy.Deploy{}, err
	}
	if len(found) == 0 {
		return deploy.Deploy{}, unknownDeploy(id)
	}
	return found[0], nil
}

// Deploys lists a site's deploys, newest first; a limit that is not positive
// means all of them. A site without any has an empty list.
func (s *Store) Deploys(ctx context.Context, site string, limit int) ([]deploy.Deploy, error) {
	if !deploy.ValidSite(site) {
		return nil, nil
	}
	last := int64(-1)
	if limit > 0 {
		last = int64(limit) - 1
	}
	ids, err := s.rdb.ZRevRange(ctx, deploysKey(site), 0, last).Result()
	if err != nil {
		return nil, failed(ctx, err, "listing deploys")
	}
	return s.deploys(ctx, ids)
}

// deploys reads those of the deploys that are there, in their order.
func (s *Store) deploys(ctx context.Context, ids []string) ([]deploy.Deploy, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	answers := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			answers[i] = p.HMGet(ctx, deployKey(id), deployState, deployCreated, deployData)
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, "reading deploys")
	}
	found := make([]deploy.Deploy, 0, len(ids))
	for i, id := range ids {
		values := answers[i].Val()
		data, ok := values[2].(string)
		if !ok {
			continue
		}
		var d deploy.Deploy
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			return nil, fmt.Errorf("reading deploy %s: %w", id, err)
		}
		state, _ := values[0].(string)
		created, _ := values[1].(string)
		ms, err := strconv.ParseInt(created, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading deploy %s: %w", id, err)
		}
		d.State, d.CreatedAt = deploy.State(state), fromMillis(ms)
		found = append(found, d)
	}
	return found, nil
}

// unknownDeploy is the fault for an ID without a deploy.
func unknownDeploy(id string) error {
	return fault.New(fault.NotFound, "there is no deploy %.80q", id)
}

// Catalog is what all callers route by: each site's published deploy.
type Catalog struct {
	Version   int64                    // grows with each publish
	Published map[string]deploy.Deploy // by site name; sites without a published deploy are absent
}

// Catalog reads the whole catalog.
func (s *Store) Catalog(ctx context.Context) (Catalog, error) { return s.catalog(ctx, Catalog{}) }

// catalog reads the catalog, except those deploys that an earlier one holds
// already: a published deploy never changes.
func (s *Store) catalog(ctx context.Context, before Catalog) (Catalog, error) {
	var version *redis.StringCmd
	var pointers *redis.MapStringStringCmd
	// One transaction: the version must not be newer than the pointers, or a
	// watcher would take old ones for the newest.
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		version = p.Get(ctx, versionKey())
		pointers = p.HGetAll(ctx, publishedKey())
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return Catalog{}, failed(ctx, err, "reading the catalog")
	}
	catalog := Catalog{Published: make(map[string]deploy.Deploy, len(pointers.Val()))}
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
// change, within a second, until ctx ends, and then returns the context's
// error. Pub/sub tells it at once; a version check each second catches what
// pub/sub lost. While Redis is away it keeps quiet and goes on afterwards. fn
// is never called twice at once, and must not change what it is given.
func (s *Store) WatchCatalog(ctx context.Context, fn func(Catalog)) error {
	return s.watchCatalog(ctx, catalogCheck, fn)
}

func (s *Store) watchCatalog(ctx context.Context, check time.Duration, fn func(Catalog)) error {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{}, 1)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		// What it returns is the end of ctx, which the loop below sees too.
		_ = s.subscribe(ctx, catalogChannel(), nil, func(string) {
			select {
			case told <- struct{}{}:
			default: // one is waiting already
			}
		})
	}()
	defer func() {
		cancel()
		<-listening
	}()

	ticker := time.NewTicker(check)
	defer ticker.Stop()
	var seen *Catalog
	for {
		if catalog, changed := s.newerCatalog(ctx, seen); changed {
			fn(catalog)
			seen = &catalog
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-told:
		case <-ticker.C:
		}
	}
}

// newerCatalog reads the catalog if it is another one than seen. A Redis that
// does not answer has nothing newer. A version that went back counts as a
// change: then Redis has lost data, and what it has now is what holds.
func (s *Store) newerCatalog(ctx context.Context, seen *Catalog) (Catalog, bool) {
	if seen == nil {
		catalog, err := s.catalog(ctx, Catalog{})
		return catalog, err == nil
	}
	version, err := s.CatalogVersion(ctx)
	if err != nil || version == seen.Version {
		return Catalog{}, false
	}
	catalog, err := s.catalog(ctx, *seen)
	return catalog, err == nil
}
