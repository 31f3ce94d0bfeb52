// Package artifact keeps what deploys are made of, named by the SHA-256 of its
// bytes, in a blob store: the code of functions as zips (<digest>.zip), and
// beside them static files as they are (<digest>.file).
//
// An artifact is immutable and its name says what is in it. So storing one
// twice is nothing, a reader can check what it was given, and nothing needs a
// lock: [Store.Put] makes a zip visible under its digest complete or not at
// all, and [Unpack] does the same with a directory.
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
	"gocloud.dev/blob" // one interface over a directory and the object stores, so that an installation can choose
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// MaxSize bounds one artifact: 250 MiB zipped, as AWS Lambda bounds it unzipped.
const MaxSize = 250 << 20

var validDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Store is safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
}

// Open opens NIGHTSHIFT_BLOB_URL: file:///absolute/dir (made if missing) or
// mem:// (a new and empty store in this process's memory, gone with it).
// Anything else is fault.Invalid. The caller closes the store.
func Open(_ context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Parse repeats the input, which may hold credentials.
		return nil, fault.New(fault.Invalid, "the blob URL cannot be read; it looks like file:///var/lib/nightshift/artifacts")
	}
	switch u.Scheme {
	case fileblob.Scheme:
		return openDir(u)
	case memblob.Scheme:
		return &Store{memblob.OpenBucket(nil)}, nil
	default:
		return nil, fault.New(fault.Invalid, "the blob URL has the scheme %q; use file:///absolute/dir or mem://", u.Scheme)
	}
}

func openDir(u *url.URL) (*Store, error) {
	if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
		return nil, fault.New(fault.Invalid, "the blob URL must name an absolute directory and nothing else: three slashes, as in file:///var/lib/nightshift/artifacts")
	}
	bucket, err := fileblob.OpenBucket(u.Path, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700, // code may hold secrets
		// Temporary files stand beside the final ones: a rename cannot cross
		// file systems, and the temporary directory often is another one.
		NoTempDir: true,
		Metadata:  fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the artifact directory %s cannot be used", u.Path)
	}
	return &Store{bucket}, nil
}

// Put stores a zip under its digest. Bytes that do not match the digest:
// fault.Invalid, more than [MaxSize] of them: fault.TooLarge, and nothing is
// stored. Already there: nil, without reading zip.
func (s *Store) Put(ctx context.Context, digest string, zip io.Reader) error {
	return s.put(ctx, digest, code, zip)
}

// PutFile is Put for a static file.
func (s *Store) PutFile(ctx context.Context, digest string, file io.Reader) error {
	return s.put(ctx, digest, static, file)
}

func (s *Store) put(ctx context.Context, digest string, k kind, content io.Reader) error {
	there, err := s.has(ctx, digest, k)
	if err != nil || there {
		return err
	}
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	var file *os.File // with file:// the blob's own file
	w, err := s.bucket.NewWriter(ctx, k.key(digest), &blob.WriterOptions{
		ContentType: k.contentType,
		BeforeWrite: func(as func(any) bool) error {
			as(&file)
			return nil
		},
	})
	if err != nil {
		return unavailable(err, "storing", digest)
	}
	if err := copyVerified(w, content, digest); err != nil {
		// A writer whose context has ended throws away what it was given.
		abort()
		_ = w.Close()
		return err
	}
	if file != nil {
		// The name is a promise about the bytes, so they must not be lost in a
		// power cut that the name survives.
		if err := file.Sync(); err != nil {
			abort()
			_ = w.Close()
			return unavailable(err, "storing", digest)
		}
	}
	if err := w.Close(); err != nil {
		return unavailable(err, "storing", digest)
	}
	return nil
}

// copyVerified copies and compares the digest of what was copied.
func copyVerified(to io.Writer, from io.Reader, digest string) error {
	hash := sha256.New()
	source := &readError{Reader: from}
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(source, MaxSize+1))
	switch {
	case source.err != nil:
		return fault.Wrap(source.err, fault.Invalid, "artifact %s: the upload ended early", short(digest))
	case err != nil:
		return unavailable(err, "storing", digest)
	case n > MaxSize:
		return fault.New(fault.TooLarge, "artifact %s: %d MiB are allowed; leave out what is not needed", short(digest), MaxSize>>20)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return fault.New(fault.Invalid, "artifact %s: the bytes have the SHA-256 %s; upload it again", short(digest), got)
	}
	return nil
}

// readError remembers that it was the source that failed, not the target.
type readError struct {
	io.Reader
	err error
}

func (r *readError) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Has reports whether the digest is stored.
func (s *Store) Has(ctx context.Context, digest string) (bool, error) {
	return s.has(ctx, digest, code)
}

// HasFile is Has for a static file.
func (s *Store) HasFile(ctx context.Context, digest string) (bool, error) {
	return s.has(ctx, digest, static)
}

func (s *Store) has(ctx context.Context, digest string, k kind) (bool, error) {
	if !validDigest.MatchString(digest) {
		return false, fault.New(fault.Invalid, "%q is not a SHA-256 in lower-case hex", digest)
	}
	there, err := s.bucket.Exists(ctx, k.key(digest))
	if err != nil {
		return false, unavailable(err, "looking for", digest)
	}
	return there, nil
}

// Get opens a zip, or fault.NotFound. Readers check the digest of what they
// get. An error of Read other than io.EOF means that the store broke off.
func (s *Store) Get(ctx context.Context, digest string) (io.ReadCloser, error) {
	return s.get(ctx, digest, code)
}

// GetFile is Get for a static file. Seeking costs nothing until the next Read.
func (s *Store) GetFile(ctx context.Context, digest string) (io.ReadSeekCloser, error) {
	return s.get(ctx, digest, static)
}

func (s *Store) get(ctx context.Context, digest string, k kind) (io.ReadSeekCloser, error) {
	if !validDigest.MatchString(digest) {
		return nil, fault.New(fault.Invalid, "%q is not a SHA-256 in lower-case hex", digest)
	}
	r, err := s.bucket.NewReader(ctx, k.key(digest), nil)
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

// kind is one of the two sorts of artifacts.
type kind struct{ extension, contentType string }

// The kinds. A static file that is a zip is no function's code: they are told
// apart by name, and not by looking inside.
var (
	code   = kind{".zip", "application/zip"}
	static = kind{".file", "application/octet-stream"}
)

// key is the name of a digest's blob.
func (k kind) key(digest string) string { return digest + k.extension }

// short is as much of a digest as a person compares.
func short(digest string) string { return strings.ToLower(digest[:min(12, len(digest))]) }

func unavailable(err error, doing, digest string) error {
	return fault.Wrap(err, fault.Unavailable, "%s artifact %s: the artifact store does not answer", doing, short(digest))
}
