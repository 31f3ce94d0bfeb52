package attempt

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

func TestFailed(t *testing.T) {
	t.Parallel()
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		return ctx
	}
	crash := &pool.Failed{Outcome: invocation.Crashed, Failure: invocation.Failure{Message: "exit status 1"}}
	tests := map[string]struct {
		ctx     context.Context
		err     error
		outcome invocation.Outcome
		message string
	}{
		"the function's own":               {context.Background(), fmt.Errorf("reading: %w", crash), invocation.Crashed, "exit status 1"},
		"the function's own when it ended": {ended(pool.ErrCancelled), crash, invocation.Crashed, "exit status 1"},
		"cancelled":                        {ended(pool.ErrCancelled), context.Canceled, invocation.Aborted, "the invocation was cancelled"},
		"cancelled, as the pool says":      {context.Background(), pool.ErrCancelled, invocation.Aborted, "the invocation was cancelled"},
		"draining":                         {ended(pool.ErrDraining), context.Canceled, invocation.Drained, "the worker was shut down before the function had finished"},
		"no such deploy":                   {context.Background(), fault.New(fault.NotFound, "the deploy d does not exist"), invocation.InitError, "the deploy d does not exist"},
		"no process":                       {context.Background(), errors.New("fork: no memory"), invocation.InitError, "the function could not be started: fork: no memory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Failed(test.ctx, test.err)
			if got.Outcome != test.outcome || got.Failure.Message != test.message {
				t.Errorf("Failed = %s %q, want %s %q", got.Outcome, got.Failure.Message, test.outcome, test.message)
			}
		})
	}
}
