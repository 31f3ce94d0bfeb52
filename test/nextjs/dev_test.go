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

// TestDev changes a site under `nightshift dev`: a good change, a bad one, and
// a new route.
func TestDev(t *testing.T) {
	v := version{name: "16"}
	collector, err := harness.StartCollector()
	check(t, err)
	t.Cleanup(func() { check(t, collector.Close()) })
	w := &world{version: v, collector: collector}
	site := w.site(t)
	// A small site is built quickly.
	check(t, os.RemoveAll(filepath.Join(site, "pages")))
	check(t, os.RemoveAll(filepath.Join(site, "app", "app")))
	write := func(name, text string) {
		t.Helper()
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(site, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(site, name), []byte(text), 0o644))
	}
	write("lib/word.js", "export const word = 'first'")
	write("pages/api/word.js", "import { word } from '../../lib/word'\nexport default (req, res) => res.send(word)")
	write("pages/api/tick.js", "export const config = { type: 'experimental-scheduled', schedule: '0 3 * * *' }\nexport default (req, res) => res.json(Object.keys(req.body))")

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
	answers("/api/tick", 200, `["next_run"]`) // as an ordinary route, but called as the scheduler does

	write("lib/word.js", "export const word = 'second'")
	answers("/api/word", 200, "second")

	write("lib/word.js", "export const word = ")
	answers("/api/word", 500, "could not be built")
	says(1, `next build failed:`)

	write("lib/word.js", "export const word = 'third'")
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
	write("lib/word.js", "export const word = 'fourth'")
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
