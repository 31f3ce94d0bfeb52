// Package artifact keeps what deploys are made of, named by the SHA-256 of its
// bytes, in a blob store: the code of functions as zips (<digest>.zip), and
// beside them static files as they are (<digest>.file).
//
// An artifact is immutable and its name says what is in it. So storing one
// twice is nothing, a reader can check what it was given, and nothing needs a
// lock. What arrives is first kept in a temporary file and looked at whole:
// bytes that are not what was announced, or a zip that [Unpack] would refuse,
// never reach the blob store. What does is visible under its digest complete or
// not at all, and [Unpack] does the same with a directory.
package artifact

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"gocloud.dev/blob" // one interface over a directory and the object stores, so that an installation can choose
	"gocloud.dev/gcerrors"
)

// MaxSize bounds one artifact: 250 MiB zipped, as AWS Lambda bounds it unzipped.
const MaxSize = 250 << 20

// retryAfter is when a caller may expect the blob store to be back.
const retryAfter = 2 * time.Second

var validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Store is safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
}

// Put stores a function's zip under its digest. Bytes that do not match the
// digest and zips that [Check] refuses are fault.Invalid, more than [MaxSize]
// bytes fault.TooLarge, and nothing is stored. What is there already is read all
// the same: that somebody knows a digest does not say that they have the bytes.
func (s *Store) Put(ctx context.Context, digest string, zip io.Reader) error {
	return s.put(ctx, Code, digest, zip, checkZip)
}

// PutForeign is Put for the zip of a function that was made elsewhere, and tells
// what it starts with; see [Inspect]. Nothing to start: fault.Invalid, and
// nothing is stored.
func (s *Store) PutForeign(ctx context.Context, digest, name string, zip io.Reader) (runtime, entry string, err error) {
	err = s.put(ctx, Code, digest, zip, func(sp *spool) error {
		if err := checkZip(sp); err != nil {
			return err
		}
		runtime, entry, err = Inspect(sp.file, sp.size, name)
		return cannotDeploy(err, name)
	})
	return runtime, entry, err
}

func checkZip(sp *spool) error {
	err := Check(sp.file, sp.size, MaxUnpacked)
	if fault.Is(err, fault.Invalid) {
		message, _ := fault.Public(err)
		return fault.Wrap(err, fault.Invalid, "artifact %s cannot be deployed: %s", short(sp.sha256), strings.TrimPrefix(message, "unpacking: "))
	}
	return err
}

// PutFile is Put for a static file, whose content is nobody's business.
func (s *Store) PutFile(ctx context.Context, digest string, file io.Reader) error {
	return s.put(ctx, Static, digest, file, func(*spool) error { return nil })
}

func (s *Store) put(ctx context.Context, kind Kind, digest string, content io.Reader, look func(*spool) error) error {
	if err := checkDigest(digest); err != nil {
		return err
	}
	sp, err := keep("artifact "+short(digest), content, MaxSize)
	if err != nil {
		return err
	}
	defer sp.remove()
	if sp.sha256 != digest {
		return fault.New(fault.Invalid, "artifact %s: the bytes have the SHA-256 %s; upload it again", short(digest), sp.sha256)
	}
	if err := look(sp); err != nil {
		return err
	}
	there, err := s.has(ctx, kind, digest)
	if err != nil || there {
		return err
	}
	return s.store(ctx, kind, sp)
}

// PutUpload stores a static file of which only the SHA-1 is known, in
// lower-case hex, and returns the digest by which it is found from then on, and
// its size. Other bytes: fault.Invalid, more than limit of them: fault.TooLarge,
// and nothing is stored.
func (s *Store) PutUpload(ctx context.Context, content io.Reader, limit int64, sha1 string) (digest string, size int64, err error) {
	sp, err := keep("file "+short(sha1), content, min(limit, MaxSize))
	if err != nil {
		return "", 0, err
	}
	defer sp.remove()
	if sp.sha1 != sha1 {
		return "", 0, fault.New(fault.Invalid, "file %s: the bytes have the SHA-1 %s; upload it again", short(sha1), sp.sha1)
	}
	there, err := s.has(ctx, Static, sp.sha256)
	if err == nil && !there {
		err = s.store(ctx, Static, sp)
	}
	if err != nil {
		return "", 0, err
	}
	return sp.sha256, sp.size, nil
}

// store copies what was looked at into the blob store.
func (s *Store) store(ctx context.Context, kind Kind, sp *spool) error {
	content, err := sp.reader()
	if err != nil {
		return err
	}
	// A writer whose context has ended throws away what it was given.
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	var file *os.File // with file:// the blob's own file
	w, err := s.bucket.NewWriter(ctx, kind.key(sp.sha256), &blob.WriterOptions{
		ContentType: kind.contentType(),
		BeforeWrite: func(as func(any) bool) error {
			as(&file)
			return nil
		},
	})
	if err != nil {
		return unavailable(err, "storing", sp.sha256)
	}
	_, err = io.Copy(w, content)
	if err == nil && file != nil {
		// The name is a promise about the bytes, so they must not be lost in a
		// power cut that the name survives.
		err = file.Sync()
	}
	if err != nil {
		abort()
		_ = w.Close()
		return unavailable(err, "storing", sp.sha256)
	}
	if err := w.Close(); err != nil {
		return unavailable(err, "storing", sp.sha256)
	}
	return nil
}

// Has reports whether the digest is stored.
func (s *Store) Has(ctx context.Context, digest string) (bool, error) {
	return s.has(ctx, Code, digest)
}

// HasFile is Has for a static file.
func (s *Store) HasFile(ctx context.Context, digest string) (bool, error) {
	return s.has(ctx, Static, digest)
}

func (s *Store) has(ctx context.Context, kind Kind, digest string) (bool, error) {
	if err := checkDigest(digest); err != nil {
		return false, err
	}
	there, err := s.bucket.Exists(ctx, kind.key(digest))
	if err != nil {
		return false, unavailable(err, "looking for", digest)
	}
	return there, nil
}

// Get opens a zip, or fault.NotFound. Readers check the digest of what they
// get. An error of Read other than io.EOF means that the store broke off.
func (s *Store) Get(ctx context.Context, digest string) (io.ReadCloser, error) {
	return s.get(ctx, Code, digest)
}

// GetFile is Get for a static file. Seeking costs nothing until the next Read.
func (s *Store) GetFile(ctx context.Context, digest string) (io.ReadSeekCloser, error) {
	return s.get(ctx, Static, digest)
}

func (s *Store) get(ctx context.Context, kind Kind, digest string) (io.ReadSeekCloser, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	r, err := s.bucket.NewReader(ctx, kind.key(digest), nil)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, fault.New(fault.NotFound, "artifact %s is not in the artifact store; deploy again", short(digest))
	case err != nil:
		return nil, unavailable(err, "reading", digest)
	}
	return r, nil
}

// Close closes the blob store.
func (s *Store) Close() error { return s.bucket.Close() }

func checkDigest(digest string) error {
	if !validDigest.MatchString(digest) {
		return fault.New(fault.Invalid, "%.80q is not a SHA-256 in lower-case hex", digest)
	}
	return nil
}

// short is as much of a digest as a person compares.
func short(digest string) string { return strings.ToLower(digest[:min(12, len(digest))]) }

func unavailable(err error, doing, digest string) error {
	return fault.Wrap(err, fault.Unavailable, "%s artifact %s: the artifact store does not answer", doing, short(digest)).After(retryAfter)
}
