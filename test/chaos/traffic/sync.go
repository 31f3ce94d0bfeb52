package traffic

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/test/chaos/history"
)

// asked is how many sync calls are under way at once, at most.
const asked = 16

// ask makes sync calls at a steady rate until ctx ends, and waits for the last ones.
func (l *Load) ask(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	run := context.WithoutCancel(ctx) // calls come to their end
	slots := make(chan struct{}, asked)
	for n := 1; pause(ctx, l.profile.SyncEvery); n++ {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait.Go(func() {
			defer func() { <-slots }()
			l.askOne(run, n)
		})
	}
}

// askOne makes the sync call of a number and notes what comes back, whole.
func (l *Load) askOne(ctx context.Context, n int) {
	r := rand.New(rand.NewPCG(l.seed, 1<<40+uint64(n)))
	a := history.Answer{N: n, Plan: "ok", Gateway: r.IntN(len(l.sys.Services.Data)), Begun: time.Now()}
	if r.IntN(20) == 0 {
		a.Plan = "fail"
	}
	if err := l.exchange(ctx, &a, history.SyncRequest(n, a.Plan)); err != nil {
		a.Status, a.Body, a.Err = 0, "", err.Error()
	}
	a.Ended = time.Now()
	l.sys.History.Answer(a)
}

func (l *Load) exchange(ctx context.Context, a *history.Answer, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.sys.Services.Data[a.Gateway]+"/.netlify/functions/"+echoName, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil // sent once
	req.Header.Set("Content-Type", "application/json")
	res, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	whole, err := io.ReadAll(res.Body)
	a.Status, a.Body, a.Of = res.StatusCode, string(whole), res.Header.Get("X-N")
	return err
}
