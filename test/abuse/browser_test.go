package abuse

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp" // drives Chromium over its own protocol
)

const jobsRules = `[build]
publish = "public"
[[headers]]
for = "/.netlify/functions/open-background"
values = { Access-Control-Allow-Origin = "@PAGES@", Access-Control-Allow-Headers = "content-type, idempotency-key", Access-Control-Expose-Headers = "Location, X-Nf-Request-Id" }
[[headers]]
for = "/.nightshift/invocations/*"
values = { Access-Control-Allow-Origin = "@PAGES@", Access-Control-Allow-Methods = "GET, DELETE" }
`

// page calls a function of another origin and tells what a script sees of it.
const page = `(async () => {
  const jobs = '@JOBS@', seen = {};
  const call = (name, body) => fetch(jobs + '/.netlify/functions/' + name, {
    method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': 'from-a-page-' + name }, body,
  });
  const accepted = await call('open-background', '{"to":"ada"}');
  seen.status = accepted.status;
  seen.id = accepted.headers.get('x-nf-request-id');
  seen.location = accepted.headers.get('location');
  for (let i = 0; i < 300; i++) {
    const record = await (await fetch(jobs + seen.location)).json();
    seen.state = record.state;
    seen.body = record.result?.body;
    if (record.state === 'succeeded') break;
    await new Promise((done) => setTimeout(done, 100));
  }
  seen.cancel = (await fetch(jobs + seen.location, { method: 'DELETE' })).status;
  const large = await call('open-background', JSON.stringify('x'.repeat(300000)));
  seen.large = large.status;
  seen.why = await large.text();
  seen.closed = await call('closed-background', '{}').then((r) => r.status, (e) => e.name);
  return seen;
})()`

// TestPagesOfOtherOrigins: in a browser, a page of one site calls a background
// function of another one that allows it, follows what becomes of it, and can
// read why a call is refused; where the other site says nothing, it can do neither.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	e := launchEdge(t)
	_, port, _ := strings.Cut(e.addr, ":")
	pages, jobs := "http://pages.localhost:"+port, "http://jobs.localhost:"+port
	e.deploy("pages", map[string]string{"netlify.toml": "[build]\npublish = 'public'\n", "public/index.html": "<!doctype html><title>page</title>"})
	e.deploy("jobs", map[string]string{
		"netlify.toml": strings.ReplaceAll(jobsRules, "@PAGES@", pages), "public/index.html": "jobs",
		"netlify/functions/open-background.mjs":   "export default async (request) => new Response('sent to ' + (await request.json()).to);",
		"netlify/functions/closed-background.mjs": "export default async () => {};",
	})
	ctx := launchBrowser(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(pages+"/")); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Status                                 int
		ID, Location, State, Body, Why, Closed string
		Cancel, Large                          int
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[seen](strings.ReplaceAll(page, "@JOBS@", jobs), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 202 || len(got.ID) != 26 || got.Location != "/.nightshift/invocations/"+got.ID {
		t.Errorf("the page sees %d, ID %q, Location %q of a call", got.Status, got.ID, got.Location)
	}
	if got.State != "succeeded" || got.Body != "sent to ada" || got.Cancel != 409 {
		t.Errorf("the page sees state %q and body %q, and %d for a cancel that comes too late", got.State, got.Body, got.Cancel)
	}
	if got.Large != 413 || !strings.Contains(got.Why, "too large") {
		t.Errorf("the page sees %d %q of a call that is too large", got.Large, got.Why)
	}
	if got.Closed != "TypeError" {
		t.Errorf("a call that the other site does not allow = %q, want that the browser stops it", got.Closed)
	}
}

// launchBrowser starts Chromium. It ends with the test.
func launchBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("this test needs chromium on PATH (apt-get install chromium): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), // containers have a small one
		chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, end := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(end)
	ctx, end = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}
