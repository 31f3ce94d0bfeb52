// Package cancel ends invocations that somebody does not want any more.
//
// The record decides: what is queued never runs, and of what runs the attempt is
// ended within a second. The task of one that never runs is taken out of the
// queue too, where it would stand until its time or its turn.
package cancel

import (
	"context"
	"log/slog"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// withdrawLimit bounds what is done beside the record.
const withdrawLimit = 2 * time.Second

// Records are the records; see package store.
type Records interface {
	Cancel(ctx context.Context, id string) (invocation.State, error)
	Invocation(ctx context.Context, id string) (invocation.Invocation, error)
}

// Tasks are what is queued; see package queue.
type Tasks interface {
	Withdraw(ctx context.Context, kind function.Kind, id string) (bool, error)
}

// Service is safe for concurrent use.
type Service struct {
	records Records
	tasks   Tasks
	log     *slog.Logger
}

// New makes a service.
func New(records Records, tasks Tasks, log *slog.Logger) *Service {
	return &Service{records, tasks, log.With("component", "cancel")}
}

// Cancel ends an invocation and returns its record. stopping says that an attempt
// is still being ended. Unknown: fault.NotFound. Finished otherwise, be it in the
// same moment: fault.Conflict.
func (s *Service) Cancel(ctx context.Context, id string) (inv invocation.Invocation, stopping bool, err error) {
	state, err := s.records.Cancel(ctx, id)
	if err != nil {
		return inv, false, err
	}
	if inv, err = s.records.Invocation(ctx, id); err != nil {
		return inv, false, err
	}
	if inv.State.Terminal() && inv.State != invocation.Cancelled { // the attempt was faster
		return inv, false, fault.New(fault.Conflict, "cancelling invocation %s: it is %s already", inv.ID, inv.State)
	}
	if state == invocation.Running {
		return inv, true, nil
	}
	s.withdraw(ctx, inv)
	return inv, false, nil
}

// withdraw takes the task out of the queue. One that is left would only find its
// record finished.
func (s *Service) withdraw(ctx context.Context, inv invocation.Invocation) {
	// Whoever cancelled need not wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawLimit)
	defer cancel()
	if _, err := s.tasks.Withdraw(ctx, inv.Kind, inv.ID); err != nil {
		s.log.Warn("the task of a cancelled invocation may stay in the queue until its turn", "invocation", inv.ID, "site", inv.Site, "function", inv.Function, "error", err)
	}
}
