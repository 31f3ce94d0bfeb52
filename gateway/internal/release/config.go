package release

import (
	"context"
	"io"

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
	content, err := s.Artifacts.GetFile(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "reading %s of deploy %s: the artifact store does not answer", configFile, d.ID)
	}
	d.Redirects, d.Headers, err = rulefile.FromTOML(data)
	return err
}
