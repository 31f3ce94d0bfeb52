package artifact

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Kind is one of the two sorts of artifacts. A static file that is a zip is no
// function's code: they are told apart by name, and not by looking inside.
type Kind string

// The kinds.
const (
	Code   Kind = "code" // a function's code, as a zip
	Static Kind = "file" // a static file
)

// Name names one artifact among those of both kinds, as in code:<digest>. It is
// how lists of what deploys need, miss or have lost call it.
func (k Kind) Name(digest string) string { return string(k) + ":" + digest }

// ParseName takes apart what [Kind.Name] made; ok is false of anything else.
func ParseName(name string) (k Kind, digest string, ok bool) {
	before, digest, _ := strings.Cut(name, ":")
	k = Kind(before)
	return k, digest, k.extension() != "" && validDigest.MatchString(digest)
}

// extension is how the names of the kind's blobs end; empty for what is no kind.
func (k Kind) extension() string {
	switch k {
	case Code:
		return ".zip"
	case Static:
		return ".file"
	default:
		return ""
	}
}

func (k Kind) contentType() string {
	if k == Code {
		return "application/zip"
	}
	return "application/octet-stream"
}

// key is the name of a digest's blob.
func (k Kind) key(digest string) string { return digest + k.extension() }

// Blob is what [Store.List] tells about an artifact.
type Blob struct {
	Digest  string
	Kind    Kind
	Size    int64
	ModTime time.Time // when it was stored, by the blob store's clock
}

// Name is the blob's [Kind.Name].
func (b Blob) Name() string { return b.Kind.Name(b.Digest) }

// List calls fn with each artifact, in no order that may be relied on, until fn
// returns an error, which List then returns. What else is in the store is
// passed over. What is stored or deleted meanwhile may be in the list or not.
func (s *Store) List(ctx context.Context, fn func(Blob) error) error {
	return s.each(ctx, func(o *blob.ListObject) error {
		if b, ok := listed(o); ok {
			return fn(b)
		}
		return nil
	})
}

// leftover is what a directory still has of an artifact whose writer was killed.
var leftover = regexp.MustCompile(`^[0-9a-f]{64}\.(zip|file)\.[0-9a-f]+\.tmp$`)

// Tidy removes what writers have left that were killed before a moment. On S3
// that is the business of the bucket's own rule for incomplete uploads.
func (s *Store) Tidy(ctx context.Context, before time.Time) error {
	return s.each(ctx, func(o *blob.ListObject) error {
		if o.IsDir || !leftover.MatchString(o.Key) || !o.ModTime.Before(before) {
			return nil
		}
		err := s.bucket.Delete(ctx, o.Key)
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return unavailable(err, "deleting what is left of", o.Key)
		}
		return nil
	})
}

// each calls fn with whatever is in the store.
func (s *Store) each(ctx context.Context, fn func(*blob.ListObject) error) error {
	for page := blob.FirstPageToken; page != nil; {
		objects, next, err := s.bucket.ListPage(ctx, page, listPage, nil)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "listing artifacts: the artifact store does not answer").After(retryAfter)
		}
		for _, o := range objects {
			if err := fn(o); err != nil {
				return err
			}
		}
		page = next
	}
	return nil
}

// listPage is how many artifacts are asked for at once. A directory is read from
// its start for each page; S3 gives a thousand at most, whatever is asked for.
const listPage = 20_000

// listed tells whether an object is an artifact, and which.
func listed(o *blob.ListObject) (Blob, bool) {
	for _, k := range []Kind{Code, Static} {
		digest, ok := strings.CutSuffix(o.Key, k.extension())
		if ok && !o.IsDir && validDigest.MatchString(digest) {
			return Blob{Digest: digest, Kind: k, Size: o.Size, ModTime: o.ModTime}, true
		}
	}
	return Blob{}, false
}

// Delete removes an artifact. Not there: nil.
func (s *Store) Delete(ctx context.Context, digest string, kind Kind) error {
	if err := checkDigest(digest); err != nil {
		return err
	}
	if kind.extension() == "" {
		return fault.New(fault.Invalid, "%q is no kind of artifact", kind)
	}
	err := s.bucket.Delete(ctx, kind.key(digest))
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return unavailable(err, "deleting", digest)
	}
	return nil
}
