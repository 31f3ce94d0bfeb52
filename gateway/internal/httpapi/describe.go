package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
)

// nextRuns is how many fire times of a schedule are shown.
const nextRuns = 3

// describeDeploy tells people and clients about a deploy of a site.
func (s *server) describeDeploy(site deploy.Site, p release.Progress) api.Deploy {
	published := site.Published == p.ID
	base := p.URL
	if published {
		base = s.SiteURL(site.Name, "")
	}
	files, functions := required(p)
	return api.Deploy{
		ID: p.ID, SiteID: deploy.SiteID(p.Site), Site: p.Site, State: string(p.State), ErrorMessage: p.Reason,
		Branch: p.Branch, Context: p.Context(!p.Draft), Title: p.Title, Draft: p.Draft,
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: latest(p.CreatedAt, p.PublishedAt, p.LeftAt).UTC(), PublishedAt: instant(p.PublishedAt),
		Published: published, Locked: published && site.Locked != "", Withheld: p.Withheld,
		URL: s.SiteURL(p.Site, ""), SSLURL: s.SiteURL(p.Site, ""),
		DeployURL: p.PrimeURL, DeploySSLURL: p.PrimeURL, AdminURL: s.AdminURL,
		Links:    api.Links{Permalink: p.URL, Alias: p.PrimeURL},
		Required: files, RequiredFunctions: functions,
		Functions: describeAll(p.Deploy, base, time.Now()), FunctionCount: len(p.Functions), Files: len(p.Files),
		Redirects: len(p.Redirects), HeaderRules: len(p.Headers),
	}
}

// required lists the digests that are missing, as the client states them.
func required(p release.Progress) (files, functions []string) {
	files, functions = []string{}, []string{}
	for _, blob := range p.Missing {
		if blob.Kind == artifact.Code {
			functions = append(functions, blob.Digest)
		} else {
			files = append(files, blob.Digest)
		}
	}
	return files, functions
}

// instant is null on the wire for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// functions answers with the functions of a site's published deploy.
func (s *server) functions(c echo.Context) error {
	ctx := c.Request().Context()
	site, err := s.Release.Site(ctx, siteParam(c))
	if err != nil {
		return err
	}
	if site.Published == "" {
		return fault.New(fault.NotFound, "nothing is published on site %q; deploy to it first", site.Name)
	}
	d, err := s.Release.Deploy(ctx, site.Name, site.Published)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, describeAll(d, s.SiteURL(site.Name, ""), time.Now()))
}

// describeAll tells people about the functions of a deploy.
func describeAll(d deploy.Deploy, base string, now time.Time) []api.Function {
	out := make([]api.Function, 0, len(d.Functions))
	for i := range d.Functions {
		f := d.Functions[i]
		if f.Kind == "" && f.Schedule != "" { // its upload has not told the rest yet
			f.Kind = function.Scheduled
		}
		shown := api.FromFunction(&f, urls(&f, base))
		shown.NextRuns = next(d.Site, &f, now)
		out = append(out, shown)
	}
	return out
}

// urls is where a function is called; scheduled ones are not.
func urls(f *function.Function, base string) []string {
	if f.Kind == function.Scheduled {
		return []string{}
	}
	if len(f.Paths) == 0 {
		return []string{base + function.DefaultPath(f.Name)}
	}
	out := make([]string, 0, len(f.Paths))
	for _, path := range f.Paths {
		out = append(out, base+path)
	}
	return out
}

// next is when a scheduled function fires next.
func next(site string, f *function.Function, now time.Time) []time.Time {
	if f.Kind != function.Scheduled {
		return nil
	}
	s, err := schedule.ParseFor(site, f.Name, f.Schedule, f.Timezone)
	if err != nil {
		return nil // refused when it was deployed
	}
	var runs []time.Time
	for len(runs) < nextRuns {
		tick, ok := s.Next(now)
		if !ok {
			break
		}
		runs = append(runs, tick)
		now = tick
	}
	return runs
}
