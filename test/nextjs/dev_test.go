package nextjs

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// TestDev runs examples/nextjs under `nightshift dev`, calls what its README
// calls, and changes it: well, badly, and by a new route.
func TestDev(t *testing.T) {
	packages := install(t, version{name: "16"})
	site, err := os.MkdirTemp(filepath.Dir(packages), "site-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(site)) })
	check(t, linkTree(filepath.Join(packages, "node_modules"), filepath.Join(site, "node_modules")))
	example := filepath.Join(harness.Root(), "examples", "nextjs")
	for _, name := range []string{"app", "lib", "pages"} {
		check(t, os.CopyFS(filepath.Join(site, name), os.DirFS(filepath.Join(example, name))))
	}
	manifest, err := os.ReadFile(filepath.Join(example, "package.json"))
	check(t, err)
	w := &world{}
	write := func(name, text string) {
		t.Helper()
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(site, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(site, name), []byte(text), 0o644))
	}
	write("package.json", string(manifest))
	word := func(text string) { write("lib/word.js", "export const word = "+text) }
	word("'first'")
	write(".env.local", "FROM_LOCAL='only here'")
	write("pages/api/local.js", "export default (req, res) => res.send(process.env.FROM_LOCAL)")
	write("pages/api/word.js", "import { word } from '../../lib/word'\nexport default (req, res) => res.send(word)")

	var fleet harness.Fleet
	bin := programs(t)
	data := freeAddr(t)
	w.base = "http://" + data
	env := harness.Environ()
	dev, err := fleet.Start(harness.Spec{
		Name: "dev", Path: filepath.Join(bin, "nightshift"), Dir: site, Env: env,
		Args: []string{"dev", "--port", data[strings.LastIndex(data, ":")+1:], "--admin-port", "0", "--data", t.TempDir(), site},
	})
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("---- dev\n%s", dev.Log.Tail(60))
		}
		check(t, fleet.Close())
	})
	says := func(n int, expr string) {
		t.Helper()
		re := regexp.MustCompile(expr)
		w.building(t, func() error {
			if got := dev.Log.Count(re); got < n {
				return fmt.Errorf("dev says %s %d times, want %d", expr, got, n)
			}
			return nil
		})
	}
	answers := func(path string, status int, part string) {
		t.Helper()
		w.building(t, func() error {
			resp, err := http.Get(w.base + path)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text := make([]byte, 4096)
			n, _ := resp.Body.Read(text)
			if body := string(text[:n]); resp.StatusCode != status || !strings.Contains(body, part) {
				return fmt.Errorf("GET %s = %d %s, want %d with %q", path, resp.StatusCode, body, status, part)
			}
			return nil
		})
	}
	says(1, `next build took \d`)
	says(1, `Ready`)
	answers("/api/word", 200, "first")
	answers("/api/local", 200, "only here")
	answers("/api/cleanup", 200, `{"next":"2`) // called as the scheduler does
	answers("/api/report?title=November", 200, "POST makes a report about November")
	for path, call := range map[string]struct{ body, want string }{
		"/api/welcome": {`{"name":"Ada"}`, `{"welcome":"Ada"}`},
		"/api/report":  {`{"title":"November"}`, `{"title":"November","parts":3}`},
	} {
		inv := w.background(t, request{method: "POST", path: path, body: call.body, header: http.Header{"Content-Type": {"application/json"}}})
		if got := result(inv); got != call.want {
			t.Errorf("POST %s gives %s, want %s", path, got, call.want)
		}
	}

	word("'second'")
	answers("/api/word", 200, "second")

	word("")
	answers("/api/word", 500, "could not be built")
	says(1, `next build failed:`)

	word("'third'")
	write("pages/api/new.js", "export default (req, res) => res.send('new')")
	answers("/api/word", 200, "third")
	answers("/api/new", 200, "new")

	builds := dev.Log.Count(regexp.MustCompile(`next build .* runs`))
	write("netlify/functions/hello.mjs", "export default () => new Response('hello')")
	answers("/.netlify/functions/hello", 200, "hello")
	if got := dev.Log.Count(regexp.MustCompile(`next build .* runs`)); got != builds {
		t.Errorf("next build ran %d times more for a change of a function", got-builds)
	}
	// Stopped in the middle of a build, it leaves nothing behind.
	word("'fourth'")
	says(builds+1, `next build .* runs`)
	check(t, dev.Signal(syscall.SIGINT))
	code, err := dev.Wait(t.Context())
	check(t, err)
	if code != 0 {
		t.Errorf("dev ended with %d", code)
	}
	w.eventually(t, func() error {
		if pids := dev.Survivors(); len(pids) > 0 {
			return fmt.Errorf("dev left the processes %v behind", pids)
		}
		return nil
	})
}
