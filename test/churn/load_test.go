package churn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
)

// errMixed says that an answer is of more than one deploy.
var errMixed = errors.New("an answer that is mixed of two deploys")

// kind is what is called.
type kind string

const (
	static     kind = "static page"
	permalink  kind = "page on the permalink of A"
	function   kind = "sync function"
	background kind = "background function"
)

// mix is how many of each are called per second.
type mix struct{ static, permalink, function, background int }

func (m mix) total() int { return m.static + m.permalink + m.function + m.background }

// order is one second of calls, in an order that does not follow the gateways.
func (m mix) order() []kind {
	var all []kind
	for k, n := range map[kind]int{static: m.static, permalink: m.permalink, function: m.function, background: m.background} {
		for range n {
			all = append(all, k)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// call is one call and how it was answered.
type call struct {
	kind     kind
	gateway  int
	due      time.Time // it was to be sent then
	sent     time.Time // it had a connection
	answered time.Time
	version  string
	location string // of a background call's record
	err      error
}

// move is one change of the pointer.
type move struct {
	version         string
	begun, returned time.Time
	adopted         []time.Time // by gateway: its first answer of the version
}

// history is all that happened.
type history struct {
	calls []call
	moves []move // the first one is how it stood before
	took  time.Duration
	mu    sync.Mutex
}

func (h *history) add(c call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

// caller calls one gateway.
type caller struct {
	w       *world
	gateway int
	base    string
	pages   *http.Client
	code    *http.Client
}

// How many connections a gateway gets. Calls beyond wait for one, as they would
// in a proxy: a machine that falls behind for a moment must not be busy with new
// connections then, nor be asked for more function processes than it has.
const (
	pageConnections     = 64
	functionConnections = 4
)

func (w *world) callers() []*caller {
	var all []*caller
	for i, base := range w.services.Data {
		all = append(all, &caller{w, i, base, w.http(pageConnections), w.http(functionConnections)})
	}
	return all
}

func (w *world) http(connections int) *http.Client {
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}
	w.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// pause is how long each deploy stays published, once all gateways serve it.
const pause = 300 * time.Millisecond

// churn publishes B and rolls back to A so many times, under load.
func (w *world) churn(times int, m mix) *history {
	w.Helper()
	callers, probes := w.callers(), w.callers()
	w.warm(callers)
	h := &history{}
	now := time.Now()
	h.moves = append(h.moves, move{version: "A", begun: now, returned: now, adopted: []time.Time{now, now, now}})

	ctx, stop := context.WithCancel(w.Context())
	defer stop()
	var load sync.WaitGroup
	load.Go(func() { h.took = generate(ctx, m, func(i int, k kind) { h.add(callers[i%len(callers)].call(k)) }) })
	w.wait(pause)
	for i := range times {
		w.move(h, probes, "B", func(ctx context.Context) (api.Deploy, error) {
			return w.control[i%w.movers].Publish(ctx, "default", w.ids["B"])
		})
		w.move(h, probes, "A", func(ctx context.Context) (api.Deploy, error) {
			return w.control[(i+1)%w.movers].Rollback(ctx, "default")
		})
	}
	stop()
	load.Wait()
	return h
}

func (w *world) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-w.Context().Done():
	}
}

// warm lets the functions of both deploys have processes, as they would after
// some time of being called: what is shown is the move, not the start of Node.
func (w *world) warm(callers []*caller) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	for i := range 24 {
		version := []string{"A", "B"}[i%2]
		path := []string{"answer", "work-background"}[i/2%2]
		wait.Go(func() {
			c := callers[i%len(callers)]
			// So many starts at once may take a busy machine longer than a call may take.
			if err := harness.Eventually(ctx, func() error {
				_, _, err := c.exchange(ctx, c.code, http.MethodPost, "/.netlify/functions/"+path, w.ids[version]+"--default.localhost", 0)
				return err
			}); err != nil {
				w.Error(err)
			}
		})
	}
	wait.Wait()
	w.wait(2 * time.Second) // the background ones
}

// move changes the pointer and waits until each gateway answers with the new
// deploy. The probes have connections of their own, so that they wait for nothing else.
func (w *world) move(h *history, probes []*caller, version string, change func(context.Context) (api.Deploy, error)) {
	w.Helper()
	m := move{version: version, begun: time.Now(), adopted: make([]time.Time, len(probes))}
	d, err := change(w.Context())
	m.returned = time.Now()
	if err != nil || d.ID != w.ids[version] || !d.Published {
		w.Fatalf("moving to %s: deploy %s, published %t, %v", version, d.ID, d.Published, err)
	}
	var wait sync.WaitGroup
	for i, c := range probes {
		wait.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for time.Since(m.returned) < 10*promise {
				if got := c.call(static); got.err == nil && got.version == version {
					m.adopted[i] = got.answered
					return
				}
				<-tick.C
			}
			m.adopted[i] = time.Now()
			w.Errorf("gateway %d does not serve %s %v after the move to it", i+1, version, 10*promise)
		})
	}
	wait.Wait()
	h.moves = append(h.moves, m)
	w.wait(pause)
}

// generate starts calls at a steady rate until ctx ends, whatever becomes of the
// earlier ones, and waits for them. It returns how long all of it took.
func generate(ctx context.Context, m mix, call func(i int, k kind)) time.Duration {
	order := m.order()
	var calling sync.WaitGroup
	begun := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for next := 0; ; {
		for due := int(time.Since(begun).Seconds() * float64(m.total())); next < due; next++ {
			i := next // which goes on meanwhile
			calling.Go(func() { call(i, order[i%len(order)]) })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			calling.Wait()
			return time.Since(begun)
		}
	}
}

// call makes a call and looks at its answer.
func (c *caller) call(k kind) call {
	done := call{kind: k, gateway: c.gateway, due: time.Now()}
	method, path, host, status, through := http.MethodGet, "/", "", http.StatusOK, c.pages
	switch k {
	case permalink:
		host = c.w.ids["A"] + "--default.localhost"
	case function:
		method, path, through = http.MethodPost, "/.netlify/functions/answer", c.code
	case background:
		method, path, status = http.MethodPost, "/.netlify/functions/work-background", http.StatusAccepted
	}
	done.sent = done.due
	ctx := httptrace.WithClientTrace(c.w.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { done.sent = time.Now() }})
	header, body, err := c.exchange(ctx, through, method, path, host, status)
	done.answered = time.Now()
	switch {
	case err != nil:
		done.err = err
	case k == function:
		done.version, done.err = c.w.read(body)
	case k == background:
		done.location = header.Get("Location")
	default:
		done.version, done.err = c.w.page(header, body)
	}
	if k == permalink && done.err == nil && done.version != "A" {
		done.err = fmt.Errorf("the permalink of A serves %s", done.version)
	}
	return done
}

// page finds the version of a static page, and checks that the page is the one
// that its header tells of.
func (w *world) page(header http.Header, body []byte) (version string, err error) {
	sum := sha256.Sum256(body)
	if header.Get("Etag") != `"`+hex.EncodeToString(sum[:])+`"` {
		return "", fmt.Errorf("%w: the ETag %s on %q", errMixed, header.Get("Etag"), body)
	}
	for version, page := range w.pages {
		if string(body) == page {
			return version, nil
		}
	}
	return "", fmt.Errorf("a page that no deploy has: %q", body)
}

// exchange makes one request; status 0 takes any success.
func (c *caller) exchange(ctx context.Context, through *http.Client, method, path, host string, status int) (http.Header, []byte, error) {
	target, err := url.JoinPath(c.base, path)
	if err != nil {
		return nil, nil, err
	}
	var content io.Reader
	if method == http.MethodPost {
		content = bytes.NewReader([]byte(`{"n":1}`))
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, nil, err
	}
	req.Host = host
	res, err := through.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer of %s %s: %w", method, path, err)
	}
	if res.StatusCode != status && (status != 0 || res.StatusCode > 299) {
		return nil, nil, fmt.Errorf("%s %s: %s %.300q", method, path, res.Status, body)
	}
	return res.Header, body, nil
}
