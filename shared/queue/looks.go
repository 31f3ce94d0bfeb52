package queue

import (
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

// lookInterval bounds the time between two looks of a worker for tasks whose time
// has come. The leader's sweep looks each second, for all; a worker is there for
// when nobody leads, and for the retries that it has written itself.
const lookInterval = 10 * time.Second

// looks says when a worker looks for tasks whose time has come: when the next one
// that it knows of is due, and now and then for those that it does not know.
type looks struct {
	atMost time.Duration // lookInterval; tests change it before the start

	mu   sync.Mutex
	next map[function.Kind]time.Time
}

func newLooks() *looks { return &looks{atMost: lookInterval, next: map[function.Kind]time.Time{}} }

// due reports whether it is time to look; then the next time is the latest one,
// until somebody asks for an earlier one.
func (l *looks) due(kind function.Kind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next[kind]) {
		return false
	}
	l.next[kind] = now.Add(l.atMost)
	return true
}

// in asks for a look after d.
func (l *looks) in(kind function.Kind, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := time.Now().Add(d); at.Before(l.next[kind]) {
		l.next[kind] = at
	}
}
