package console

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/rerun"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

// newKey makes a key that lets a form do its work once, also if it is sent again.
func newKey() string { return rand.Text() }

// keyOf is the key of a form.
func keyOf(r *http.Request) (string, error) {
	key := r.PostFormValue("key")
	if len(key) < 16 || len(key) > 64 {
		return "", fault.New(fault.Invalid, "the form is not complete; load the page again")
	}
	return key, nil
}

// confirmView asks before something that cannot be taken back, or that many
// would notice.
type confirmView struct {
	frame
	Question string
	Facts    []pair
	Effect   string // what will happen
	Action   string // where the form goes
	Verb     string // what its button says
	Danger   bool
	Fields   []pair // hidden ones
	Back     string // where one goes instead
}

func (c *Console) confirm(w http.ResponseWriter, view confirmView) error {
	return c.render(w, http.StatusOK, "confirm", view)
}

func pageOf(inv invocation.Invocation) string { return "/sites/" + inv.Site + "/invocations/" + inv.ID }

// confirmCancel asks before an invocation is cancelled.
func (c *Console) confirmCancel(w http.ResponseWriter, r *http.Request) error {
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	if inv.State.Terminal() {
		return fault.New(fault.Conflict, "cancelling invocation %s: it is %s already", inv.ID, inv.State)
	}
	frame, _, err := c.frameOf(w, r, "invocations", "Cancel")
	if err != nil {
		return err
	}
	effect := "It will not run. That cannot be taken back; a replay makes another one."
	if inv.State == invocation.Running {
		effect = "Its attempt is ended within a second, wherever it stands. That cannot be taken back; a replay makes another one."
	}
	return c.confirm(w, confirmView{
		frame: frame, Question: "Cancel this invocation?", Effect: effect, Danger: true,
		Facts:  []pair{{"Function", inv.Function}, {"Invocation", inv.ID}, {"State", label(inv.State)}},
		Action: pageOf(inv) + "/cancel", Verb: "Cancel invocation", Back: pageOf(inv),
	})
}

// cancel cancels an invocation.
func (c *Console) cancel(w http.ResponseWriter, r *http.Request) error {
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	inv, stopping, err := c.Cancel.Cancel(r.Context(), inv.ID)
	if err != nil {
		return err
	}
	c.log.Info("invocation cancelled", "invocation", inv.ID, "site", inv.Site, "function", inv.Function, "from", c.ClientIP(r))
	if stopping {
		return leadTo(w, r, pageOf(inv), false, "The attempt is being ended; the invocation is cancelled within a second.")
	}
	return leadTo(w, r, pageOf(inv), false, "Cancelled.")
}

// retry queues a dead invocation again.
func (c *Console) retry(w http.ResponseWriter, r *http.Request) error {
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	if inv, err = c.Rerun.Retry(r.Context(), inv.ID); err != nil {
		return err
	}
	c.log.Info("invocation retried", "invocation", inv.ID, "site", inv.Site, "function", inv.Function, "from", c.ClientIP(r))
	return leadTo(w, r, pageOf(inv), false, "Queued again, on the deploy that accepted it, with its attempts anew.")
}

// replay makes an invocation with the request of another one, and leads to it.
func (c *Console) replay(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	made, err := c.Rerun.Replay(r.Context(), inv.ID, key)
	if err != nil {
		return err
	}
	c.log.Info("invocation replayed", "invocation", made.Of, "as", made.ID, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+inv.Site+"/invocations/"+made.ID, false, "This is the replay of %s: the same request, on what is published now.", made.Of)
}

// retryCallback makes a callback again that was given up.
func (c *Console) retryCallback(w http.ResponseWriter, r *http.Request) error {
	inv, err := c.find(r)
	if err != nil {
		return err
	}
	if err := c.Callbacks.RetryCallback(r.Context(), inv.ID); err != nil {
		return err
	}
	c.log.Info("callback retried", "invocation", inv.ID, "site", inv.Site, "from", c.ClientIP(r))
	return leadTo(w, r, pageOf(inv), false, "The callback is made again now, with all its tries.")
}

// deadView is a page of the dead invocations.
type deadView struct {
	frame
	Form    filterForm
	Problem string
	Names   []string
	Count   int64
	List    []failureView
	Pager   pager
}

// dead lists the dead invocations of a site.
func (c *Console) dead(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "dead", "Dead")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	filter, form, err := readFilter(site.Name, q)
	filter.State, form.State = invocation.Dead, ""
	view := deadView{frame: frame, Form: form}
	status := http.StatusOK
	if err != nil {
		message, _ := fault.Public(err)
		view.Problem, status = sentence(message), fault.KindOf(err).HTTPStatus()
	}
	counts, err := c.Figures.SiteCounts(r.Context(), site.Name)
	if err != nil {
		return err
	}
	view.Count = counts.Dead
	if view.Problem == "" {
		list, next, err := c.Records.Invocations(r.Context(), filter, q.Get("cursor"), listed)
		if err != nil {
			return err
		}
		for _, inv := range list {
			view.List = append(view.List, failureOf(inv))
		}
		view.Pager = newPager("/sites/"+site.Name+"/dead", form.query(), q, next)
	}
	if view.Names, err = c.names(r, site, form.Function); err != nil {
		return err
	}
	return c.render(w, status, "dead", view)
}

// replayed is how many invocations one form replays at most: so many are counted,
// of any number, while somebody waits for the page.
const replayed = 500

// confirmReplayAll says how many invocations a filter lets through, and asks.
func (c *Console) confirmReplayAll(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "dead", "Replay")
	if err != nil {
		return err
	}
	filter, form, err := readFilter(site.Name, r.URL.Query())
	if err != nil {
		return err
	}
	filter.State = invocation.Dead
	if filter.To.IsZero() { // what dies while one looks at the number is not in it
		filter.To = frame.Now
		form.To = filter.To.Format("2006-01-02T15:04:05.999")
	}
	report, err := c.Rerun.ReplayAll(r.Context(), rerun.Batch{Filter: filter, Limit: replayed, DryRun: true})
	if err != nil {
		return err
	}
	back := join("/sites/"+site.Name+"/dead", filterForm{Function: form.Function, Deploy: form.Deploy, From: form.From}.query())
	if len(report.Matched) == 0 {
		return leadTo(w, r, back, true, "No dead invocation matches, so there is nothing to replay.")
	}
	view := confirmView{
		frame: frame, Question: fmt.Sprintf("Replay %s dead %s?", number(len(report.Matched)), plural(len(report.Matched), "invocation", "invocations")),
		Effect: "Each becomes another invocation with the same request, on what is published now, the oldest first. The dead ones stay as they are, for as long as they are kept.",
		Facts:  []pair{{"Function", orAll(form.Function)}, {"Oldest", report.Matched[0]}, {"Newest", report.Matched[len(report.Matched)-1]}},
		Action: "/sites/" + site.Name + "/dead/replay", Verb: fmt.Sprintf("Replay %s", number(len(report.Matched))), Danger: true, Back: back,
		Fields: []pair{{"key", newKey()}, {"function", form.Function}, {"deploy", form.Deploy}, {"from", form.From}, {"to", form.To}},
	}
	if form.Deploy != "" {
		view.Facts = append(view.Facts, pair{"Deploy", form.Deploy})
	}
	if report.Next != "" {
		view.Effect += fmt.Sprintf(" There are more than that: at most %s are replayed at a time, the newest of them.", number(replayed))
	}
	return c.confirm(w, view)
}

// batchLimit bounds the answer to a form that makes many invocations.
const batchLimit = 5 * time.Minute

// replayAll replays what was counted.
func (c *Console) replayAll(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	site, err := c.Releases.Site(r.Context(), r.PathValue("site"))
	if err != nil {
		return err
	}
	filter, form, err := readFilter(site.Name, r.PostForm)
	if err != nil {
		return err
	}
	filter.State = invocation.Dead
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(batchLimit))
	report, err := c.Rerun.ReplayAll(r.Context(), rerun.Batch{Filter: filter, Limit: replayed, Key: key})
	if n := len(report.Made); n > 0 {
		c.log.Info("invocations replayed", "site", site.Name, "function", form.Function, "count", n, "refused", len(report.Refused), "from", c.ClientIP(r))
	}
	if err != nil {
		if len(report.Made) == 0 {
			return err
		}
		message, _ := fault.Public(err)
		return leadTo(w, r, "/sites/"+site.Name+"/dead", true, "%s of %s were replayed before this happened: %s. Replay again to go on.", number(len(report.Made)), number(len(report.Matched)), message)
	}
	back := join("/sites/"+site.Name+"/invocations", filterForm{Function: form.Function}.query())
	if n := len(report.Refused); n > 0 {
		message, _ := fault.Public(report.Refused[0].Why)
		return leadTo(w, r, back, true, "%s replayed, %s not; the first of those: %s.", number(len(report.Made)), number(n), message)
	}
	return leadTo(w, r, back, false, "%s %s replayed.", number(len(report.Made)), plural(len(report.Made), "invocation is", "invocations are"))
}

// callbacksView is a page of the callbacks that were given up.
type callbacksView struct {
	frame
	List  []store.DeadCallback
	Pager pager
}

// callbacks lists the callbacks of a site that were given up.
func (c *Console) callbacks(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "callbacks", "Callbacks")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	list, next, err := c.Callbacks.DeadCallbacks(r.Context(), site.Name, q.Get("cursor"), listed)
	if err != nil {
		return err
	}
	return c.render(w, http.StatusOK, "callbacks", callbacksView{frame, list, newPager("/sites/"+site.Name+"/callbacks", nil, q, next)})
}

// names are the functions of a site that can be chosen.
func (c *Console) names(r *http.Request, site deploy.Site, chosen string) ([]string, error) {
	var names []string
	if site.Published != "" {
		d, err := c.Deploys.Deploy(r.Context(), site.Published)
		if err != nil {
			return nil, err
		}
		names = recorded(d.Functions)
	}
	for _, name := range names {
		if name == chosen {
			return names, nil
		}
	}
	if chosen != "" { // of another deploy
		names = append(names, chosen)
	}
	return names, nil
}

func orAll(name string) string {
	if name == "" {
		return "all functions"
	}
	return name
}
