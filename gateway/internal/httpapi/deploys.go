package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

const (
	// maxDeploy bounds the description of a deploy.
	maxDeploy = 8 << 20
	// discardLimit bounds taking back a deploy that could not be described.
	discardLimit = 5 * time.Second
	// maxDeploys is how many deploys a list shows, and defaultDeploys unless it
	// is told otherwise.
	maxDeploys     = 100
	defaultDeploys = 100
)

// createDeploy announces a deploy, and describes it if the request does.
func (s *server) createDeploy(c echo.Context) error {
	ctx := c.Request().Context()
	var in api.CreateDeploy
	if err := readJSON(c, maxDeploy, &in); err != nil {
		return err
	}
	if title := c.QueryParam("title"); title != "" {
		in.Title = title
	}
	description := release.Description{Functions: in.Functions, Files: in.Files, Redirects: in.Redirects, Headers: in.Headers}
	for _, v := range in.Environment {
		description.Environment = append(description.Environment, v.Domain())
	}
	if err := description.Check(); err != nil { // before there is a deploy to give up
		return err
	}
	d, err := s.Release.Announce(ctx, siteParam(c), release.Announcement{
		Branch: in.Branch, Title: in.Title, Draft: in.Draft || in.Branch != "" && !in.Production,
	})
	if err != nil {
		return err
	}
	rec := entryOf(c)
	rec.Deploy, rec.Details = d.ID, in.Title
	progress := release.Progress{Deploy: d}
	if in.Functions != nil || in.Files != nil || in.Redirects != nil || in.Headers != nil || in.Environment != nil {
		if progress, err = s.Release.Describe(ctx, d.Site, d.ID, description); err != nil {
			return errors.Join(err, s.discard(c, d))
		}
	}
	return s.answerDeploy(c, progress, http.StatusCreated)
}

// discard drops a deploy whose maker does not know its ID, and may be gone.
func (s *server) discard(c echo.Context, d deploy.Deploy) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), discardLimit)
	defer cancel()
	return s.Release.Discard(ctx, d)
}

// updateDeploy describes a deploy in the words of Netlify's API.
func (s *server) updateDeploy(c echo.Context) error {
	var in netlifyDeploy
	if err := readJSON(c, maxDeploy, &in); err != nil {
		return err
	}
	description, err := in.description()
	if err != nil {
		return err
	}
	progress, err := s.Release.Describe(c.Request().Context(), siteParam(c), c.Param("id"), description)
	if err != nil {
		return err
	}
	return s.answerDeploy(c, progress, http.StatusOK)
}

// uploadFunction takes the code of one function, as a zip.
func (s *server) uploadFunction(c echo.Context) error {
	info, err := zipInfo(c)
	if err != nil {
		return err
	}
	var progress release.Progress
	err = s.receive(c, release.MaxFunctionSize, "the code of function "+c.Param("name"), func(body io.Reader) (err error) {
		progress, err = s.Release.ReceiveFunction(c.Request().Context(), c.Param("id"), c.Param("name"), body, info)
		return err
	})
	if err != nil {
		return err
	}
	return s.answerDeploy(c, progress, http.StatusOK)
}

// zipInfo reads what Netlify's clients say about a zip beside its bytes.
func zipInfo(c echo.Context) (release.ZipInfo, error) {
	info := release.ZipInfo{Background: c.QueryParam("invocation_mode") == "background"}
	if text := c.QueryParam("timeout"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || seconds > 900 {
			return info, fault.New(fault.Invalid, "the timeout of function %s is %.20q; it must be 1 to 900 seconds", c.Param("name"), text)
		}
		info.Timeout = time.Duration(seconds) * time.Second
	}
	return info, nil
}

// uploadFile takes one static file.
func (s *server) uploadFile(c echo.Context) error {
	r, id := c.Request(), c.Param("id")
	// From the URL, which net/http has decoded once; Echo's parameter need not be.
	_, path, _ := strings.Cut(r.URL.Path, "/deploys/"+id+"/files/")
	var f deploy.File
	err := s.receive(c, release.MaxFileSize, "the file "+path, func(body io.Reader) (err error) {
		f, err = s.Release.ReceiveFile(r.Context(), id, path, body)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.File{Path: path, Digest: f.Digest, Size: f.Size})
}

// receive hands the body of a request of at most limit bytes to store.
func (s *server) receive(c echo.Context, limit int64, what string, store func(io.Reader) error) error {
	r := c.Request()
	// Clients of Netlify's API repeat what is answered 413.
	tooLarge := fault.New(fault.Invalid, "%s is over the limit of %d MiB; leave out what is not needed", what, limit>>20)
	if r.ContentLength > limit {
		c.Response().Header().Set("Connection", "close")
		return tooLarge
	}
	defer readingBody(c)()
	body := http.MaxBytesReader(c.Response(), r.Body, limit)
	err := store(body)
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		err = tooLarge
	}
	// Not all of it has been read if it was there already, or is not wanted. Were
	// the connection closed on a client that still sends, it would not see why.
	daemon.Discard(r.Body, limit)
	return err
}

// readingBody lets the reading of a body take its time, which is the server's to
// bound, and returns what gives the answer its own.
func readingBody(c echo.Context) (done func()) {
	// Recorders in tests have no deadlines; connections do.
	control := http.NewResponseController(c.Response())
	_ = control.SetWriteDeadline(time.Time{})
	return func() { _ = control.SetWriteDeadline(time.Now().Add(writeLimit)) }
}

// deploy answers with one deploy of a site.
func (s *server) deploy(c echo.Context) error {
	progress, err := s.Release.Status(c.Request().Context(), siteParam(c), c.Param("id"))
	if err != nil {
		return err
	}
	return s.answerDeploy(c, progress, http.StatusOK)
}

// deployAlone answers with one deploy, whose site the caller does not say.
func (s *server) deployAlone(c echo.Context) error {
	ctx := c.Request().Context()
	d, err := s.Release.Store.Deploy(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	progress, err := s.Release.Status(ctx, d.Site, d.ID)
	if err != nil {
		return err
	}
	return s.answerDeploy(c, progress, http.StatusOK)
}

// deploys lists the deploys of a site, newest first.
func (s *server) deploys(c echo.Context) error {
	ctx := c.Request().Context()
	site, err := s.Release.Site(ctx, siteParam(c))
	if err != nil {
		return err
	}
	page, perPage, err := pageOf(c, defaultDeploys, maxDeploys)
	if err != nil {
		return err
	}
	all, err := s.Release.Store.DeploySummaries(ctx, site.Name, (page-1)*perPage, perPage)
	if err != nil {
		return err
	}
	out := make([]api.Deploy, 0, perPage)
	for _, d := range all {
		shown := s.describeDeploy(site, release.Progress{Deploy: d.Deploy})
		shown.Functions, shown.Files, shown.Redirects, shown.HeaderRules = nil, d.Files, d.Redirects, d.Headers
		out = append(out, shown)
	}
	return c.JSON(http.StatusOK, out)
}

// pageOf reads ?page= and ?per_page=.
func pageOf(c echo.Context, perPage, most int) (page, size int, err error) {
	page, size = 1, perPage
	for _, p := range []struct {
		name string
		into *int
		most int
	}{{"page", &page, 10_000}, {"per_page", &size, most}} {
		text := c.QueryParam(p.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > p.most {
			return 0, 0, fault.New(fault.Invalid, "%s is %.20q; it must be 1 to %d", p.name, text, p.most)
		}
		*p.into = n
	}
	return page, size, nil
}

// restoreDeploy publishes a deploy.
func (s *server) restoreDeploy(c echo.Context) error {
	if err := s.Release.Publish(c.Request().Context(), siteParam(c), c.Param("id")); err != nil {
		return err
	}
	return s.deploy(c)
}

// rollback publishes what was published before.
func (s *server) rollback(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := s.Release.Rollback(ctx, siteParam(c))
	if err != nil {
		return err
	}
	entryOf(c).Deploy = id
	d, err := s.Release.Deploy(ctx, siteParam(c), id)
	if err != nil {
		return err
	}
	return s.answerDeploy(c, release.Progress{Deploy: d}, http.StatusOK)
}

// lockDeploy keeps a site at its published deploy.
func (s *server) lockDeploy(c echo.Context) error {
	d, err := s.Release.Lock(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.answerDeploy(c, release.Progress{Deploy: d}, http.StatusOK)
}

// unlockDeploy ends that.
func (s *server) unlockDeploy(c echo.Context) error {
	d, err := s.Release.Unlock(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.answerDeploy(c, release.Progress{Deploy: d}, http.StatusOK)
}

// cancelDeploy gives a deploy up.
func (s *server) cancelDeploy(c echo.Context) error {
	progress, err := s.Release.Cancel(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.answerDeploy(c, progress, http.StatusOK)
}

// answerDeploy answers with a deploy and what is missing of it.
func (s *server) answerDeploy(c echo.Context, p release.Progress, status int) error {
	site, err := s.Release.Site(c.Request().Context(), p.Site)
	if err != nil {
		return err
	}
	return c.JSON(status, s.describeDeploy(site, p))
}

// readJSON reads a JSON body of at most limit bytes. Fields that are not known
// are passed over: clients of Netlify's API send many.
func readJSON(c echo.Context, limit int64, into any) error {
	defer readingBody(c)()
	return decodeJSON(json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, limit)), limit, into)
}

// readKnown is readJSON for a body in which every field must be known.
func readKnown(c echo.Context, limit int64, into any) error {
	defer readingBody(c)()
	dec := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
	dec.DisallowUnknownFields()
	return decodeJSON(dec, limit, into)
}

func decodeJSON(dec *json.Decoder, limit int64, into any) error {
	err := dec.Decode(into)
	if err == nil {
		if _, after := dec.Token(); after != io.EOF {
			err = errors.Join(errors.New("there is more than one value"), after)
		}
	}
	if err == nil {
		return nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		if limit < 1<<20 {
			return fault.New(fault.TooLarge, "the body is over the limit of %d KiB", limit>>10)
		}
		return fault.New(fault.TooLarge, "the body is over the limit of %d MiB", limit>>20)
	}
	what := err.Error()
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // whose text is about Go
		what = fmt.Sprintf("%s cannot be a JSON %s (byte %d)", cmp.Or(wrong.Field, "it"), wrong.Value, wrong.Offset)
	}
	return fault.Wrap(err, fault.Invalid, "the body is not the JSON that is expected: %s", what)
}
