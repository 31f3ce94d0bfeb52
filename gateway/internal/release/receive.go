package release

import (
	"context"
	"io"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// ZipInfo is what an upload says about a zip that was made elsewhere.
type ZipInfo struct {
	Background bool
	Timeout    time.Duration // 0: the default of its kind
}

// ReceiveFunction takes the code of one function of a deploy. Bytes that are
// not what was described, and zips that cannot be a function: fault.Invalid.
func (s *Service) ReceiveFunction(ctx context.Context, id, name string, zip io.Reader, info ZipInfo) (Progress, error) {
	d, err := s.receiving(ctx, id)
	if err != nil {
		return Progress{Deploy: d}, err
	}
	f, ok := d.Function(name)
	if !ok {
		return Progress{}, fault.New(fault.NotFound, "deploy %s has no function %.140q", d.ID, name)
	}
	if d.State == deploy.Ready { // a client whose answer was lost
		return Progress{Deploy: d}, nil
	}
	blob := codeBlob(f.Artifact)
	if err := s.storable(ctx, blob); err != nil {
		return Progress{}, err
	}
	if open(f) {
		err = s.receiveForeign(ctx, d.Site, f, zip, info)
	} else if err = s.Artifacts.Put(ctx, f.Artifact, zip); err != nil {
		err = invalid(err, "function %s: %s", f.Name)
	} else {
		err = s.Store.NoteBlob(ctx, d.Site, blob.String())
	}
	if err != nil {
		return Progress{}, err
	}
	if err := s.arrived(ctx, d, blob); err != nil {
		return Progress{}, err
	}
	return s.settle(ctx, id)
}

// receiveForeign takes a zip that was made elsewhere, and remembers what it is.
func (s *Service) receiveForeign(ctx context.Context, site string, f *function.Function, zip io.Reader, info ZipInfo) error {
	z := store.Zip{Runtime: "node", Entry: notKnownYet, Background: info.Background, TimeoutMS: info.Timeout.Milliseconds()}
	whole := *f
	fill(&whole, z)
	if err := whole.Validate(); err != nil { // before anything is stored
		return fault.New(fault.Invalid, "%v", err)
	}
	var err error
	if z.Runtime, z.Entry, err = s.Artifacts.PutForeign(ctx, f.Artifact, f.Name, zip); err != nil {
		return invalid(err, "function %s: %s", f.Name)
	}
	return s.Store.RememberZip(ctx, site, f.Artifact, z)
}

// ReceiveFile takes one static file of a deploy. Bytes that are not what was
// described: fault.Invalid.
func (s *Service) ReceiveFile(ctx context.Context, id, path string, content io.Reader) (deploy.File, error) {
	d, err := s.receiving(ctx, id)
	if err != nil {
		return deploy.File{}, err
	}
	f, ok := d.Files[path]
	switch ready := d.State == deploy.Ready; {
	case ready && (ok || path == configFile): // a client whose answer was lost
		return f, nil
	case !ok:
		return f, fault.New(fault.NotFound, "deploy %s has no static file %.200q", d.ID, path)
	}
	blob := fileBlob(f)
	if f.Digest != "" {
		if err := s.storable(ctx, blob); err != nil {
			return f, err
		}
		body := &sized{from: content, left: f.Size}
		err = s.Artifacts.PutFile(ctx, f.Digest, body)
		if err != nil && body.wrong {
			err = fault.New(fault.Invalid, "the upload has not the %d bytes that were described; upload it again", f.Size)
		}
		if err == nil {
			err = s.Store.NoteBlob(ctx, d.Site, blob.String())
		}
	} else {
		f, err = s.receiveUpload(ctx, d.Site, f, content)
	}
	if err != nil {
		return f, invalid(err, "file %s: %s", path)
	}
	return f, s.arrived(ctx, d, blob)
}

// receiveUpload takes a file of which only the SHA-1 is known.
func (s *Service) receiveUpload(ctx context.Context, site string, f deploy.File, content io.Reader) (deploy.File, error) {
	var err error
	if f.Digest, f.Size, err = s.Artifacts.PutUpload(ctx, content, deploy.MaxFileSize, f.SHA1); err != nil {
		return f, err
	}
	// Remembered first: then whoever removes what nobody needs either sees that
	// the deploy needs it, or has doomed it already.
	if err := s.Store.RememberFile(ctx, site, f); err != nil {
		return f, err
	}
	if err := s.storable(ctx, fileBlob(f)); err != nil {
		return f, err
	}
	// A copy that was doomed before this upload began, and found there by it, may
	// be gone by now.
	there, err := s.Artifacts.HasFile(ctx, f.Digest)
	if err == nil && !there {
		err = removing()
	}
	return f, err
}

// sized reads what must have exactly the stated size.
type sized struct {
	from  io.Reader
	left  int64
	wrong bool // there is more, or less
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.left -= int64(n)
	if s.left < 0 || s.left > 0 && err == io.EOF {
		s.wrong, err = true, io.ErrUnexpectedEOF
	}
	return n, err
}

// receiving reads a deploy that uploads are for.
func (s *Service) receiving(ctx context.Context, id string) (deploy.Deploy, error) {
	d, err := s.Store.Deploy(ctx, id)
	switch {
	case err != nil:
		return d, err
	case d.State == deploy.Uploading || d.State == deploy.Ready:
		return d, nil
	case d.State == deploy.New:
		return d, fault.New(fault.Invalid, "deploy %s has not been described yet; say what it consists of before anything is uploaded", id)
	default:
		return d, fault.New(fault.Invalid, "deploy %s is in state %q and takes no uploads; make another one", id, d.State)
	}
}

// storable refuses a blob that is being removed at this moment.
func (s *Service) storable(ctx context.Context, blob Blob) error {
	doomed, err := s.Store.Doomed(ctx, []string{blob.String()})
	if err == nil && len(doomed) > 0 {
		err = removing()
	}
	return err
}

func removing() error {
	return fault.New(fault.Unavailable, "an old copy of this content is being removed; send it again in a moment").After(time.Second)
}

// arrived takes a blob off what a deploy waits for, and settles the deploy if
// it was the last one. Only that one looks for all: there may be thousands.
func (s *Service) arrived(ctx context.Context, d deploy.Deploy, blob Blob) error {
	left, err := s.Store.Arrived(ctx, d.ID, blob.String())
	if err != nil || left > 0 {
		return err
	}
	_, err = s.settle(ctx, d.ID)
	return err
}

// invalid words an error about an upload. All that is wrong with one is
// fault.Invalid: clients of Netlify's API repeat what is answered otherwise.
// That it is gone as soon as it is stored is nothing that is wrong with it.
func invalid(err error, format, what string) error {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.TooLarge:
		message, _ := fault.Public(err)
		return fault.Wrap(err, fault.Invalid, format, what, message)
	case fault.NotFound:
		return removing()
	default:
		return err
	}
}

// MaxFunctionSize and MaxFileSize bound one upload, in bytes.
const (
	MaxFunctionSize = artifact.MaxSize
	MaxFileSize     = deploy.MaxFileSize
)
