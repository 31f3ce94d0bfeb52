package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/rulefile"
)

const (
	// configFile is how clients of Netlify's API send what netlify.toml,
	// _redirects and _headers say together: as a static file, which is not for
	// callers.
	configFile = "netlify.toml"
	// maxConfig bounds it, in bytes.
	maxConfig = 4 << 20
)

// applyConfig takes that file out of a deploy that came that way, and its rules in.
func (s *Service) applyConfig(ctx context.Context, d *deploy.Deploy) error {
	f, ok := d.Files[configFile]
	if !ok || f.SHA1 == "" {
		return nil
	}
	delete(d.Files, configFile)
	if f.Size > maxConfig {
		return fault.New(fault.Invalid, "%s has %d bytes; %d are allowed", configFile, f.Size, maxConfig)
	}
	data, err := s.readConfig(ctx, f)
	if err != nil { // whatever it is, it is not the client's
		return fault.Wrap(err, fault.Unavailable, "reading %s of deploy %s: the artifact store does not answer as it should; try again in a moment", configFile, d.ID).After(time.Second)
	}
	d.Redirects, d.Headers, err = rulefile.FromTOML(data)
	return err
}

// readConfig reads the file, whole: half of it would lack rules that keep callers out.
func (s *Service) readConfig(ctx context.Context, f deploy.File) ([]byte, error) {
	content, err := s.Artifacts.GetFile(ctx, f.Digest)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.Digest {
		return nil, errors.New("it is not what its digest says")
	}
	return data, nil
}
