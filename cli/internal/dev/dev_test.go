package dev_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/dev"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// within bounds every wait; a loaded machine needs seconds to start Node.
const within = 60 * time.Second

// output collects what is printed.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// world is a running dev on a site of its own.
type world struct {
	t    *testing.T
	root string
	out  *output
	base string // of the data plane
	end  func() error
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs dev until the test ends, or until end is called.
func start(t *testing.T, files map[string]string, change func(*dev.Config)) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), out: &output{}}
	for name, text := range files {
		write(t, w.root, name, text)
	}
	ready := make(chan string, 1)
	cfg := dev.Config{
		Dir: w.root, Out: w.out, Logger: slog.New(slog.NewTextHandler(w.out, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Ready: func(data, _ string) { ready <- data },
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dev.Run(ctx, cfg) }()
	w.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := w.end(); err != nil {
			t.Errorf("Run ended with %v", err)
		}
		if t.Failed() {
			t.Logf("dev printed\n%s", w.out)
		}
	})
	select {
	case addr := <-ready:
		w.base = "http://" + addr
	case err := <-done:
		done <- err
		t.Fatalf("Run ended before it was ready: %v\n%s", err, w.out)
	case <-time.After(within):
		t.Fatalf("not ready after %v\n%s", within, w.out)
	}
	return w
}

// in is the world as seen by a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

// call sends a request and returns status, headers and body.
func (w *world) call(method, path, body string) (int, http.Header, string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// eventually waits until the condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not after %v", what, within)
		}
		<-tick.C
	}
}

// answers waits until a call is answered so.
func (w *world) answers(path string, status int, part string) {
	w.t.Helper()
	gotStatus, gotBody := 0, ""
	w.eventually(path+" answers "+strconv.Itoa(status)+" "+part, func() bool {
		gotStatus, _, gotBody = w.call(http.MethodPost, path, "")
		return gotStatus == status && strings.Contains(gotBody, part)
	})
}

const functions = "/.netlify/functions/"

func TestDev(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{
		"netlify.toml":                         "[dev]\ncommand = \"echo sink is up; exec sleep 1000\"\n",
		"lib/word.mjs":                         "export const word = 'one'",
		"netlify/functions/hello.mjs":          "import { word } from '../../lib/word.mjs'\nexport default async (req) => new Response(word + ' ' + await req.text())",
		"netlify/functions/job-background.js":  "exports.handler = async (event) => { console.log('working on', event.body); return { statusCode: 200, body: 'done' } }",
		"netlify/functions/nightly.mjs":        "export default async (req) => { console.log('tick', Object.keys(await req.json()).join()); return new Response('ran') }\nexport const config = { schedule: '0 3 * * *' }",
		"netlify/functions/broken.mjs":         "export default async () => {\n  return new Response('x'\n}",
		"netlify/functions/stack.ts":           "type A = string\n\nexport default () => { throw new Error('boom' as A) }",
		"netlify/functions/not-a-function.mjs": "export const x = 1",
	}, nil)

	t.Run("prints what there is", func(t *testing.T) {
		w := w.in(t)
		out := w.out.String()
		for _, want := range []string{
			"hello           sync        ANY " + w.base + functions + "hello",
			"job-background  background  ANY " + w.base + functions + "job-background",
			"nightly         scheduled   0 3 * * *  next ",
			"error netlify/functions/broken.mjs:3:1: Expected \")\" but found \"}\"",
			"warning netlify/functions/not-a-function.mjs: exports neither",
			"[command] sink is up",
			"--cron lets them fire by themselves",
			"Ready after ",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("not printed: %q", want)
			}
		}
	})
	t.Run("sync", func(t *testing.T) {
		w := w.in(t)
		if status, _, body := w.call(http.MethodPost, functions+"hello", "you"); status != 200 || body != "one you" {
			t.Errorf("hello answers %d %q, want 200 \"one you\"", status, body)
		}
	})
	t.Run("background", func(t *testing.T) {
		w := w.in(t)
		status, header, body := w.call(http.MethodPost, functions+"job-background", "mail 7")
		if status != http.StatusAccepted || body != "" {
			t.Fatalf("job answers %d %q, want an empty 202", status, body)
		}
		var inv api.Invocation
		w.eventually("the job succeeds", func() bool {
			_, _, record := w.call(http.MethodGet, header.Get("Location"), "")
			if err := json.Unmarshal([]byte(record), &inv); err != nil {
				t.Fatalf("record %q: %v", record, err)
			}
			return inv.State == invocation.Succeeded
		})
		if inv.Result == nil || inv.Result.Body != "done" {
			t.Errorf("result = %+v, want done", inv.Result)
		}
		w.eventually("its log is printed", func() bool {
			return strings.Contains(w.out.String(), "job-background "+inv.ID+"  working on mail 7")
		})
	})
	t.Run("a scheduled function can be called", func(t *testing.T) {
		w := w.in(t)
		status, _, body := w.call(http.MethodPost, functions+"nightly", "{}")
		if status >= 300 {
			t.Errorf("nightly answers %d %q", status, body)
		}
		w.eventually("it runs", func() bool {
			return strings.Contains(w.out.String(), "nightly ") && strings.Contains(w.out.String(), "  tick")
		})
	})
	t.Run("a broken function says why", func(t *testing.T) {
		w := w.in(t)
		w.answers(functions+"broken", 500, "netlify/functions/broken.mjs:3:1: Expected")
	})
	t.Run("changes are deployed", func(t *testing.T) {
		w := w.in(t)
		write(t, w.root, "lib/word.mjs", "export const word = 'two'")
		w.answers(functions+"hello", 200, "two")
		write(t, w.root, "netlify/functions/broken.mjs", "export default async () => new Response('mended')")
		w.answers(functions+"broken", 200, "mended")
		write(t, w.root, "netlify/functions/fresh.mjs", "export default async () => new Response('new here')")
		w.answers(functions+"fresh", 200, "new here")
		write(t, w.root, "lib/word.mjs", "export const word = ")
		w.answers(functions+"hello", 500, "lib/word.mjs:1:")
		w.answers(functions+"fresh", 200, "new here") // others are served
		write(t, w.root, "lib/word.mjs", "export const word = 'three'")
		w.answers(functions+"hello", 200, "three")
		if err := os.Remove(filepath.Join(w.root, "netlify", "functions", "fresh.mjs")); err != nil {
			t.Fatal(err)
		}
		w.answers(functions+"fresh", 404, "")
	})
	t.Run("a stack names the source", func(t *testing.T) {
		w := w.in(t)
		w.answers(functions+"stack", 500, "netlify/functions/stack.ts:3:")
	})
	t.Run("ends", func(t *testing.T) {
		w := w.in(t)
		begun := time.Now()
		if err := w.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("the end took %v", took)
		}
		if _, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://")); err == nil {
			t.Error("the data plane is still there")
		}
	})
}

func TestCronFiresByItself(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{
		"netlify/functions/often.mjs": "export default async () => { console.log('fired by the clock') }\nexport const config = { schedule: '* * * * * *' }",
	}, func(cfg *dev.Config) { cfg.Cron = true })
	w.eventually("the schedule fires", func() bool { return strings.Contains(w.out.String(), "fired by the clock") })
}

func TestSiteThatIsEmptyAtFirst(t *testing.T) {
	t.Parallel()
	w := start(t, nil, nil)
	if !strings.Contains(w.out.String(), "there is no directory netlify/functions in ") {
		t.Errorf("not printed that there are no functions:\n%s", w.out)
	}
	write(t, w.root, "netlify/functions/first.mjs", "export default async () => new Response('first')")
	w.answers(functions+"first", 200, "first")
}

// Static files are deployed like functions, and again when they change.
func TestStaticFiles(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{
		"netlify.toml":                "[build]\npublish = \"dist\"\n[dev]\npublish = \"public\"\n",
		"public/index.html":           "<h1>one</h1>",
		"public/pages/about.html":     "about",
		"netlify/functions/about.mjs": "export default async () => new Response('function')\nexport const config = { path: '/pages/:page', preferStatic: true, rateLimit: { windowLimit: 1000, windowSize: 60 } }",
	}, nil)
	for _, want := range []string{"2 static files of ", "unless there is a static file", "at most 1000 calls in 1m0s"} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("not printed: %q", want)
		}
	}
	shows := func(path string, status int, body string) {
		t.Helper()
		w.eventually(path+" shows "+body, func() bool {
			gotStatus, _, got := w.call(http.MethodGet, path, "")
			return gotStatus == status && got == body
		})
	}
	shows("/", 200, "<h1>one</h1>")
	shows("/pages/about", 200, "about")
	shows("/pages/other", 200, "function")
	shows("/other", 404, "404 Not Found")
	write(t, w.root, "public/index.html", "<h1>two</h1>")
	shows("/", 200, "<h1>two</h1>")
	write(t, w.root, "public/404.html", "nothing here")
	shows("/other", 404, "nothing here")
	if err := os.Remove(filepath.Join(w.root, "public", "pages", "about.html")); err != nil {
		t.Fatal(err)
	}
	shows("/pages/about", 200, "function")
	w.eventually("the changes are told", func() bool {
		return strings.Contains(w.out.String(), "after a change of public/404.html: 1 static file (")
	})
}

// Redirects and headers are those of the files as they are now.
func TestRules(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{
		"netlify.toml":                "[build]\npublish = \"public\"\n[[redirects]]\nfrom = \"/*\"\nto = \"/index.html\"\nstatus = 200\n",
		"public/index.html":           "home",
		"public/_redirects":           "/api/:id /.netlify/functions/hello?id=:id 200\n",
		"public/_headers":             "/index.html\n  X-Frame-Options: DENY\n",
		"netlify/functions/hello.mjs": "export default async (request, context) => new Response(new URL(request.url).pathname + context.url.search + JSON.stringify(context.params))",
	}, nil)
	if want := "2 redirects, 1 header rule"; !strings.Contains(w.out.String(), want) {
		t.Errorf("not printed: %q", want)
	}
	shows := func(path, body, frames string) {
		t.Helper()
		w.eventually(path+" shows "+body, func() bool {
			status, header, got := w.call(http.MethodGet, path, "")
			return status == 200 && got == body && header.Get("X-Frame-Options") == frames
		})
	}
	shows("/any/where", "home", "DENY")
	shows("/api/7?x=1", "/api/7?id=7&x=1{}", "")
	for _, path := range []string{"/_redirects", "/_headers", "/netlify.toml"} {
		shows(path, "home", "DENY") // what is asked for there is like any other path with nothing at it
	}
	write(t, w.root, "public/_headers", "/*\n  X-Frame-Options: SAMEORIGIN\n")
	shows("/any/where", "home", "SAMEORIGIN")
	write(t, w.root, "public/_redirects", "/api/* /.netlify/functions/hello 200\n/broken\n")
	shows("/api/7/8?x=1", "/api/7/8?x=1{}", "")
	w.eventually("the changes and the mistake are told", func() bool {
		out := w.out.String()
		return strings.Contains(out, "after a change of public/_headers: 1 header rule (") && strings.Contains(out, "after a change of public/_redirects: 2 redirects (") &&
			strings.Contains(out, "public/_redirects:2:1") && strings.Contains(out, "it is not said where the redirect from /broken leads")
	})
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port
	tests := map[string]struct {
		change func(*dev.Config)
		want   string
	}{
		"port in use":       {func(c *dev.Config) { c.Port = port }, "port " + strconv.Itoa(port) + " is in use; end the program that uses it, or choose another port with --port"},
		"admin port in use": {func(c *dev.Config) { c.AdminPort = port }, "port " + strconv.Itoa(port) + " is in use; end the program that uses it, or choose another port with --admin-port"},
		"no directory":      {func(c *dev.Config) { c.Dir = "nowhere" }, "there is no directory nowhere; say where the site is"},
		"bad redis":         {func(c *dev.Config) { c.RedisURL = "http://x" }, `the Redis URL has the scheme "http"; use redis, rediss, unix, redis+sentinel or redis+cluster`},
		"data is a file":    {func(c *dev.Config) { c.DataDir = os.Args[0] }, "cannot be made; choose another one with --data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out output
			cfg := dev.Config{Dir: t.TempDir(), Out: &out, Logger: slog.New(slog.DiscardHandler)}
			test.change(&cfg)
			err := dev.Run(t.Context(), cfg)
			if message, _ := fault.Public(err); !strings.Contains(message, test.want) {
				t.Errorf("Run: %v, want %q", err, test.want)
			}
		})
	}
}
