package insource_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/insource"
)

// summary is what a module says, in one line: the API, the settings with
// their places, and the problems.
func summary(m insource.Module) string {
	parts := []string{fmt.Sprintf("v%d", m.API)}
	if m.CommonJS {
		parts[0] += " cjs"
	}
	for _, key := range slices.Sorted(maps.Keys(m.Settings)) {
		v := m.Settings[key]
		parts = append(parts, fmt.Sprintf("%s=%v@%d:%d", key, v.Data, v.At.Line, v.At.Column))
	}
	for _, p := range m.Problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		parts = append(parts, fmt.Sprintf("%s %s", kind, p.Error()))
	}
	return strings.Join(parts, " | ")
}

func TestAnalyze(t *testing.T) {
	t.Parallel()
	const handler = "export default async () => new Response('x')\n"
	tests := map[string]struct{ file, source, want string }{
		"v1 commonjs":            {"f.js", "exports.handler = async () => ({ statusCode: 200 })", "v1 cjs"},
		"v1 module.exports":      {"f.js", "module.exports = { handler: async () => {} }", "v1 cjs"},
		"v1 module.exports name": {"f.js", "const handler = async () => {}\nmodule.exports = { handler }", "v1 cjs"},
		"v1 member of module":    {"f.cjs", "module.exports.handler = () => {}", "v1 cjs"},
		"v1 by tsc":              {"f.js", "exports.handler = void 0;\nconst handler = async () => {};\nexports.handler = handler;", "v1 cjs"},
		"v1 from another file":   {"f.js", "module.exports = require('./lib')", "v1 cjs"},
		"v1 esm const":           {"f.mjs", "export const handler = async () => {}", "v1"},
		"v1 esm function":        {"f.ts", "export async function handler(event: unknown) { return { statusCode: 200 } }", "v1"},
		"v1 esm list":            {"f.mjs", "const run = () => {}\nexport { run as handler }", "v1"},
		"v1 esm star":            {"f.mjs", "export * from './lib.mjs'", "v1"},
		"v1 wins over default":   {"f.mjs", "export default () => {}\nexport const handler = () => {}", "v1"},
		"v2 arrow":               {"f.mjs", handler, "v2"},
		"v2 function":            {"f.mjs", "export default async function run(req) { return new Response('x') }", "v2"},
		"v2 alias":               {"f.mjs", "const run = () => {}\nexport { run as default }", "v2"},
		"v2 object":              {"f.mjs", "export default { fetch() {}, config: { path: '/a' } }", "v2 | path=/a@1:40"},
		"v2 object satisfies":    {"f.ts", "export default {\n  fetch() { return new Response() },\n  config: { schedule: '@daily' },\n} satisfies Handler", "v2 | schedule=@daily@3:13"},
		"v2 commonjs":            {"f.cjs", "exports.default = async () => new Response('x')\nexports.config = { background: true }", "v2 cjs | background=true@2:20"},
		"v2 import attributes":   {"f.mjs", "import data from './d.json' with { type: 'json' }\n" + handler, "v2"},
		"v2 top-level await":     {"f.mjs", "const x = await fetch('http://127.0.0.1')\n" + handler, "v2"},
		"v2 modern syntax":       {"f.mts", "class A { #x = 1; static { this.y = 2 } accessor z = 3 }\nconst a = null ?? A?.y;\nexport default async (req: Request): Promise<Response> => { for await (const c of req.body!) {} return new Response(`${a}`) }", "v2"},
		"v2 jsx in js":           {"f.js", "export default () => new Response(<p>hi</p>)", "v2"},
		"nothing":                {"f.mjs", "export const helper = 1", "v0"},
		"module.exports function": {"f.js", "module.exports = async () => {}",
			"v0 cjs | error f.js: module.exports is a function, which nothing calls; write `exports.handler = …`, or `export default …` for a (Request, Context) function"},

		"config": {"f.mjs", handler + "export const config = { schedule: '@hourly', timeout: 30 }",
			"v2 | schedule=@hourly@2:25 | timeout=30@2:46"},
		"config annotated": {"f.mts", "import type { Config } from '@netlify/functions'\n" + handler + "export const config: Config = {\n  path: '/x',\n}",
			"v2 | path=/x@4:3"},
		"config satisfies": {"f.ts", handler + "export const config = { schedule: '@daily' } satisfies Config", "v2 | schedule=@daily@2:25"},
		"config as":        {"f.ts", handler + "export const config = { schedule: '@daily' } as const", "v2 | schedule=@daily@2:25"},
		"config alias":     {"f.mjs", "const c = { background: true }\nexport { c as config }\n" + handler, "v2 | background=true@1:13"},
		"config let":       {"f.mjs", handler + "export let config = { background: !0 }", "v2 | background=true@2:23"},
		"config values": {"f.mjs", "const minute = 60\nconst every = `*/5 * * * *`\nconst base = { retries: 1 }\n" + handler +
			"export const config = { ...base, schedule: every, timeout: 5 * minute, path: ['/a', '/b' + '/c'], x: -1, y: base.retries, \"z\": null, timezone: 'Europe/K\\u00f6ln' }",
			"v2 | path=[/a /b/c]@5:72 | retries=1@3:16 | schedule=*/5 * * * *@5:34 | timeout=300@5:51 | timezone=Europe/Köln@5:134 | x=-1@5:99 | y=1@5:106 | z=<nil>@5:123"},
		"config of env": {"f.mjs", handler + "export const config = {\n  schedule: process.env.CRON,\n}",
			"v2 | error f.mjs:3:25: config.schedule cannot be read without running the code, because it is `process.env.CRON`, which is known only when the code runs; use literals and constants of this file"},
		"config of call": {"f.mjs", handler + "export const config = { schedule: cron('daily') }",
			"v2 | error f.mjs:2:40: config.schedule cannot be read without running the code, because it is the result of a call; use literals and constants of this file"},
		"config of import": {"f.mjs", "import { every } from './every.mjs'\n" + handler + "export const config = { schedule: every }",
			"v2 | error f.mjs:3:25: config.schedule cannot be read without running the code, because it is `every`, which is imported from ./every.mjs; use literals and constants of this file"},
		"config of let": {"f.mjs", "let every = '@daily'\n" + handler + "export const config = { schedule: every }", "v2 | schedule=@daily@3:25"},
		"config of let that changes": {"f.mjs", "let every = '@daily'\n" + handler + "export const config = { schedule: every }\nfunction later() { every = '@hourly' }",
			"v2 | error f.mjs:3:25: config.schedule cannot be read without running the code, because it is `every`, which changes; declare it with const; use literals and constants of this file"},
		"config of let that is shadowed": {"f.mjs", "let every = '@daily'\n" + handler + "export const config = { schedule: every }\nfunction later() { let every; every = '@hourly' }", "v2 | schedule=@daily@3:25"},
		"config of counted let": {"f.mjs", "let n = 1\nn++\n" + handler + "export const config = { timeout: n }",
			"v2 | error f.mjs:4:25: config.timeout cannot be read without running the code, because it is `n`, which changes; declare it with const; use literals and constants of this file"},
		"config of destructured let": {"f.mjs", "let n = 1;\n[n] = [2]\n" + handler + "export const config = { timeout: n }",
			"v2 | error f.mjs:4:25: config.timeout cannot be read without running the code, because it is `n`, which changes; declare it with const; use literals and constants of this file"},
		"config changed in a function": {"f.mjs", "export const config = { schedule: '@daily' }\n" + handler + "function later() { delete config.schedule }",
			"v2 | error f.mjs:3:34: config cannot be read without running the code, because it is changed here; write all of it in `export const config = { … }`"},
		"config changed by a helper": {"f.mjs", "const config = { path: '/a' }\nObject.assign(config, { schedule: '@daily' })\nexport { config }\n" + handler,
			"v2 | error f.mjs:1:7: config cannot be read without running the code, because it is changed here; write all of it in `export const config = { … }`"},
		"config of changed constant": {"f.mjs", "const base = { retries: 1 }\nbase.retries = 2\n" + handler + "export const config = { ...base, retries: base.retries }",
			"v2 | error f.mjs:4:14: config cannot be read without running the code, because it spreads `base`, part of which is changed in this file | error f.mjs:4:48: config.retries cannot be read without running the code, because it is `base.retries`, which is known only when the code runs; use literals and constants of this file"},
		"config of parts": {"f.mjs", "const h = 6, days = ['mon', 'fri'], paths = { a: ['/a'] }\n" + handler + "export const config = { schedule: `0 ${h} * * ${days[1]}`, path: [...paths.a, '/b'], timeout: undefined, retries: void 0, ['over' + 'lap']: 'skip' }",
			"v2 | overlap=skip@3:124 | path=[/a /b]@3:60 | schedule=0 6 * * fri@3:25"},
		"config of template": {"f.mjs", "const h = globalThis.h\n" + handler + "export const config = { schedule: `0 ${h} * * *` }",
			"v2 | error f.mjs:3:25: config.schedule cannot be read without running the code, because it is `h`, whose own value is not static; use literals and constants of this file"},
		"config of itself": {"f.mjs", "const a = b, b = a\n" + handler + "export const config = { schedule: a }",
			"v2 | error f.mjs:3:25: config.schedule cannot be read without running the code, because it is `a`, whose own value is not static; use literals and constants of this file"},
		"config spread of import": {"f.mjs", "import base from './base.mjs'\n" + handler + "export const config = { ...base }",
			"v2 | error f.mjs:3:14: config cannot be read without running the code, because it spreads `base`, which is imported from ./base.mjs"},
		"config computed": {"f.mjs", "const k = 'schedule'\n" + handler + "export const config = { [k]: '@daily' }",
			"v2 | schedule=@daily@3:30"},
		"config computed by import": {"f.mjs", "import { k } from './k.mjs'\n" + handler + "export const config = { [k]: '@daily' }",
			"v2 | error f.mjs:3:30: config cannot be read without running the code, because it has a computed key"},
		"config frozen": {"f.mjs", handler + "export const config = Object.freeze({ schedule: '@daily' })",
			"v2 | schedule=@daily@2:39"},
		"config made by a call": {"f.mjs", handler + "export const config = define({ schedule: '@daily' })",
			"v2 | error f.mjs:2:14: config cannot be read without running the code, because it is the result of a call; write `export const config = { … }`"},
		"config elsewhere": {"f.mjs", handler + "export { config } from './config.mjs'",
			"v2 | error f.mjs:2:10: config comes from ./config.mjs, so it cannot be read without running the code; write `export const config = { … }` in this file"},
		"config function": {"f.mjs", handler + "export const config = { schedule() {} }",
			"v2 | error f.mjs:2:25: config.schedule cannot be read without running the code, because it is a function; use literals and constants of this file"},
		"config beside v1": {"f.mjs", "export const handler = () => {}\nexport const config = { schedule: '@daily' }",
			"v1 | error f.mjs:2:14: config.schedule would be ignored, because this file exports a `handler` and `config` belongs to functions with a default export; rename the handler to `export default`, or use schedule(), the -background suffix or netlify.toml"},
		"harmless config beside v1": {"f.mjs", "export const handler = () => {}\nexport const config = { name: 'x' }",
			"v1 | warning f.mjs:2:14: config is ignored, because this file exports a `handler`; it belongs to functions with a default export"},
		"object without fetch": {"f.mjs", "export default { run() {} }",
			"v2 | error f.mjs:1:18: the default export is an object without a `fetch` function, so nothing can be called; write `export default { fetch(request, context) { … } }`"},

		"schedule esm":       {"f.mjs", "import { schedule } from '@netlify/functions'\nexport const handler = schedule('0 3 * * 1', async () => {})", "v1 | schedule=0 3 * * 1@2:33"},
		"schedule alias":     {"f.ts", "import { schedule as at, type Handler } from '@netlify/functions'\nconst fn: Handler = async () => ({ statusCode: 200 })\nconst handler = at('@daily', fn)\nexport { handler }", "v1 | schedule=@daily@3:20"},
		"schedule namespace": {"f.mjs", "import * as nf from '@netlify/functions'\nexport const handler = nf.schedule('@daily', () => {})", "v1 | schedule=@daily@2:36"},
		"schedule require":   {"f.js", "const { schedule } = require('@netlify/functions')\nexports.handler = schedule('@daily', () => {})", "v1 cjs | schedule=@daily@2:28"},
		"schedule renamed":   {"f.js", "const { schedule: at } = require('@netlify/functions')\nmodule.exports.handler = at('@daily', () => {})", "v1 cjs | schedule=@daily@2:29"},
		"schedule member":    {"f.js", "const nf = require('@netlify/functions')\nconst handler = nf.schedule('@daily', () => {})\nmodule.exports = { handler }", "v1 cjs | schedule=@daily@2:29"},
		"schedule by tsc":    {"f.js", "const functions_1 = require('@netlify/functions');\nexports.handler = (0, functions_1.schedule)('@daily', () => {});", "v1 cjs | schedule=@daily@2:45"},
		"schedule constant":  {"f.mjs", "import { schedule } from '@netlify/functions'\nconst cron = '@weekly'\nexport const handler = schedule(cron, () => {})", "v1 | schedule=@weekly@3:14"},
		"schedule of env": {"f.mjs", "import { schedule } from '@netlify/functions'\nexport const handler = schedule(process.env.CRON, () => {})",
			"v1 | error f.mjs:2:45: Unable to find cron expression for scheduled function. The first argument of schedule() must be a string that stands in this file, not `process.env.CRON`, which is known only when the code runs"},
		"schedule without cron": {"f.mjs", "import { schedule } from '@netlify/functions'\nexport const handler = schedule()",
			"v1 | error f.mjs:2:14: Unable to find cron expression for scheduled function. schedule() has no arguments; write schedule(\"0 6 * * *\", handler)"},
		"schedule wrapped": {"f.mjs", "import { schedule } from '@netlify/functions'\nexport const handler = wrap(schedule('@daily', () => {}))", "v1 | schedule=@daily@2:38"},
		"schedule unused": {"f.mjs", "import { schedule } from '@netlify/functions'\nexport const handler = () => {}",
			"v1 | error f.mjs:1:10: The `schedule` helper was imported but we couldn't find any usages that make the exported handler, so the function would not be scheduled; write `export const handler = schedule(\"0 6 * * *\", fn)`, or take the import out"},
		"schedule around default": {"f.ts", "import { schedule } from '@netlify/functions'\nexport default schedule('@daily', () => {})",
			"v2 | error f.ts:2:25: The `schedule` helper was imported but we couldn't find any usages that make the exported handler, so the function would not be scheduled; write `export const handler = schedule(\"0 6 * * *\", fn)`, or take the import out"},
		"another schedule": {"f.mjs", "import { schedule } from './mine.mjs'\nexport const handler = schedule('@daily', () => {})", "v1"},

		"syntax error": {"f.js", "const a = 1\nexports.handler = async ( => {", `v0 | error f.js:2:27: Unexpected "=>"`},
		"empty":        {"f.js", "", "v0 cjs"},
		"return":       {"f.js", "#!/usr/bin/env node\nexports.handler = () => {}\nif (process.env.X) return\nexports.later = 1", "v1 cjs"},

		"v1 in a block":        {"f.js", "if (process.env.X) { exports.handler = () => {} } else { module.exports.handler = () => {} }", "v1 cjs"},
		"v1 getter":            {"f.js", "Object.defineProperty(exports, 'handler', { enumerable: true, get: function () { return lib.handler } })", "v1 cjs"},
		"exports of a wrapper": {"f.mjs", "const x = ((exports) => { exports.handler = 1; exports.config = 2 })({})\n" + handler, "v2"},
		"v2 beside a declared handler": {"f.mjs", "export function handler() {}\n" + handler,
			"v2 | warning f.mjs:1:17: this file has a default export too, which is what is called; Netlify does not see a `handler` that is a declared function, comes from elsewhere or from a method call. Take one of the two out"},
		"events": {"f.mjs", "export default { deploySucceeded() {}, userLogin() {} }",
			"v0 | warning f.mjs:1:18: deploySucceeded, userLogin: never called, because Netlify's events do not happen here. There is no `fetch` beside them, so the function is left out"},
		"events beside fetch": {"f.mjs", "export default { formSubmitted() {}, fetch() {} }",
			"v2 | warning f.mjs:1:18: formSubmitted: never called, because Netlify's events do not happen here"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := summary(insource.Analyze(test.file, []byte(test.source)))
			if got != test.want {
				t.Errorf("Analyze(%q)\n got %s\nwant %s\nsource:\n%s", test.file, got, test.want, test.source)
			}
		})
	}
}

func FuzzAnalyze(f *testing.F) {
	sources, err := filepath.Glob("testdata/netlify/sources/*.*")
	if err != nil || len(sources) == 0 {
		f.Fatalf("no sources to begin with: %v", err)
	}
	for _, file := range sources {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	f.Add("export default () => {}\nexport const config = { schedule: `@daily`, path: ['/a'] }")
	f.Add("const { schedule } = require('@netlify/functions')\nexports.handler = schedule('@daily', () => {})")
	f.Add("export default { fetch() {}, ...x, [y]: 1, config: { a: -\"\\u{41}\" } } satisfies Z")
	f.Fuzz(func(t *testing.T, source string) {
		first := summary(insource.Analyze("f.ts", []byte(source)))
		if again := summary(insource.Analyze("f.ts", []byte(source))); again != first {
			t.Errorf("two results of one source:\n%s\n%s", first, again)
		}
	})
}
