package store

import (
	"context"
	_ "embed"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/await.lua
	awaitBody string
	//go:embed lua/arrived.lua
	arrivedBody string

	awaitScript   = redis.NewScript(awaitBody)
	arrivedScript = redis.NewScript(arrivedBody)
)

// awaitFor is how long the list of a deploy's missing blobs is kept after the
// last change. A client that needs longer between two uploads costs a look
// through the blob store, nothing else.
const awaitFor = 24 * time.Hour

// An uploading deploy has a list of the blobs that it waits for, so that each
// of many uploads need not look for all of them. The list is a memo: a deploy
// without one may be complete or may not, which the blob store knows.

// Await notes the names of blobs that a deploy waits for.
func (s *Store) Await(ctx context.Context, deployID string, blobs []string) error {
	if !validDeployID(deployID) {
		return UnknownDeploy(deployID)
	}
	if len(blobs) == 0 {
		return nil
	}
	args := []any{awaitFor.Milliseconds()}
	for _, blob := range blobs {
		args = append(args, blob)
	}
	err := awaitScript.Run(ctx, s.rdb, []string{missingKey(deployID)}, args...).Err()
	return failed(ctx, err, "noting what a deploy waits for")
}

// Arrived takes a blob off the list and returns how many are left on it.
func (s *Store) Arrived(ctx context.Context, deployID, blob string) (left int, err error) {
	if !validDeployID(deployID) {
		return 0, UnknownDeploy(deployID)
	}
	left, err = arrivedScript.Run(ctx, s.rdb, []string{missingKey(deployID)}, awaitFor.Milliseconds(), blob).Int()
	return left, failed(ctx, err, "noting what a deploy got")
}

// Awaited lists the blobs that a deploy waits for, sorted.
func (s *Store) Awaited(ctx context.Context, deployID string) ([]string, error) {
	if !validDeployID(deployID) {
		return nil, UnknownDeploy(deployID)
	}
	blobs, err := s.rdb.SMembers(ctx, missingKey(deployID)).Result()
	slices.Sort(blobs)
	return blobs, failed(ctx, err, "reading what a deploy waits for")
}
