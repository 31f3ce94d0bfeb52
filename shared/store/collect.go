package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/expire.lua
	expireBody string
	//go:embed lua/deploy_remove.lua
	deployRemoveBody string
	//go:embed lua/doom.lua
	doomBody string

	expireScript       = redis.NewScript(expireBody)
	deployRemoveScript = redis.NewScript(deployRemoveBody)
	doomScript         = redis.NewScript(doomBody)
)

// Garbage collection, run by the leading scheduler, takes deploys out of use,
// removes them, and deletes the blobs that no deploy needs any more. It runs
// beside clients who deploy, without a lock: a client's gateway writes the deploy
// first and then looks at what is doomed, the collector writes what is doomed
// first and then looks at the deploys. So at least one of the two sees the other.

const (
	// KeptHistory is how many deploys of a site's publication history are never
	// taken out of use: what a rollback may go back to.
	KeptHistory = 10

	// doomFor bounds how long a blob is doomed that nobody deletes.
	doomFor = time.Hour
	// deployPage is how many deploys are read at once, of up to some MB each.
	deployPage = 20
	// collectChunk is how many members or fields one command names.
	collectChunk = 500
)

// Held is a deploy as garbage collection sees it.
type Held struct {
	ID, Site string
	State    deploy.State
	Created  time.Time
	Left     time.Time // when it ceased to be published; zero if it never did
	Code     []string  // digests of its functions' zips
	Files    []string  // digests of its static files
}

// Unused is since when nobody has needed it, unless something points at it.
func (h *Held) Unused() time.Time {
	if h.Left.After(h.Created) {
		return h.Left
	}
	return h.Created
}

// heldData are the parts of a deploy that garbage collection reads.
type heldData struct {
	Functions []struct {
		Artifact string `json:"artifact"`
	} `json:"functions"`
	Files map[string]struct {
		Digest string `json:"digest"`
		// SHA1 is what is known of a file instead, until the deploy is ready.
		SHA1 string `json:"sha1"`
	} `json:"files"`
}

// EachDeploy calls fn with each deploy of all sites, except those for whose ID
// skip, if not nil, is true. A deploy that is there from the beginning to the end
// is among them for certain.
func (s *Store) EachDeploy(ctx context.Context, skip func(id string) bool, fn func(Held) error) error {
	const doing = "listing the deploys of all sites"
	sites, err := s.sitesWithDeploys(ctx)
	if err != nil {
		return failed(ctx, err, doing)
	}
	for _, site := range sites {
		ids, err := s.rdb.ZRange(ctx, deploysKey(site), 0, -1).Result()
		if err != nil {
			return failed(ctx, err, doing)
		}
		if skip != nil {
			ids = slices.DeleteFunc(ids, skip)
		}
		for page := range slices.Chunk(ids, deployPage) {
			held, err := s.held(ctx, page)
			if err != nil {
				return err
			}
			for _, h := range held {
				if err := fn(h); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sitesWithDeploys finds the sites whose lists of deploys are there. The keys
// themselves are looked for, because a site that is missed would lose its blobs;
// and the sites that are known, because a scan of a cluster may miss a key that
// moves from node to node.
func (s *Store) sitesWithDeploys(ctx context.Context) ([]string, error) {
	var known, published *redis.StringSliceCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		known, published = p.HKeys(ctx, sitesKey()), p.HKeys(ctx, publishedKey())
		return nil
	})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	sites := slices.Concat(known.Val(), published.Val())
	scan := func(ctx context.Context, rdb redis.Cmdable) error {
		keys := rdb.Scan(ctx, 0, deploysKey("*"), 1000).Iterator()
		for keys.Next(ctx) {
			mu.Lock()
			sites = append(sites, strings.TrimPrefix(keys.Val(), deploysKey("")))
			mu.Unlock()
		}
		return keys.Err()
	}
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, s.rdb)
	}
	slices.Sort(sites)
	return slices.Compact(sites), err
}

// held reads those of the deploys that are there.
func (s *Store) held(ctx context.Context, ids []string) ([]Held, error) {
	const doing = "reading what deploys need"
	answers := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			answers[i] = p.HMGet(ctx, deployKey(id), "site", "state", "created", "left", "data")
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	var all []Held
	for i, id := range ids {
		var fields [5]string
		for j, value := range answers[i].Val() {
			fields[j], _ = value.(string)
		}
		if fields[1] == "" {
			continue // removed meanwhile
		}
		h := Held{ID: id, Site: fields[0], State: deploy.State(fields[1]), Created: parseInstant(fields[2]), Left: parseInstant(fields[3])}
		var data heldData
		// What cannot be read cannot be kept: better to stop than to take it for empty.
		if err := json.Unmarshal([]byte(fields[4]), &data); err != nil {
			return nil, fmt.Errorf("%s: deploy %s: %w", doing, id, err)
		}
		if err := s.needs(ctx, &h, data); err != nil {
			return nil, failed(ctx, err, doing)
		}
		all = append(all, h)
	}
	return all, nil
}

// needs fills in what a deploy needs. Files of which it knows the SHA-1 only are
// looked up after the deploy was read: whoever stores one notes it in this order.
func (s *Store) needs(ctx context.Context, h *Held, data heldData) error {
	for _, f := range data.Functions {
		if f.Artifact != "" {
			h.Code = append(h.Code, f.Artifact)
		}
	}
	var sums []string
	for _, f := range data.Files {
		switch {
		case f.Digest != "":
			h.Files = append(h.Files, f.Digest)
		case f.SHA1 != "":
			sums = append(sums, f.SHA1)
		}
	}
	return s.recall(ctx, h.Site, sums, sha1Field, func(_, stored string) error {
		h.Files = append(h.Files, sha256Of(stored))
		return nil
	})
}

// sha256Of takes the digest off what is stored under a SHA-1: "<sha256> <size>".
func sha256Of(stored string) string {
	digest, _, _ := strings.Cut(stored, " ")
	return digest
}

// parseInstant reads a time; zero if it is none.
func parseInstant(ms string) time.Time {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return fromMillis(n)
}

// Expire takes those deploys of a site out of use that are ready, that nothing
// points at (the site, its lock, the newest [KeptHistory] of its history, a
// branch), and that have been so for longer than retention. It returns the IDs
// of those that are out of use, now or since an earlier call. Gateways serve them
// no more, and they cannot be published again; their invocations still run.
func (s *Store) Expire(ctx context.Context, site string, ids []string, retention time.Duration) ([]string, error) {
	var expired []string
	for some := range slices.Chunk(ids, collectChunk) {
		args := []any{
			site, string(deploy.Ready), string(deploy.Expired), retention.Milliseconds(), KeptHistory, deployKey(""), catalogChannel(),
		}
		for _, id := range some {
			args = append(args, id)
		}
		list, err := expireScript.Run(ctx, s.rdb, []string{publishedKey(), versionKey(), lockedKey(), historyKey(site), branchesKey()}, args...).StringSlice()
		if err != nil {
			return expired, failed(ctx, err, "taking deploys out of use")
		}
		expired = append(expired, list...)
	}
	return expired, nil
}

// Remove removes a deploy that has been out of use for longer than after, or that
// was never completed and has had no upload for longer than abandoned; otherwise
// it returns false. Not there: true.
func (s *Store) Remove(ctx context.Context, site, id string, after, abandoned time.Duration) (bool, error) {
	const doing = "removing a deploy"
	if !validDeployID(id) {
		return false, UnknownDeploy(id)
	}
	incomplete := []string{string(deploy.New), string(deploy.Uploading), string(deploy.Failed)}
	word, err := s.run(ctx, deployRemoveScript, doing, []string{deployKey(id), deploysKey(site), missingKey(id)},
		id, string(deploy.Expired), after.Milliseconds(), strings.Join(incomplete, " "), abandoned.Milliseconds())
	switch {
	case err != nil:
		return false, err
	case word == "removed", word == "kept":
		return word == "removed", nil
	default:
		return false, unexpected(doing, word)
	}
}

// Doom notes names of blobs that are going to be deleted, for an hour. From then
// on nobody takes them for stored, and nobody stores them.
func (s *Store) Doom(ctx context.Context, blobs []string) error {
	for some := range slices.Chunk(blobs, collectChunk) {
		args := []any{doomFor.Milliseconds()}
		for _, blob := range some {
			args = append(args, blob)
		}
		if err := doomScript.Run(ctx, s.rdb, []string{doomedKey()}, args...).Err(); err != nil {
			return failed(ctx, err, "noting what is going to be deleted")
		}
	}
	return nil
}

// Spare takes back what Doom has noted: blobs that are needed, or deleted.
func (s *Store) Spare(ctx context.Context, blobs []string) error {
	for some := range slices.Chunk(blobs, collectChunk) {
		members := make([]any, len(some))
		for i, blob := range some {
			members[i] = blob
		}
		if err := s.rdb.SRem(ctx, doomedKey(), members...).Err(); err != nil {
			return failed(ctx, err, "noting what has been deleted")
		}
	}
	return nil
}

// AllDoomed lists the names of all blobs that are going to be deleted.
func (s *Store) AllDoomed(ctx context.Context) ([]string, error) {
	all, err := s.rdb.SMembers(ctx, doomedKey()).Result()
	slices.Sort(all)
	return all, failed(ctx, err, "reading what is going to be deleted")
}

// Doomed returns those of the blobs that are going to be deleted: they count as
// missing, and must not be stored before they are gone.
func (s *Store) Doomed(ctx context.Context, blobs []string) ([]string, error) {
	var doomed []string
	for some := range slices.Chunk(blobs, collectChunk) {
		members := make([]any, len(some))
		for i, blob := range some {
			members[i] = blob
		}
		are, err := s.rdb.SMIsMember(ctx, doomedKey(), members...).Result()
		if err != nil {
			return nil, failed(ctx, err, "reading what is going to be deleted")
		}
		for i, is := range are {
			if is {
				doomed = append(doomed, some[i])
			}
		}
	}
	return doomed, nil
}

// MayDelete reports whether a blob is still doomed, or returns ErrSuperseded if
// a newer term leads, which decides about it now.
func (s *Store) MayDelete(ctx context.Context, term int64, blob string) (bool, error) {
	var leads *redis.StringCmd
	var doomed *redis.BoolCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		leads, doomed = p.Get(ctx, termKey()), p.SIsMember(ctx, doomedKey(), blob)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, failed(ctx, err, "looking whether a blob may be deleted")
	}
	if leads.Val() != strconv.FormatInt(term, 10) {
		return false, ErrSuperseded
	}
	return doomed.Val(), nil
}

// ForgetBlobs drops what was remembered of zips and static files that have been
// deleted, given their digests, whichever sites have uploaded them.
func (s *Store) ForgetBlobs(ctx context.Context, code, files []string) error {
	const doing = "forgetting deleted blobs"
	if len(code)+len(files) == 0 {
		return nil
	}
	sites, err := s.sitesWithDeploys(ctx)
	if err != nil {
		return failed(ctx, err, doing)
	}
	var fields []string
	for _, digest := range code {
		fields = append(fields, artifact.Code.Name(digest), zipField(digest))
	}
	gone := make(map[string]bool, len(files))
	for _, digest := range files {
		fields = append(fields, artifact.Static.Name(digest))
		gone[digest] = true
	}
	for _, site := range sites {
		sums, err := s.sumsOf(ctx, site, gone)
		if err != nil {
			return failed(ctx, err, doing)
		}
		for some := range slices.Chunk(slices.Concat(fields, sums), collectChunk) {
			if err := s.rdb.HDel(ctx, blobsKey(site), some...).Err(); err != nil {
				return failed(ctx, err, doing)
			}
		}
	}
	return nil
}

// sumsOf finds the fields by which a site knows static files by their SHA-1, given
// their digests.
func (s *Store) sumsOf(ctx context.Context, site string, digests map[string]bool) (fields []string, err error) {
	if len(digests) == 0 {
		return nil, nil
	}
	all := s.rdb.HScan(ctx, blobsKey(site), 0, sha1Field("*"), collectChunk).Iterator()
	for all.Next(ctx) {
		field := all.Val()
		if all.Next(ctx) && digests[sha256Of(all.Val())] {
			fields = append(fields, field)
		}
	}
	return fields, all.Err()
}
