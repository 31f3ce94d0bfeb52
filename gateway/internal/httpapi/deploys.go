package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
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
	maxDeploy = 8 << 20
	// uploadLimit bounds the sending of one blob: 250 MiB at 3.5 Mbit/s.
	uploadLimit = 10 * time.Minute
	// nextRuns is how many fire times of a schedule are shown.
	nextRuns = 3
)

// Artifacts keeps the code of functions and static files; see package artifact.
type Artifacts interface {
	Put(ctx context.Context, digest string, zip io.Reader) error
	Has(ctx context.Context, digest string) (bool, error)
	PutFile(ctx context.Context, digest string, file io.Reader) error
	HasFile(ctx context.Context, digest string) (bool, error)
}

// createDeploy announces a deploy. It is ready at once if nothing is missing.
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
		State: deploy.Uploading, Functions: in.Functions, Files: in.Files, Redirects: in.Redirects, Headers: in.Headers,
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
	err = s.receive(c, artifact.MaxSize, func(body io.Reader) error { return s.Artifacts.Put(ctx, f.Artifact, body) },
		fault.New(fault.TooLarge, "the code of function %s is over the limit of %d MiB; leave out what it does not need", f.Name, artifact.MaxSize>>20))
	if err != nil {
		return err
	}
	if _, err := s.Deploys.Arrived(ctx, d.ID, codeBlob+f.Artifact); err != nil {
		return err
	}
	return s.settle(c, d.ID, http.StatusOK)
}

// uploadFile takes one static file. Only the last one looks for what is
// missing: there may be thousands.
func (s *server) uploadFile(c echo.Context) error {
	r := c.Request()
	ctx := r.Context()
	d, err := s.Deploys.Deploy(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	// From the URL, which net/http has decoded once; Echo's parameter need not be.
	_, path, _ := strings.Cut(r.URL.Path, "/deploys/"+d.ID+"/files/")
	f, ok := d.Files[path]
	if !ok {
		return fault.New(fault.NotFound, "deploy %s has no static file %q", d.ID, path)
	}
	err = s.receive(c, f.Size, func(body io.Reader) error { return s.Artifacts.PutFile(ctx, f.Digest, body) },
		fault.New(fault.TooLarge, "the file %s is longer than the %d bytes that the deploy states; deploy again", path, f.Size))
	if err != nil {
		return err
	}
	left, err := s.Deploys.Arrived(ctx, d.ID, fileBlob+f.Digest)
	if err != nil {
		return err
	}
	if left == 0 {
		if _, _, err := s.complete(ctx, d.ID); err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, api.File{Path: path, Digest: f.Digest, Size: f.Size})
}

// receive hands the body of a request of at most limit bytes to store.
func (s *server) receive(c echo.Context, limit int64, store func(io.Reader) error, tooLarge error) error {
	r := c.Request()
	if r.ContentLength > limit {
		c.Response().Header().Set("Connection", "close")
		return tooLarge
	}
	control := http.NewResponseController(c.Response())
	_ = control.SetReadDeadline(time.Now().Add(uploadLimit))
	_ = control.SetWriteDeadline(time.Now().Add(uploadLimit + writeLimit))
	err := store(http.MaxBytesReader(c.Response(), r.Body, limit))
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
	missing, err := s.missing(c.Request().Context(), &d)
	if err != nil {
		return err
	}
	return s.answerDeploy(c, d, missing, http.StatusOK)
}

// settle completes a deploy if nothing is missing, and answers with it.
func (s *server) settle(c echo.Context, id string, status int) error {
	d, missing, err := s.complete(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return s.answerDeploy(c, d, missing, status)
}

// complete makes a deploy ready once neither code nor file is missing, and
// publishes it unless it is a draft. All of it may be repeated: a client whose
// answer was lost sends its last request again.
func (s *server) complete(ctx context.Context, id string) (deploy.Deploy, []string, error) {
	d, err := s.Deploys.Deploy(ctx, id)
	if err != nil {
		return d, nil, err
	}
	missing, err := s.missing(ctx, &d)
	if err != nil || len(missing) > 0 || d.State == deploy.Failed {
		return d, missing, err
	}
	before := d.State
	if err := s.Deploys.SetDeployState(ctx, d.ID, deploy.Ready); err != nil {
		return d, nil, err
	}
	d.State = deploy.Ready
	if !d.Draft {
		err = s.publish(ctx, d, before == deploy.Ready)
	}
	return d, nil, err
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

// Blobs that a deploy waits for are told apart by what stands before the digest.
const (
	codeBlob = "code:"
	fileBlob = "file:"
)

// missing lists the blobs of a deploy that are not stored: those that it waits
// for, and if it waits for none, or that is forgotten, what the store lacks.
func (s *server) missing(ctx context.Context, d *deploy.Deploy) ([]string, error) {
	if d.State == deploy.Ready {
		return nil, nil
	}
	awaited, err := s.Deploys.Awaited(ctx, d.ID)
	if err != nil || len(awaited) > 0 {
		return awaited, err
	}
	var missing []string
	look := func(name string, has func(context.Context, string) (bool, error), digests []string) error {
		for _, digest := range digests {
			there, err := has(ctx, digest)
			if err != nil {
				return err
			}
			if !there {
				missing = append(missing, name+digest)
			}
		}
		return nil
	}
	if err := look(codeBlob, s.Artifacts.Has, d.Artifacts()); err != nil {
		return nil, err
	}
	if err := look(fileBlob, s.Artifacts.HasFile, d.FileDigests()); err != nil {
		return nil, err
	}
	return missing, s.Deploys.Await(ctx, d.ID, missing)
}

// digests lists the digests of those blobs that have a name's beginning.
func digests(blobs []string, name string) []string {
	out := []string{}
	for _, blob := range blobs {
		if digest, ok := strings.CutPrefix(blob, name); ok {
			out = append(out, digest)
		}
	}
	return out
}

// answerDeploy answers with a deploy and what is missing of it.
func (s *server) answerDeploy(c echo.Context, d deploy.Deploy, missing []string, status int) error {
	ctx := c.Request().Context()
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
		Required: digests(missing, fileBlob), RequiredFunctions: digests(missing, codeBlob),
		Functions: describeAll(d, base, time.Now()), Files: len(d.Files),
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
			NextRuns: next(f, now), TimeoutMS: f.Timeout().Milliseconds(),
			RateLimit: f.RateLimit, PreferStatic: f.PreferStatic, Source: f.Source,
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
