// Package fault is the one vocabulary for errors that cross a package boundary.
//
// An error has a kind for the caller (what class of thing went wrong), a
// message for the user (what was being done, what is wrong, what to do) and,
// optionally, a cause for the operator. Kinds map to HTTP statuses in
// [Kind.HTTPStatus] and to process exit codes in [Kind.ExitCode], and nowhere
// else. An error without a kind is [Internal]: its text is logged, never shown.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind says what class of thing went wrong.
type Kind string

// The closed list of kinds.
const (
	Internal     Kind = "internal"     // a bug or an unknown condition; the text is not for users
	Invalid      Kind = "invalid"      // the request or the input is malformed
	Unauthorized Kind = "unauthorized" // no or wrong credentials
	Forbidden    Kind = "forbidden"    // known caller, not allowed
	NotFound     Kind = "not_found"    // no such site, deploy, function, invocation or route
	Conflict     Kind = "conflict"     // the thing is in a state that does not allow this
	TooLarge     Kind = "too_large"    // body over its limit
	Throttled    Kind = "throttled"    // a limit on rate, backlog or concurrency
	Unavailable  Kind = "unavailable"  // a dependency is down or no worker is alive; trying again helps
	Timeout      Kind = "timeout"      // the function did not answer within its limit
	BadGateway   Kind = "bad_gateway"  // the function crashed or answered nonsense
)

// Error is an error with a kind. Build it with [New] or [Wrap].
type Error struct {
	Kind    Kind
	Message string
	// RetryAfter, if not zero, is when trying again makes sense. It becomes the
	// Retry-After header, in whole seconds, rounded up.
	RetryAfter time.Duration
	Cause      error
}

// New makes an error of a kind with a message meant for the user.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap is [New] with a cause, which the operator sees and the user does not.
func Wrap(cause error, kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// After sets RetryAfter and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Error returns the message with the cause behind it, for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of the outermost [*Error] in err's chain, or Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Public returns the text that a user may see, and when to try again (0: not said).
func Public(err error) (message string, retryAfter time.Duration) {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != Internal {
		return e.Message, e.RetryAfter
	}
	return "Something went wrong on our side. The log of the service has the details.", 0
}

// HTTPStatus is the status that a kind is answered with.
func (k Kind) HTTPStatus() int {
	switch k {
	case Invalid:
		return http.StatusBadRequest
	case Unauthorized:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Throttled:
		return http.StatusTooManyRequests
	case Unavailable:
		return http.StatusServiceUnavailable
	case Timeout:
		return http.StatusGatewayTimeout
	case BadGateway:
		return http.StatusBadGateway
	default:
		return http.StatusInternalServerError
	}
}

// KindOfStatus is the inverse of [Kind.HTTPStatus] for clients.
func KindOfStatus(status int) Kind {
	for _, k := range []Kind{Invalid, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, Throttled, Unavailable, Timeout, BadGateway} {
		if k.HTTPStatus() == status {
			return k
		}
	}
	return Internal
}

// ExitCode is the exit status of a command that ended with an error of this
// kind: 2 for wrong input (as flag parsing uses), 3 where the state of things
// does not allow it, 4 where trying again helps, and 1 for everything else.
func (k Kind) ExitCode() int {
	switch k {
	case Invalid:
		return 2
	case Conflict:
		return 3
	case Throttled, Unavailable:
		return 4
	default:
		return 1
	}
}
