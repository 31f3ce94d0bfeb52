package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// Disposition says what is to happen with a delivered task. It is made by
// [Done], [RetryIn], [Bury] or [HandBack]; the zero value is Done.
type Disposition struct{ err error } // in asynq's terms: what its handler returns

// Done acknowledges: the task is gone, and its ID is free again.
func Done() Disposition { return Disposition{} }

// RetryIn delivers the task again after d, at the tail of its lane: never
// earlier, and released at most 2 s later if the lane has room, because asynq
// keeps whole seconds, and this server and the leader look once a second. While
// neither does, another server finds it within 10 s more.
func RetryIn(d time.Duration) Disposition { return Disposition{retryError{max(d, 0)}} }

// Bury moves the task to asynq's archive, where asynqmon shows it with the
// reason; its ID stays taken. Our own record is what counts.
func Bury(reason string) Disposition { return Disposition{buryError{reason}} }

// HandBack puts the task back at the head of its queue at once, uncounted: a
// draining worker's way. Somebody, perhaps this server, gets it within
// milliseconds.
func HandBack() Disposition { return Disposition{errHandBack} }

type retryError struct{ after time.Duration }

func (e retryError) Error() string { return fmt.Sprintf("to be run again in %v", e.after) }

type buryError struct{ reason string }

func (e buryError) Error() string { return e.reason }

// Is makes asynq archive the task.
func (e buryError) Is(target error) bool { return target == asynq.SkipRetry }

var errHandBack = errors.New("handed back")

// handBackEra is how long ago a task is to be retried that is handed back.
// asynq knows no hand-back, and calls the retry script with the time as its
// only trace of what the handler said. A time decades ago says it: loopClient
// then runs handback.lua. If it ever did not, asynq would retry at once, which
// is nearly the same.
const handBackEra = 30 * 365 * 24 * time.Hour

// delay is asynq's RetryDelayFunc. nth counts hand-backs, so that no two of them
// have the same time: see handback.lua.
func delay(err error, nth int64) time.Duration {
	if errors.Is(err, errHandBack) {
		return time.Duration(nth)*time.Second - handBackEra
	}
	if retry, ok := errors.AsType[retryError](err); ok {
		// asynq cuts the time off to whole seconds; the task must not be early. It
		// counts only if dueTimes does not know better.
		return retry.after + time.Second - 1
	}
	// asynq gave the task up by itself: the lease expired, somebody cancelled it
	// with asynq's tools, or the handler ignored its end.
	return time.Second
}

// isHandBack reports whether a retry time stands for a hand-back.
func isHandBack(retryAt, now int64) bool {
	return retryAt < now-int64(handBackEra/2/time.Second)
}
