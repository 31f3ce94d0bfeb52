package console

import (
	"context"
	"net/http"
	"strconv"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

// deployPage is how many deploys a page has.
const deployPage = 20

// maxDeployPage is the last page: deploys expire, so there are not that many.
const maxDeployPage = 500

// deploysView is a page of the deploys of a site.
type deploysView struct {
	frame
	URL     string
	Current *deployView // what is published, or nil
	Locked  bool
	Back    *deployView // what a rollback leads to, or nil
	List    []deployView
	Pager   pager
}

// deployView is a deploy beside the site's pointers.
type deployView struct {
	deploy.Summary
	Published bool
	Locked    bool
	Purpose   string // what it was made for
}

// Ready reports whether it can be called, and published.
func (d deployView) Ready() bool { return d.State == deploy.Ready }

func newDeploy(site deploy.Site, d deploy.Summary) deployView {
	published := site.Published == d.ID
	return deployView{Summary: d, Published: published, Locked: published && site.Locked != "", Purpose: d.Context(!d.Draft)}
}

// deploys lists the deploys of a site.
func (c *Console) deploys(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "deploys", "Deploys")
	if err != nil {
		return err
	}
	page := 1
	if text := r.URL.Query().Get("page"); text != "" {
		if page, err = strconv.Atoi(text); err != nil || page < 1 || page > maxDeployPage {
			return fault.New(fault.Invalid, "page is %.20q; it must be 1 to %d", text, maxDeployPage)
		}
	}
	all, err := c.Deploys.DeploySummaries(r.Context(), site.Name, (page-1)*deployPage, deployPage+1)
	if err != nil {
		return err
	}
	view := deploysView{frame: frame, URL: c.SiteURL(site.Name, ""), Locked: site.Locked != ""}
	for _, d := range all[:min(deployPage, len(all))] {
		view.List = append(view.List, newDeploy(site, d))
	}
	path := "/sites/" + site.Name + "/deploys"
	if page > 1 {
		view.Pager.Newest, view.Pager.Newer = path, path+"?page="+strconv.Itoa(page-1)
	}
	if len(all) > deployPage {
		view.Pager.Older = path + "?page=" + strconv.Itoa(page+1)
	}
	known := map[string]deploy.Summary{}
	for _, d := range all {
		known[d.ID] = d
	}
	if site.Published != "" {
		d, err := c.known(r.Context(), known, site.Published)
		if err != nil {
			return err
		}
		current := newDeploy(site, d)
		view.Current = &current
	}
	back, err := c.before(r.Context(), known, site)
	if err != nil {
		return err
	}
	if back != nil {
		before := newDeploy(site, *back)
		view.Back = &before
	}
	return c.render(w, http.StatusOK, "deploys", view)
}

// known reads a deploy unless it is known.
func (c *Console) known(ctx context.Context, known map[string]deploy.Summary, id string) (deploy.Summary, error) {
	if d, ok := known[id]; ok {
		return d, nil
	}
	d, err := c.Deploys.Deploy(ctx, id)
	if err != nil {
		return deploy.Summary{}, err
	}
	known[id] = deploy.Summarize(d)
	return known[id], nil
}

// before is what a rollback leads to, or nil: the newest of the publications
// before the current one that is still there.
func (c *Console) before(ctx context.Context, known map[string]deploy.Summary, site deploy.Site) (*deploy.Summary, error) {
	history, err := c.Deploys.History(ctx, site.Name)
	if err != nil {
		return nil, err
	}
	for _, id := range history {
		if id == site.Published {
			continue
		}
		d, err := c.known(ctx, known, id)
		switch {
		case err == nil && d.State == deploy.Ready:
			return &d, nil
		case err != nil && !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	return nil, nil
}

func factsOf(role string, d *deploy.Deploy) []pair {
	facts := []pair{{role, d.ID}}
	if d.Title != "" {
		facts = append(facts, pair{"Title", d.Title})
	}
	if d.Branch != "" {
		facts = append(facts, pair{"Branch", d.Branch})
	}
	return append(facts, pair{"Made", exact(d.CreatedAt)})
}

const moveEffect = "Callers get it at once, and its schedules fire from now on. No request fails meanwhile; what was accepted before stays with the deploy that accepted it."

// confirmRollback says what a rollback leads to, and asks.
func (c *Console) confirmRollback(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "deploys", "Roll back")
	if err != nil {
		return err
	}
	back, err := c.before(r.Context(), map[string]deploy.Summary{}, site)
	if err != nil {
		return err
	}
	switch {
	case site.Locked != "":
		return fault.New(fault.Conflict, "site %s is locked to its published deploy; unlock it first", site.Name)
	case back == nil:
		return fault.New(fault.Conflict, "nothing was published on site %s before that is still there; publish a deploy from the list", site.Name)
	}
	facts := factsOf("Back to", &back.Deploy)
	if site.Published != "" {
		facts = append([]pair{{"Published now", site.Published}}, facts...)
	}
	return c.confirm(w, confirmView{
		frame: frame, Question: "Roll back " + site.Name + "?", Effect: moveEffect, Danger: true, Facts: facts,
		Action: "/sites/" + site.Name + "/rollback", Verb: "Roll back", Back: "/sites/" + site.Name + "/deploys",
		Fields: []pair{{"from", site.Published}, {"to", back.ID}},
	})
}

// rollback publishes what was published before, if that is still what was shown.
func (c *Console) rollback(w http.ResponseWriter, r *http.Request) error {
	site, err := c.Releases.Site(r.Context(), r.PathValue("site"))
	if err != nil {
		return err
	}
	if site.Published != r.PostFormValue("from") {
		return fault.New(fault.Conflict, "something else was published on site %s meanwhile; look at its deploys again", site.Name)
	}
	id, err := c.Releases.Rollback(r.Context(), site.Name)
	if err != nil {
		return err
	}
	c.log.Info("rolled back", "site", site.Name, "deploy", id, "before", site.Published, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+site.Name+"/deploys", id != r.PostFormValue("to"), "Rolled back: %s is published.", id)
}

// deployOf reads the deploy of a path, which must be one of its site.
func (c *Console) deployOf(r *http.Request) (deploy.Deploy, error) {
	d, err := c.Deploys.Deploy(r.Context(), r.PathValue("id"))
	if err == nil && d.Site != r.PathValue("site") {
		err = fault.New(fault.NotFound, "site %.80s has no deploy %.80s", r.PathValue("site"), r.PathValue("id"))
	}
	return d, err
}

// confirmPublish asks before a deploy is published.
func (c *Console) confirmPublish(w http.ResponseWriter, r *http.Request) error {
	d, err := c.deployOf(r)
	if err != nil {
		return err
	}
	frame, site, err := c.frameOf(w, r, "deploys", "Publish")
	if err != nil {
		return err
	}
	facts := factsOf("Publish", &d)
	if site.Published != "" {
		facts = append([]pair{{"Published now", site.Published}}, facts...)
	}
	return c.confirm(w, confirmView{
		frame: frame, Question: "Publish this deploy on " + site.Name + "?", Effect: moveEffect, Facts: facts,
		Action: "/sites/" + site.Name + "/deploys/" + d.ID + "/publish", Verb: "Publish", Back: "/sites/" + site.Name + "/deploys",
	})
}

// publish publishes a deploy.
func (c *Console) publish(w http.ResponseWriter, r *http.Request) error {
	site, id := r.PathValue("site"), r.PathValue("id")
	if err := c.Releases.Publish(r.Context(), site, id); err != nil {
		return err
	}
	c.log.Info("deploy published", "site", site, "deploy", id, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+site+"/deploys", false, "Published: callers get %s.", id)
}

// lock keeps a site at its published deploy.
func (c *Console) lock(w http.ResponseWriter, r *http.Request) error {
	d, err := c.deployOf(r)
	if err != nil {
		return err
	}
	if _, err := c.Releases.Lock(r.Context(), d.ID); err != nil {
		return err
	}
	c.log.Info("site locked", "site", d.Site, "deploy", d.ID, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+d.Site+"/deploys", false, "Locked: whatever is deployed, this one stays published until the site is unlocked.")
}

// unlock ends that.
func (c *Console) unlock(w http.ResponseWriter, r *http.Request) error {
	d, err := c.deployOf(r)
	if err != nil {
		return err
	}
	if _, err := c.Releases.Unlock(r.Context(), d.ID); err != nil {
		return err
	}
	c.log.Info("site unlocked", "site", d.Site, "deploy", d.ID, "from", c.ClientIP(r))
	return leadTo(w, r, "/sites/"+d.Site+"/deploys", false, "Unlocked: the next deploy is published again.")
}
