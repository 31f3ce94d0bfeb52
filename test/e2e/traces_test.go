package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// What a caller says of the trace that it stands in.
const (
	callersTrace  = "0af7651916cd43dd8448eb211c80319c"
	callersSpan   = "b7ad6b7169203331"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
	callersState  = "vendor=1"
)

// What must not stand in any span.
var secrets = map[string]string{"Authorization": "Bearer hush-header", "Cookie": "session=hush-cookie", "Content-Type": "text/plain"}

const secretQuery, secretBody = "?key=hush-query", "hush-body"

// Functions that tell in which trace they have been called.
var tracedSite = map[string]string{
	// Fails at its first attempt.
	"netlify/functions/twice-background.mjs": `
export default async (request, context) => {
  const { headers } = request;
  await fetch('@COLLECTOR@/?id=' + context.requestId + '&attempt=' + context.attempt, {
    method: 'POST', body: headers.get('traceparent') + ' ' + headers.get('tracestate'),
  });
  if (context.attempt === 1) throw new Error('hush-error');
};
export const config = { retries: 1, retryDelays: [0] };
`,
	"netlify/functions/old-background.js": `
exports.handler = async ({ headers, multiValueHeaders }) => {
  const url = '@COLLECTOR@/?id=' + headers['x-nf-request-id'];
  await fetch(url, { method: 'POST', body: headers.traceparent + ' ' + multiValueHeaders.tracestate });
  return { statusCode: 200 };
};
`,
	"netlify/functions/now.mjs": `
export default async (request) => new Response(request.headers.get('traceparent') + ' ' + request.headers.get('tracestate'));
export const config = { path: '/now/:secret' };
`,
	"netlify/functions/tick.mjs": `
export default async (request) => {
  await fetch('@COLLECTOR@/tick', { method: 'POST', body: request.headers.get('traceparent') });
};
export const config = { schedule: '* * * * * *' };
`,
}

const callbackSecret = "NIGHTSHIFT_CALLBACK_SECRET=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// launch starts an installation whose spans are received, with callbacks.
func (r *spanReceiver) launch(t *testing.T, setup harness.Setup) *system {
	t.Helper()
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Errorf("the receiver of spans: %v", err)
		}
	})
	setup.Env = append([]string{callbackSecret, "NIGHTSHIFT_CALLBACK_ALLOW=127.0.0.1/32", "OTEL_BSP_SCHEDULE_DELAY=50"}, setup.Env...)
	return launch(t, setup, tracedSite)
}

// post calls a function within the caller's trace, with all that must stay out
// of spans, and returns where its record is, and the answer. extra are further headers, name and
// value in turn; one without a value is left out.
func (s *system) post(path string, extra ...string) (location, body string) {
	s.Helper()
	set := map[string]string{"traceparent": callersParent, "tracestate": callersState}
	maps.Copy(set, secrets)
	for i := 0; i < len(extra); i += 2 {
		set[extra[i]] = extra[i+1]
	}
	var h headers
	for name, value := range set {
		if value != "" {
			h = append(h, name+": "+value)
		}
	}
	s.eventually(10*time.Second, func() error { // the gateway may not route by the deploy yet
		res, got, err := exchange(http.MethodPost, s.services.Data[0]+path+secretQuery, h, []byte(secretBody))
		if err != nil {
			return err
		}
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("POST %s: %s %s", path, res.Status, got)
		}
		location = s.services.Data[0] + res.Header.Get("Location")
		_, body, _ = strings.Cut(string(got), "\n\n") // behind the head
		return nil
	})
	return location, body
}

// told waits for what an attempt has said of its trace, by the text of the hit.
func (s *system) told(within time.Duration, which func(harness.Hit) bool) harness.Hit {
	s.Helper()
	var hit harness.Hit
	s.eventually(within, func() error {
		hits := s.collector.Hits()
		i := slices.IndexFunc(hits, which)
		if i < 0 {
			return fmt.Errorf("among %d reports is none that was waited for", len(hits))
		}
		hit = hits[i]
		return nil
	})
	return hit
}

func ofAttempt(location string, n int) func(harness.Hit) bool {
	id := location[strings.LastIndexByte(location, '/')+1:]
	return func(hit harness.Hit) bool {
		return hit.Query.Get("id") == id && (n == 0 || hit.Query.Get("attempt") == fmt.Sprint(n))
	}
}

// expectTree waits until a trace looks as it should, below a span.
func (s *system) expectTree(r *spanReceiver, trace, root, want string, about func(span) string) []span {
	s.Helper()
	want = strings.TrimLeft(want, "\n")
	var spans []span
	s.eventually(20*time.Second, func() error {
		spans = r.in(trace)
		if got := tree(spans, root, about); got != want {
			return fmt.Errorf("trace %s is\n%swant\n%sof %d spans", trace, got, want, len(spans))
		}
		return nil
	})
	if n := strings.Count(want, "\n"); len(spans) != n {
		s.Errorf("trace %s has %d spans, want the %d that hang together", trace, len(spans), n)
	}
	return spans
}

// brief is what a tree shows of a span.
func brief(s span) string {
	text := strings.TrimPrefix(s.service, "nightshift-") + ": " + s.name + " (" + s.kind + ")"
	if n := s.attributes["nightshift.attempt"]; n != "" {
		text += " #" + n + " " + s.attributes["nightshift.outcome"]
	}
	if s.failed {
		text += " failed"
	}
	return text
}

// find is the span of a trace that is shown like this.
func (s *system) find(spans []span, shown string) span {
	s.Helper()
	i := slices.IndexFunc(spans, func(sp span) bool { return brief(sp) == shown })
	if i < 0 {
		s.Fatalf("there is no span %q", shown)
	}
	return spans[i]
}

// TestTraces follows calls from their caller to the function, over all ways.
func TestTraces(t *testing.T) {
	t.Parallel()
	r := startSpanReceiver()
	s := r.launch(t, harness.Setup{Gateways: 1, Workers: 1, Schedulers: 1, Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.server.URL}})

	// A background call whose first attempt fails, and which ends with a callback.
	location, _ := s.post("/.netlify/functions/twice-background", "Nightshift-Callback", s.collector.URL()+"/callback?key=hush-callback")
	id := location[strings.LastIndexByte(location, '/')+1:]
	inv := s.await(30*time.Second, location, "succeeded")
	spans := s.expectTree(r, callersTrace, callersSpan, `
gateway: POST /.netlify/functions/twice-background (server)
  gateway: enqueue background (producer)
    worker: attempt twice-background (consumer) #1 error failed
    worker: attempt twice-background (consumer) #2 succeeded
    worker: callback (client)
`, brief)
	for n, shown := range []string{"#1 error failed", "#2 succeeded"} {
		attempt := s.find(spans, "worker: attempt twice-background (consumer) "+shown)
		if got, want := s.told(time.Second, ofAttempt(location, n+1)).Body, attempt.traceparent()+" "+callersState; got != want {
			t.Errorf("attempt %d was called with %q, want %q", n+1, got, want)
		}
		if got := attempt.attributes["nightshift.worker"]; got != inv.Attempts[n].Worker {
			t.Errorf("attempt %d is said to be of worker %q, want %q", n+1, got, inv.Attempts[n].Worker)
		}
	}
	for _, sp := range spans {
		if sp.attributes["faas.invocation_id"] != id || sp.attributes["nightshift.function"] != "twice-background" || sp.attributes["nightshift.site"] != "default" {
			t.Errorf("%s is said to be of invocation %v, want %s of twice-background on site default", sp.name, sp.attributes, id)
		}
	}
	hook := s.told(time.Second, func(hit harness.Hit) bool { return hit.Path == "/callback" })
	if got, want := hook.Header.Get("Traceparent"), s.find(spans, "worker: callback (client)").traceparent(); got != want {
		t.Errorf("the receiver of the callback was told %q, want %q", got, want)
	}
	s.logged(5*time.Second, s.process("worker1"), `"msg":"attempt ended".*"invocation":"`+id+`".*"trace_id":"`+callersTrace+`"`)
	original := s.find(spans, "gateway: enqueue background (producer)")

	// A replay is a trace of its own that links to the first one.
	out, err := s.services.Nightshift(t.Context(), "replay", id)
	s.must(err)
	replay := regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`).FindString(out)
	var enqueued span
	s.eventually(20*time.Second, func() error {
		for _, sp := range r.in("") {
			if sp.attributes["faas.invocation_id"] == replay && sp.kind == "producer" {
				enqueued = sp
				return nil
			}
		}
		return fmt.Errorf("no span enqueues the replay %s:\n%s", replay, out)
	})
	s.await(30*time.Second, s.services.Data[0]+"/.nightshift/invocations/"+replay, "succeeded")
	s.expectTree(r, enqueued.trace, "", `
gateway: enqueue background (producer)
  worker: attempt twice-background (consumer) #1 error failed
  worker: attempt twice-background (consumer) #2 succeeded
`, brief)
	if want := []string{original.trace + "-" + original.id}; enqueued.trace == original.trace || !slices.Equal(enqueued.links, want) {
		t.Errorf("the replay is in trace %s and links to %v, want another trace than the first and a link to %v", enqueued.trace, enqueued.links, want)
	}

	// A sync call, in another trace, by the function's own path.
	const other = "1bf7651916cd43dd8448eb211c80319c"
	_, body := s.post("/now/hush-path", "traceparent", "00-"+other+"-"+callersSpan+"-01")
	spans = s.expectTree(r, other, callersSpan, `
gateway: POST /now/:secret (server)
  gateway: dispatch now (client)
    worker: attempt now (server) #1 succeeded
`, brief)
	if want := s.find(spans, "worker: attempt now (server) #1 succeeded").traceparent() + " " + callersState; body != want {
		t.Errorf("a sync function was called with %q, want %q", body, want)
	}

	// A function in the old style, whose caller stands in no trace.
	location, _ = s.post("/.netlify/functions/old-background", "traceparent", "", "tracestate", "")
	told := s.told(20*time.Second, ofAttempt(location, 0)).Body
	trace := strings.Split(told+"---", "-")[1]
	spans = s.expectTree(r, trace, "", `
gateway: POST /.netlify/functions/old-background (server)
  gateway: enqueue background (producer)
    worker: attempt old-background (consumer) #1 succeeded
`, brief)
	if want := s.find(spans, "worker: attempt old-background (consumer) #1 succeeded").traceparent() + " undefined"; told != want {
		t.Errorf("a function in the old style was called with %q, want %q", told, want)
	}

	// A tick, which nobody has called.
	told = s.told(20*time.Second, func(hit harness.Hit) bool { return hit.Path == "/tick" }).Body
	spans = s.expectTree(r, strings.Split(told+"---", "-")[1], "", `
scheduler: enqueue scheduled (producer)
  worker: attempt tick (consumer) #1 succeeded
`, brief)
	if want := s.find(spans, "worker: attempt tick (consumer) #1 succeeded").traceparent(); told != want {
		t.Errorf("a scheduled function was called with %q, want %q", told, want)
	}

	for _, sp := range r.in("") {
		if text := fmt.Sprint(sp); strings.Contains(text, "hush") {
			t.Errorf("a span has what must stay in the house: %s", text)
		}
	}
}

// TestTracesWithoutCollector lets spans go to where nobody is, and to where
// somebody takes connections and says nothing.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := startSpanReceiver() // which is told nothing
	s := r.launch(t, harness.Setup{
		Gateways: 1, Workers: 1, Schedulers: 1,
		Env: []string{"OTEL_EXPORTER_OTLP_TIMEOUT=600000", "OTEL_BSP_EXPORT_TIMEOUT=600000", "OTEL_BSP_MAX_QUEUE_SIZE=16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=8"},
		Own: map[string][]string{
			"gateway1":   {"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + deaf.Addr().String()},
			"worker1":    {"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + deaf.Addr().String()},
			"scheduler1": {fmt.Sprintf("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:%d", port)},
		},
	})
	var locations []string
	for range 40 {
		location, _ := s.post("/.netlify/functions/old-background")
		locations = append(locations, location)
	}
	for _, location := range locations {
		s.await(60*time.Second, location, "succeeded")
	}
	s.told(20*time.Second, func(hit harness.Hit) bool { return hit.Path == "/tick" })
	// The end does not wait for ten minutes, and is a clean one.
	for _, name := range []string{"gateway1", "worker1", "scheduler1"} {
		s.must(s.process(name).Signal(syscall.SIGTERM))
	}
	for _, name := range []string{"gateway1", "worker1", "scheduler1"} {
		p := s.process(name)
		s.eventually(60*time.Second, func() error {
			if p.Running() {
				return fmt.Errorf("%s still runs", name)
			}
			return nil
		})
		if code, err := p.Wait(t.Context()); err != nil || code != 0 {
			t.Errorf("%s ended with %d, %v", name, code, err)
		}
	}
	s.logged(time.Second, s.process("gateway1"), `"msg":"the last spans were not sent"`)
	s.logged(time.Second, s.process("scheduler1"), `"msg":"spans were not taken by the collector and are lost"`)
}

// TestTracesOff passes a caller's trace on where nobody makes spans: one service
// is told not to, and the others are told nothing.
func TestTracesOff(t *testing.T) {
	t.Parallel()
	r := startSpanReceiver()
	s := r.launch(t, harness.Setup{
		Gateways: 1, Workers: 1,
		Own: map[string][]string{"gateway1": {"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=" + r.server.URL}},
	})
	const want = callersParent + " " + callersState
	location, _ := s.post("/.netlify/functions/twice-background", "Nightshift-Callback", s.collector.URL()+"/callback")
	s.await(30*time.Second, location, "succeeded")
	for n := 1; n <= 2; n++ {
		if got := s.told(time.Second, ofAttempt(location, n)).Body; got != want {
			t.Errorf("attempt %d was called with %q, want %q", n, got, want)
		}
	}
	hook := s.told(20*time.Second, func(hit harness.Hit) bool { return hit.Path == "/callback" })
	if got := hook.Header.Get("Traceparent") + " " + hook.Header.Get("Tracestate"); got != want {
		t.Errorf("the receiver of the callback was told %q, want %q", got, want)
	}
	if _, got := s.post("/now/x"); got != want {
		t.Errorf("a sync function was called with %q, want %q", got, want)
	}
	if _, got := s.post("/now/x", "traceparent", "", "tracestate", ""); got != "null null" {
		t.Errorf("a sync function whose caller stands in no trace was called with %q", got)
	}
	if n := r.connections.Load(); n != 0 {
		t.Errorf("%d connections were made to the collector, want none", n)
	}
}
