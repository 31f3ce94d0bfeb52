package artifact

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// MaxFiles bounds the files and directories of one artifact.
const MaxFiles = 100_000

// What file systems take, the smallest of the usual ones.
const (
	maxName = 255
	maxPath = 1024
)

// MaxUnpacked bounds one unpacked artifact, in bytes, unless a worker is told otherwise.
const MaxUnpacked = 512 << 20

// A zip that unpacks to more than maxBombBytes must not have shrunk by more
// than maxRatio. Code shrinks to a third or a fifth of its size, generated code
// and data seldom to a twentieth; only padding shrinks to a thousandth, which is
// the most that the format can do. What is small unpacked is no bomb, however it
// was packed.
const (
	maxBombBytes = 100 << 20
	maxRatio     = 100
)

// Check reads a zip of the given size to its end and reports what [Unpack]
// would refuse, with the same errors, and damaged contents.
func Check(from io.ReaderAt, size int64, maxBytes int64) error {
	archive, err := open(from, size, maxBytes)
	if err != nil {
		return err
	}
	for _, e := range archive.File {
		if err := checkContent(e); err != nil {
			return err
		}
	}
	return nil
}

// checkContent reads an entry, which compares its size and its checksum.
func checkContent(e *zip.File) error {
	content, err := e.Open()
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	}
	defer content.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(content, claimed(e)+1))
	switch {
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	case n > claimed(e):
		return falseSize(e)
	}
	if e.Mode().Type() == fs.ModeSymlink {
		_, err = readLink(e)
	}
	return err
}

// open reads a zip's table of contents and refuses what that gives away.
func open(from io.ReaderAt, size int64, maxBytes int64) (*zip.Reader, error) {
	archive, err := zip.NewReader(from, size)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "unpacking: this is not a complete zip")
	}
	return archive, check(archive.File, size, maxBytes)
}

// Unpack extracts a zip of the given size into dir, which must not exist yet
// (else fault.Conflict): it appears complete or not at all. Entries that would
// leave dir, links that lead out of it, special files, contradicting entries,
// more than [MaxFiles] entries, more than maxBytes unpacked and what only a bomb
// is packed like are fault.Invalid, as is what is no zip.
//
// What it makes is read-only, directories too, as code is on Lambda: [Remove]
// removes it. Files are readable by the owner's group and others, and executable
// if their owner may execute them in the zip.
func Unpack(from io.ReaderAt, size int64, dir string, maxBytes int64) error {
	archive, err := open(from, size, maxBytes)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return fault.New(fault.Conflict, "unpacking: %s is there already", dir)
	}
	// The leading dot and the fixed prefix let the owner of the parent
	// directory find what a crash left behind.
	temp, err := os.MkdirTemp(filepath.Dir(dir), TempPrefix+"*")
	if err != nil {
		return fault.Wrap(err, fault.Internal, "unpacking: making a directory")
	}
	if err := extract(archive.File, temp); err != nil {
		return errors.Join(err, Remove(temp))
	}
	if err := os.Rename(temp, dir); err != nil {
		kind := fault.Internal
		if errors.Is(err, fs.ErrExist) {
			kind = fault.Conflict
		}
		return errors.Join(fault.Wrap(err, kind, "unpacking: naming the directory"), Remove(temp))
	}
	return nil
}

// TempPrefix is how the names of the directories start that [Unpack] works in,
// beside the final one. What is left of them after a crash may be removed.
const TempPrefix = ".unpack-"

// check refuses an archive of a size by its table of contents, before anything
// is written. The sizes in it are claims, which reading the entries holds it to.
func check(entries []*zip.File, size, maxBytes int64) error {
	if len(entries) > MaxFiles {
		return fault.New(fault.Invalid, "unpacking: %d entries; %d are allowed", len(entries), MaxFiles)
	}
	var total uint64
	paths := newPaths()
	for _, e := range entries {
		var err error
		switch mode := e.Mode(); {
		case mode.Type() == fs.ModeDir:
			err = paths.addDir(strings.TrimSuffix(e.Name, "/"))
		case (mode.IsRegular() || mode.Type() == fs.ModeSymlink) && !strings.HasSuffix(e.Name, "/"):
			// To the paths a link is a file: nothing may lie below it, so that
			// nothing is written through one.
			err = paths.addFile(e.Name)
		default:
			err = fault.New(fault.Invalid, "unpacking: %q is a special file; only files, directories and links are allowed", e.Name)
		}
		if err != nil {
			return err
		}
		// Compared one by one, so that the sum cannot wrap around.
		if e.UncompressedSize64 > uint64(maxBytes) || total+e.UncompressedSize64 > uint64(maxBytes) {
			return tooMuch(maxBytes)
		}
		total += e.UncompressedSize64
	}
	if total > maxBombBytes && total/maxRatio > uint64(size) {
		return fault.New(fault.Invalid, "unpacking: %d MiB unpacked from %d KiB, more than %d times as much: that is padding, not code; leave it out", total>>20, size>>10, maxRatio)
	}
	return nil
}

// claimed is the size that the table of contents gives an entry; check has
// compared it with what is allowed.
func claimed(e *zip.File) int64 { return int64(e.UncompressedSize64) }

func falseSize(e *zip.File) error {
	return fault.New(fault.Invalid, "unpacking %s: the zip is damaged: there is more of it than the %d bytes that are stated", e.Name, claimed(e))
}

func tooMuch(maxBytes int64) error {
	return fault.New(fault.Invalid, "unpacking: more than %d MiB unpacked; leave out what the function does not need", maxBytes>>20)
}

func isLink(e *zip.File) bool { return e.Mode().Type() == fs.ModeSymlink }

// extract writes checked entries under dir. Links come last, so that nothing is
// written through one. It goes through an os.Root, which
// keeps the writes inside even if a name slipped past the check.
func extract(entries []*zip.File, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "unpacking: opening the directory")
	}
	defer root.Close()
	dirs := map[string]bool{".": true}
	for _, e := range entries {
		name := filepath.FromSlash(strings.TrimSuffix(e.Name, "/"))
		parent := name
		if !e.Mode().IsDir() {
			parent = filepath.Dir(name)
		}
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return fault.Wrap(err, fault.Internal, "unpacking %s", e.Name)
		}
		for ; !dirs[parent]; parent = filepath.Dir(parent) {
			dirs[parent] = true
		}
		if e.Mode().IsDir() || isLink(e) {
			continue
		}
		if err := extractFile(root, name, e); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !isLink(e) {
			continue
		}
		if err := extractLink(root, e); err != nil {
			return err
		}
	}
	// Last, because nothing can be made in them any more.
	for dir := range dirs {
		if err := root.Chmod(dir, 0o555); err != nil {
			return fault.Wrap(err, fault.Internal, "unpacking: making %s read-only", dir)
		}
	}
	return nil
}

// Remove removes a directory that [Unpack] made, or what a crash has left of
// one. Not there: nil.
func Remove(dir string) error {
	// Enough for the superuser, and for what is half unpacked.
	if err := os.RemoveAll(dir); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() { // called before it is read, and never for a link
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

func extractLink(root *os.Root, e *zip.File) error {
	target, err := readLink(e)
	if err != nil {
		return err
	}
	if err := root.Symlink(filepath.FromSlash(target), filepath.FromSlash(e.Name)); err != nil {
		return fault.Wrap(err, fault.Internal, "unpacking %s", e.Name)
	}
	return nil
}

// checkLink refuses a link that could lead out of the artifact. Climbing is
// allowed at the start of a target only: the folders above a link are no links
// themselves, so they are climbed as they are written; behind a name, ".."
// would depend on what that name leads to.
func checkLink(name, target string) error {
	rest, up := target, 0
	for after, ok := strings.CutPrefix(rest, "../"); ok; after, ok = strings.CutPrefix(rest, "../") {
		rest, up = after, up+1
	}
	if rest == ".." {
		rest, up = "", up+1
	}
	if up > strings.Count(name, "/") || rest != "" && checkPath(rest) != nil || rest == "" && up == 0 || len(target) > maxPath {
		return fault.New(fault.Invalid, "the link %q leads to %q; links in an artifact must lead to a place inside of it, by a relative path", name, target)
	}
	return nil
}

// extractFile writes at most one byte more than the entry may have.
func extractFile(root *os.Root, name string, e *zip.File) error {
	content, err := e.Open()
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	}
	defer content.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode(e.Mode()&0o100 != 0)&^0o222)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "unpacking %s", e.Name)
	}
	source := &readError{Reader: content}
	n, err := io.Copy(out, io.LimitReader(source, claimed(e)+1))
	err = errors.Join(err, out.Close())
	switch {
	case source.err != nil:
		return fault.Wrap(source.err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	case err != nil:
		return fault.Wrap(err, fault.Internal, "unpacking %s", e.Name)
	case n > claimed(e):
		return falseSize(e)
	}
	return nil
}

// readLink reads where a link leads: a place inside, as with the links between
// packages that some package managers make.
func readLink(e *zip.File) (string, error) {
	content, err := e.Open()
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, maxPath+1))
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "unpacking %s: the zip is damaged", e.Name)
	}
	target := strings.TrimSuffix(string(data), "/")
	return target, checkLink(e.Name, target)
}

func fileMode(executable bool) fs.FileMode {
	if executable {
		return 0o755
	}
	return 0o644
}

// paths collects the names of an archive and refuses those that are no proper
// relative paths or that contradict an earlier one.
type paths struct {
	files, dirs map[string]bool
}

func newPaths() *paths { return &paths{files: map[string]bool{}, dirs: map[string]bool{}} }

func (p *paths) addFile(name string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	if p.files[name] || p.dirs[name] {
		return fault.New(fault.Invalid, "the path %q stands twice in the artifact", name)
	}
	p.files[name] = true
	return p.addParents(name)
}

func (p *paths) addDir(name string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	if p.files[name] {
		return fault.New(fault.Invalid, "the path %q stands twice in the artifact", name)
	}
	p.dirs[name] = true
	return p.addParents(name)
}

func (p *paths) addParents(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if p.files[dir] {
			return fault.New(fault.Invalid, "the path %q is a file and a directory in the artifact", dir)
		}
		if p.dirs[dir] {
			return nil // and so are its parents
		}
		p.dirs[dir] = true
	}
	return nil
}

func checkPath(name string) error {
	bad := !fs.ValidPath(name) || name == "." || len(name) > maxPath || strings.ContainsAny(name, "\\\x00") || !filepath.IsLocal(filepath.FromSlash(name))
	if !bad {
		for part := range strings.SplitSeq(name, "/") {
			bad = bad || len(part) > maxName
		}
	}
	if bad {
		return fault.New(fault.Invalid, "the path %q cannot stand in an artifact: it must be relative, with slashes, without \"..\", %d characters at most", name, maxPath)
	}
	return nil
}
