package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp" // drives Chromium over its own protocol
	"github.com/chromedp/chromedp/kb"
	"github.com/nightshift/nightshift/test/harness"
)

// patience is how long a page may take to come to what a test waits for, on a
// machine that has much else to do.
const patience = 30 * time.Second

// shotsSetting names the folder that screenshots go to; without it there are none.
const shotsSetting = "NIGHTSHIFT_TEST_SCREENSHOTS"

// launchBrowser starts Chromium. It ends with the test.
func launchBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the tests of the console need chromium on PATH (apt-get install chromium): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), // containers have a small one
		chromedp.WSURLReadTimeout(patience),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}

// tab is a tab of a browser, with cookies of its own, and what went wrong in it.
type tab struct {
	*world
	ctx   context.Context
	shots string

	mu       sync.Mutex
	problems []string
}

// open opens a tab that nobody has signed in with.
func (w *world) open(browserContext context.Context) *tab {
	w.Helper()
	t := &tab{world: w, shots: os.Getenv(shotsSetting)}
	var end context.CancelFunc
	t.ctx, end = chromedp.NewContext(browserContext, chromedp.WithNewBrowserContext())
	w.Cleanup(end)
	w.must(chromedp.Listen(t.ctx, t.hear))
	return t
}

// hear notes what must not happen on a page.
func (t *tab) hear(event any) {
	var problem string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("exception: %+v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			problem = fmt.Sprintf("console.%s: %v", e.Type, e.Args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
	if problem != "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.problems = append(t.problems, problem)
	}
}

// heard takes what went wrong since the last time.
func (t *tab) heard() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	problems := t.problems
	t.problems = nil
	return problems
}

// quiet fails the test if anything went wrong on the page.
func (t *tab) quiet(where string) {
	t.Helper()
	for _, problem := range t.heard() {
		t.Errorf("%s: %s", where, problem)
	}
}

// do runs actions one after the other.
func (t *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ask(t, chromedp.Steps(actions...))
}

// ask runs an action and returns what it tells.
func ask[T any](t *tab, action chromedp.Action[T]) T {
	t.Helper()
	ctx, end := context.WithTimeout(t.ctx, patience)
	defer end()
	told, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("%v, at %s", err, t.where())
	}
	return told
}

// eval computes an expression on the page.
func eval[T any](t *tab, expression string) T {
	t.Helper()
	return ask(t, chromedp.Evaluate[T](expression))
}

// where is the address of the page, for failures.
func (t *tab) where() string {
	ctx, end := context.WithTimeout(t.ctx, 5*time.Second)
	defer end()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + ": " + document.body.innerText.slice(0, 600)`))
	return fmt.Sprint(text, " ", err)
}

// visit loads a page of the console.
func (t *tab) visit(path string) {
	t.Helper()
	t.do(chromedp.Navigate(t.admin + path))
}

// path is where the tab is.
func (t *tab) path() string {
	t.Helper()
	return strings.TrimPrefix(ask(t, chromedp.Location()), t.admin)
}

// leads clicks on an element and waits until the page shows a text.
func (t *tab) leads(selector, text string) {
	t.Helper()
	t.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
	t.shows(text)
}

// shows waits until the page shows a text.
func (t *tab) shows(text string) {
	t.Helper()
	t.holds(fmt.Sprintf("the page shows %q", text), fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// holds waits until a condition holds on the page, or on the one that it leads to.
func (t *tab) holds(what, condition string) {
	t.Helper()
	ctx, end := context.WithTimeout(t.ctx, patience)
	defer end()
	err := harness.Eventually(ctx, func() error {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState === "complete" && !!(`+condition+`)`))
		if err == nil && !ok {
			err = errors.New("it does not hold")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v, at %s", what, err, t.where())
	}
}

// press presses a key some times.
func (t *tab) press(key string) {
	t.Helper()
	t.do(chromedp.KeyEvent(key))
}

// focus tells what has the focus: its text, or else its name.
func (t *tab) focus() string {
	t.Helper()
	return eval[string](t, `(e => (e.innerText || e.name || e.id || e.tagName).trim())(document.activeElement)`)
}

// tabTo presses Tab until something has the focus, at most n times, and fails if
// the focus cannot be seen on the way.
func (t *tab) tabTo(n int, want string) {
	t.Helper()
	var way []string
	for range n {
		t.press(kb.Tab)
		at := t.focus()
		way = append(way, at)
		if eval[string](t, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
			t.Errorf("the focus on %q cannot be seen", at)
		}
		if at == want {
			return
		}
	}
	t.Fatalf("%d times Tab do not lead to %q, but to %q, at %s", n, want, way, t.where())
}

// size makes the window as wide as a screen.
func (t *tab) size(width, height int64) {
	t.Helper()
	t.do(chromedp.EmulateViewport(width, height))
}

// theme chooses light or dark.
func (t *tab) theme(name string) {
	t.Helper()
	_, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	t.must(err)
}

// fits fails if the page is wider than the window, and names what is too wide.
func (t *tab) fits(where string) {
	t.Helper()
	wide := eval[[]string](t, `(() => {
		const width = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= width) return [];
		const out = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1);
		return ["page of " + document.documentElement.scrollWidth + " px in " + width].concat(out.slice(0, 5).map((e) => e.outerHTML.slice(0, 120)));
	})()`)
	if len(wide) > 0 {
		t.Errorf("%s must be scrolled sideways:\n%s", where, strings.Join(wide, "\n"))
	}
}

// shoot takes a picture of the whole page, if somebody wants to look.
func (t *tab) shoot(name string) {
	t.Helper()
	if t.shots == "" {
		return
	}
	picture := ask(t, chromedp.FullScreenshot(100))
	if err := errors.Join(os.MkdirAll(t.shots, 0o755), os.WriteFile(filepath.Join(t.shots, name+".png"), picture, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// signIn signs in and is led to a page.
func (t *tab) signIn(path string) {
	t.Helper()
	t.visit(path)
	t.shows("Token of the installation")
	t.do(chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	t.shows("Sign out")
}
