package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// A function may replace any global. Its calls must still be taken, answered and
// reported, the first one and all after it in the same process.
func TestReplacedGlobals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, tc := range []struct {
		call call
		want string // the body, or the failure's message
		fail string // its type
		log  string
	}{
		{call: call{entry: "globals.js", body: "first"}, want: "globals true first"},
		{call: call{entry: "globals.js", body: "second"}, want: "globals true second"},
		{call: call{entry: "globals.js", body: "throw"}, want: "a function of its own", fail: "SyntaxError", log: "stderr: SyntaxError: a function of its own"},
		{call: call{entry: "globals.js", body: "string"}, want: "only a string", fail: "string"},
		{call: call{entry: "globals.js", body: "stream"}, want: "one two"},
		{call: call{entry: "globals.js", body: "last", client: `{}`}, want: "globals true last"},
		{call: call{entry: "globals-v2.mjs", body: "first", env: []string{"SITE_NAME=shop"}}, want: "POST /x shop first"},
		{call: call{entry: "globals-v2.mjs", body: "throw", env: []string{"SITE_NAME=shop"}}, want: "a function of its own", fail: "SyntaxError"},
		{call: call{entry: "globals-v2.mjs", body: "undefined", env: []string{"SITE_NAME=shop"}}, want: ""},
		{call: call{entry: "globals-v2.mjs", body: "wait", env: []string{"SITE_NAME=shop"}}, want: "POST /x shop wait", log: "stderr: RangeError: later"},
		{call: call{entry: "globals-v2.mjs", body: "stream", env: []string{"SITE_NAME=shop"}}, want: "streamed"},
		{call: call{entry: "globals-v2.mjs", body: "last", env: []string{"SITE_NAME=shop"}}, want: "POST /x shop last"},
	} {
		a := b.run(t, tc.call)
		name := tc.call.entry + " " + tc.call.body
		switch {
		case tc.fail == "" && (a.err != nil || a.body != tc.want):
			t.Errorf("%s: got %q, %v, log %q, want %q", name, a.body, a.err, a.log, tc.want)
		case tc.fail != "" && (a.failed == nil || a.failed.Outcome != invocation.Error || a.failed.Failure.Type != tc.fail || a.failed.Failure.Message != tc.want):
			t.Errorf("%s: got %q, %v, want %s %q", name, a.body, a.err, tc.fail, tc.want)
		case tc.log != "" && !a.has(tc.log):
			t.Errorf("%s: log %q, want %q", name, a.log, tc.log)
		}
	}
	for key, warm := range b.pool.Stats().Warm {
		if strings.HasPrefix(key, "globals") && warm != 1 {
			t.Errorf("%d warm processes of %s, want the same one all along", warm, key)
		}
	}
}

// A timer that is left running goes on between the calls, and a call that finds
// its process gone for it gets another one.
func TestTimersLeftRunning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.run(t, call{entry: "timer.js", body: "start"})
	second := b.run(t, call{entry: "timer.js", body: "wait"})
	if first.err != nil || second.err != nil || first.body != second.body {
		t.Errorf("got processes %q, %v and %q, %v, want the same one", first.body, first.err, second.body, second.err)
	}
	gate := filepath.Join(b.dir, "gate") // which the function may look at
	if a := b.run(t, call{entry: "timer.js", body: gate}); a.err != nil {
		t.Fatalf("a timer that throws later: %v", a.err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "the process has ended", func() bool { return b.pool.Stats().Warm["timer.js"] == 0 })
	if a := b.run(t, call{entry: "timer.js", body: "start"}); a.err != nil || a.body == first.body {
		t.Errorf("got process %q, %v, want a new one", a.body, a.err)
	}
}
