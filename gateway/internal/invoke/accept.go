package invoke

import (
	"context"
	"net/http"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// accept queues a background call and answers 202, or with what the function
// returned if the caller waits for that and it comes in time.
func (i *Invoker) accept(w http.ResponseWriter, r *http.Request, target route.Target, id string, event []byte) error {
	asked, err := read(r.Header)
	if err != nil {
		return err
	}
	inv := invocation.Invocation{ID: id, Site: target.Site, Deploy: target.Deploy, Awaited: asked.wait > 0}
	if inv.NotBefore, err = i.notBefore(r.Context(), asked); err != nil {
		return err
	}
	if asked.callback != "" {
		if err := i.cfg.CheckCallback(asked.callback); err != nil {
			return err
		}
		inv.Callback = &invocation.Callback{URL: asked.callback}
	}
	begun := time.Now()
	accepted, err := i.cfg.Intake.Accept(r.Context(), intake.Call{
		Invocation: inv, Function: target.Function, Published: target.Published, Event: event, Key: asked.key,
	})
	i.metrics.accepted(begun, accepted, err)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set(RequestIDHeader, accepted.ID)
	h.Set("Location", InvocationPath+accepted.ID)
	if accepted.Replayed {
		h.Set(replayedHeader, "true")
	}
	if asked.wait > 0 {
		switch answered, err := i.wait(w, r, target.Function, accepted.ID, asked.wait); {
		case r.Context().Err() != nil:
			return ErrGone
		case answered || err != nil:
			return err
		}
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// notBefore is when the first attempt may start, by the clock of Redis.
func (i *Invoker) notBefore(ctx context.Context, a asked) (time.Time, error) {
	if a.delay <= 0 {
		return a.instant, nil // a past one is stored, and keeps nothing waiting
	}
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	now, err := i.cfg.Now(ctx)
	if err != nil {
		return time.Time{}, fault.Wrap(err, fault.Unavailable, "The queue does not take work at the moment. Try again in a few seconds.").After(2 * time.Second)
	}
	return now.Add(a.delay), nil
}
