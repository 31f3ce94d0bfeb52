package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
)

const (
	// maxDeploy bounds the description of a deploy.
	maxDeploy = 4 << 20
	// uploadLimit bounds the sending of one artifact: 250 MiB at 3.5 Mbit/s.
	uploadLimit = 10 * time.Minute
	// nextRuns is how many fire times of a schedule are shown.
	nextRuns = 3
)

// Artifacts keeps the code of functions; see package artifact.
type Artifacts interface {
	Put(ctx context.Context, digest string, zip io.Reader) error
	Has(ctx context.Context, digest string) (bool, error)
}

// createDeploy announces a deploy. It is ready at once if no code is missing.
func (s *server) createDeploy(c echo.Context) error {
	ctx := c.Request().Context()
	var in api.CreateDeploy
	if err := readJSON(c, maxDeploy, &in); err != nil {
		return err
	}
	id, err := newDeployID()
	if err != nil {
		return err
	}
	d := deploy.Deploy{
		ID: id, Site: c.Param("site"), Branch: in.Branch, Draft: in.Draft,
		SiteURL: s.SiteURL(c.Param("site"), ""), URL: s.SiteURL(c.Param("site"), id),
		State: deploy.Uploading, Functions: in.Functions,
	}
	if err := check(&d); err != nil {
		return err
	}
	if err := s.Deploys.CreateDeploy(ctx, d); err != nil {
		return err
	}
	return s.settle(c, d.ID, http.StatusCreated)
}

// uploadFunction takes the code of one function, as a zip.
func (s *server) uploadFunction(c echo.Context) error {
	ctx := c.Request().Context()
	d, err := s.Deploys.Deploy(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	f, ok := d.Function(c.Param("name"))
	if !ok {
		return fault.New(fault.NotFound, "deploy %s has no function %q", d.ID, c.Param("name"))
	}
	if err := s.receive(c, f); err != nil {
		return err
	}
	return s.settle(c, d.ID, http.StatusOK)
}

// receive stores the body of a request as a function's artifact.
func (s *server) receive(c echo.Context, f *function.Function) error {
	tooLarge := fault.New(fault.TooLarge, "the code of function %s is over the limit of %d MiB; leave out what it does not need", f.Name, artifact.MaxSize>>20)
	r := c.Request()
	if r.ContentLength > artifact.MaxSize {
		c.Response().Header().Set("Connection", "close")
		return tooLarge
	}
	control := http.NewResponseController(c.Response())
	_ = control.SetReadDeadline(time.Now().Add(uploadLimit))
	_ = control.SetWriteDeadline(time.Now().Add(uploadLimit + writeLimit))
	err := s.Artifacts.Put(r.Context(), f.Artifact, http.MaxBytesReader(c.Response(), r.Body, artifact.MaxSize))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return tooLarge
	}
	return err
}

// deploy answers with one deploy.
func (s *server) deploy(c echo.Context) error {
	d, err := s.Deploys.Deploy(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if d.Site != c.Param("site") {
		return fault.New(fault.NotFound, "site %q has no deploy %q", c.Param("site"), d.ID)
	}
	return s.answerDeploy(c, d, http.StatusOK)
}

// settle makes a deploy ready once no code is missing, publishes it unless it
// is a draft, and answers with it. All of it may be repeated: a client whose
// answer was lost sends its last request again.
func (s *server) settle(c echo.Context, id string, status int) error {
	ctx := c.Request().Context()
	d, err := s.Deploys.Deploy(ctx, id)
	if err != nil {
		return err
	}
	missing, err := s.missing(ctx, &d)
	if err != nil {
		return err
	}
	if len(missing) > 0 || d.State == deploy.Failed {
		return s.answerDeploy(c, d, status)
	}
	before := d.State
	if err := s.Deploys.SetDeployState(ctx, d.ID, deploy.Ready); err != nil {
		return err
	}
	d.State = deploy.Ready
	if !d.Draft {
		if err := s.publish(ctx, d, before == deploy.Ready); err != nil {
			return err
		}
	}
	return s.answerDeploy(c, d, status)
}

// publish makes a deploy the one that callers of its site get, and this gateway
// route by it before the answer goes out. A repeated request publishes only
// over an older deploy, so that it cannot undo what was published since.
func (s *server) publish(ctx context.Context, d deploy.Deploy, repeated bool) error {
	if repeated {
		catalog, err := s.Deploys.Catalog(ctx)
		if err != nil {
			return err
		}
		if now, ok := catalog.Published[d.Site]; ok && !now.CreatedAt.Before(d.CreatedAt) {
			return nil
		}
	}
	if err := s.Deploys.Publish(ctx, d.Site, d.ID); err != nil {
		return err
	}
	catalog, err := s.Deploys.Catalog(ctx)
	if err != nil {
		return err
	}
	if catalog.Version > s.Router.Version() {
		s.Router.Update(catalog)
	}
	return nil
}

// missing lists the digests of a deploy's code that is not stored.
func (s *server) missing(ctx context.Context, d *deploy.Deploy) ([]string, error) {
	missing := []string{}
	for _, digest := range d.Artifacts() {
		has, err := s.Artifacts.Has(ctx, digest)
		if err != nil {
			return nil, err
		}
		if !has {
			missing = append(missing, digest)
		}
	}
	return missing, nil
}

func (s *server) answerDeploy(c echo.Context, d deploy.Deploy, status int) error {
	ctx := c.Request().Context()
	missing, err := s.missing(ctx, &d)
	if err != nil {
		return err
	}
	catalog, err := s.Deploys.Catalog(ctx)
	if err != nil {
		return err
	}
	published := catalog.Published[d.Site].ID == d.ID
	base := s.SiteURL(d.Site, d.ID)
	if published {
		base = s.SiteURL(d.Site, "")
	}
	return c.JSON(status, api.Deploy{
		ID: d.ID, Site: d.Site, State: string(d.State), Branch: d.Branch, CreatedAt: d.CreatedAt.UTC(),
		Published: published, URL: s.SiteURL(d.Site, ""), DeployURL: s.SiteURL(d.Site, d.ID),
		RequiredFunctions: missing, Functions: describeAll(d, base, time.Now()),
	})
}

// functions answers with the functions of a site's published deploy.
func (s *server) functions(c echo.Context) error {
	catalog, err := s.Deploys.Catalog(c.Request().Context())
	if err != nil {
		return err
	}
	site := c.Param("site")
	d, ok := catalog.Published[site]
	if !ok {
		return fault.New(fault.NotFound, "nothing is published on site %q; deploy to it first", site)
	}
	return c.JSON(http.StatusOK, describeAll(d, s.SiteURL(site, ""), time.Now()))
}

// describeAll tells people about the functions of a deploy.
func describeAll(d deploy.Deploy, base string, now time.Time) []api.Function {
	out := make([]api.Function, 0, len(d.Functions))
	for i := range d.Functions {
		f := &d.Functions[i]
		out = append(out, api.Function{
			Name: f.Name, Kind: f.Kind, Runtime: f.Runtime, URLs: urls(f, base), Schedule: f.Schedule, Timezone: f.Timezone,
			NextRuns: next(f, now), TimeoutMS: f.Timeout().Milliseconds(), Source: f.Source,
		})
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
func next(f *function.Function, now time.Time) []time.Time {
	if f.Kind != function.Scheduled {
		return nil
	}
	s, err := schedule.Parse(f.Schedule, f.Timezone)
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

// check says what is wrong with a deploy, as fault.Invalid.
func check(d *deploy.Deploy) error {
	if err := d.Validate(); err != nil {
		return fault.New(fault.Invalid, "the deploy is not valid: %v", err)
	}
	for i := range d.Functions {
		f := &d.Functions[i]
		if err := route.Check(f); err != nil {
			return err
		}
		if f.Kind != function.Scheduled {
			continue
		}
		if _, err := schedule.Parse(f.Schedule, f.Timezone); err != nil {
			message, _ := fault.Public(err)
			return fault.New(fault.Invalid, "function %s: %s", f.Name, message)
		}
	}
	return nil
}

// newDeployID is 24 hex characters, the shape of Netlify's.
func newDeployID() (string, error) {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fault.Wrap(err, fault.Internal, "making a deploy ID")
	}
	return hex.EncodeToString(b[:]), nil
}

// readJSON reads a JSON body of at most limit bytes.
func readJSON(c echo.Context, limit int64, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
	err := dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("there is more than one value")
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return fault.New(fault.TooLarge, "the body is over the limit of %d MiB", limit>>20)
	}
	if err != nil {
		return fault.New(fault.Invalid, "the body is not the JSON that is expected: %v", err)
	}
	return nil
}
