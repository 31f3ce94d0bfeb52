package fault_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

var kinds = []fault.Kind{
	fault.Internal, fault.Invalid, fault.Unauthorized, fault.Forbidden, fault.NotFound, fault.Conflict,
	fault.TooLarge, fault.Throttled, fault.Unavailable, fault.Timeout, fault.BadGateway,
}

func TestEachKindHasAStatusOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[int]fault.Kind{}
	for _, k := range kinds {
		status := k.HTTPStatus()
		if status < 400 || http.StatusText(status) == "" {
			t.Errorf("%s.HTTPStatus() = %d", k, status)
		}
		if other, dup := seen[status]; dup {
			t.Errorf("%s and %s share status %d", k, other, status)
		}
		seen[status] = k
		if got := fault.KindOfStatus(status); got != k {
			t.Errorf("KindOfStatus(%d) = %s, want %s", status, got, k)
		}
	}
}

func TestKindSurvivesWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp: refused")
	err := fmt.Errorf("starting: %w", fault.Wrap(cause, fault.Unavailable, "Redis does not answer").After(2*time.Second))
	if got := fault.KindOf(err); got != fault.Unavailable {
		t.Errorf("KindOf = %s, want unavailable", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	message, after := fault.Public(err)
	if message != "Redis does not answer" || after != 2*time.Second {
		t.Errorf("Public = %q, %s", message, after)
	}
}

func TestInternalsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("secret detail"), fault.New(fault.Internal, "secret detail")} {
		if message, _ := fault.Public(err); message == "" || message == "secret detail" {
			t.Errorf("Public(%v) = %q", err, message)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	others := map[fault.Kind]int{fault.Invalid: 2, fault.Conflict: 3, fault.Throttled: 4, fault.Unavailable: 4}
	for _, k := range kinds {
		want := cmp.Or(others[k], 1)
		if got := k.ExitCode(); got != want {
			t.Errorf("%s.ExitCode() = %d, want %d", k, got, want)
		}
	}
}
