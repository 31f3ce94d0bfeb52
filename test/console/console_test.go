// Package console uses the console as people do, with a browser: it starts the
// real services, lets everything happen to them that the console can show, and
// then looks at each page in both themes, on a wide screen and on a phone, and
// presses what can be pressed. A page that says anything on the browser's console
// fails, as does one that must be scrolled sideways.
//
// With NIGHTSHIFT_TEST_SCREENSHOTS=folder it leaves a picture of each page there.
package console

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

// The steps share one installation and come one after the other: they build on
// what those before have done.
func TestConsole(t *testing.T) {
	w := start(t)
	browser := launchBrowser(t)
	steps := []struct {
		name string
		run  func(*tab)
	}{
		{"sign in", signsIn}, {"pages", looksAtPages}, {"follow a log and cancel", followsAndCancels}, {"replay", replays},
		{"roll back with the keyboard", rollsBack}, {"publish", publishes}, {"schedules", usesSchedules}, {"queues", looksAtQueues}, {"sign out", signsOut},
	}
	somebody := w.open(browser)
	for _, step := range steps {
		ok := t.Run(step.name, func(t *testing.T) {
			world := *w
			world.T = t
			somebody.world = &world
			step.run(somebody)
			somebody.quiet(step.name)
		})
		if !ok {
			return
		}
	}
	t.Run("without JavaScript", func(t *testing.T) {
		world := *w
		world.T = t
		withoutScripts(world.open(browser))
	})
}

func signsIn(t *tab) {
	t.visit("/sites/shop/invocations?state=dead")
	t.shoot("sign-in")
	t.fits("the sign-in")
	t.do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong"+kb.Enter))
	t.shows("That is not the token")
	if problems := t.heard(); len(problems) != 1 || !strings.Contains(problems[0], "401") {
		t.Errorf("a wrong token says %q on the console, want its status only", problems)
	}
	t.do(chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	t.shows("dead-background")
	if at := t.path(); at != "/sites/shop/invocations?state=dead" {
		t.Errorf("the sign-in leads to %s, and not to what was asked for", at)
	}
}

func looksAtPages(t *tab) {
	pages := map[string]string{
		"sites": "/", "overview": "/sites/shop", "overview-empty": "/sites/docs", "functions": "/sites/shop/functions",
		"invocations": "/sites/shop/invocations", "invocations-filtered": "/sites/shop/invocations?state=dead&function=dead-background",
		"schedules": "/sites/shop/schedules", "schedule": "/sites/shop/schedules/seconds", "schedule-nightly": "/sites/shop/schedules/nightly",
		"deploys": "/sites/shop/deploys", "rollback": "/sites/shop/rollback", "dead": "/sites/shop/dead", "dead-replay": "/sites/shop/dead/replay",
		"callbacks": "/sites/shop/callbacks", "callback": "/sites/shop/invocations/" + t.untold, "retried": "/sites/shop/invocations/" + t.retried, "workers": "/workers",
	}
	for state, id := range t.of {
		pages["invocation-"+string(state)] = "/sites/shop/invocations/" + id
	}
	names := make([]string, 0, len(pages))
	for name := range pages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.visit(pages[name])
		if n := eval[int](t, `document.querySelectorAll("main h1").length`); n != 1 {
			t.Errorf("%s has %d headings, want one", name, n)
		}
		for _, theme := range []string{"light", "dark"} {
			t.theme(theme)
			t.size(1280, 900)
			t.fits(name + " on a wide screen")
			t.shoot(name + "-" + theme + "-wide")
			t.size(375, 812)
			t.fits(name + " on a phone")
			t.shoot(name + "-" + theme + "-phone")
		}
		t.quiet(name)
	}
	t.size(1280, 900)
	t.visit("/nowhere")
	t.shows("There is no page at /nowhere")
	t.shoot("not-found")
	if problems := t.heard(); len(problems) != 1 || !strings.Contains(problems[0], "404") {
		t.Errorf("a page that is not there says %q on the console, want its status only", problems)
	}
}

// looksAtQueues sees asynqmon with the session of the console, and that what it
// may load suffices.
func looksAtQueues(t *tab) {
	t.visit("/workers")
	t.do(chromedp.Click(chromedp.CSS(`a[href^="/queues"]`), chromedp.NodeVisible))
	t.shows("background")
	t.shoot("queues")
	t.quiet("the queues")
}

func followsAndCancels(t *tab) {
	id := t.of[invocation.Running]
	t.visit("/sites/shop/invocations/" + id)
	t.shows("live")
	lines := eval[int](t, `document.querySelectorAll(".log li").length`)
	t.holds("the log grows", fmt.Sprintf(`document.querySelectorAll(".log li").length > %d`, lines+2))
	if eval[bool](t, `(() => { const all = [...document.querySelectorAll(".log li.stdout span")].map((e) => e.innerText); return new Set(all).size !== all.length; })()`) {
		t.Error("a line of the log stands on the page twice")
	}
	// The page that asks is another one, so that the first goes on following.
	asking := t.open(t.ctx)
	asking.signIn("/sites/shop/invocations/" + id)
	asking.leads(`a[href$="/cancel"]`, "Cancel this invocation?")
	asking.leads("main form button", "cancelled")
	t.is(id, invocation.Cancelled)
	t.shows("complete") // the script has followed the log to its end,
	t.holds("the page shows the new state, and what can be done now", `document.querySelector("h1 .state.cancelled") && document.querySelector("form[action$='/replay']")`)
	asking.quiet("cancelling")
}

func replays(t *tab) {
	id := t.of[invocation.Dead]
	t.visit("/sites/shop/invocations/" + id)
	t.leads(`form[action$="/replay"] button`, "This is the replay of "+id)
	made := t.path()[strings.LastIndexByte(t.path(), '/')+1:]
	inv, err := t.api.Invocation(t.Context(), made)
	if err != nil || inv.ReplayOf != id {
		t.Errorf("the invocation %s is %+v, %v; want the replay of %s", made, inv, err, id)
	}
	t.is(made, invocation.Dead) // the printer is still on fire
	t.visit("/sites/shop/dead")
	t.do(chromedp.SetValue(chromedp.CSS("#f-function"), "dead-background"))
	t.leads("button[formaction]", "Replay 5 dead invocations?")
	t.leads("main form button", "5 invocations are replayed.")
	t.eventually(func() error {
		list, err := t.api.Invocations(t.Context(), shop, client.InvocationQuery{Function: "dead-background", State: invocation.Dead})
		if err == nil && len(list.Invocations) != 10 {
			err = fmt.Errorf("%d are dead, want 10", len(list.Invocations))
		}
		return err
	})
	t.visit("/sites/shop/invocations/" + id)
	t.leads(`form[action$="/retry"] button`, "Queued again")
	t.eventually(func() error {
		inv, err := t.api.Invocation(t.Context(), id)
		if err == nil && (len(inv.Attempts) != 2 || inv.State != invocation.Dead) {
			err = fmt.Errorf("after the retry it is %s with %d attempts", inv.State, len(inv.Attempts))
		}
		return err
	})
}

func rollsBack(t *tab) {
	if got := t.published(); got != t.second {
		t.Fatalf("published is %s, want %s", got, t.second)
	}
	t.visit("/sites/shop/deploys")
	t.press(kb.Tab)
	if at := t.focus(); at != "Skip to the page" {
		t.Errorf("the first Tab leads to %q, want a way past the navigation", at)
	}
	t.press(kb.Enter)
	t.tabTo(3, "Roll back…")
	t.press(kb.Enter)
	t.shows("Roll back shop?")
	t.shows(t.first)
	if got := t.published(); got != t.second {
		t.Fatalf("being asked has published %s", got)
	}
	t.tabTo(20, "Roll back")
	t.press(kb.Enter)
	t.shows("Rolled back: " + t.first + " is published.")
	if got := t.published(); got != t.first {
		t.Errorf("published is %s, want %s", got, t.first)
	}
}

func publishes(t *tab) {
	t.visit("/sites/shop/deploys")
	t.leads(`a[href$="/`+t.second+`/publish"]`, "Publish this deploy on shop?")
	t.leads("main form button", "Published: callers get "+t.second)
	if got := t.published(); got != t.second {
		t.Errorf("published is %s, want %s", got, t.second)
	}
	t.leads(`form[action$="/lock"] button`, "Locked:")
	if site, err := t.api.Site(t.Context(), shop); err != nil || !site.Locked {
		t.Errorf("the site is %+v, %v; want it locked", site, err)
	}
	t.leads(`form[action$="/unlock"] button`, "Unlocked:")
}

func usesSchedules(t *tab) {
	t.visit("/sites/shop/schedules/nightly")
	t.leads(`form[action$="/pause"] button`, "Paused.")
	if list := t.schedules(); list["nightly"].PausedSince == nil {
		t.Errorf("the schedule is %+v, want it paused", list["nightly"])
	}
	t.leads(`form[action$="/resume"] button`, "Resumed.")
	t.leads(`form[action$="/trigger"] button`, "Triggered.")
	t.visit("/sites/shop/schedules/nightly")
	t.do(
		chromedp.SetValue(chromedp.CSS("#b-from"), "2026-03-28T00:00"), chromedp.SetValue(chromedp.CSS("#b-to"), "2026-03-31T00:00"),
	)
	t.leads(`form[action*="/backfill"] button`, "3 invocations were made.")
	list, err := t.api.Invocations(t.Context(), shop, client.InvocationQuery{Function: "nightly"})
	if err != nil || len(list.Invocations) != 4 {
		t.Errorf("%d invocations of it, %v; want one that was triggered and 3 of ticks", len(list.Invocations), err)
	}
}

// schedules are those of the first site, by function.
func (w *world) schedules() map[string]api.Schedule {
	w.Helper()
	list, err := w.api.Schedules(w.Context(), shop)
	w.must(err)
	byName := map[string]api.Schedule{}
	for _, s := range list {
		byName[s.Function] = s
	}
	return byName
}

func signsOut(t *tab) {
	t.visit("/workers")
	t.leads(`form[action="/sign-out"] button`, "Token of the installation")
	t.visit("/workers")
	t.shows("Token of the installation")
}

func withoutScripts(t *tab) {
	_, err := chromedp.Call(t.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	t.must(err)
	t.signIn("/sites/shop/deploys")
	t.leads(`a[href="/sites/shop/rollback"]`, "Roll back shop?")
	t.leads("main form button", "Rolled back: "+t.first)
	if got := t.published(); got != t.first {
		t.Errorf("published is %s, want %s", got, t.first)
	}
	t.visit("/sites/shop/invocations/" + t.of[invocation.Failed])
	t.shows("Load the page again")
	t.leads(`a[href$="/cancel"]`, "Cancel this invocation?")
	t.leads("main form button", "Cancelled.")
	t.is(t.of[invocation.Failed], invocation.Cancelled)
	t.visit("/sites/shop")
	t.do(chromedp.Click(chromedp.CSS(".switch summary")))
	t.leads(`.switch a[href="/sites/docs"]`, "Nothing is published yet")
	t.quiet("without scripts")
}
