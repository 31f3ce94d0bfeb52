package pool

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/worker/internal/polltest"
	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// thief asks an API for work with Node's own client, says in its response how it
// went, and can have a child of its own do that.
const thief = `
const ask = (url) => "require('http').get('" + url + "', (r) => { console.log(r.statusCode); process.exit() }).on('error', (e) => console.log(e.code))"
exports.handler = async (event) => {
  const out = require('child_process').execFileSync(process.execPath, ['-e', ask(event.body || 'http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/nothing')])
  const inside = event.body ? await new Promise((resolve) => require('http').get(event.body, (r) => { r.resume(); resolve(r.statusCode) }).on('error', (e) => resolve(e.code))) : ''
  return { statusCode: 200, body: 'child ' + String(out).trim() + ' self ' + inside }
}`

// A function that knows all about another one's API, its secret too, is not let
// in; its own children are.
func TestRuntimeAPIOfAnotherFunction(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 4, Spares: 1})
	attacker := source(t, "attacker", thief)
	if got := must(t, p, attacker, ""); got != "child 404 self " {
		t.Errorf("a child of the function at its own API: %q", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	victim, own := corpus(t, "victim", "sleep.js"), provided(t)
	must(t, p, own, "hello") // which then waits for work
	ended := make(chan error, 1)
	go func() { _, _, err := do(ctx, p, victim, "60000", true); ended <- err }()
	polltest.Until(t, "the victim runs", func() bool { return p.Stats().Busy == 1 })
	for _, key := range []string{"victim", "go"} {
		url := "http://" + endpoint(p, key) + "/2018-06-01/runtime/invocation/next"
		if (key == "victim") != (strings.Count(url, "/") == 7) {
			t.Errorf("%s is told %s: a secret only for our own bootstrap", key, url)
		}
		got := must(t, p, attacker, url)
		if got != "child ECONNRESET self ECONNRESET" && got != "child ECONNRESET self EPIPE" {
			t.Errorf("the API of %s answers another function: %q", key, got)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("the victim has ended: %v", err)
	default:
	}
	cancel(ErrCancelled)
	<-ended
	if got := must(t, p, own, "again"); !strings.Contains(got, "again") {
		t.Errorf("the other victim answers %q", got)
	}
	if n := testutil.ToFloat64(p.metrics.refused[runtimeapi.NotOwner]); n != 4 {
		t.Errorf("%v refusals were counted, want 4", n)
	}
}

// endpoint is what a function's process was told.
func endpoint(p *Pool, key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if i.key == key {
			return i.api.Endpoint()
		}
	}
	return ""
}

// A connection flood from another function leaves a function that connects anew
// for each request, as shell scripts do, at work.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 3})
	own := provided(t)
	must(t, p, own, "hello")
	flood := source(t, "flood", `
const net = require('net')
exports.handler = async (event) => {
  const [host, port] = event.body.split(':')
  let n = 0
  const end = Date.now() + 1500
  const one = () => new Promise((resolve) => { const s = net.connect(Number(port), host); s.on('error', () => {}); s.on('close', () => { n++; resolve() }) })
  await Promise.all(Array.from({ length: 50 }, async () => { while (Date.now() < end) await one() }))
  return { statusCode: 200, body: String(n) }
}`)
	flooded := make(chan error, 1)
	go func() {
		got, _, err := do(t.Context(), p, flood, endpoint(p, "go"), true)
		if n := 0; err == nil {
			if _, err = fmt.Sscan(got, &n); n < 10 {
				err = fmt.Errorf("%s connections are no flood", got)
			}
		}
		flooded <- err
	}()
	calls := 0
	for done := false; !done; calls++ {
		if got := must(t, p, own, "during"); !strings.Contains(got, "during") {
			t.Errorf("answers %q", got)
		}
		select {
		case err := <-flooded:
			if err != nil {
				t.Error(err)
			}
			done = true
		default:
		}
	}
	t.Logf("%d calls", calls)
}
