package artifact

import (
	"crypto/sha1" // #nosec G505 -- it is compared with what a client says, and names nothing
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"github.com/nightshift/nightshift/shared/fault"
)

// spool is an upload in a temporary file.
type spool struct {
	file         *os.File
	size         int64
	sha1, sha256 string
}

// keep copies an upload of at most limit bytes into a temporary file, which ends
// with remove. what is how messages call it.
func keep(what string, from io.Reader, limit int64) (*spool, error) {
	file, err := os.CreateTemp("", "nightshift-upload-*")
	if err != nil {
		return nil, noRoom(err, what)
	}
	_ = os.Remove(file.Name()) // it lives on while it is open, and no crash leaves it behind
	sp := &spool{file: file}
	if err := sp.fill(what, from, limit); err != nil {
		sp.remove()
		return nil, err
	}
	return sp, nil
}

func (sp *spool) fill(what string, from io.Reader, limit int64) error {
	source := &readError{Reader: from}
	// SHA-1 is what the netlify CLI states about static files. It is compared
	// with what that client says and names nothing in the store.
	one, two := sha1.New(), sha256.New() // #nosec G401 -- no name follows from SHA-1
	n, err := io.Copy(io.MultiWriter(sp.file, one, two), io.LimitReader(source, limit+1))
	switch {
	case source.err != nil:
		return fault.Wrap(source.err, fault.Invalid, "%s: the upload ended early", what)
	case err != nil:
		return noRoom(err, what)
	case n > limit && limit < 1<<20:
		return fault.New(fault.TooLarge, "%s: %d bytes are allowed", what, limit)
	case n > limit:
		return fault.New(fault.TooLarge, "%s: %d MiB are allowed; leave out what is not needed", what, limit>>20)
	}
	sp.size, sp.sha1, sp.sha256 = n, hex.EncodeToString(one.Sum(nil)), hex.EncodeToString(two.Sum(nil))
	return nil
}

// reader reads it from the start.
func (sp *spool) reader() (io.Reader, error) {
	if _, err := sp.file.Seek(0, io.SeekStart); err != nil {
		return nil, noRoom(err, "an upload")
	}
	return sp.file, nil
}

func (sp *spool) remove() {
	_ = sp.file.Close()
	_ = os.Remove(sp.file.Name()) // for systems that do not remove open files
}

func noRoom(err error, what string) error {
	return fault.Wrap(err, fault.Unavailable, "%s: the temporary directory %s does not take it", what, os.TempDir()).After(retryAfter)
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
