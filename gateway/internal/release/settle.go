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
	"golang.org/x/sync/errgroup" // bounds the questions to the blob store
)

// lookups is how many blobs are looked for at once: in an object store each
// takes a round trip, of which a site of thousands of files cannot wait one by one.
const lookups = 32

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
	if len(missing) > 0 {
		return Progress{Deploy: d, Missing: missing}, s.Store.Await(ctx, id, names(missing))
	}
	return s.seal(ctx, whole)
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

// complete fills in what a description left open, and lists what is not stored.
// The deploy has been written by now, so what it refers to is either seen by
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
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for blob, asked := range w {
		group.Go(func() error {
			there, err := false, error(nil)
			if !slices.Contains(doomed, blob.String()) {
				there, err = s.stored(ctx, blob)
			}
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
	return d, missing, nil
}

// stored asks the blob store for a blob. One that is known by a SHA-1 only is
// not there: no store can be asked for it.
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
	known, err := s.Store.Zips(ctx, zips)
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
	known, err := s.Store.FilesBySHA1(ctx, sums)
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
