package release

import (
	"context"

	"github.com/nightshift/nightshift/shared/deploy"
)

// configFile is how Netlify's clients send what netlify.toml, _redirects and
// _headers say together: as a static file, which is not for callers.
const configFile = "netlify.toml"

// applyConfig takes that file out of a deploy that came that way.
func (s *Service) applyConfig(ctx context.Context, d *deploy.Deploy) error {
	f, ok := d.Files[configFile]
	if !ok || f.SHA1 == "" {
		return nil
	}
	delete(d.Files, configFile)
	return nil
}
