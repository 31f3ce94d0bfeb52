package release

import (
	"context"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

// CreateSite makes a site.
func (s *Service) CreateSite(ctx context.Context, name string) (deploy.Site, error) {
	if err := s.Store.CreateSite(ctx, name); err != nil {
		return deploy.Site{}, err
	}
	return s.Store.Site(ctx, name)
}

// Site reads a site, or fault.NotFound. The default site is made when it is
// asked for.
func (s *Service) Site(ctx context.Context, name string) (deploy.Site, error) {
	site, err := s.Store.Site(ctx, name)
	if !fault.Is(err, fault.NotFound) || name != s.DefaultSite {
		return site, err
	}
	if err := s.Store.CreateSite(ctx, name); err != nil && !fault.Is(err, fault.Conflict) { // somebody else was first
		return deploy.Site{}, err
	}
	return s.Store.Site(ctx, name)
}

// Publish makes a deploy the one that callers of its site get. When it returns,
// this gateway serves it.
func (s *Service) Publish(ctx context.Context, site, id string) error {
	if _, err := s.Site(ctx, site); err != nil {
		return err
	}
	return s.move(ctx, func() error { return s.Store.Publish(ctx, site, id) })
}

// Rollback publishes what was published before, and returns its ID.
func (s *Service) Rollback(ctx context.Context, site string) (id string, err error) {
	if _, err := s.Site(ctx, site); err != nil {
		return "", err
	}
	err = s.move(ctx, func() error {
		id, err = s.Store.Rollback(ctx, site)
		return err
	})
	return id, err
}

// Unpublish lets a site serve nothing.
func (s *Service) Unpublish(ctx context.Context, site string) error {
	if _, err := s.Site(ctx, site); err != nil {
		return err
	}
	return s.move(ctx, func() error { return s.Store.Unpublish(ctx, site) })
}

// move moves a pointer and waits until this gateway routes by it.
func (s *Service) move(ctx context.Context, change func() error) error {
	if err := change(); err != nil {
		return err
	}
	return s.adopt(ctx)
}

// adopt waits until this gateway routes by the newest catalog. Others follow
// within a second.
func (s *Service) adopt(ctx context.Context) error {
	version, err := s.Store.CatalogVersion(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adoptWait)
	defer cancel()
	s.Router.Await(ctx, version)
	return nil
}

// Lock keeps a site at a deploy, which must be the published one.
func (s *Service) Lock(ctx context.Context, id string) (deploy.Deploy, error) {
	d, err := s.Store.Deploy(ctx, id)
	if err != nil {
		return d, err
	}
	return d, s.Store.Lock(ctx, d.Site, d.ID)
}

// Unlock ends what Lock began, given any deploy of the site.
func (s *Service) Unlock(ctx context.Context, id string) (deploy.Deploy, error) {
	d, err := s.Store.Deploy(ctx, id)
	if err != nil {
		return d, err
	}
	return d, s.Store.Unlock(ctx, d.Site)
}
