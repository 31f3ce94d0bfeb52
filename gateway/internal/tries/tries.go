// Package tries bounds how often a client may show what is not right: tokens, on
// every way in.
package tries

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru" // a map that is bounded
	"github.com/nightshift/nightshift/shared/daemon"
	"golang.org/x/time/rate" // token buckets
)

// A client may fail First times, and then once each Next. That is per gateway. A
// token of 32 random bytes needs no limit; it is for those that somebody has
// made up, and for who would keep us busy.
const (
	First = 10
	Next  = 10 * time.Second
	// maxClients bounds what is remembered; the one that was quiet for longest is
	// forgotten first.
	maxClients = 10_000
)

// Tries counts failures, by client. It is safe for concurrent use.
type Tries struct {
	mu      sync.Mutex
	clients *simplelru.LRU[string, *rate.Limiter]
}

// New makes a count.
func New() *Tries {
	clients, err := simplelru.NewLRU[string, *rate.Limiter](maxClients, nil)
	if err != nil { // the size is a constant that is fine
		panic(err)
	}
	return &Tries{clients: clients}
}

// Check asks whether a client is right, unless it has failed too often: then it
// is not asked, and wait says when it will be again. Whoever is over the limit
// so learns nothing, also not that a guess was right. Checks are made one after
// the other, so that many at once are no more than as many in a row: right must
// not wait for anything.
func (t *Tries) Check(ip string, right func() bool) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limiter := t.limiter(ip)
	if wait := untilNext(limiter); wait > 0 {
		return false, wait
	}
	if right() {
		return true, 0
	}
	limiter.Allow()
	return false, 0
}

// Fail counts a failure. wait is not zero if the client was over the limit
// before: it says when it is no more.
func (t *Tries) Fail(ip string) (wait time.Duration) {
	_, wait = t.Check(ip, func() bool { return false })
	return wait
}

func (t *Tries) limiter(ip string) *rate.Limiter {
	client := clientOf(ip)
	limiter, ok := t.clients.Get(client)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(Next), First)
		t.clients.Add(client, limiter)
	}
	return limiter
}

// untilNext is how long it is until a client may fail once more. A try that is
// put off does not put off the next one.
func untilNext(limiter *rate.Limiter) time.Duration {
	return max(0, time.Duration((1-limiter.Tokens())*float64(Next)))
}

// clientOf is what tells clients apart: the address, and of IPv6 the network,
// of which everybody has as many addresses as they like.
func clientOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	return daemon.Network(addr).String()
}
