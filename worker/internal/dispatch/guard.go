package dispatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/dispatch"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Keys are what gateways sign calls with: keyring.Ring.
type Keys interface {
	// Find returns the key with an ID. It may look for one in Redis, but not often.
	Find(ctx context.Context, id string) (dispatch.Key, bool)
	// Now is the time of Redis.
	Now() time.Time
}

// reason is why a call is not let in, as it is counted.
type reason string

const (
	byAbsence   reason = "unsigned"  // there is no signature
	byForm      reason = "malformed" // what stands there is none
	byKey       reason = "key"       // nobody knows the key
	bySignature reason = "signature" // something was changed, or the key's owner did not sign
	byWorker    reason = "worker"    // another worker is meant
	byTime      reason = "time"      // it was signed too long ago, or will be
	byReplay    reason = "replay"    // it has come before
	byEvent     reason = "event"     // another event was signed
)

var reasons = []reason{byAbsence, byForm, byKey, bySignature, byWorker, byTime, byReplay, byEvent}

// stranger is a call that is not let in.
type stranger struct {
	reason reason
	text   string
}

func (s stranger) Error() string { return s.text }

// errFull says that too many calls are remembered to take another one.
var errFull = errors.New("more calls than can be told apart")

// logEvery is the least time between two log lines about strangers.
const logEvery = 10 * time.Second

// guard lets in who has signed. It reads heads alone, and is through with a
// stranger in a few microseconds.
type guard struct {
	worker   string
	keys     Keys
	unsigned bool
	log      *slog.Logger
	refused  map[reason]prometheus.Counter
	seen     seen

	mu      sync.Mutex
	logged  time.Time
	omitted int // strangers since then
}

func newGuard(cfg Config, log *slog.Logger) *guard {
	refused := promauto.With(cfg.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_worker_calls_refused_total", Help: "Sync calls that were not let in, because they were not signed as they should be.",
	}, []string{"reason"})
	g := &guard{worker: cfg.Worker, keys: cfg.Keys, unsigned: cfg.Unsigned, log: log, refused: map[reason]prometheus.Counter{}}
	for _, r := range reasons {
		g.refused[r] = refused.WithLabelValues(string(r))
	}
	return g
}

// pass is what a call was let in with.
type pass struct {
	signed bool
	event  [sha256.Size]byte
}

// allows says whether this is the event that was signed.
func (p pass) allows(event []byte) error {
	if p.signed && sha256.Sum256(event) != p.event {
		return stranger{byEvent, "The event is not the one that was signed."}
	}
	return nil
}

// admit judges the head of a call. Errors are a stranger, or errFull.
func (g *guard) admit(r *http.Request) (pass, error) {
	signature, signed, err := dispatch.ReadSignature(r.Header)
	switch {
	case err != nil:
		return pass{}, stranger{byForm, fmt.Sprintf("The header %s cannot be read: %v.", dispatch.HeaderSignature, err)}
	case !signed && g.unsigned:
		return pass{}, nil
	case !signed:
		return pass{}, stranger{byAbsence, "The call is not signed. A gateway of an older version cannot sign: replace it before the workers; see docs/operations.md."}
	}
	if meant := r.Header.Get(dispatch.HeaderWorker); meant != g.worker {
		return pass{}, stranger{byWorker, "The call is for another worker, which is not here any more."}
	}
	key, known := g.keys.Find(r.Context(), signature.Key)
	switch now := g.keys.Now(); {
	case !known:
		return pass{}, stranger{byKey, "The call is signed with a key that this worker does not know. Do both use the same Redis?"}
	case !signature.Verify(key, r):
		return pass{}, stranger{bySignature, "The signature of the call is not right."}
	case !signature.Fresh(now):
		return pass{}, stranger{byTime, fmt.Sprintf("The call was signed %v from now.", now.Sub(signature.At).Abs())}
	}
	switch g.seen.add(signature.Nonce(), time.Now()) {
	case before:
		return pass{}, stranger{byReplay, "The call has come before."}
	case full:
		return pass{}, errFull
	}
	return pass{signed: true, event: signature.Event}, nil
}

// turnedAway counts a stranger, and logs some.
func (g *guard) turnedAway(r *http.Request, s stranger) {
	g.refused[s.reason].Inc()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.logged.IsZero() && time.Since(g.logged) < logEvery {
		g.omitted++
		return
	}
	g.log.Warn("call refused", "reason", string(s.reason), "from", r.RemoteAddr, "error", s.text, "omitted", g.omitted)
	g.logged, g.omitted = time.Now(), 0
}

// seen remembers the calls that may still be replayed: in two generations, of
// which the older one is forgotten when the newer one is so old that nothing in
// the older one is fresh any more.
type seen struct {
	mu           sync.Mutex
	newer, older map[[16]byte]struct{}
	since        time.Time // when the newer one began
}

// generation is how long one is filled. A signature is fresh from a window
// before its time until a window after it.
const generation = 2 * dispatch.Window

// maxSeen bounds a generation. It is far from what a worker can run: 17,000
// calls a second.
const maxSeen = 1 << 20

// verdict is what [seen.add] says.
type verdict int

const (
	added verdict = iota
	before
	full
)

func (s *seen) add(nonce [16]byte, now time.Time) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.since); age >= generation {
		s.older = s.newer
		if age >= 2*generation {
			s.older = nil
		}
		s.newer, s.since = map[[16]byte]struct{}{}, now
	}
	if _, ok := s.newer[nonce]; ok {
		return before
	}
	if _, ok := s.older[nonce]; ok {
		return before
	}
	if len(s.newer) >= maxSeen {
		return full
	}
	s.newer[nonce] = struct{}{}
	return added
}
