package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/store"
)

// schedules lists the schedules of a site.
func (s *server) schedules(c echo.Context) error {
	list, err := s.Schedules.List(c.Request().Context(), siteParam(c))
	if err != nil {
		return err
	}
	out := make([]api.Schedule, 0, len(list))
	for _, l := range list {
		shown := api.Schedule{
			Function: l.Function.Name, Schedule: l.Function.Schedule, Timezone: l.Function.Timezone,
			NextRuns: l.Next, PausedSince: instant(l.Pause.Since), PausedBy: l.Pause.By, Recent: fromLedger(l.Recent),
		}
		if shown.NextRuns == nil {
			shown.NextRuns = []time.Time{}
		}
		out = append(out, shown)
	}
	return c.JSON(http.StatusOK, out)
}

// trigger makes an invocation of a scheduled function now.
func (s *server) trigger(c echo.Context) error {
	key, err := invoke.Key(c.Request().Header)
	if err != nil {
		return err
	}
	accepted, err := s.Schedules.Trigger(c.Request().Context(), siteParam(c), c.Param("function"), key)
	if err != nil {
		return err
	}
	s.logger(c).Info("schedule triggered", "site", siteParam(c), "function", c.Param("function"), "invocation", accepted.ID, "from", c.RealIP())
	entryOf(c).Invocation = accepted.ID
	acceptedAs(c, accepted.ID)
	return c.JSON(http.StatusAccepted, api.Accepted{ID: accepted.ID, Existed: accepted.Replayed})
}

// backfill makes an invocation for each tick in a span.
func (s *server) backfill(c echo.Context) error {
	key, err := invoke.Key(c.Request().Header)
	if err != nil {
		return err
	}
	var in api.Backfill
	if err := readKnown(c, maxOrder, &in); err != nil {
		return err
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(batchLimit))
	done, err := s.Schedules.Backfill(c.Request().Context(), siteParam(c), c.Param("function"), in.From, in.To, cmp.Or(in.Limit, defaultBatch), key)
	entryOf(c).Details = fmt.Sprintf("%d ticks", len(done.Made))
	if len(done.Made) > 0 {
		s.log.Info("schedule backfilled", "site", siteParam(c), "function", c.Param("function"), "count", len(done.Made), "after", in.From, "before", in.To, "from", c.RealIP())
	}
	if err != nil {
		return partial(err, len(done.Made), cmp.Or(in.Limit, defaultBatch))
	}
	out := api.Backfilled{Invocations: make([]api.TickMade, 0, len(done.Made)), NextFrom: instant(done.Next)}
	for _, m := range done.Made {
		out.Invocations = append(out.Invocations, api.TickMade{Accepted: api.Accepted{ID: m.ID, Existed: m.Replayed}, Tick: m.Tick.UTC()})
	}
	return c.JSON(http.StatusOK, out)
}

// pause lets a schedule skip its ticks.
func (s *server) pause(c echo.Context) error {
	if err := s.Schedules.Pause(c.Request().Context(), siteParam(c), c.Param("function"), c.RealIP()); err != nil {
		return err
	}
	s.log.Info("schedule paused", "site", siteParam(c), "function", c.Param("function"), "from", c.RealIP())
	return c.NoContent(http.StatusNoContent)
}

// resume ends that.
func (s *server) resume(c echo.Context) error {
	if err := s.Schedules.Resume(c.Request().Context(), siteParam(c), c.Param("function")); err != nil {
		return err
	}
	s.log.Info("schedule resumed", "site", siteParam(c), "function", c.Param("function"), "from", c.RealIP())
	return c.NoContent(http.StatusNoContent)
}

// ledger answers with what became of the ticks of a schedule.
func (s *server) ledger(c echo.Context) error {
	if err := knownParams(c, "cursor", "limit"); err != nil {
		return err
	}
	limit, err := limitOf(c)
	if err != nil {
		return err
	}
	entries, next, err := s.Schedules.Ledger(c.Request().Context(), siteParam(c), c.Param("function"), c.QueryParam("cursor"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.Ledger{Ticks: fromLedger(entries), NextCursor: next})
}

// fromLedger translates entries of a ledger.
func fromLedger(entries []store.LedgerEntry) []api.Tick {
	out := make([]api.Tick, 0, len(entries))
	for _, e := range entries {
		tick := api.Tick{
			Tick: e.Tick.UTC(), Count: e.Count, Outcome: string(e.Outcome), Reason: string(e.Reason),
			LatenessMS: e.Lateness.Milliseconds(), Invocation: e.Invocation,
		}
		if !e.From.Equal(e.Tick) {
			tick.From = instant(e.From)
		}
		out = append(out, tick)
	}
	return out
}
