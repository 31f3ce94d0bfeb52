package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/redis/go-redis/v9"
)

// Clients of Netlify's API describe a deploy by less than it takes to run it:
// files by their SHA-1, functions by the digest of their zip. What their uploads
// told is remembered here for the next deploy with the same contents. All of it
// is a memo: what is forgotten is asked for again.

// chunk is how many fields are asked for at once.
const chunk = 1000

// FilesBySHA1 finds stored files by their SHA-1. Those that are not known are absent.
func (s *Store) FilesBySHA1(ctx context.Context, sums []string) (map[string]deploy.File, error) {
	found := map[string]deploy.File{}
	return found, s.recall(ctx, sha1Key(), sums, func(sum, stored string) error {
		f := deploy.File{SHA1: sum}
		_, err := fmt.Sscanf(stored, "%s %d", &f.Digest, &f.Size)
		found[sum] = f
		return err
	})
}

// RememberFile notes the SHA-1 of a file that is stored.
func (s *Store) RememberFile(ctx context.Context, f deploy.File) error {
	err := s.rdb.HSet(ctx, sha1Key(), f.SHA1, fmt.Sprintf("%s %d", f.Digest, f.Size)).Err()
	return failed(ctx, err, "noting the digest of a file")
}

// Zip is what its upload told about a zip that was made elsewhere.
type Zip struct {
	Runtime    string `json:"runtime"` // see function.Function, as are the next two
	Entry      string `json:"entry"`
	TimeoutMS  int64  `json:"timeout_ms,omitempty"`
	Background bool   `json:"background,omitempty"`
}

// Zips finds what is known about zips, by their digest. Those that are not known
// are absent.
func (s *Store) Zips(ctx context.Context, digests []string) (map[string]Zip, error) {
	found := map[string]Zip{}
	return found, s.recall(ctx, zipsKey(), digests, func(digest, stored string) error {
		var z Zip
		err := json.Unmarshal([]byte(stored), &z)
		found[digest] = z
		return err
	})
}

// RememberZip notes what an upload told about a zip.
func (s *Store) RememberZip(ctx context.Context, digest string, z Zip) error {
	data, err := json.Marshal(z)
	if err != nil {
		return fmt.Errorf("noting what is in a zip: %w", err)
	}
	return failed(ctx, s.rdb.HSet(ctx, zipsKey(), digest, data).Err(), "noting what is in a zip")
}

// recall reads fields of a hash and hands those to fn that are there.
func (s *Store) recall(ctx context.Context, key string, fields []string, fn func(field, value string) error) error {
	const doing = "looking for known contents"
	for some := range slices.Chunk(fields, chunk) {
		values, err := s.rdb.HMGet(ctx, key, some...).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return failed(ctx, err, doing)
		}
		for i, value := range values {
			text, ok := value.(string)
			if !ok {
				continue
			}
			if err := fn(some[i], text); err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
		}
	}
	return nil
}
