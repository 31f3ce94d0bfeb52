package pool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// source is a Node function with the given code.
func source(t testing.TB, key, text string) Code {
	t.Helper()
	dir := jailtest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "f.js"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Code{Key: key, Dir: dir, Function: function.Function{Name: key, Kind: function.Sync, API: function.APIv1, Runtime: "node", Entry: "f.js"}}
}

// limited is a jail with limits that are soon met.
func limited(t testing.TB) *jail.Jail {
	return jailtest.New(t, func(c *jail.Config) {
		c.Limits = jail.Limits{Memory: 200 << 20, Tmp: 20 << 20, Processes: 64, Files: 256}
	})
}

func TestFunctionsOverALimitAreEnded(t *testing.T) {
	t.Parallel()
	const (
		hold = `const kept = []; const wait = () => new Promise(() => setInterval(() => {}, 1000)); `
		perl = `const child = (script) => require('child_process').spawn('/usr/bin/perl', ['-e', script], { detached: true, stdio: 'ignore' }); `
	)
	p := start(t, Config{Max: 3, Spares: 1, Jail: limited(t)})
	for _, tc := range []struct {
		name, code string
		outcome    invocation.Outcome
		kind       string
		text       string
	}{
		{
			"buffers", hold + `exports.handler = async () => { for (;;) { kept.push(Buffer.alloc(10e6, 1)); await new Promise(setImmediate) } }`,
			invocation.OutOfMemory, "Runtime.OutOfMemory", "its limit is 200 MiB (NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{
			"buffers while it loads", hold + `for (;;) kept.push(Buffer.alloc(1e6, 1))`,
			invocation.OutOfMemory, "Runtime.OutOfMemory", "its limit is 200 MiB (NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{
			"children", hold + perl + `exports.handler = () => { for (let i = 0; i < 4; i++) child('vec($x, 80_000_000, 8) = 1; sleep 300'); return wait() }`,
			invocation.OutOfMemory, "Runtime.OutOfMemory", "its limit is 200 MiB (NIGHTSHIFT_FUNCTION_MEMORY)",
		},
		{
			"processes", hold + perl + `exports.handler = () => { child('fork for (1..8); sleep 300'); return wait() }`,
			invocation.Crashed, "Runtime.TooManyProcesses", "its limit is 64 (NIGHTSHIFT_FUNCTION_PROCESSES)",
		},
		{
			"files", hold + `exports.handler = () => { const fs = require('fs'); for (let i = 0; i < 5; i++) fs.writeFileSync(process.env.TMPDIR + '/' + i, Buffer.alloc(5e6, 1)); return wait() }`,
			invocation.Crashed, "Runtime.TmpFull", "its limit is 20 MiB (NIGHTSHIFT_FUNCTION_TMP)",
		},
	} {
		code := source(t, tc.name, tc.code)
		_, log, err := do(t.Context(), p, code, "x", true)
		f := failedOf(err)
		if f == nil || f.Outcome != tc.outcome || f.Failure.Type != tc.kind || !strings.Contains(f.Failure.Message, tc.text) {
			t.Errorf("%s: %v, want %s with %q", tc.name, err, tc.outcome, tc.text)
			continue
		}
		if !strings.Contains(log.String(), "system: "+f.Failure.Message) {
			t.Errorf("%s: the log does not say why: %s", tc.name, log)
		}
	}
	if got := must(t, p, corpus(t, "count", "count.js"), "x"); !strings.Contains(got, `"calls":1`) {
		t.Errorf("another function answers %s", got)
	}
}

// What a function leaves running between calls counts too.
func TestIdleFunctionsOverALimitAreEnded(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 2, Jail: limited(t)})
	code := source(t, "later", `const kept = []; exports.handler = async () => { setInterval(() => kept.push(Buffer.alloc(10e6, 1)), 5); return { statusCode: 200, body: 'ok' } }`)
	if got := must(t, p, code, "x"); got != "ok" {
		t.Fatalf("got %q", got)
	}
	polltest.Until(t, "it is gone", func() bool { return len(p.Stats().Warm) == 0 })
	if got := must(t, p, code, "x"); got != "ok" {
		t.Errorf("the next call: %q", got)
	}
}

// A language runtime may notice before the meter does, and tell the function.
func TestRefusedMemoryIsOutOfMemory(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	code := source(t, "refused", `exports.handler = async () => { throw new RangeError('Array buffer allocation failed') }`)
	_, _, err := do(t.Context(), p, code, "x", true)
	if f := failedOf(err); f == nil || f.Outcome != invocation.OutOfMemory || f.Failure.Type != "RangeError" || f.Failure.Stack == "" {
		t.Errorf("%v, want out of memory, in the function's own words", err)
	}
}

// TestHeapKeepsItsLimit has a function tell the limit of its heap, and that of
// another Node that it starts.
func TestHeapKeepsItsLimit(t *testing.T) {
	t.Parallel()
	const code = `
		const limit = () => Math.round(require('v8').getHeapStatistics().heap_size_limit / (1 << 20))
		if (process.send) process.send(limit())
		exports.handler = async () => {
			const child = require('child_process').fork(__filename)
			const theirs = await new Promise((resolve) => child.once('message', resolve))
			return { statusCode: 200, body: [limit(), theirs].map((n) => n > 150 && n < 300).join() }
		}`
	for _, spares := range []int{0, 1} {
		p := start(t, Config{Max: 2, Spares: spares, Jail: limited(t)})
		if got := must(t, p, source(t, "heap", code), ""); got != "true,true" {
			t.Errorf("with %d spares, the limits are as expected: %s", spares, got)
		}
	}
}
