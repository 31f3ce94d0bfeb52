package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
)

// maxSites is how many sites a page has, as at Netlify.
const maxSites = 100

// accounts lists the one account.
func (s *server) accounts(c echo.Context) error {
	return c.JSON(http.StatusOK, []api.Team{{ID: api.Account, Slug: api.Account, Name: "Nightshift"}})
}

// user says whom the token stands for: nobody in particular.
func (s *server) user(c echo.Context) error {
	return c.JSON(http.StatusOK, api.User{ID: api.Account, FullName: "Nightshift operator"})
}

// noExtensions answers clients that look for extensions of Netlify's platform.
func (s *server) noExtensions(c echo.Context) error { return c.JSON(http.StatusOK, []any{}) }

// sites lists the sites, all of them or the one with ?name=.
func (s *server) sites(c echo.Context) error {
	ctx := c.Request().Context()
	page, perPage, err := pageOf(c, maxSites, maxSites)
	if err != nil {
		return err
	}
	who := access.From(ctx)
	if who.Sees(s.Release.DefaultSite) { // it is made when it is asked for
		if _, err := s.Release.Site(ctx, s.Release.DefaultSite); err != nil {
			return err
		}
	}
	sites, err := s.Release.Store.Sites(ctx)
	if err != nil {
		return err
	}
	catalog, err := s.Catalog(ctx)
	if err != nil {
		return err
	}
	out := []api.Site{}
	for _, site := range sites {
		if !who.Sees(site.Name) {
			continue
		}
		shown := s.describeSite(site, catalog)
		switch c.QueryParam("name") {
		case "", shown.Name:
			out = append(out, shown)
		case shown.ID: // the netlify CLI looks IDs up this way, and compares
			shown.Name = shown.ID
			out = append(out, shown)
		}
	}
	out = out[min(len(out), (page-1)*perPage):]
	return c.JSON(http.StatusOK, out[:min(len(out), perPage)])
}

// siteParam is the name of the site in the path, where its ID may stand.
func siteParam(c echo.Context) string { return deploy.SiteName(c.Param("site")) }

// createSite makes a site, in the one account.
func (s *server) createSite(c echo.Context) error {
	if name := c.Param("account"); name != "" && name != api.Account {
		return fault.New(fault.NotFound, "there is no account %.80q; an installation has one, %q", name, api.Account)
	}
	var in api.CreateSite
	if err := readJSON(c, 1<<20, &in); err != nil {
		return err
	}
	entryOf(c).Site = in.Name
	if who := access.From(c.Request().Context()); !who.Sees(in.Name) { // said before it is known whether there is one
		return fault.New(fault.Forbidden, "the token %s is for other sites and cannot make %.80q; take one that is for all sites, or for this one", who.Name(), in.Name)
	}
	site, err := s.Release.CreateSite(c.Request().Context(), in.Name)
	if err != nil {
		return err
	}
	return s.answerSite(c, site, http.StatusCreated)
}

// site answers with one site.
func (s *server) site(c echo.Context) error {
	site, err := s.Release.Site(c.Request().Context(), siteParam(c))
	if err != nil {
		return err
	}
	return s.answerSite(c, site, http.StatusOK)
}

// unpublish lets a site serve nothing.
func (s *server) unpublish(c echo.Context) error {
	if err := s.Release.Unpublish(c.Request().Context(), siteParam(c)); err != nil {
		return err
	}
	return s.site(c)
}

// builds answers that there are none: sites are built where they are deployed from.
func (s *server) builds(c echo.Context) error { return c.JSON(http.StatusOK, []any{}) }

func (s *server) answerSite(c echo.Context, site deploy.Site, status int) error {
	catalog, err := s.Catalog(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(status, s.describeSite(site, catalog))
}

// describeSite tells people and clients about a site.
func (s *server) describeSite(site deploy.Site, catalog store.Catalog) api.Site {
	out := api.Site{
		ID: deploy.SiteID(site.Name), Name: site.Name, State: "current", URL: s.SiteURL(site.Name, ""), SSLURL: s.SiteURL(site.Name, ""), AdminURL: s.AdminURL,
		CreatedAt: site.CreatedAt.UTC(), UpdatedAt: site.CreatedAt.UTC(),
		AccountID: api.Account, AccountSlug: api.Account, AccountName: "Nightshift",
		DeployID: site.Published, Locked: site.Locked != "", UseEnvelope: true,
	}
	d, ok := catalog.Published[site.Name]
	if !ok || d.ID != site.Published {
		return out
	}
	out.Published = &api.PublishedDeploy{
		ID: d.ID, State: string(d.State), Branch: d.Branch, Locked: out.Locked, PublishedAt: instant(d.PublishedAt),
		AvailableFunctions: make([]api.AvailableFunction, 0, len(d.Functions)),
	}
	if d.PublishedAt.After(out.UpdatedAt) {
		out.UpdatedAt = d.PublishedAt.UTC()
	}
	for i := range d.Functions {
		out.Published.AvailableFunctions = append(out.Published.AvailableFunctions, api.AvailableFunction{Name: d.Functions[i].Name})
	}
	return out
}
