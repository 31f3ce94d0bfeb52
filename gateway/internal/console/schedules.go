package console

import (
	"net/http"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/console/chart"
	"github.com/nightshift/nightshift/gateway/internal/schedules"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

const (
	// fireTimes is how many fire times of a schedule are shown.
	fireTimes = 10
	// charted ticks are the last ones, and those in the table are a page of it.
	chartedTicks = 60
	ledgerPage   = 30
	// backfillLimit is how many ticks one form makes at most.
	backfillLimit = schedules.MaxBackfill
)

// schedulesView is the list of schedules.
type schedulesView struct {
	frame
	Published string
	List      []scheduleRow
}

// scheduleRow is one of them.
type scheduleRow struct {
	schedules.Schedule
	Zone string
	Last []tickMark // the last ticks, oldest first
}

// tickMark is what became of a tick, with its place in the strip.
type tickMark struct {
	store.LedgerEntry
	X, Width, Height, Top chart.Share
}

// Centre is where the middle of the mark is.
func (m tickMark) Centre() chart.Share { return m.X + m.Width/2 }

// strip lays ticks out, given newest first; the oldest stands left. slots is how
// many have room.
func strip(entries []store.LedgerEntry, slots int) []tickMark {
	entries = entries[:min(len(entries), slots)]
	marks := make([]tickMark, len(entries))
	for i, e := range entries {
		m := tickMark{LedgerEntry: e, Height: chart.Late(e.Lateness)}
		m.Top = 100 - m.Height
		m.X, m.Width = chart.Slots(slots, slots-1-i)
		marks[len(entries)-1-i] = m
	}
	return marks
}

// schedules lists the schedules of a site.
func (c *Console) schedules(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "schedules", "Schedules")
	if err != nil {
		return err
	}
	list, err := c.Schedules.List(r.Context(), site.Name)
	if err != nil {
		return err
	}
	view := schedulesView{frame: frame, Published: site.Published}
	for _, s := range list {
		view.List = append(view.List, scheduleRow{Schedule: s, Zone: zoneOf(s), Last: strip(s.Recent, 3)})
	}
	return c.render(w, http.StatusOK, "schedules", view)
}

func zoneOf(s schedules.Schedule) string {
	if s.Function.Timezone == "" {
		return "UTC"
	}
	return s.Function.Timezone
}

// scheduleView is all about one schedule.
type scheduleView struct {
	frame
	schedules.Schedule
	Zone    string
	Fires   []fireTime
	Marks   []tickMark
	Slots   int
	Ledger  []store.LedgerEntry
	Pager   pager
	Key     string
	Form    backfillForm
	Problem string // of the form
}

// fireTime is a tick to come, also as the clocks of its zone show it.
type fireTime struct {
	At    time.Time
	Local string
}

// backfillForm is the form as it was typed; times are in UTC.
type backfillForm struct{ From, To string }

// schedule shows one schedule.
func (c *Console) schedule(w http.ResponseWriter, r *http.Request) error {
	return c.showSchedule(w, r, http.StatusOK, backfillForm{}, "")
}

func (c *Console) showSchedule(w http.ResponseWriter, r *http.Request, status int, form backfillForm, problem string) error {
	name := r.PathValue("function")
	frame, site, err := c.frameOf(w, r, "schedules", name)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	newest, _, err := c.Schedules.Ledger(r.Context(), site.Name, name, "", chartedTicks)
	if err != nil {
		return err
	}
	view := scheduleView{frame: frame, Slots: chartedTicks, Marks: strip(newest, chartedTicks), Key: newKey(), Form: form, Problem: problem}
	ledger, next, err := c.Schedules.Ledger(r.Context(), site.Name, name, q.Get("cursor"), ledgerPage)
	if err != nil {
		return err
	}
	view.Ledger, view.Pager = ledger, newPager("/sites/"+site.Name+"/schedules/"+name, nil, q, next)
	list, err := c.Schedules.List(r.Context(), site.Name)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Function.Name == name {
			view.Schedule, view.Zone = s, zoneOf(s)
		}
	}
	if view.Function == nil { // something else was published meanwhile
		return fault.New(fault.NotFound, "site %s has no schedule %.80s any more", site.Name, name)
	}
	if view.Fires, err = fires(site.Name, view.Schedule, frame.Now); err != nil {
		return err
	}
	return c.render(w, status, "schedule", view)
}

// fires are the next fire times of a schedule.
func fires(site string, s schedules.Schedule, now time.Time) ([]fireTime, error) {
	f := s.Function
	parsed, err := schedule.ParseFor(site, f.Name, f.Schedule, f.Timezone)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(f.Timezone)
	if err != nil {
		return nil, err
	}
	var all []fireTime
	for at, ok := parsed.Next(now); ok && len(all) < fireTimes; at, ok = parsed.Next(at) {
		all = append(all, fireTime{at, at.In(zone).Format("Mon 2 Jan 15:04:05 MST")})
	}
	return all, nil
}

func (c *Console) pageOfSchedule(r *http.Request) string {
	return "/sites/" + r.PathValue("site") + "/schedules/" + r.PathValue("function")
}

// trigger makes an invocation of a scheduled function now.
func (c *Console) trigger(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	site, name := r.PathValue("site"), r.PathValue("function")
	accepted, err := c.Schedules.Trigger(r.Context(), site, name, key)
	if err != nil {
		return err
	}
	c.log.Info("schedule triggered", "site", site, "function", name, "invocation", accepted.ID, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+site+"/invocations/"+accepted.ID, false, "Triggered. This is its invocation; it stands in no ledger, because it is no tick.")
}

// pause lets a schedule skip its ticks.
func (c *Console) pause(w http.ResponseWriter, r *http.Request) error {
	site, name := r.PathValue("site"), r.PathValue("function")
	if err := c.Schedules.Pause(r.Context(), site, name, c.ClientIP(r)); err != nil {
		return err
	}
	c.log.Info("schedule paused", "site", site, "function", name, "from", c.ClientIP(r))
	return leadTo(w, r, c.pageOfSchedule(r), false, "Paused. Ticks that are due from now on are skipped for good, until it is resumed.")
}

// resume ends that.
func (c *Console) resume(w http.ResponseWriter, r *http.Request) error {
	site, name := r.PathValue("site"), r.PathValue("function")
	if err := c.Schedules.Resume(r.Context(), site, name); err != nil {
		return err
	}
	c.log.Info("schedule resumed", "site", site, "function", name, "from", c.ClientIP(r))
	return leadTo(w, r, c.pageOfSchedule(r), false, "Resumed. It fires its next tick.")
}

// backfill makes an invocation for each tick in a span.
func (c *Console) backfill(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	form := backfillForm{r.PostFormValue("from"), r.PostFormValue("to")}
	wrong := func(err error) error { // what was typed stays in the form
		message, _ := fault.Public(err)
		return c.showSchedule(w, r, http.StatusBadRequest, form, sentence(message))
	}
	if form.From == "" || form.To == "" {
		return wrong(fault.New(fault.Invalid, "both ends of the span are needed"))
	}
	from, err := readTime("from", form.From)
	if err != nil {
		return wrong(err)
	}
	to, err := readTime("to", form.To)
	if err != nil {
		return wrong(err)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(batchLimit))
	site, name := r.PathValue("site"), r.PathValue("function")
	done, err := c.Schedules.Backfill(r.Context(), site, name, from, to, backfillLimit, key)
	n := len(done.Made)
	if n > 0 {
		c.log.Info("schedule backfilled", "site", site, "function", name, "count", n, "after", from, "before", to, "from", c.ClientIP(r))
	}
	switch {
	case fault.Is(err, fault.Invalid):
		return wrong(err)
	case err != nil && n == 0:
		return err
	case err != nil:
		message, _ := fault.Public(err)
		return leadTo(w, r, c.pageOfSchedule(r), true, "%s ticks were made before this happened: %s. Go on from %s.", number(n), message, exact(done.Next))
	case n == 0:
		return leadTo(w, r, c.pageOfSchedule(r), true, "There is no tick in that span.")
	case !done.Next.IsZero():
		return leadTo(w, r, c.pageOfSchedule(r), true, "%s ticks were made, which is all that one form makes. Go on from %s.", number(n), exact(done.Next))
	default:
		return leadTo(w, r, c.pageOfSchedule(r), false, "%s %s made. They are among the invocations, not in the ledger.", number(n), plural(n, "invocation was", "invocations were"))
	}
}
