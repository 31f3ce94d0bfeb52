package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
)

const (
	// persistence is how long a caller with a key tries to be accepted.
	persistence = time.Minute
	// cancelTries is how often a cancel is tried that was not confirmed.
	cancelTries = 4
)

// one makes the call of a number, and cancels it if that is the plan.
func (l *Load) one(ctx context.Context, n int) {
	r := rand.New(rand.NewPCG(l.seed, uint64(n)))
	p, gateway := draw(r, l.profile.Control), r.IntN(len(l.sys.Services.Data))
	var c history.Call
	if p.keyed {
		c = l.persist(ctx, n, gateway, p, r)
	} else {
		c = l.call(ctx, n, gateway, p, "")
	}
	if !c.Accepted() {
		pause(ctx, 20*time.Millisecond) // as a caller would
		return
	}
	if p.cancel > 0 && pause(ctx, p.cancel) {
		l.cancel(ctx, c.ID, r.IntN(len(l.sys.Control)))
	}
}

// persist makes a call with a key, again and again until it is accepted.
func (l *Load) persist(ctx context.Context, n, gateway int, p plan, r *rand.Rand) (c history.Call) {
	key := fmt.Sprintf("call-%d", n)
	until := time.Now().Add(persistence)
	gateways := len(l.sys.Services.Data)
	var beside sync.WaitGroup
	if p.twice {
		beside.Go(func() { l.call(ctx, n, (gateway+1)%gateways, p, key) })
	}
	for {
		c = l.call(ctx, n, gateway, p, key)
		if c.Accepted() || time.Now().After(until) || !pause(ctx, 250*time.Millisecond) {
			break
		}
		gateway = r.IntN(gateways)
	}
	beside.Wait()
	return c
}

// call makes one background call and notes it.
func (l *Load) call(ctx context.Context, n, gateway int, p plan, key string) history.Call {
	c := history.Call{N: n, Plan: p.name, Key: key, Gateway: gateway, Begun: time.Now()}
	c.Status, c.ID, c.Err = l.post(ctx, n, p, c)
	c.Ended = time.Now()
	l.sys.History.Call(c)
	if c.Accepted() {
		l.accept(c.ID)
	}
	return c
}

// accept remembers what is to be finished. With a key, several answers may tell of it.
func (l *Load) accept(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[id] {
		return
	}
	l.known[id], l.unfinished[id] = true, true
	l.accepted++
}

func (l *Load) post(ctx context.Context, n int, p plan, c history.Call) (status int, id, problem string) {
	body, err := json.Marshal(map[string]any{"n": n, "plan": p.name, "ms": p.ms})
	if err != nil {
		return 0, "", err.Error()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.sys.Services.Data[c.Gateway]+"/.netlify/functions/"+p.function, strings.NewReader(string(body)))
	if err != nil {
		return 0, "", err.Error()
	}
	req.GetBody = nil // a call is sent once: whether it arrived is what this is about
	req.Header.Set("Content-Type", "application/json")
	if c.Key != "" {
		req.Header.Set("Idempotency-Key", c.Key)
	}
	if p.later > 0 {
		req.Header.Set("Nightshift-Not-Before", p.later.String())
	}
	if p.callback != "" {
		req.Header.Set("Nightshift-Callback", l.sys.Receiver.URL()+p.callback)
	}
	res, err := l.http.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	_ = res.Body.Close()
	return res.StatusCode, res.Header.Get("X-Nf-Request-Id"), ""
}

// cancel ends an invocation. What is not confirmed is tried again.
func (l *Load) cancel(ctx context.Context, id string, gateway int) {
	for range cancelTries {
		short, done := context.WithTimeout(ctx, 15*time.Second)
		c := history.Cancel{ID: id, Begun: time.Now()}
		inv, err := l.sys.Control[gateway].Cancel(short, id)
		done()
		c.Ended, c.State, c.Attempts = time.Now(), string(inv.State), len(inv.Attempts)
		if err != nil {
			c.Err = err.Error()
		}
		l.sys.History.Cancel(c)
		if err == nil || !pause(ctx, 250*time.Millisecond) {
			return
		}
	}
}
