package dev_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/dev"
)

// helpers are functions that use each helper of @netlify/functions.
var helpers = map[string]string{
	"netlify/functions/built.mjs": `import { builder } from '@netlify/functions'
export const handler = builder(async (event) => ({ statusCode: 200, ttl: 5, body: JSON.stringify([event.queryStringParameters, event.multiValueQueryStringParameters, event.rawQuery]) }))`,
	"netlify/functions/built-callback.js": `const { builder } = require('@netlify/functions')
exports.handler = builder((event, context, callback) => { setTimeout(() => callback(null, { statusCode: 201, body: 'called back' }), 1) })`,
	"netlify/functions/built-nothing.js": `const { builder } = require('@netlify/functions')
exports.handler = builder(async () => {})`,
	"netlify/functions/stream-text.mjs": `import { stream } from '@netlify/functions'
export const handler = stream(async (event) => ({ statusCode: 203, headers: { 'X-Kind': 'text' }, body: 'said ' + event.body }))`,
	"netlify/functions/stream-nothing.mjs": `import { stream } from '@netlify/functions'
export const handler = stream(async () => ({ statusCode: 204 }))`,
	"netlify/functions/stream-node.ts": `import { stream as streaming, type Handler } from '@netlify/functions'
import { Readable } from 'node:stream'
export const handler: Handler = streaming(async () => ({ statusCode: 200, headers: { 'X-Kind': 'node' }, multiValueHeaders: { 'X-Two': ['1', '2'] }, body: Readable.from(['a', 'b']) }))`,
	"netlify/functions/stream-web.mjs": `import { stream } from '@netlify/functions'
export const handler = stream(async () => ({ statusCode: 200, body: new Response('from fetch').body }))`,
	"netlify/functions/stream-throws.mjs": `import { stream } from '@netlify/functions'
export const handler = stream(async () => { throw new RangeError('before any of it') })`,
	"netlify/functions/nightly.mjs": `import { schedule } from '@netlify/functions'
export const handler = schedule('0 3 * * *', async (event) => ({ statusCode: 200, body: Object.keys(JSON.parse(event.body)).join() }))`,
	"netlify/functions/context.mts": `import { getContext, purgeCache, BACKGROUND_FUNCTION_TIMEOUT, type Context } from '@netlify/functions'
export default async (request: Request, context: Context) => {
  await purgeCache()
  return Response.json([await Promise.resolve().then(getContext) === context, context.deploy.context, process.env.CONTEXT, BACKGROUND_FUNCTION_TIMEOUT])
}`,
}

// TestHelperPackage holds what stands in for @netlify/functions against the package itself.
func TestHelperPackage(t *testing.T) {
	t.Parallel()
	install := func(cfg *dev.Config) {
		for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
			data, err := os.ReadFile(filepath.Join("testdata", "helpers", name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, cfg.Dir, name, string(data))
		}
		cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--prefer-offline", "--loglevel=error")
		cmd.Dir = cfg.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm ci, which needs the package registry or npm's cache: %v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Join(cfg.Dir, "node_modules", "@netlify", "functions", "package.json")); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*dev.Config){"the package": install, "its stand-in": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, helpers, change)
			for _, tc := range []struct {
				method, path string
				status       int
				body         string
				kind         string // the header X-Kind
			}{
				{"GET", "built?a=1&a=2", 200, `[{},{},"a=1&a=2"]`, ""},
				{"HEAD", "built", 200, "", ""},
				{"POST", "built", 405, "Method Not Allowed", ""},
				{"GET", "built-callback", 201, "called back", ""},
				{"DELETE", "built-callback", 405, "Method Not Allowed", ""},
				{"GET", "built-nothing", 500, "lambda response was undefined. check your function code again", ""},
				{"POST", "stream-text", 203, "said this", "text"},
				{"GET", "stream-nothing", 204, "", ""},
				{"GET", "stream-node", 200, "ab", "node"},
				{"GET", "stream-web", 200, "from fetch", ""},
				{"GET", "nightly", 200, "next_run", ""},
				{"GET", "context", 200, `[true,"dev","dev",900]`, ""},
			} {
				body := ""
				if tc.method == http.MethodPost {
					body = "this"
				}
				status, header, got := w.call(tc.method, functions+tc.path, body)
				if status != tc.status || got != tc.body || header.Get("X-Kind") != tc.kind {
					t.Errorf("%s %s: %d %q, kind %q, want %d %q, %q", tc.method, tc.path, status, got, header.Get("X-Kind"), tc.status, tc.body, tc.kind)
				}
				if tc.path == "stream-node" && header.Get("X-Two") != "1, 2" {
					t.Errorf("%s: X-Two = %q, want both values", tc.path, header.Get("X-Two"))
				}
			}
			w.answers(functions+"stream-throws", 500, "RangeError: before any of it")
		})
	}
}

// TestFunctionsKnowWhereTheyRun reads what dev tells functions beside the request.
func TestFunctionsKnowWhereTheyRun(t *testing.T) {
	t.Parallel()
	const env = "['SITE_NAME', 'SITE_ID', 'URL', 'CONTEXT', 'NETLIFY_DEV', 'NETLIFY'].map((name) => process.env[name] ?? null)"
	w := start(t, map[string]string{
		"netlify/functions/v1.js":  "exports.handler = async (event, context) => ({ statusCode: 200, body: JSON.stringify({ client: context.clientContext, env: " + env + " }) })",
		"netlify/functions/v2.mjs": "export default async (request, context) => Response.json({ site: context.site, deploy: { ...context.deploy, id: typeof context.deploy.id }, env: " + env + " })",
	}, nil)
	site := strings.Replace(w.base, "127.0.0.1", "localhost", 1)
	vars := `"env":["default","default","` + site + `","dev","true",null]}`
	get := func(name string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+functions+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		req.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjMiLCJlbWFpbCI6ImFAYi5jIn0.x")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := get("v1"); !strings.Contains(got, `"user":{"sub":"123","email":"a@b.c"},"custom":{"netlify":"eyJ`) || !strings.HasSuffix(got, vars) {
		t.Errorf("v1: %s, want the token's claims and %s", got, vars)
	}
	want := `{"site":{"id":"default","name":"default","url":"` + site + `"},"deploy":{"branch":"","context":"dev","id":"string","published":true},` + vars
	if got := get("v2"); got != want {
		t.Errorf("v2: %s, want %s", got, want)
	}
}
