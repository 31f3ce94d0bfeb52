// Package history is what happened in a run, as those saw it who took part:
// callers, functions, and whoever broke something. It is what invariants are
// checked on, and what is kept when one does not hold.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Call is one background call and its answer.
type Call struct {
	N       int       `json:"n"`             // the call's own number, which its function reports
	Plan    string    `json:"plan"`          // what the function was asked to do
	Key     string    `json:"key,omitempty"` // the same in all tries of one call; empty: it is tried once
	Gateway int       `json:"gateway"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Status  int       `json:"status"` // 0: no answer
	ID      string    `json:"id,omitempty"`
	Err     string    `json:"err,omitempty"`
}

// Answer is one call of a sync function and what came back.
type Answer struct {
	N       int       `json:"n"` // the call's own number, beside those of background calls
	Plan    string    `json:"plan"`
	Gateway int       `json:"gateway"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Status  int       `json:"status"` // 0: no answer, or one that broke off
	Body    string    `json:"body,omitempty"`
	Of      string    `json:"of,omitempty"` // the number that stands in the header of the response
	Err     string    `json:"err,omitempty"`
}

// SyncRequest is the body of the sync call of a number.
func SyncRequest(n int, plan string) string { return fmt.Sprintf(`{"n":%d,"plan":%q}`, n, plan) }

// SyncResponse is what the function answers to a sync call of a number.
func SyncResponse(n int) (status int, body string) {
	return 200 + n%2, strings.Repeat(fmt.Sprintf("%d ", n), 1+n%997)
}

// Told is one callback as its receiver saw it.
type Told struct {
	Time       time.Time `json:"time"`
	Webhook    string    `json:"webhook"` // the same in all requests of one callback
	Invocation string    `json:"invocation"`
	State      string    `json:"state"`   // that it told
	Genuine    bool      `json:"genuine"` // the signature is right
	Answer     int       `json:"answer"`  // of the receiver
}

// Accepted says that the caller was promised that the call runs.
func (c Call) Accepted() bool { return c.Status == 202 }

// Cancel is one request to end an invocation and its answer.
type Cancel struct {
	ID       string    `json:"id"`
	Begun    time.Time `json:"begun"`
	Ended    time.Time `json:"ended"`
	State    string    `json:"state,omitempty"` // that the answer told
	Attempts int       `json:"attempts"`        // that the answer told
	Err      string    `json:"err,omitempty"`
}

// Deploy is one deploy that somebody made, published if Err is empty.
type Deploy struct {
	Version int       `json:"version"`
	ID      string    `json:"id,omitempty"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Err     string    `json:"err,omitempty"`
}

// Effect is something that a function did, which it reports itself.
type Effect struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"`
	N       int       `json:"n"`
	Attempt int       `json:"attempt"` // 0: the function does not know
	Run     string    `json:"run"`     // drawn by the function for each of its runs
	Phase   string    `json:"phase"`   // begin or end
	Version int       `json:"version"` // of the code
}

// Fault is one fault that was injected.
type Fault struct {
	Name    string    `json:"name"`
	What    string    `json:"what"` // whom it struck, and how
	Begun   time.Time `json:"begun"`
	Healed  time.Time `json:"healed"`
	Healthy time.Time `json:"healthy"` // all services were ready again
	Err     string    `json:"err,omitempty"`
}

// Sight is how somebody saw a record while the run went on.
type Sight struct {
	Time     time.Time `json:"time"`
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Attempts int       `json:"attempts"`
	Finished time.Time `json:"finished"`
}

// Drift is a moment at which the system's own counts did not add up.
type Drift struct {
	Time  time.Time `json:"time"`
	Drift int64     `json:"drift"` // accepted minus all others
	What  string    `json:"what"`
}

// History collects all that happens. It is safe for concurrent use.
type History struct {
	mu      sync.Mutex
	calls   []Call
	cancels []Cancel
	deploys []Deploy
	effects []Effect
	faults  []Fault
	drifts  []Drift
	answers []Answer
	told    []Told
	asked   map[string]int   // requests by callback
	ran     map[int]int      // how often a sync call ran, by its number
	ends    map[string]Sight // the first terminal state of each that was seen
	moved   []Sight          // what followed a terminal state
	tries   map[string]int   // how many runs of an invocation began
	seen    int
}

// New makes an empty history.
func New() *History {
	return &History{ends: map[string]Sight{}, tries: map[string]int{}, asked: map[string]int{}, ran: map[int]int{}}
}

// Call notes a call.
func (h *History) Call(c Call) { note(h, &h.calls, c) }

// Cancel notes a cancellation.
func (h *History) Cancel(c Cancel) { note(h, &h.cancels, c) }

// Deploy notes a deploy.
func (h *History) Deploy(d Deploy) { note(h, &h.deploys, d) }

// Fault notes a fault that is over.
func (h *History) Fault(f Fault) { note(h, &h.faults, f) }

// Drift notes that the counts did not add up.
func (h *History) Drift(d Drift) { note(h, &h.drifts, d) }

// Answer notes what came back of a sync call.
func (h *History) Answer(a Answer) { note(h, &h.answers, a) }

// Told notes what a receiver was told.
func (h *History) Told(t Told) { note(h, &h.told, t) }

// Asks counts a request of a callback and returns how many came before.
func (h *History) Asks(webhook string) (before int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[webhook]++
	return h.asked[webhook] - 1
}

// Ran notes that a sync call of a number ran.
func (h *History) Ran(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ran[n]++
}

// Runs is how often each sync call ran.
func (h *History) Runs() map[int]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ran)
}

func note[T any](h *History, list *[]T, item T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, item)
}

// Effect notes an effect and returns how many runs of the invocation began
// before this one did.
func (h *History) Effect(e Effect) (before int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.effects = append(h.effects, e)
	if e.Phase == "begin" {
		h.tries[e.ID]++
	}
	return h.tries[e.ID] - 1
}

// Sight notes how a record was seen; terminal says that nothing may follow.
func (h *History) Sight(s Sight, terminal bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	end, known := h.ends[s.ID]
	if known && (end.State != s.State || end.Attempts != s.Attempts || !end.Finished.Equal(s.Finished)) {
		h.moved = append(h.moved, s)
	}
	if !known && terminal {
		h.ends[s.ID] = s
	}
}

// Calls lists the calls by their end, and the others likewise.
func (h *History) Calls() []Call { return list(h, &h.calls) }

// Cancels lists the cancellations.
func (h *History) Cancels() []Cancel { return list(h, &h.cancels) }

// Deploys lists the deploys.
func (h *History) Deploys() []Deploy { return list(h, &h.deploys) }

// Effects lists the effects.
func (h *History) Effects() []Effect { return list(h, &h.effects) }

// Faults lists the faults.
func (h *History) Faults() []Fault { return list(h, &h.faults) }

// Drifts lists when the counts did not add up.
func (h *History) Drifts() []Drift { return list(h, &h.drifts) }

// Answers lists what came back of sync calls.
func (h *History) Answers() []Answer { return list(h, &h.answers) }

// Telling lists what receivers were told.
func (h *History) Telling() []Told { return list(h, &h.told) }

// Moved lists what was seen of records after their first terminal state.
func (h *History) Moved() []Sight { return list(h, &h.moved) }

func list[T any](h *History, from *[]T) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(*from)
}

// Seen is how often records were looked at.
func (h *History) Seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// End is how a record was when it was first seen finished.
func (h *History) End(id string) (Sight, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.ends[id]
	return s, ok
}

// Save writes the history into a folder, one line of JSON for each thing.
func (h *History) Save(dir string) error {
	return errors.Join(
		save(dir, "calls", h.Calls()), save(dir, "cancels", h.Cancels()), save(dir, "deploys", h.Deploys()),
		save(dir, "effects", h.Effects()), save(dir, "faults", h.Faults()), save(dir, "moved", h.Moved()),
		save(dir, "drifts", h.Drifts()), save(dir, "answers", h.Answers()), save(dir, "told", h.Telling()),
	)
}

func save[T any](dir, name string, items []T) (err error) {
	file, err := os.Create(filepath.Join(dir, name+".jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	encode := json.NewEncoder(file)
	for _, item := range items {
		if err := encode.Encode(item); err != nil {
			return err
		}
	}
	return nil
}
