package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/rerun"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

const (
	// batchLimit bounds a request that makes many invocations.
	batchLimit = 5 * time.Minute
	// defaultBatch is how many it makes unless it says.
	defaultBatch = 100
	// maxOrder bounds the bodies of orders, in bytes.
	maxOrder = 64 << 10
)

// invocations lists invocations of a site.
func (s *server) invocations(c echo.Context) error {
	if err := knownParams(c, "function", "state", "deploy", "from", "to", "cursor", "limit"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	limit, err := limitOf(c)
	if err != nil {
		return err
	}
	filter := store.Filter{Function: c.QueryParam("function"), State: invocation.State(c.QueryParam("state")), Deploy: c.QueryParam("deploy")}
	if filter.From, err = instantOf(c, "from"); err != nil {
		return err
	}
	if filter.To, err = instantOf(c, "to"); err != nil {
		return err
	}
	site, err := s.Release.Site(ctx, siteParam(c))
	if err != nil {
		return err
	}
	filter.Site = site.Name
	list, next, err := s.Invocations.Invocations(ctx, filter, c.QueryParam("cursor"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.FromInvocations(list, next))
}

// retry queues a dead invocation again.
func (s *server) retry(c echo.Context) error {
	inv, err := s.Rerun.Retry(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	s.logger(c).Info("invocation retried", "invocation", inv.ID, "site", inv.Site, "function", inv.Function, "from", c.RealIP())
	return c.JSON(http.StatusAccepted, api.FromInvocation(inv))
}

// replay makes an invocation with the request of another one.
func (s *server) replay(c echo.Context) error {
	key, err := invoke.Key(c.Request().Header)
	if err != nil {
		return err
	}
	made, err := s.Rerun.Replay(c.Request().Context(), c.Param("id"), key)
	if err != nil {
		return err
	}
	s.logger(c).Info("invocation replayed", "invocation", made.Of, "as", made.ID, "from", c.RealIP())
	entryOf(c).Details = "as " + made.ID
	acceptedAs(c, made.ID)
	return c.JSON(http.StatusAccepted, fromMade(made))
}

func fromMade(m rerun.Made) api.Replay {
	return api.Replay{Accepted: api.Accepted{ID: m.ID, Existed: m.Replayed}, ReplayOf: m.Of}
}

// acceptedAs says where the record of an invocation is that was just made.
func acceptedAs(c echo.Context, id string) {
	h := c.Response().Header()
	h.Set("Location", "/api/v1/invocations/"+id)
	h.Set(invoke.RequestIDHeader, id)
}

// replayAll replays the invocations of a site that a filter lets through.
func (s *server) replayAll(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := invoke.Key(c.Request().Header)
	if err != nil {
		return err
	}
	var in api.ReplayInvocations
	if err := readOrder(c, &in); err != nil {
		return err
	}
	site, err := s.Release.Site(ctx, siteParam(c))
	if err != nil {
		return err
	}
	batch := rerun.Batch{
		Filter: store.Filter{Site: site.Name, Function: in.Function, State: cmp.Or(invocation.State(in.State), invocation.Dead), Deploy: in.Deploy},
		Cursor: in.Cursor, Limit: cmp.Or(in.Limit, defaultBatch), DryRun: in.DryRun, Key: key,
	}
	if in.From != nil {
		batch.Filter.From = *in.From
	}
	if in.To != nil {
		batch.Filter.To = *in.To
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(batchLimit))
	report, err := s.Rerun.ReplayAll(ctx, batch)
	entryOf(c).Function, entryOf(c).Details = in.Function, fmt.Sprintf("%d of %d", len(report.Made), len(report.Matched))
	if in.DryRun {
		entryOf(c).Details = "dry run"
	}
	if !in.DryRun && len(report.Made) > 0 {
		s.log.Info("invocations replayed", "site", site.Name, "function", in.Function, "count", len(report.Made), "refused", len(report.Refused), "from", c.RealIP())
	}
	if err != nil {
		return partial(err, len(report.Made), len(report.Matched))
	}
	out := api.Replays{DryRun: in.DryRun, Matched: report.Matched, Replays: []api.Replay{}, Refusals: []api.Refusal{}, NextCursor: report.Next}
	if out.Matched == nil {
		out.Matched = []string{}
	}
	for _, made := range report.Made {
		out.Replays = append(out.Replays, fromMade(made))
	}
	for _, refused := range report.Refused {
		message, _ := fault.Public(refused.Why)
		out.Refusals = append(out.Refusals, api.Refusal{ID: refused.ID, Message: message})
	}
	return c.JSON(http.StatusOK, out)
}

// partial is the error of a request that has made some of many invocations.
func partial(err error, made, of int) error {
	if made == 0 {
		return err
	}
	message, retryAfter := fault.Public(err)
	return fault.Wrap(err, fault.KindOf(err), "%s %d of %d were made before that; the same request with the same Idempotency-Key goes on and makes none twice.", message, made, of).After(retryAfter)
}

// readOrder reads a JSON body in which every field must be known: one that is
// misspelt would let more through than was meant. No body is an empty one.
func readOrder(c echo.Context, into any) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	return readKnown(c, maxOrder, into)
}
