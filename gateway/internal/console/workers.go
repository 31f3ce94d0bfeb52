package console

import (
	"net/http"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/shared/store"
)

// fleetView is the live workers and what they have together.
type fleetView struct {
	Workers              []workerView
	Busy, Capacity, Warm int
	Draining             int
}

// workerView is a worker with its warm processes counted.
type workerView struct {
	store.Worker
	WarmCount int
}

func newFleet(list []store.Worker) fleetView {
	var f fleetView
	for _, w := range list {
		view := workerView{Worker: w}
		for _, n := range w.Warm {
			view.WarmCount += n
		}
		f.Workers = append(f.Workers, view)
		f.Busy, f.Capacity, f.Warm = f.Busy+w.Busy, f.Capacity+w.Capacity, f.Warm+view.WarmCount
		if w.Draining {
			f.Draining++
		}
	}
	return f
}

// workersView is the page of the fleet.
type workersView struct {
	frame
	fleetView
}

// workers lists the live workers, which serve all sites.
func (c *Console) workers(w http.ResponseWriter, r *http.Request) error {
	if err := access.From(r.Context()).NeedAll(); err != nil {
		return err
	}
	frame, _, err := c.frameOf(w, r, "workers", "Workers")
	if err != nil {
		return err
	}
	list, err := c.Workers.Workers(r.Context())
	if err != nil {
		return err
	}
	return c.render(w, http.StatusOK, "workers", workersView{frame, newFleet(list)})
}
