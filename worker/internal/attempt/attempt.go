// Package attempt puts what can go wrong with an attempt into the closed list
// of outcomes, for queued and for sync calls alike.
package attempt

import (
	"context"
	"errors"
	"fmt"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

// Failed says how an attempt ended that err ended: an error of loading the
// code, of pool.Invoke or of reading its response. ctx is the attempt's own:
// the cause of its end wins where err does not know better.
func Failed(ctx context.Context, err error) *pool.Failed {
	if failed, ok := errors.AsType[*pool.Failed](err); ok {
		return failed
	}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(err, pool.ErrCancelled), errors.Is(cause, pool.ErrCancelled):
		return failure(invocation.Aborted, "Nightshift.Cancelled", "the invocation was cancelled")
	case errors.Is(err, pool.ErrDraining), errors.Is(cause, pool.ErrDraining):
		return failure(invocation.Drained, "Nightshift.Drained", "the worker was shut down before the function had finished")
	}
	switch fault.KindOf(err) {
	case fault.Internal:
		// A process that could not be started, for one. It counts, so that a
		// worker on which this never works does not go round in circles.
		return failure(invocation.InitError, "Nightshift.StartError", "the function could not be started: %v", err)
	default:
		message, _ := fault.Public(err)
		return failure(invocation.InitError, "Nightshift.LoadError", "%s", message)
	}
}

func failure(outcome invocation.Outcome, kind, format string, args ...any) *pool.Failed {
	return &pool.Failed{Outcome: outcome, Failure: invocation.Failure{Type: kind, Message: fmt.Sprintf(format, args...)}}
}
