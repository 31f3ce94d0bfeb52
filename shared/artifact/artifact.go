// Package artifact keeps the code of functions: zips, named by the SHA-256 of
// their bytes, in a blob store (gocloud.dev/blob, one interface over file://
// and object stores).
package artifact

import (
	"context"
	"io"
)

// MaxSize bounds one artifact: 250 MiB zipped, as AWS Lambda bounds it unzipped.
const MaxSize = 250 << 20

// Store is safe for concurrent use.
type Store struct{}

// Open opens NIGHTSHIFT_BLOB_URL: file:///absolute/dir (made if missing) or mem://.
func Open(ctx context.Context, rawURL string) (*Store, error) { panic("stub") }

// Put stores a zip under its digest. Bytes that do not match the digest:
// fault.Invalid, and nothing is stored. Already there: nil.
func (s *Store) Put(ctx context.Context, digest string, zip io.Reader) error { panic("stub") }

// Has reports whether the digest is stored.
func (s *Store) Has(ctx context.Context, digest string) (bool, error) { panic("stub") }

// Get opens a zip, or fault.NotFound.
func (s *Store) Get(ctx context.Context, digest string) (io.ReadCloser, error) { panic("stub") }

// Close closes the blob store.
func (s *Store) Close() error { panic("stub") }

// File is one file of an artifact.
type File struct {
	Path       string // slash-separated, relative
	Data       []byte
	Executable bool
}

// Pack zips files, sorted and with fixed times, so that equal files give equal
// bytes, and returns the zip with its digest.
func Pack(files []File) (zip []byte, digest string, err error) { panic("stub") }

// Unpack extracts a zip of the given size into dir, which must not exist yet:
// it appears complete or not at all. Entries that would leave dir, links, and
// more than maxBytes unpacked are fault.Invalid.
func Unpack(zip io.ReaderAt, size int64, dir string, maxBytes int64) error { panic("stub") }
