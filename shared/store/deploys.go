package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/deploy_create.lua
	deployCreateBody string
	//go:embed lua/deploy_describe.lua
	deployDescribeBody string
	//go:embed lua/deploy_fail.lua
	deployFailBody string
	//go:embed lua/deploy_seal.lua
	deploySealBody string

	deployCreateScript   = redis.NewScript(deployCreateBody)
	deployDescribeScript = redis.NewScript(deployDescribeBody)
	deployFailScript     = redis.NewScript(deployFailBody)
	deploySealScript     = redis.NewScript(pointerHead + deploySealBody)
)

// Fields of a deploy's hash that are read with it. The scripts name them too,
// and add the token of the call that made the deploy, and its environment, which
// only those read who run its functions.
const (
	deployState     = "state"
	deployCreated   = "created"   // milliseconds since 1970, as are the next two
	deployPublished = "published" // the last time
	deployLeft      = "left"      // when it ceased to be published
	deployReason    = "reason"
	deploySealed    = "sealed"  // what came of making it ready
	deployData      = "data"    // the deploy as JSON
	deploySummary   = "summary" // deploy.Summary as JSON; deploys of earlier releases have none
)

// CreateDeploy stores a new deploy in state new, uploading (the default) or ready.
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
	case d.State != deploy.New && d.State != deploy.Uploading && d.State != deploy.Ready:
		return fault.New(fault.Invalid, "%s: a deploy does not begin in state %q", doing, d.State)
	}
	data, summary, err := encodeDeploy(d)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var created int64
	if !d.CreatedAt.IsZero() {
		created = d.CreatedAt.UnixMilli()
	}
	word, err := s.run(ctx, deployCreateScript, doing, []string{deployKey(d.ID), deploysKey(d.Site)},
		d.ID, newToken(), d.Site, string(d.State), created, data, summary)
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

// Describe says what a deploy consists of, with its environment, sealed, or nil.
// It may be said again until the deploy is ready. A deploy that is past that:
// fault.Conflict. Unknown: fault.NotFound.
func (s *Store) Describe(ctx context.Context, d deploy.Deploy, environment []byte) error {
	const doing = "describing a deploy"
	if !validDeployID(d.ID) {
		return UnknownDeploy(d.ID)
	}
	data, summary, err := encodeDeploy(d)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	word, err := s.run(ctx, deployDescribeScript, doing, []string{deployKey(d.ID), missingKey(d.ID)},
		string(deploy.New), string(deploy.Uploading), data, summary, environment)
	switch {
	case err != nil:
		return err
	case word == "described":
		return nil
	case word == "missing":
		return UnknownDeploy(d.ID)
	default:
		return fault.New(fault.Conflict, "deploy %s is in state %q and cannot be changed any more; make another one", d.ID, word)
	}
}

// Fail gives a deploy up that is not ready, and says why. One that has been
// given up: nil. A ready one: fault.Conflict. Unknown: fault.NotFound.
func (s *Store) Fail(ctx context.Context, deployID, reason string) error {
	const doing = "giving a deploy up"
	if !validDeployID(deployID) {
		return UnknownDeploy(deployID)
	}
	word, err := s.run(ctx, deployFailScript, doing, []string{deployKey(deployID)},
		string(deploy.New)+" "+string(deploy.Uploading), string(deploy.Failed), reason)
	switch {
	case err != nil:
		return err
	case word == "failed":
		return nil
	case word == "missing":
		return UnknownDeploy(deployID)
	default:
		return fault.New(fault.Conflict, "deploy %s is in state %q and cannot be given up any more", deployID, word)
	}
}

// Sealed is what came of making a deploy ready.
type Sealed string

// The closed list of what can come of it.
const (
	SealedReady     Sealed = "ready"     // it was not to be published
	SealedPublished Sealed = "published" // it is published, or was until something else was
	SealedLocked    Sealed = "locked"    // it is ready; the site is locked to another one
	SealedOlder     Sealed = "older"     // it is ready; one that was made later is published
)

// Seal makes a deploy ready, in its final form, and unless it is a draft
// publishes it: in one step, once. Doing it again changes nothing and returns
// the same. A deploy that was given up, or is not described: fault.Conflict.
// Unknown: fault.NotFound.
func (s *Store) Seal(ctx context.Context, d deploy.Deploy) (Sealed, error) {
	const doing = "completing a deploy"
	if !validDeployID(d.ID) {
		return "", UnknownDeploy(d.ID)
	}
	data, summary, err := encodeDeploy(d)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	branch, publish := "", 1
	if label := deploy.BranchLabel(d.Branch, d.Site); label != "" {
		branch = branchField(d.Site, label)
	}
	if d.Draft {
		publish = 0
	}
	word, err := s.run(ctx, deploySealScript, doing, pointerKeys(d.Site, deployKey(d.ID), branchesKey()),
		d.Site, d.ID, string(deploy.Uploading), string(deploy.Ready), deployKey(""), catalogChannel(), data, branch, publish, summary)
	switch sealed := Sealed(word); {
	case err != nil:
		return "", err
	case word == "missing":
		return "", UnknownDeploy(d.ID)
	case sealed == SealedReady, sealed == SealedPublished, sealed == SealedLocked, sealed == SealedOlder:
		return sealed, nil
	default:
		return "", fault.New(fault.Conflict, "deploy %s is in %s and cannot become ready", d.ID, word)
	}
}

// encodeDeploy makes JSON of a deploy, and of what is listed of it.
func encodeDeploy(d deploy.Deploy) (data, summary []byte, err error) {
	if data, err = json.Marshal(d); err != nil {
		return nil, nil, err
	}
	summary, err = json.Marshal(deploy.Summarize(d))
	return data, summary, err
}

// Deploy reads a deploy, or fault.NotFound.
func (s *Store) Deploy(ctx context.Context, id string) (deploy.Deploy, error) {
	if !validDeployID(id) {
		return deploy.Deploy{}, UnknownDeploy(id)
	}
	found, err := s.deploys(ctx, []string{id})
	if err != nil {
		return deploy.Deploy{}, err
	}
	if len(found) == 0 {
		return deploy.Deploy{}, UnknownDeploy(id)
	}
	return found[0], nil
}

// DeploySummaries lists what there is to say of a site's deploys, newest first:
// limit of them, after the newest offset. A limit that is not positive means all
// of them. A site without any has an empty list.
func (s *Store) DeploySummaries(ctx context.Context, site string, offset, limit int) ([]deploy.Summary, error) {
	if !deploy.ValidSite(site) {
		return nil, nil
	}
	first, last := int64(max(offset, 0)), int64(-1)
	if limit > 0 {
		last = first + int64(limit) - 1
	}
	ids, err := s.rdb.ZRevRange(ctx, deploysKey(site), first, last).Result()
	if err != nil {
		return nil, failed(ctx, err, "listing deploys")
	}
	if len(ids) == 0 {
		return nil, nil
	}
	all, err := s.readDeploys(ctx, ids, deploySummary)
	if err != nil {
		return nil, err
	}
	found := make([]deploy.Summary, 0, len(ids))
	for i, values := range all {
		summary, there, err := parseSummary(values)
		if err != nil {
			return nil, fmt.Errorf("reading deploy %s: %w", ids[i], err)
		}
		if there {
			found = append(found, summary)
			continue
		}
		old, err := s.deploys(ctx, ids[i:i+1]) // of an earlier release, or gone
		if err != nil {
			return nil, err
		}
		for _, d := range old {
			found = append(found, deploy.Summarize(d))
		}
	}
	return found, nil
}

// deploys reads those of the deploys that are there, in their order.
func (s *Store) deploys(ctx context.Context, ids []string) ([]deploy.Deploy, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	all, err := s.readDeploys(ctx, ids, deployData)
	if err != nil {
		return nil, err
	}
	found := make([]deploy.Deploy, 0, len(ids))
	for i, values := range all {
		d, there, err := parseDeploy(values)
		if err != nil {
			return nil, fmt.Errorf("reading deploy %s: %w", ids[i], err)
		}
		if there {
			found = append(found, d)
		}
	}
	return found, nil
}

// readDeploys reads what became of deploys, and the one field that says what they
// are.
func (s *Store) readDeploys(ctx context.Context, ids []string, field string) ([][]any, error) {
	answers := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			answers[i] = p.HMGet(ctx, deployKey(id), deployState, deployCreated, deployPublished, deployLeft, deployReason, deploySealed, field)
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, "reading deploys")
	}
	all := make([][]any, len(ids))
	for i, answer := range answers {
		all[i] = answer.Val()
	}
	return all, nil
}

// parseDeploy makes a deploy of its hash's fields, in the order in which
// readDeploys asks for them.
func parseDeploy(values []any) (d deploy.Deploy, there bool, err error) {
	data, _ := values[len(values)-1].(string)
	if data == "" {
		return d, false, nil
	}
	if err := json.Unmarshal([]byte(data), &d); err != nil {
		return d, false, err
	}
	return d, true, became(&d, values)
}

// parseSummary does the same where that field is the summary.
func parseSummary(values []any) (s deploy.Summary, there bool, err error) {
	text, _ := values[len(values)-1].(string)
	if text == "" {
		return s, false, nil
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, false, err
	}
	return s, true, became(&s.Deploy, values)
}

// became fills in what became of a deploy.
func became(d *deploy.Deploy, values []any) error {
	var texts [6]string
	for i := range texts {
		texts[i], _ = values[i].(string)
	}
	d.State, d.Reason = deploy.State(texts[0]), texts[4]
	if sealed := Sealed(texts[5]); sealed == SealedLocked || sealed == SealedOlder {
		d.Withheld = texts[5]
	}
	for i, at := range []*time.Time{&d.CreatedAt, &d.PublishedAt, &d.LeftAt} {
		if texts[i+1] == "" {
			continue
		}
		ms, err := strconv.ParseInt(texts[i+1], 10, 64)
		if err != nil {
			return err
		}
		*at = fromMillis(ms)
	}
	return nil
}

// UnknownDeploy is the error for a deploy that is not there, or not for whoever asks.
func UnknownDeploy(id string) error {
	return fault.New(fault.NotFound, "there is no deploy %.80q", id)
}
