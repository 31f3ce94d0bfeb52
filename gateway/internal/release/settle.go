package release

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup" // many at once, the first error for all
)

// Blob names something that a deploy waits for.
type Blob struct {
	// Kind is one of package artifact's, or SHA1.
	Kind   artifact.Kind
	Digest string
}

const (
	// SHA1 is the kind of a static file of which nothing else is known.
	SHA1 artifact.Kind = "sha1"
	// unknown is the kind of a zip that is stored, perhaps, and not known.
	unknown artifact.Kind = "unknown"
)

// String is the name under which the store keeps it.
func (b Blob) String() string { return b.Kind.Name(b.Digest) }

func parseBlob(name string) Blob {
	kind, digest, _ := strings.Cut(name, ":")
	return Blob{artifact.Kind(kind), digest}
}

func codeBlob(digest string) Blob { return Blob{artifact.Code, digest} }

func fileBlob(f deploy.File) Blob {
	if f.Digest == "" {
		return Blob{SHA1, f.SHA1}
	}
	return Blob{artifact.Static, f.Digest}
}

// Status reads a deploy of a site with what it waits for.
func (s *Service) Status(ctx context.Context, site, id string) (Progress, error) {
	if _, err := s.Deploy(ctx, site, id); err != nil {
		return Progress{}, err
	}
	return s.settle(ctx, id)
}

// settle makes a deploy ready, and publishes it if it is to be, once neither
// code nor file is missing. It may be repeated.
func (s *Service) settle(ctx context.Context, id string) (Progress, error) {
	d, err := s.Store.Deploy(ctx, id)
	if err != nil || d.State != deploy.Uploading {
		return Progress{Deploy: d}, err
	}
	awaited, err := s.Store.Awaited(ctx, id)
	if err != nil {
		return Progress{}, err
	}
	if len(awaited) > 0 {
		return Progress{Deploy: d, Missing: blobs(awaited)}, nil
	}
	whole, missing, err := s.complete(ctx, d)
	if err != nil {
		return Progress{}, err
	}
	if len(missing) == 0 {
		return s.seal(ctx, whole)
	}
	if err := s.Store.Await(ctx, id, names(missing)); err != nil {
		return Progress{}, err
	}
	return s.recheck(ctx, d, missing)
}

// recheck looks again for what was missing when the list of it was made. An
// upload that came between the look and the list was taken off a list that it
// was not on yet, and nobody would send it again.
func (s *Service) recheck(ctx context.Context, d deploy.Deploy, missing []Blob) (Progress, error) {
	listed := setOf(missing)
	part := d
	part.Functions = slices.DeleteFunc(slices.Clone(d.Functions), func(f function.Function) bool { return !listed[codeBlob(f.Artifact)] })
	part.Files = maps.Clone(d.Files)
	maps.DeleteFunc(part.Files, func(_ string, f deploy.File) bool { return !listed[fileBlob(f)] })
	_, still, err := s.complete(ctx, part)
	if err != nil {
		return Progress{}, err
	}
	stays, left := setOf(still), len(missing)
	for _, blob := range missing {
		if stays[blob] {
			continue
		}
		if left, err = s.Store.Arrived(ctx, d.ID, blob.String()); err != nil {
			return Progress{}, err
		}
	}
	if left == 0 {
		return s.settle(ctx, d.ID)
	}
	return Progress{Deploy: d, Missing: still}, nil
}

// seal makes a whole deploy ready. One that turns out to be wrong is given up,
// with the reason: nobody waits for the answer of an upload.
func (s *Service) seal(ctx context.Context, d deploy.Deploy) (Progress, error) {
	err := s.applyConfig(ctx, &d)
	if err == nil {
		err = check(d)
	}
	if fault.Is(err, fault.Invalid) {
		message, _ := fault.Public(err)
		err = s.Store.Fail(ctx, d.ID, message)
	} else if err == nil {
		_, err = s.Store.Seal(ctx, d)
		if err == nil {
			err = s.adopt(ctx)
		}
	}
	if err != nil {
		return Progress{}, err
	}
	d, err = s.Store.Deploy(ctx, d.ID)
	return Progress{Deploy: d}, err
}

// complete fills in what a description left open, and lists what is not stored,
// or was not uploaded by this site. The deploy has been written by now, so what it refers to is either seen by
// whoever removes what nobody needs, or doomed already and counts as missing.
func (s *Service) complete(ctx context.Context, d deploy.Deploy) (whole deploy.Deploy, missing []Blob, err error) {
	w := wants{}
	if err := s.completeFunctions(ctx, &d, w); err != nil {
		return d, nil, err
	}
	if err := s.completeFiles(ctx, &d, w); err != nil {
		return d, nil, err
	}
	doomed, err := s.Store.Doomed(ctx, names(slices.Collect(maps.Keys(w))))
	if err != nil {
		return d, nil, err
	}
	for _, name := range doomed {
		missing = append(missing, w[parseBlob(name)])
		delete(w, parseBlob(name))
	}
	uploaded, err := s.Store.Uploaded(ctx, d.Site, names(slices.Collect(maps.Keys(w))))
	if err != nil {
		return d, nil, err
	}
	for blob, asked := range w {
		if !uploaded[blob.String()] {
			missing = append(missing, asked)
			delete(w, blob)
		}
	}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for blob, asked := range w {
		group.Go(func() error {
			there, err := s.stored(groupCtx, blob)
			if err == nil && !there {
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, asked)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return d, nil, err
	}
	slices.SortFunc(missing, func(a, b Blob) int { return strings.Compare(a.String(), b.String()) })
	return d, slices.Compact(missing), nil
}

// looks is how many blobs of a deploy are looked for at once: of a store that is
// a network away each answer takes its time, and there may be thousands.
const looks = 16

// stored reports whether a blob is in the artifact store. What is known by less
// than that names it by is not.
func (s *Service) stored(ctx context.Context, blob Blob) (bool, error) {
	switch blob.Kind {
	case artifact.Code:
		return s.Artifacts.Has(ctx, blob.Digest)
	case artifact.Static:
		return s.Artifacts.HasFile(ctx, blob.Digest)
	default:
		return false, nil
	}
}

// wants are the blobs that a deploy needs, each with the one that its client
// knows it by.
type wants map[Blob]Blob

// completeFunctions fills in functions whose zips are known.
func (s *Service) completeFunctions(ctx context.Context, d *deploy.Deploy, w wants) error {
	var zips []string
	for i := range d.Functions {
		if f := &d.Functions[i]; open(f) {
			zips = append(zips, f.Artifact)
		}
	}
	known, err := s.Store.Zips(ctx, d.Site, zips)
	if err != nil {
		return err
	}
	d.Functions = slices.Clone(d.Functions)
	for i := range d.Functions {
		f := &d.Functions[i]
		blob := codeBlob(f.Artifact)
		if z, ok := known[f.Artifact]; ok && open(f) {
			fill(f, z)
		}
		if open(f) {
			w[Blob{unknown, f.Artifact}] = blob
		} else {
			w[blob] = blob
		}
	}
	return nil
}

// completeFiles fills in files that are known by their SHA-1.
func (s *Service) completeFiles(ctx context.Context, d *deploy.Deploy, w wants) error {
	var sums []string
	for _, f := range d.Files {
		if f.Digest == "" {
			sums = append(sums, f.SHA1)
		}
	}
	known, err := s.Store.FilesBySHA1(ctx, d.Site, sums)
	if err != nil {
		return err
	}
	d.Files = maps.Clone(d.Files)
	for path, f := range d.Files {
		blob := fileBlob(f)
		if stored, ok := known[f.SHA1]; ok && f.Digest == "" {
			d.Files[path] = stored
			w[fileBlob(stored)] = blob
		} else {
			w[blob] = blob
		}
	}
	return nil
}

func setOf(list []Blob) map[Blob]bool {
	set := make(map[Blob]bool, len(list))
	for _, b := range list {
		set[b] = true
	}
	return set
}

func names(list []Blob) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = b.String()
	}
	slices.Sort(out)
	return out
}

func blobs(list []string) []Blob {
	out := make([]Blob, len(list))
	for i, name := range list {
		out[i] = parseBlob(name)
	}
	return out
}
