// Package schedules is what operators can do with the schedules of a site:
// look at them, pause them, and have ticks made by hand.
//
// What is triggered or backfilled is an invocation like that of a tick, but it
// is not one of the scheduler's: it stands in no ledger, moves no cursor, and is
// made also while the schedule is paused.
package schedules

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/event"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
	"golang.org/x/sync/errgroup"
)

const (
	// MaxBackfill is how many ticks one request makes at most.
	MaxBackfill = 1000
	// nextRuns is how many fire times of a schedule are shown, and recent how
	// many of the last ticks.
	nextRuns, recent = 5, 3
	// reading is how many ledgers are read at once.
	reading = 8
)

// Store keeps pauses and ledgers; see package store.
type Store interface {
	Deploy(ctx context.Context, id string) (deploy.Deploy, error)
	Pause(ctx context.Context, site, function, who string) error
	Resume(ctx context.Context, site, function string) error
	Paused(ctx context.Context, site string) (map[string]store.Pause, error)
	Ledger(ctx context.Context, key, before string, limit int) ([]store.LedgerEntry, string, error)
}

// Intake makes invocations; see package intake.
type Intake interface {
	Accept(ctx context.Context, c intake.Call) (intake.Accepted, error)
}

// Config configures a Service. All of it is required.
type Config struct {
	Store  Store
	Intake Intake
	// Site reads a site, or fault.NotFound.
	Site func(ctx context.Context, name string) (deploy.Site, error)
	// SiteURL is the URL of a site; without trailing slash.
	SiteURL func(site, deployID string) string
	// Dev says that deploys are for local development, whatever they are.
	Dev bool
	// Now is the clock of Redis.
	Now func(context.Context) (time.Time, error)
}

// Service is safe for concurrent use.
type Service struct{ Config }

// New makes a service.
func New(cfg Config) *Service { return &Service{cfg} }

// Schedule is one of a site's published deploy.
type Schedule struct {
	Function *function.Function
	Next     []time.Time // the next fire times, at most five
	Pause    store.Pause // zero if it is not paused
	Recent   []store.LedgerEntry
}

// List lists the schedules of a site, in the order of the deploy. A site that
// has nothing published has none.
func (s *Service) List(ctx context.Context, site string) ([]Schedule, error) {
	d, err := s.published(ctx, site)
	if err != nil || d == nil {
		return nil, err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	paused, err := s.Store.Paused(ctx, site)
	if err != nil {
		return nil, err
	}
	var list []Schedule
	for i := range d.Functions {
		if f := &d.Functions[i]; f.Kind == function.Scheduled {
			list = append(list, Schedule{Function: f, Pause: paused[f.Name]})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	for i := range list {
		group.Go(func() error {
			parsed, err := parse(site, list[i].Function)
			if err != nil {
				return err
			}
			list[i].Next = next(parsed, now, nextRuns)
			list[i].Recent, _, err = s.Store.Ledger(ctx, schedule.Key(site, list[i].Function.Name, parsed), "", recent)
			return err
		})
	}
	return list, group.Wait()
}

// Ledger reads what became of the ticks of a schedule, newest first; see
// [store.Store.Ledger].
func (s *Service) Ledger(ctx context.Context, site, name, before string, limit int) ([]store.LedgerEntry, string, error) {
	t, err := s.find(ctx, site, name)
	if err != nil {
		return nil, "", err
	}
	return s.Store.Ledger(ctx, schedule.Key(site, name, t.schedule), before, limit)
}

// Pause lets a schedule skip its ticks until Resume. who is told to people.
func (s *Service) Pause(ctx context.Context, site, name, who string) error {
	if _, err := s.find(ctx, site, name); err != nil {
		return err
	}
	return s.Store.Pause(ctx, site, name, who)
}

// Resume ends a pause, also that of a function that is not published any more.
func (s *Service) Resume(ctx context.Context, site, name string) error {
	paused, err := s.Store.Paused(ctx, site)
	if err != nil {
		return err
	}
	if _, ok := paused[name]; !ok {
		if _, err := s.find(ctx, site, name); err != nil {
			return err
		}
	}
	return s.Store.Resume(ctx, site, name)
}

// Trigger makes an invocation of a scheduled function now.
func (s *Service) Trigger(ctx context.Context, site, name, key string) (intake.Accepted, error) {
	t, err := s.find(ctx, site, name)
	if err != nil {
		return intake.Accepted{}, err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return intake.Accepted{}, err
	}
	if key != "" {
		key = "\x00trigger\x00" + key
	}
	return s.make(ctx, t, time.Time{}, now, key)
}

// Backfilled is what a backfill made.
type Backfilled struct {
	Made []Made
	Next time.Time // where to go on; zero at the end
}

// Made is the invocation of one tick.
type Made struct {
	Tick     time.Time
	ID       string
	Replayed bool // an earlier request made it
}

// Backfill makes an invocation for each tick of a schedule at or after from and
// before to, oldest first, at most limit of them. A tick is made once for each
// key, also without one, for as long as keys are remembered. After a failure it
// returns what it had made, beside the error.
func (s *Service) Backfill(ctx context.Context, site, name string, from, to time.Time, limit int, key string) (Backfilled, error) {
	t, err := s.find(ctx, site, name)
	if err != nil {
		return Backfilled{}, err
	}
	now, err := s.Now(ctx)
	switch {
	case err != nil:
		return Backfilled{}, err
	case !from.Before(to):
		return Backfilled{}, fault.New(fault.Invalid, "backfilling %s: from must be before to", name)
	case to.After(now):
		return Backfilled{}, fault.New(fault.Invalid, "backfilling %s: to is %s, which is yet to come; the schedule fires those ticks itself", name, to.UTC().Format(time.RFC3339))
	case limit < 1 || limit > MaxBackfill:
		return Backfilled{}, fault.New(fault.Invalid, "backfilling %s: the limit is %d; it must be 1 to %d", name, limit, MaxBackfill)
	}
	var out Backfilled
	for after := from.Add(-time.Nanosecond); ; {
		tick, ok := t.schedule.Next(after)
		if !ok || !tick.Before(to) {
			return out, nil
		}
		if len(out.Made) == limit {
			out.Next = tick
			return out, nil
		}
		accepted, err := s.make(ctx, t, tick, tick, "\x00tick\x00"+strconv.FormatInt(tick.UnixMilli(), 10)+"\x00"+key)
		if err != nil {
			out.Next = tick
			return out, err
		}
		out.Made = append(out.Made, Made{tick, accepted.ID, accepted.Replayed})
		after = tick
	}
}

// make makes the invocation of a tick, or of none. The function is told when the
// schedule fires next after a time.
func (s *Service) make(ctx context.Context, t target, tick, after time.Time, key string) (intake.Accepted, error) {
	id, err := intake.NewID()
	if err != nil {
		return intake.Accepted{}, err
	}
	following, ok := t.schedule.Next(after)
	if !ok {
		following = after // the calendar ends here
	}
	why := deploy.Production
	if s.Dev {
		why = deploy.Dev
	}
	return s.Intake.Accept(ctx, intake.Call{
		Invocation: invocation.Invocation{ID: id, Site: t.deploy.Site, Deploy: t.deploy.ID, Tick: tick},
		Function:   t.function, Published: true, Key: key,
		Event: event.ForTick(t.function.Name, following, event.Meta{
			RequestID: id, Site: t.deploy.Site, Deploy: t.deploy.ID, Published: true, Context: why, Branch: t.deploy.Branch, BaseURL: s.SiteURL(t.deploy.Site, ""),
		}),
	})
}

// target is a published scheduled function.
type target struct {
	deploy   *deploy.Deploy
	function *function.Function
	schedule *schedule.Schedule
}

// find finds a scheduled function of what is published, or says what there is:
// fault.NotFound, or fault.Conflict if the function has no schedule.
func (s *Service) find(ctx context.Context, site, name string) (target, error) {
	d, err := s.published(ctx, site)
	if err != nil {
		return target{}, err
	}
	if d == nil {
		return target{}, fault.New(fault.NotFound, "nothing is published on site %s, so it has no schedules; deploy to it first", site)
	}
	f, ok := d.Function(name)
	if !ok {
		var names []string
		for i := range d.Functions {
			if d.Functions[i].Kind == function.Scheduled {
				names = append(names, d.Functions[i].Name)
			}
		}
		if len(names) == 0 {
			names = []string{"none"}
		}
		return target{}, fault.New(fault.NotFound, "site %s has no function %.80q; those with a schedule are: %s", site, name, strings.Join(names, ", "))
	}
	if f.Kind != function.Scheduled {
		return target{}, fault.New(fault.Conflict, "%s is a %s function of site %s and has no schedule", name, f.Kind, site)
	}
	parsed, err := parse(site, f)
	return target{d, f, parsed}, err
}

// published is the published deploy of a site; nil if there is none.
func (s *Service) published(ctx context.Context, name string) (*deploy.Deploy, error) {
	site, err := s.Site(ctx, name)
	if err != nil || site.Published == "" {
		return nil, err
	}
	d, err := s.Store.Deploy(ctx, site.Published)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// parse reads the schedule of a function, which was checked when it was deployed.
func parse(site string, f *function.Function) (*schedule.Schedule, error) {
	parsed, err := schedule.ParseFor(site, f.Name, f.Schedule, f.Timezone)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "reading the schedule of function %s", f.Name)
	}
	return parsed, nil
}

// next are the next n ticks after a time.
func next(s *schedule.Schedule, after time.Time, n int) []time.Time {
	var ticks []time.Time
	for len(ticks) < n {
		tick, ok := s.Next(after)
		if !ok {
			break
		}
		ticks, after = append(ticks, tick), tick
	}
	return ticks
}
