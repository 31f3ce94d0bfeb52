package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/console/chart"
	"github.com/nightshift/nightshift/gateway/internal/schedules"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"golang.org/x/sync/errgroup"
)

const (
	// charted is how many minutes the overview shows.
	charted = 60
	// soonest and lastFailures are how many next ticks and failures it lists.
	soonest, lastFailures = 8, 6
)

// sitesView is the list of sites.
type sitesView struct {
	frame
	List    []deploy.Site
	Locate  func(site string) string
	Workers fleetView
}

// sites lists the sites; an installation with one leads to it.
func (c *Console) sites(w http.ResponseWriter, r *http.Request) error {
	frame, _, err := c.frameOf(w, r, "", "Sites")
	if err != nil {
		return err
	}
	if len(frame.Sites) == 1 {
		http.Redirect(w, r, "/sites/"+frame.Sites[0], http.StatusSeeOther)
		return nil
	}
	view := sitesView{frame: frame, Locate: func(site string) string { return c.SiteURL(site, "") }}
	all, err := c.Deploys.Sites(r.Context())
	if err != nil {
		return err
	}
	for _, site := range all {
		if access.From(r.Context()).Sees(site.Name) {
			view.List = append(view.List, site)
		}
	}
	return c.render(w, http.StatusOK, "sites", view)
}

// overviewView is what a site is doing.
type overviewView struct {
	frame
	URL       string
	Published string // the deploy; empty: there is none
	Counts    store.StateCounts
	Oldest    time.Time // since when the oldest queued one waits; zero: none does
	Chart     chart.Bars
	Fleet     fleetView // only for those for whom all sites are there
	Next      []nextTick
	Failures  []failureView
}

// nextTick is one that is to come.
type nextTick struct {
	Function string
	At       time.Time
	Paused   bool
}

// failureView is an invocation that failed, and what it met last.
type failureView struct {
	invocation.Invocation
	At    time.Time
	Cause string
}

// overview shows what a site is doing.
func (c *Console) overview(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "overview", "Overview")
	if err != nil {
		return err
	}
	view := overviewView{frame: frame, URL: c.SiteURL(site.Name, ""), Published: site.Published}
	var minutes []store.Minute
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { view.Counts, err = c.Figures.SiteCounts(ctx, site.Name); return err })
	group.Go(func() (err error) { view.Oldest, err = c.Figures.OldestQueued(ctx, site.Name); return err })
	group.Go(func() (err error) {
		minutes, err = c.Figures.Minutes(ctx, site.Name, frame.Now.Add(-(charted-1)*time.Minute), charted)
		return err
	})
	group.Go(func() error {
		if !view.AllSites {
			return nil
		}
		list, err := c.Workers.Workers(ctx)
		view.Fleet = newFleet(list)
		return err
	})
	group.Go(func() error {
		list, err := c.Schedules.List(ctx, site.Name)
		view.Next = nextTicks(list)
		return err
	})
	group.Go(func() (err error) { view.Failures, err = c.failures(ctx, site.Name); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	bars := make([]chart.Minute, len(minutes))
	for i, m := range minutes {
		bars[i] = chart.Minute{Start: m.Start, Accepted: m.Total(), Succeeded: m.Succeeded, Failed: m.Dead + m.Failed}
	}
	view.Chart = chart.NewBars(bars)
	return c.render(w, http.StatusOK, "overview", view)
}

// nextTicks are the next ticks of the schedules, the soonest first: one of each,
// or those of every minute would hide all others.
func nextTicks(list []schedules.Schedule) []nextTick {
	var all []nextTick
	for _, s := range list {
		if len(s.Next) > 0 {
			all = append(all, nextTick{s.Function.Name, s.Next[0], !s.Pause.Since.IsZero()})
		}
	}
	slices.SortStableFunc(all, func(a, b nextTick) int { return a.At.Compare(b.At) })
	return all[:min(len(all), soonest)]
}

// failures are the last invocations that were given up or wait for a retry.
func (c *Console) failures(ctx context.Context, site string) ([]failureView, error) {
	var all []failureView
	for _, state := range []invocation.State{invocation.Dead, invocation.Failed} {
		list, _, err := c.Records.Invocations(ctx, store.Filter{Site: site, State: state}, "", lastFailures)
		if err != nil {
			return nil, err
		}
		for _, inv := range list {
			all = append(all, failureOf(inv))
		}
	}
	slices.SortStableFunc(all, func(a, b failureView) int { return b.At.Compare(a.At) })
	return all[:min(len(all), lastFailures)], nil
}

func failureOf(inv invocation.Invocation) failureView {
	f := failureView{Invocation: inv, At: cmp.Or(inv.FinishedAt, inv.CreatedAt)}
	for _, a := range slices.Backward(inv.Attempts) {
		if a.Outcome == "" {
			continue
		}
		f.At = a.FinishedAt
		f.Cause = label(a.Outcome)
		if a.Error != nil {
			f.Cause = a.Error.Type + ": " + a.Error.Message
		}
		break
	}
	return f
}
