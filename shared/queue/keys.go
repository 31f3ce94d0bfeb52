package queue

import (
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/function"
)

// queues are the queues by falling priority. A worker asks them in this order,
// so the last one is the one whose emptiness means that there is nothing to do.
var queues = []function.Kind{function.Scheduled, function.Background}

// isQueue reports whether tasks of the kind are queued at all.
func isQueue(kind function.Kind) bool { return slices.Contains(queues, kind) }

// asynq's keys, as far as this package touches them. The braces are the hash
// tag that keeps a queue's keys, and the records of its invocations, together.

func queueKey(kind function.Kind, name string) string { return queuePrefix(kind) + name }

// queuePrefix is what asynq's keys of a queue begin with.
func queuePrefix(kind function.Kind) string { return "asynq:{" + string(kind) + "}:" }

// lanePrefix is what our keys of a queue's lanes begin with; lane.lua lists them.
func lanePrefix(kind function.Kind) string { return "nightshift:{" + string(kind) + "}:lane:" }

func pendingKey(kind function.Kind) string { return queueKey(kind, "pending") }   // list, head on the right
func activeKey(kind function.Kind) string  { return queueKey(kind, "active") }    // list
func leaseKey(kind function.Kind) string   { return queueKey(kind, "lease") }     // zset, score: end of the lease, Unix s
func delayedKey(kind function.Kind) string { return queueKey(kind, "scheduled") } // zset, score: when it is due, Unix s
func retryKey(kind function.Kind) string   { return queueKey(kind, "retry") }     // zset, likewise
func pausedKey(kind function.Kind) string  { return queueKey(kind, "paused") }    // exists while an operator holds the queue
func taskKeyPrefix(kind function.Kind) string {
	return queueKey(kind, "t:") // + task ID: hash with msg, state, pending_since, and our lane
}

// archivedKey is the set of buried tasks, by when they were buried, Unix s.
func archivedKey(kind function.Kind) string { return queueKey(kind, "archived") }

// fenceKey is written last of all that replicas are waited for. It holds nothing.
func fenceKey(tag string) string { return "nightshift:{" + tag + "}:fence" }

// A shape is how one of asynq's scripts is recognised: by its keys and the
// number of its arguments. asynq exports nothing better. A test runs the real
// thing against these, so an upgrade that changes them fails there.
type shape struct {
	keys []string // what each key begins with after the queue's prefix
	args int
}

var (
	enqueueShape = shape{keys: []string{"t:", "pending"}, args: 3}
	expiredShape = shape{keys: []string{"lease"}, args: 2} // asynq's own search for lost tasks
	dequeueShape = shape{keys: []string{"pending", "paused", "active", "lease"}, args: 2}
	doneShape    = shape{keys: []string{"active", "lease", "t:", "processed:", "processed"}, args: 3}
	retryShape   = shape{keys: []string{"t:", "active", "lease", "retry", "processed:", "failed:", "processed", "failed"}, args: 6}
	archiveShape = shape{keys: []string{"t:", "active", "lease", "archived", "processed:", "failed:", "processed", "failed", "t:"}, args: 7}
	forwardShape = shape{keys: []string{"scheduled", "pending"}, args: 4} // of delayed tasks
	returnShape  = shape{keys: []string{"retry", "pending"}, args: 4}     // the same script, of retries
)

func (s shape) matches(keys []string, args []any) bool {
	if len(keys) != len(s.keys) || len(args) != s.args {
		return false
	}
	for i, want := range s.keys {
		_, name, ok := strings.Cut(keys[i], "}:")
		if !ok || name != want && !(strings.HasSuffix(want, ":") && strings.HasPrefix(name, want)) {
			return false
		}
	}
	return true
}

// splitKey takes a key of asynq's apart.
func splitKey(key string) (kind function.Kind, name string) {
	tag, name, _ := strings.Cut(key, "}:")
	return function.Kind(strings.TrimPrefix(tag, "asynq:{")), name
}
