package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/redis/go-redis/v9"
)

// What a site has uploaded is noted here, for the site alone. Two things hang on
// that. A deploy may consist of what its own site has uploaded, and of nothing
// that merely is in the blob store: else who knows the digest of a file could
// have it served, and learn from the answer that another site has it. And clients
// of Netlify's API describe a deploy by less than it takes to run it, files by
// their SHA-1, functions by the digest of their zip; what their uploads told is
// there for the next deploy with the same contents. Nobody else's upload can
// change what a SHA-1 or a zip means to a site.
//
// All of it is a memo: what is forgotten is asked for again.

// chunk is how many fields are asked for at once.
const chunk = 1000

// NoteBlob notes that a site has uploaded a blob, given the blob's name.
func (s *Store) NoteBlob(ctx context.Context, site, blob string) error {
	return failed(ctx, s.rdb.HSet(ctx, blobsKey(site), blob, "").Err(), "noting an upload")
}

// Uploaded returns those of the blobs that a site has uploaded, by name.
func (s *Store) Uploaded(ctx context.Context, site string, blobs []string) (map[string]bool, error) {
	uploaded := map[string]bool{}
	return uploaded, s.recall(ctx, site, blobs, plain, func(blob, _ string) error {
		uploaded[blob] = true
		return nil
	})
}

func plain(name string) string { return name }

// FilesBySHA1 finds files that a site has uploaded by their SHA-1. Those that are
// not known are absent.
func (s *Store) FilesBySHA1(ctx context.Context, site string, sums []string) (map[string]deploy.File, error) {
	found := map[string]deploy.File{}
	return found, s.recall(ctx, site, sums, sha1Field, func(sum, stored string) error {
		f := deploy.File{SHA1: sum}
		_, err := fmt.Sscanf(stored, "%s %d", &f.Digest, &f.Size)
		found[sum] = f
		return err
	})
}

// RememberFile notes the SHA-1 of a file that a site has uploaded, and the file.
func (s *Store) RememberFile(ctx context.Context, site string, f deploy.File) error {
	err := s.rdb.HSet(ctx, blobsKey(site), sha1Field(f.SHA1), fmt.Sprintf("%s %d", f.Digest, f.Size), artifact.Static.Name(f.Digest), "").Err()
	return failed(ctx, err, "noting the digest of a file")
}

// Zip is what its upload told about a zip that was made elsewhere.
type Zip struct {
	Runtime    string `json:"runtime"` // see function.Function, as are the next two
	Entry      string `json:"entry"`
	TimeoutMS  int64  `json:"timeout_ms,omitempty"`
	Background bool   `json:"background,omitempty"`
}

// Zips finds what a site's uploads told about zips, by their digest. Those that
// are not known are absent.
func (s *Store) Zips(ctx context.Context, site string, digests []string) (map[string]Zip, error) {
	found := map[string]Zip{}
	return found, s.recall(ctx, site, digests, zipField, func(digest, stored string) error {
		var z Zip
		err := json.Unmarshal([]byte(stored), &z)
		found[digest] = z
		return err
	})
}

// RememberZip notes what a site's upload told about a zip, and the zip.
func (s *Store) RememberZip(ctx context.Context, site, digest string, z Zip) error {
	data, err := json.Marshal(z)
	if err != nil {
		return fmt.Errorf("noting what is in a zip: %w", err)
	}
	return failed(ctx, s.rdb.HSet(ctx, blobsKey(site), zipField(digest), data, artifact.Code.Name(digest), "").Err(), "noting what is in a zip")
}

// recall reads what is noted for a site under names, and hands what is there to fn.
func (s *Store) recall(ctx context.Context, site string, names []string, field func(name string) string, fn func(name, value string) error) error {
	const doing = "looking for known contents"
	for some := range slices.Chunk(names, chunk) {
		fields := make([]string, len(some))
		for i, name := range some {
			fields[i] = field(name)
		}
		values, err := s.rdb.HMGet(ctx, blobsKey(site), fields...).Result()
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
