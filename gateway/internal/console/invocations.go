package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"golang.org/x/sync/errgroup"
)

// listed is how many invocations a page has.
const listed = 50

// states are those that one can look for, in the order of a life.
var states = []invocation.State{invocation.Queued, invocation.Running, invocation.Failed, invocation.Succeeded, invocation.Dead, invocation.Cancelled}

// invocationsView is a page of the list of invocations.
type invocationsView struct {
	frame
	Form    filterForm
	Problem string // why the filter lets nothing through
	States  []stateTab
	Names   []string // of functions that can be chosen
	List    []invocation.Invocation
	Pager   pager
}

// filterForm is the filter as it was typed.
type filterForm struct {
	Function, State, Deploy, From, To, ID string
}

// Narrow reports whether more than the state is chosen.
func (f filterForm) Narrow() bool { return f.Function+f.Deploy+f.From+f.To != "" }

// query is the filter as a query; the cursor of a page is not part of it.
func (f filterForm) query() url.Values {
	q := url.Values{}
	for _, p := range []struct{ name, value string }{{"function", f.Function}, {"state", f.State}, {"deploy", f.Deploy}, {"from", f.From}, {"to", f.To}} {
		if p.value != "" {
			q.Set(p.name, p.value)
		}
	}
	return q
}

// stateTab leads to the invocations in a state.
type stateTab struct {
	Name    string // empty: all
	URL     string
	Count   int64
	Current bool
}

// readFilter reads a filter. Its times are in UTC.
func readFilter(site string, q url.Values) (store.Filter, filterForm, error) {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	form := filterForm{Function: text("function"), State: text("state"), Deploy: text("deploy"), From: text("from"), To: text("to"), ID: text("id")}
	filter := store.Filter{Site: site, Function: form.Function, State: invocation.State(form.State), Deploy: form.Deploy}
	var err error
	if filter.From, err = readTime("from", form.From); err != nil {
		return filter, form, err
	}
	if filter.To, err = readTime("to", form.To); err != nil {
		return filter, form, err
	}
	if !filter.From.IsZero() && !filter.To.IsZero() && !filter.From.Before(filter.To) {
		return filter, form, fault.New(fault.Invalid, "from must be before to")
	}
	return filter, form, nil
}

// timeForms are how an instant may be typed: as the field of a form sends it, and
// as the API has it.
var timeForms = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.999", time.RFC3339, "2006-01-02 15:04", "2006-01-02"}

// readTime reads an instant, in UTC unless it says its zone; nothing is zero.
func readTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "%s is %.40q; write a time in UTC like 2030-01-31T08:00", name, text)
}

// invocations lists the invocations of a site that a filter lets through.
func (c *Console) invocations(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "invocations", "Invocations")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	filter, form, err := readFilter(site.Name, q)
	view := invocationsView{frame: frame, Form: form}
	status := http.StatusOK
	if err == nil && form.ID != "" {
		var found invocation.Invocation
		if found, err = c.Records.Invocation(r.Context(), strings.ToUpper(form.ID)); err == nil && !access.From(r.Context()).Sees(found.Site) {
			err = store.UnknownInvocation(form.ID)
		}
		if err == nil {
			http.Redirect(w, r, "/sites/"+found.Site+"/invocations/"+found.ID, http.StatusSeeOther)
			return nil
		}
	}
	var counts store.StateCounts
	var next string
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { counts, err = c.Figures.SiteCounts(ctx, site.Name); return err })
	group.Go(func() (err error) {
		if site.Published == "" {
			return nil
		}
		d, err := c.Deploys.Deploy(ctx, site.Published)
		view.Names = recorded(d.Functions)
		return err
	})
	if err == nil {
		view.List, next, err = c.Records.Invocations(r.Context(), filter, q.Get("cursor"), listed)
	}
	if failed := group.Wait(); failed != nil {
		return failed
	}
	if err != nil {
		kind := fault.KindOf(err)
		if kind != fault.Invalid && kind != fault.NotFound {
			return err
		}
		message, _ := fault.Public(err)
		view.Problem, status = sentence(message), kind.HTTPStatus()
	}
	if form.Function != "" && !slices.Contains(view.Names, form.Function) { // of another deploy
		view.Names = append(view.Names, form.Function)
	}
	path := "/sites/" + site.Name + "/invocations"
	view.States = tabs(path, form, counts)
	view.Pager = newPager(path, form.query(), q, next)
	return c.render(w, status, "invocations", view)
}

// recorded are the names of functions whose calls have records.
func recorded(functions []function.Function) []string {
	var names []string
	for i := range functions {
		if functions[i].Kind != function.Sync {
			names = append(names, functions[i].Name)
		}
	}
	return names
}

// tabs lead to the states, with the same filter else.
func tabs(path string, form filterForm, counts store.StateCounts) []stateTab {
	of := map[invocation.State]int64{
		invocation.Queued: counts.Queued, invocation.Running: counts.Running, invocation.Failed: counts.Failed,
		invocation.Succeeded: counts.Succeeded, invocation.Dead: counts.Dead, invocation.Cancelled: counts.Cancelled,
	}
	all := []stateTab{{Count: counts.Total()}}
	for _, state := range states {
		all = append(all, stateTab{Name: string(state), Count: of[state]})
	}
	current := form.State
	for i := range all {
		form.State = all[i].Name
		all[i].URL, all[i].Current = join(path, form.query()), current == all[i].Name
	}
	return all
}

func join(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// pager leads to the pages before and after one of a list, whose cursors lead
// only to older ones: a page's query has the cursors of the pages before it.
type pager struct {
	Newest, Newer, Older string // URLs; empty: there is no such page
}

// maxTrail is how many pages one can go back; from there on newer is the newest.
const maxTrail = 20

func newPager(path string, filter, q url.Values, next string) pager {
	cursor, trail := q.Get("cursor"), q["before"]
	trail = trail[max(0, len(trail)-maxTrail):]
	to := func(cursor string, trail []string) string {
		page := url.Values{}
		for name, values := range filter {
			page[name] = values
		}
		if cursor != "" {
			page.Set("cursor", cursor)
		}
		if len(trail) > 0 {
			page["before"] = trail
		}
		return join(path, page)
	}
	var p pager
	if cursor != "" {
		p.Newest, p.Newer = to("", nil), to("", nil)
		if n := len(trail); n > 0 {
			p.Newer = to(trail[n-1], trail[:n-1])
		}
		trail = append(slices.Clone(trail), cursor)
	}
	if next != "" {
		p.Older = to(next, trail)
	}
	return p
}
