package session

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru" // a map that is bounded
	"golang.org/x/time/rate"                       // token buckets
)

// A client may try firstTries times, and then once each nextTry. That is per
// gateway. A token of 32 random bytes needs no limit; it is for those that
// somebody has made up.
const (
	firstTries = 10
	nextTry    = 10 * time.Second
	// maxClients bounds what is remembered; the one that was quiet for longest is
	// forgotten first.
	maxClients = 10_000
)

// tries counts tries to sign in, by client.
type tries struct {
	mu      sync.Mutex
	clients *simplelru.LRU[string, *rate.Limiter]
}

func newTries() *tries {
	clients, err := simplelru.NewLRU[string, *rate.Limiter](maxClients, nil)
	if err != nil { // the size is a constant that is fine
		panic(err)
	}
	return &tries{clients: clients}
}

// wait counts a try and returns 0, or when the client may try again.
func (t *tries) wait(ip string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	client := clientOf(ip)
	limiter, ok := t.clients.Get(client)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(nextTry), firstTries)
		t.clients.Add(client, limiter)
	}
	reservation := limiter.Reserve()
	wait := reservation.Delay()
	if wait > 0 {
		reservation.Cancel() // a try that is put off does not put off the next one
	}
	return wait
}

// forget forgets the tries of a client that has signed in.
func (t *tries) forget(ip string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients.Remove(clientOf(ip))
}

// clientOf is what tells clients apart: the address, and of IPv6 the network,
// of which everybody has as many addresses as they like.
func clientOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return network.String()
}
