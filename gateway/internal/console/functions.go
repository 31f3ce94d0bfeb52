package console

import (
	"net/http"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
	"golang.org/x/sync/errgroup"
)

// figured is of how many newest runs of a function the figures are.
const figured = 100

// functionsView is the functions of what is published.
type functionsView struct {
	frame
	Published string
	Newest    int
	List      []functionView
}

// functionView is a function with how it ran lately.
type functionView struct {
	*function.Function
	URLs    []string
	Next    time.Time // the next tick; zero: none
	Paused  bool
	Figures store.Figures
}

// Recorded reports whether there are records of its calls: of sync ones there are none.
func (f functionView) Recorded() bool { return f.Kind != function.Sync }

// functions lists the functions of a site's published deploy.
func (c *Console) functions(w http.ResponseWriter, r *http.Request) error {
	frame, site, err := c.frameOf(w, r, "functions", "Functions")
	if err != nil {
		return err
	}
	view := functionsView{frame: frame, Published: site.Published, Newest: figured}
	if site.Published == "" {
		return c.render(w, http.StatusOK, "functions", view)
	}
	d, err := c.Deploys.Deploy(r.Context(), site.Published)
	if err != nil {
		return err
	}
	var names []string
	for i := range d.Functions {
		f := functionView{Function: &d.Functions[i]}
		if f.Recorded() {
			names = append(names, f.Name)
		}
		if f.Kind != function.Scheduled {
			f.URLs = f.Paths
			if len(f.URLs) == 0 {
				f.URLs = []string{function.DefaultPath(f.Name)}
			}
		}
		view.List = append(view.List, f)
	}
	next, paused := map[string]time.Time{}, map[string]bool{}
	var figures map[string]store.Figures
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) {
		if len(names) > 0 {
			figures, err = c.Figures.FunctionFigures(ctx, site.Name, names, figured)
		}
		return err
	})
	group.Go(func() error {
		list, err := c.Schedules.List(ctx, site.Name)
		for _, s := range list {
			if len(s.Next) > 0 {
				next[s.Function.Name] = s.Next[0]
			}
			paused[s.Function.Name] = !s.Pause.Since.IsZero()
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range view.List {
		f := &view.List[i]
		f.Next, f.Paused, f.Figures = next[f.Name], paused[f.Name], figures[f.Name]
	}
	return c.render(w, http.StatusOK, "functions", view)
}
