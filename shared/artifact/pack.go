package artifact

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// File is one file of an artifact.
type File struct {
	Path       string // slash-separated, relative
	Data       []byte
	Executable bool
	// Link makes it a symbolic link to a relative path inside the artifact,
	// instead of a file with Data.
	Link string
}

// epoch is the time of every entry: the earliest that the format can state.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Pack zips files, sorted and with fixed times, so that equal files give equal
// bytes, and returns the zip with its digest. The compressor is the standard
// library's, so "equal" holds within one build of ours. Paths that [Unpack]
// would refuse are fault.Invalid.
func Pack(files []File) (data []byte, digest string, err error) {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	paths := newPaths()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range sorted {
		if err := paths.addFile(f.Path); err != nil {
			return nil, "", err
		}
		header := &zip.FileHeader{Name: f.Path, Method: zip.Deflate, Modified: epoch}
		header.SetMode(fileMode(f.Executable))
		if f.Link != "" {
			if err := checkLink(f.Path, f.Link); err != nil {
				return nil, "", err
			}
			f.Data = []byte(f.Link)
			header.SetMode(fs.ModeSymlink | 0o777)
		}
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, "", fault.Wrap(err, fault.Internal, "packing %s", f.Path)
		}
		if _, err := entry.Write(f.Data); err != nil {
			return nil, "", fault.Wrap(err, fault.Internal, "packing %s", f.Path)
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", fault.Wrap(err, fault.Internal, "packing")
	}
	if out.Len() > MaxSize {
		return nil, "", fault.New(fault.TooLarge, "a function's zip may have %d MiB, this one has %d MiB; leave out what it does not need", MaxSize>>20, out.Len()>>20)
	}
	sum := sha256.Sum256(out.Bytes())
	return out.Bytes(), hex.EncodeToString(sum[:]), nil
}
