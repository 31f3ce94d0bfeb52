package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/polltest"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

func TestResponses(t *testing.T) {
	const surroundings = "main undefined, parent undefined, in the cache true"
	t.Parallel()
	b := setup(t, func(c *pool.Config) { c.Spares = 1 })
	for _, tc := range []struct {
		call   call
		status int
		body   string
		header map[string][]string
	}{
		{call{entry: "callback.js"}, 201, "called back", nil},
		{call{entry: "succeed.js"}, 200, "succeeded", nil},
		{call{entry: "plain-return.js"}, 200, "returned", nil},
		{call{entry: "esm.mjs"}, 200, "top-level await in esm.mjs", nil},
		{call{entry: "cjs.cjs"}, 200, "cjs.cjs in true", nil},
		// Loaded one way or the other, CommonJS finds itself in the same surroundings.
		{call{entry: "surroundings.cjs"}, 200, surroundings, nil},
		{call{entry: "surroundings.js"}, 200, surroundings, nil},
		{call{entry: "commonjs/esm.mjs"}, 200, "ES module in a CommonJS package", nil},
		{call{entry: "module/esm.js"}, 200, "ES module by its package", nil},
		{call{entry: "returns.js", body: "string-status"}, 203, "ok", nil},
		{call{entry: "returns.js", body: "binary"}, 200, "\x00\xff\x01\xfe", nil},
		{call{entry: "returns.js", body: "headers"}, 200, "", map[string][]string{"x-one": {"1"}, "set-cookie": {"a=1", "b=2"}, "both": {"b, c"}}},
		{call{entry: "returns.js", body: "undefined", kind: function.Background}, 204, "", nil},
		{call{entry: "returns.js", body: "null", kind: function.Scheduled}, 204, "", nil},
		{call{entry: "returns.js", body: "number", kind: function.Background}, 200, "5", map[string][]string{"content-type": {"application/json"}}},
		{call{entry: "returns.js", body: "no-status", kind: function.Background}, 200, `{"body":"x"}`, nil},
		{call{entry: "stream-v1.js"}, 206, "part 0 part 1 part 2 ", map[string][]string{"x-kind": {"v1"}, "set-cookie": {"a=1", "b=2"}}},
		{call{entry: "stream-raw.js"}, 200, "a,b\n", map[string][]string{"content-type": {"text/csv"}}},
		{call{entry: "stream-nothing.js"}, 204, "", nil},
		{call{entry: "stream-body.js"}, 200, "one two", map[string][]string{"content-type": {"text/plain"}}},
		{call{entry: "v2.mjs", body: "text"}, 202, "hello", map[string][]string{"x-answer": {"42"}}},
		{call{entry: "v2.mjs", body: "json"}, 200, `{"a":1}`, map[string][]string{"content-type": {"application/json"}}},
		{call{entry: "v2.mjs", body: "undefined"}, 204, "", nil},
		{call{entry: "v2.mjs", body: "echo"}, 200, "POST http://site.test/x?case=echo yes echo", nil},
		{call{entry: "v2.mjs", body: "cookies", event: map[string]any{"headers": map[string]string{"cookie": "a=b; sent=this"}}}, 200, "this", map[string][]string{
			"set-cookie": {"own=a", "own=b", "one=1", "two=2; HttpOnly; Path=/", "three=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"},
		}},
		{call{entry: "v2.mjs", body: "stream"}, 200, "chunk 0 chunk 1 chunk 2 chunk 3 chunk 4 ", nil},
		{call{entry: "v2.mjs", body: "text-stream"}, 200, "text as it is", nil},
		{call{entry: "v2.mjs", body: "read-stream", event: map[string]any{"body": "AAEC/w==", "isBase64Encoded": true}}, 200, "4 bytes, reused false", nil},
		{call{entry: "v2.mjs", body: "echo", event: map[string]any{"httpMethod": "HEAD"}}, 200, "HEAD http://site.test/x?case=echo yes ", nil},
		{call{entry: "v2.mjs", body: "echo", event: map[string]any{"headers": map[string]string{"x-test": "yes", "x-bytes": "\ufffd"}}}, 200, "POST http://site.test/x?case=echo yes echo", nil},
		{call{entry: "v2.mjs", body: "params", event: map[string]any{"rawUrl": "http://site.test/Files/a%2Fb/x%20y/z?case=params", "route": "/Files/:name/*"}}, 200, `{"0":"x%20y/z","name":"a%2Fb"}`, nil},
		{call{entry: "v2.mjs", body: "params", event: map[string]any{"rawUrl": "http://site.test/files/a/b?case=params", "route": "/Files/:name/*"}}, 200, `{}`, nil},
		{call{entry: "v2.mjs", body: "next"}, 200, "`context.next` is not implemented for serverless functions", nil},
		{call{entry: "store-v2.mjs"}, 200, "true true", nil},
		{call{entry: "v2-object.mjs"}, 200, "from an object", nil},
		{call{entry: "v2-cjs.cjs"}, 200, "from CommonJS", nil},
		{call{entry: "big.js", body: "6000000"}, 200, strings.Repeat("b", 6_000_000), nil},
		{call{entry: "v2.mjs", body: "limit"}, 200, strings.Repeat("l", 20<<20), nil},
	} {
		a := b.run(t, tc.call)
		name := tc.call.entry + " " + tc.call.body
		if a.err != nil {
			t.Errorf("%s: %v, log %q", name, a.err, a.log)
			continue
		}
		if a.status != tc.status || a.body != tc.body {
			t.Errorf("%s: got %d %.80q (%d bytes), want %d %.80q", name, a.status, a.body, len(a.body), tc.status, tc.body)
		}
		for key, want := range tc.header {
			if !reflect.DeepEqual(a.header[key], want) {
				t.Errorf("%s: header %s = %q, want %q", name, key, a.header[key], want)
			}
		}
		if a.length >= 0 && a.length != int64(len(a.body)) {
			t.Errorf("%s: Length = %d, body has %d", name, a.length, len(a.body))
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *pool.Config) { c.Spares = 1 })
	for _, tc := range []struct {
		call    call
		outcome invocation.Outcome
		kind    string
		message string // contained
		stack   string // contained
	}{
		{call{entry: "sync-throw.js"}, invocation.Error, "TypeError", "thrown at once", "sync-throw.js:2:9"},
		{call{entry: "reject.js"}, invocation.Error, "RangeError", "rejected later", "Caused by: Error: the reason"},
		{call{entry: "reject-string.js"}, invocation.Error, "string", "only a string", ""},
		{call{entry: "reject-nothing.js"}, invocation.Error, "Error", "undefined", ""},
		{call{entry: "callback-error.js"}, invocation.Error, "Error", "told by callback", "callback-error.js:1:"},
		{call{entry: "callback-never.js"}, invocation.BadResponse, "", "no lambda response. check your function code again. make sure to return a promise or use the callback.", ""},
		{call{entry: "returns.js", body: "undefined"}, invocation.BadResponse, "", "lambda response was undefined. check your function code again", ""},
		{call{entry: "returns.js", body: "null"}, invocation.BadResponse, "", "no lambda response. check your function code again. make sure to return a promise or use the callback.", ""},
		{call{entry: "returns.js", body: "number"}, invocation.BadResponse, "", "Your function response must have a numerical statusCode. You gave: undefined", ""},
		{call{entry: "returns.js", body: "no-status"}, invocation.BadResponse, "", "You gave: undefined", ""},
		{call{entry: "returns.js", body: "response"}, invocation.BadResponse, "", "Your function response must have a numerical statusCode. You gave: undefined", ""},
		{call{entry: "returns.js", body: "bad-status"}, invocation.BadResponse, "", "Your function response must have a numerical statusCode. You gave: 'abc'", ""},
		{call{entry: "returns.js", body: "bad-body"}, invocation.BadResponse, "", "Your function response must have a string or a stream body. You gave: { a: 1 }", ""},
		{call{entry: "returns.js", body: "number-body"}, invocation.BadResponse, "", "must have a string or a stream body. You gave: 7", ""},
		{call{entry: "cycle.js"}, invocation.Error, "TypeError", "circular", ""},
		{call{entry: "cycle-body.js"}, invocation.Error, "TypeError", "circular", "cycle-body.js:4"},
		{call{entry: "commonjs/esm.js"}, invocation.InitError, "SyntaxError", "Cannot use import statement outside a module", "commonjs/esm.js:1"},
		{call{entry: "module/cjs.js"}, invocation.InitError, "ReferenceError", "exports is not defined in ES module scope", "module/cjs.js:1"},
		{call{entry: "init-rejects.mjs"}, invocation.InitError, "RangeError", "the database is not there", "init-rejects.mjs:2:9"},
		{call{entry: "syntax.js"}, invocation.InitError, "SyntaxError", "Unexpected token '='", "syntax.js:2"},
		{call{entry: "syntax.cjs"}, invocation.InitError, "SyntaxError", "Unexpected token '='", "syntax.cjs:2"},
		{call{entry: "syntax-esm.mjs"}, invocation.InitError, "SyntaxError", "Unexpected token '='", "syntax-esm.mjs:2"},
		{call{entry: "missing-import.mjs"}, invocation.InitError, "Error", "Cannot find module 'does-not-exist.mjs' imported from missing-import.mjs", ""},
		{call{entry: "missing-require.js"}, invocation.InitError, "Error", "Cannot find module 'no-such-package'", "missing-require.js:1:14"},
		{call{entry: "not-there.js"}, invocation.InitError, "Error", "Cannot find module 'not-there.js'", ""},
		{call{entry: "init-throws.js"}, invocation.InitError, "Error", "DATABASE_URL is not set", "init-throws.js:2:7"},
		{call{entry: "init-exit.js"}, invocation.InitError, "Runtime.ExitError", "exited with code 4 while the function was being loaded", ""},
		{call{entry: "init-stalled.mjs"}, invocation.InitError, "Runtime.Stalled", "top-level await can never settle", ""},
		{call{entry: "no-handler.js"}, invocation.InitError, "Runtime.HandlerNotFound", `no-handler.js must export a function named "handler"`, ""},
		{call{entry: "exit.js"}, invocation.Crashed, "Runtime.ExitError", "the function's process exited with code 3 before it returned", ""},
		{call{entry: "abort.js"}, invocation.Crashed, "Runtime.ExitError", "was ended by signal 11 (segmentation fault) before it returned", ""},
		{call{entry: "never.js"}, invocation.Error, "Runtime.Stalled", "can never settle", ""},
		{call{entry: "unhandled-first.js"}, invocation.Error, "Error", "nobody awaited this", "unhandled-first.js:2:18"},
		{call{entry: "unhandled.js"}, invocation.Error, "Error", "nobody awaited this", "unhandled.js:2:18"},
		{call{entry: "uncaught.js"}, invocation.Error, "SyntaxError", "thrown from a timer", "uncaught.js:4:13"},
		{call{entry: "spin.js", limit: 700 * time.Millisecond}, invocation.TimedOut, "Runtime.Timeout", "the function exceeded its limit of 0.7 s and was stopped", ""},
		{call{entry: "deaf.js", limit: time.Second}, invocation.TimedOut, "Runtime.Timeout", "exceeded its limit of 1 s", ""},
		{call{entry: "big.js", body: "7000000"}, invocation.BadResponse, "Function.ResponseSizeTooLarge", "larger than the limit of 6 MiB", ""},
		{call{entry: "v2.mjs", body: "huge"}, invocation.BadResponse, "Function.ResponseSizeTooLarge", "larger than the limit of 20 MiB", ""},
		{call{entry: "v2.mjs", body: "number"}, invocation.BadResponse, "NetlifyUserError", "Function returned an unsupported value. Accepted types are 'Response' or 'undefined'", ""},
		{call{entry: "v2.mjs", body: "throws"}, invocation.Error, "URIError", "no such thing", "v2.mjs:7:11"},
		{call{entry: "v2.mjs", body: "stream-fails"}, invocation.Error, "Error", "the source broke", ""},
		{call{entry: "v2.mjs", body: "used-body"}, invocation.Error, "TypeError", "Response body object should not be disturbed or locked", ""},
		{call{entry: "v2.mjs", body: "error-response"}, invocation.Error, "RangeError", `init["status"] must be in the range of 200 to 599, inclusive.`, ""},
		{call{entry: "v2.mjs", body: "wait-nothing"}, invocation.Error, "TypeError", "At least 1 argument required", ""},
		{call{entry: "v2.mjs", body: "stream-exits"}, invocation.Crashed, "Runtime.ExitError", "exited with code 0 before it returned", ""},
		{call{entry: "v2.mjs", body: "wait-crash"}, invocation.Error, "Error", "crashed behind the response", ""},
		{call{entry: "stream-v1.js", body: "fail"}, invocation.Error, "Error", "failed half-way", "stream-v1.js:7"},
		{call{entry: "heap.js", env: []string{"NODE_OPTIONS=--max-old-space-size=40"}}, invocation.OutOfMemory, "Runtime.OutOfMemory", "ran out of memory", ""},
	} {
		a := b.run(t, tc.call)
		name := tc.call.entry + " " + tc.call.body
		if a.failed == nil {
			t.Errorf("%s: got %d %.80q, want outcome %s", name, a.status, a.body, tc.outcome)
			continue
		}
		f := a.failed.Failure
		if a.failed.Outcome != tc.outcome || !strings.Contains(f.Message, tc.message) || tc.kind != "" && f.Type != tc.kind {
			t.Errorf("%s: got %s %s %q, want %s %s %q", name, a.failed.Outcome, f.Type, f.Message, tc.outcome, tc.kind, tc.message)
		}
		if !strings.Contains(f.Stack, tc.stack) {
			t.Errorf("%s: stack %q, want %q in it", name, f.Stack, tc.stack)
		}
		if strings.Contains(f.Stack, "nightshift-node") || strings.Contains(f.Stack, "node:internal") || strings.Contains(f.Stack, b.dir) {
			t.Errorf("%s: stack has frames or paths of ours: %q", name, f.Stack)
		}
		if tc.outcome == invocation.TimedOut && !a.has("system: "+f.Message) {
			t.Errorf("%s: no system line says so: %q", name, a.log)
		}
	}
}

func TestContextV1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.run(t, call{entry: "context.js", client: `{"user":{"name":"Zo\u00eb"}}`})
	want := `{"keys":["attempt","awsRequestId","callbackWaitsForEmptyEventLoop","clientContext","done","fail","functionName","functionVersion",` +
		`"getRemainingTimeInMillis","identity","invokedFunctionArn","logGroupName","logStreamName","memoryLimitInMB","succeed"],` +
		`"id":"01HZX10","attempt":1,"name":"context","left":true,"waits":false,"identity":null,"client":{"user":{"name":"Zoë"}}}`
	if a.body != want {
		t.Errorf("context = %s %v, want %s", a.body, a.err, want)
	}
	// The same process must not know it any more.
	if a := b.run(t, call{entry: "context.js"}); !strings.HasSuffix(a.body, `"client":{}}`) {
		t.Errorf("context = %s %v, want an empty client context", a.body, a.err)
	}
}

func TestContextV2(t *testing.T) {
	t.Parallel()
	a := setup(t).run(t, call{entry: "v2.mjs", body: "context", attempt: 3, env: []string{"OWN=value", "SITE_NAME=shop", "URL=http://shop.test"}, event: map[string]any{
		"rawUrl": "http://site.test/items/7?case=context", "route": "/items/:id",
		"headers": map[string]string{"x-nf-request-id": "req", "x-nf-client-connection-ip": "192.0.2.1", "x-nf-geo": "eyJjaXR5IjoiQmVybGluIn0=",
			"x-nf-account-id": "acc", "x-nf-site-id": "shop", "x-nf-deploy-id": "d1", "x-nf-deploy-published": "1", "x-nf-branch": "main", "x-nf-deploy-context": "branch-deploy"},
	}})
	want := `{"keys":["account","attempt","cookies","deploy","flags","geo","ip","json","log","next","params","path","requestId","rewrite","server","site","url","waitUntil"],` +
		`"values":{"account":{"id":"acc"},"attempt":3,"cookies":{},"deploy":{"branch":"main","context":"branch-deploy","id":"d1","published":true},` +
		`"flags":{},"geo":{"city":"Berlin"},"ip":"192.0.2.1","params":{"id":"7"},"path":"/items/:id","requestId":"req",` +
		`"server":{"region":"us-east-1"},"site":{"id":"shop","name":"shop","url":"http://shop.test"},"url":"http://site.test/items/7?case=context"},` +
		`"functions":["json","log","next","rewrite","waitUntil"],"cookies":["get","set","delete"],"flag":[null,0],` +
		`"same":true,"env":"value","netlify":["context","env"]}`
	if a.body != want {
		t.Errorf("context = %s %v, want %s", a.body, a.err, want)
	}
}

func TestOnlyPlainErrorsKeepTheProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	warm := func(entry string) int { return b.pool.Stats().Warm[entry] }
	if b.run(t, call{entry: "reject.js"}); warm("reject.js") != 1 {
		t.Error("the process did not survive a plain rejection")
	}
	for _, entry := range []string{"callback-never.js", "unhandled-first.js", "uncaught.js", "never.js", "exit.js"} {
		if a := b.run(t, call{entry: entry}); a.failed == nil || warm(entry) != 0 {
			t.Errorf("%s: failed %v, %d warm processes, want 0", entry, a.failed, warm(entry))
		}
	}
}

func TestWaitUntil(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.run(t, call{entry: "v2.mjs", body: "wait"}); a.body != "early" || a.length != 5 || !a.has("stdout: waited") {
		t.Errorf("got %q, length %d, log %q: the invocation did not wait", a.body, a.length, a.log)
	}
	if a := b.run(t, call{entry: "v2.mjs", body: "wait-rejects"}); a.err != nil || !a.has("later trouble") {
		t.Errorf("got %v, log %q", a.err, a.log)
	}
	if a := b.run(t, call{entry: "v2.mjs", body: "wait-throws"}); a.failed == nil || a.failed.Failure.Message != "thrown meanwhile" || !a.has("stdout: waited") {
		t.Errorf("got %v, log %q: the invocation did not wait", a.err, a.log)
	}
	if a := b.run(t, call{entry: "v2.mjs", body: "wait-never"}); a.err != nil || !a.has("can never settle") {
		t.Errorf("got %v, log %q", a.err, a.log)
	}
	if n := b.pool.Stats().Warm["v2.mjs"]; n != 1 {
		t.Errorf("%d warm processes, want the same one all along", n)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 3 {
		a := b.run(t, call{entry: "partial.js", body: strconv.Itoa(n)})
		if len(a.log) != 2 || !a.has("stdout: partial "+strconv.Itoa(n)) || !a.has("stderr: whole") {
			t.Errorf("call %d: log %q, want its own two lines", n, a.log)
		}
	}
	a := b.run(t, call{entry: "flood.js"})
	if a.err != nil || a.body != "flooded" {
		t.Fatalf("flood: %v %q", a.err, a.body)
	}
	if got := a.count("stdout: "); got != 1<<20/1000 {
		t.Errorf("flood: %d lines, want %d", got, 1<<20/1000)
	}
	if want := fmt.Sprintf("system: %d bytes of output were dropped", 100_000_000-1<<20/1000*1000); !a.has(want) {
		t.Errorf("flood: last line %q, want %q", a.log[len(a.log)-1], want)
	}
	if a := b.run(t, call{entry: "init-throws.js"}); !a.has("stdout: about to fail") || !a.has("stderr: Error: cannot start") {
		t.Errorf("log %q, want the line that the module wrote, and the error", a.log)
	}
}

func TestGrandchildrenDoNotOutliveTheirProcess(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"attached", "detached"} {
		b := setup(t)
		a := b.run(t, call{entry: "grandchild.js", body: how, event: map[string]any{"queryStringParameters": map[string]string{"crash": "1"}}})
		if a.failed == nil || a.failed.Outcome != invocation.Crashed || len(a.log) == 0 {
			t.Fatalf("%s: %v, log %q", how, a.err, a.log)
		}
		pid, err := strconv.Atoi(strings.TrimPrefix(a.log[0], "stdout: pid "))
		if err != nil {
			t.Fatal(err)
		}
		// The kill is on its way; a busy machine takes a while to carry it out.
		polltest.Until(t, how+": the grandchild is dead", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
}

func TestEnvironmentIsScrubbed(t *testing.T) {
	t.Setenv("NIGHTSHIFT_SECRET_KEY", "the-keys-to-the-house")
	t.Setenv("NODE_EXTRA_CA_CERTS", "/nowhere/ca.pem")
	b := setup(t, func(c *pool.Config) { c.Spares = 1 })
	for _, env := range [][]string{nil, {"OWN=1"}, {"OWN=1", "NODE_EXTRA_CA_CERTS=/own/ca.pem"}} {
		a := b.run(t, call{entry: "env.js", env: env})
		if strings.Contains(a.body, "the-keys-to-the-house") || strings.Contains(a.body, "/nowhere/ca.pem") {
			t.Fatalf("env %q: the worker's environment leaks: %s", env, a.body)
		}
		var got struct {
			Env  map[string]string
			Self []string
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatalf("%v: %s %v", err, a.body, a.err)
		}
		for _, entry := range env {
			key, value, _ := strings.Cut(entry, "=")
			if got.Env[key] != value {
				t.Errorf("env %q: %s = %q", env, key, got.Env[key])
			}
		}
		want := map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "env", "_HANDLER": "env.handler", "TZ": "UTC", "HOME": got.Env["TMPDIR"]}
		if root := got.Env["LAMBDA_TASK_ROOT"]; root != b.dir && filepath.Base(root) != "code" {
			t.Errorf("env %q: LAMBDA_TASK_ROOT = %q, want the folder of the code, or of the process's cell", env, root)
		}
		for key, value := range want {
			if got.Env[key] != value {
				t.Errorf("env %q: %s = %q, want %q", env, key, got.Env[key], value)
			}
		}
	}
}
