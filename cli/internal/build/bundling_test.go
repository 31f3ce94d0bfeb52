package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
)

// link makes a symbolic link in a site, as package managers do.
func link(t *testing.T, root, name, target string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// TestWhatPeopleHave builds sites in the forms that people have them, and runs
// each function away from its sources.
func TestWhatPeopleHave(t *testing.T) {
	t.Parallel()
	const v2 = "export default async () => new Response(await run())\n"
	tests := map[string]struct {
		files map[string]string
		links map[string]string
		want  string
	}{
		"tsconfig paths": {want: "at lib", files: map[string]string{
			"tsconfig.json":          `{"compilerOptions": {"baseUrl": ".", "paths": {"@lib/*": ["lib/*"]}}}`,
			"lib/a.ts":               "export const run = () => 'at lib'",
			"netlify/functions/f.ts": "import { run } from '@lib/a'\n" + v2,
		}},
		"tsconfig that extends, with decorators": {want: "seen Job", files: map[string]string{
			"tsconfig.base.json":     `{"compilerOptions": {"experimentalDecorators": true}}`,
			"tsconfig.json":          `{"extends": "./tsconfig.base.json"}`,
			"netlify/functions/f.ts": "let name = ''\nfunction seen(target: any) { name = 'seen ' + target.name }\n@seen class Job {}\nconst run = () => name + (Job ? '' : '')\n" + v2,
		}},
		"text and json": {want: "some text 7", files: map[string]string{
			"a.txt": "some text", "a.json": `{"n": 7}`,
			"netlify/functions/f.ts": "import text from '../../a.txt'\nimport { n } from '../../a.json'\nconst run = () => `${text} ${n}`\n" + v2,
		}},
		"import.meta.url": {want: "beside", files: map[string]string{
			"netlify/functions/f/f.mjs":      "import { readFile } from 'node:fs/promises'\nconst run = () => readFile(new URL('./data.txt', import.meta.url), 'utf8')\n" + v2,
			"netlify/functions/f/data.txt":   "beside",
			"netlify/functions/f/unused.txt": "x",
		}},
		"import.meta.url in another directory": {want: "in lib", files: map[string]string{
			"netlify/functions/f.ts": "import { run } from '../../lib/read.ts'\n" + v2,
			"lib/read.ts":            "import { readFileSync } from 'node:fs'\nexport const run = (): string => readFileSync(new URL('data/a.txt', import.meta.url), 'utf8')",
			"lib/data/a.txt":         "in lib",
		}},
		"ESM's own __dirname in another directory": {want: "in lib", files: map[string]string{
			"netlify/functions/f.mjs": "import { run } from '../../lib/read.mjs'\n" + v2,
			"lib/read.mjs":            "import { readFileSync } from 'node:fs'\nimport { dirname, join } from 'node:path'\nimport { fileURLToPath } from 'node:url'\nconst __dirname = dirname(fileURLToPath(import.meta.url))\nexport const run = () => readFileSync(join(__dirname, 'a.txt'), 'utf8')",
			"lib/a.txt":               "in lib",
		}},
		"__dirname of CommonJS": {want: "beside, in lib, one of many", files: map[string]string{
			"netlify/functions/f.js":     "const fs = require('fs'), path = require('path')\nexports.handler = async () => ({ statusCode: 200, body: [fs.readFileSync(__dirname + '/a.txt', 'utf8'), require('../../lib').run(), fs.readFileSync(path.join(process.cwd(), 'many', 'one.txt'), 'utf8')].join(', ') })",
			"netlify/functions/a.txt":    "beside",
			"lib/index.js":               "const fs = require('fs'), path = require('path')\nexports.run = () => fs.readFileSync(path.join(__dirname, 'texts', `a.txt`), 'utf8')",
			"lib/texts/a.txt":            "in lib",
			"many/one.txt":               "one of many",
			"netlify/functions/lib/x.js": "exports.x = 1",
		}},
		"a directory of templates": {want: "a.hbs,b.hbs", files: map[string]string{
			"netlify/functions/f.js": "const fs = require('fs'), path = require('path')\nexports.handler = async () => ({ statusCode: 200, body: fs.readdirSync(path.resolve(__dirname, '../../views')).join() })",
			"views/a.hbs":            "a", "views/b.hbs": "b",
		}},
		"ESM with import.meta.url in a CommonJS function": {want: "in lib", files: map[string]string{
			"netlify/functions/f.js": "const { run } = require('../../lib/read.mjs')\nexports.handler = async () => ({ statusCode: 200, body: run() })",
			"lib/read.mjs":           "import { readFileSync } from 'node:fs'\nexport const run = () => readFileSync(new URL('./a.txt', import.meta.url), 'utf8')",
			"lib/a.txt":              "in lib",
		}},
		"dynamic import with a static beginning": {want: "hallo", files: map[string]string{
			"netlify/functions/f.mjs": "const run = async (lang = 'de') => (await import(`../../lang/${lang}.mjs`)).default\n" + v2,
			"lang/de.mjs":             "export default 'hallo'", "lang/en.mjs": "export default 'hello'",
		}},
		"dynamic require without an extension": {want: "hallo", files: map[string]string{
			"netlify/functions/f.js":       "exports.handler = async (event) => ({ statusCode: 200, body: require('./lang/' + (event.lang || 'de')) })",
			"netlify/functions/lang/de.js": "module.exports = 'hallo'", "netlify/functions/lang/en.js": "module.exports = 'hello'",
		}},
		"optional package": {want: "without", files: map[string]string{
			"netlify/functions/f.mjs":     "import dep from 'dep'\nconst run = () => dep\n" + v2,
			"node_modules/dep/index.js":   "let x = 'without'; try { x = require('absent') } catch {}; module.exports = x",
			"node_modules/dep/absent.txt": "",
		}},
		"conditions of exports, from ESM": {want: "node import", files: map[string]string{
			"netlify/functions/f.mjs":       "import run from 'dep/sub'\n" + v2,
			"node_modules/dep/package.json": `{"exports": {"./sub": {"browser": "./b.js", "node": {"import": "./i.mjs", "require": "./r.js"}, "default": "./d.js"}}}`,
			"node_modules/dep/i.mjs":        "export default () => 'node import'",
			"node_modules/dep/r.js":         "module.exports = () => 'node require'",
			"node_modules/dep/b.js":         "module.exports = () => 'browser'",
			"node_modules/dep/d.js":         "module.exports = () => 'default'",
		}},
		"conditions of exports, from CommonJS": {want: "node require", files: map[string]string{
			"netlify/functions/f.js":        "exports.handler = async () => ({ statusCode: 200, body: require('dep/sub')() })",
			"node_modules/dep/package.json": `{"exports": {"./sub": {"browser": "./b.js", "node": {"import": "./i.mjs", "require": "./r.js"}, "default": "./d.js"}}}`,
			"node_modules/dep/i.mjs":        "export default () => 'node import'",
			"node_modules/dep/r.js":         "module.exports = () => 'node require'",
			"node_modules/dep/b.js":         "module.exports = () => 'browser'",
		}},
		"main before module": {want: "main", files: map[string]string{
			"netlify/functions/f.mjs":       "import run from 'dep'\n" + v2,
			"node_modules/dep/package.json": `{"main": "./main.js", "module": "./module.js", "browser": "./browser.js"}`,
			"node_modules/dep/main.js":      "module.exports = () => 'main'",
			"node_modules/dep/module.js":    "export default () => 'module'",
			"node_modules/dep/browser.js":   "module.exports = () => 'browser'",
		}},
		"top-level await in ESM, in .mts": {want: "3", files: map[string]string{
			"netlify/functions/f.mts": "import { three } from '../../lib/three.mts'\nconst run = () => String(three)\n" + v2,
			"lib/three.mts":           "export const three: number = await Promise.resolve(3)",
		}},
		"ESM in a CommonJS package": {want: "esm", files: map[string]string{
			"package.json":           `{"type": "commonjs"}`,
			"netlify/functions/f.js": "import { run } from '../../lib/run.js'\n" + v2,
			"lib/run.js":             "export const run = () => 'esm'",
		}},
		"CommonJS in an ESM package": {want: "cts", files: map[string]string{
			"package.json":            `{"type": "module"}`,
			"netlify/functions/f.cts": "const { run } = require('../../lib/run.cjs')\nexports.handler = async () => ({ statusCode: 200, body: run() as string })",
			"lib/run.cjs":             "exports.run = () => 'cts'",
		}},
		"dynamic import of an ES module that awaits, from CommonJS": {want: "3 string", files: map[string]string{
			"netlify/functions/f.js": "exports.handler = async () => ({ statusCode: 200, body: `${(await import('../../lib/three.mjs')).three} ${typeof __dirname}` })",
			"lib/three.mjs":          "export const three = await Promise.resolve(3)",
		}},
		"workspace package": {want: "from source and dep", files: map[string]string{
			"netlify/functions/f.ts":                          "import { run } from '@acme/lib'\n" + v2,
			"packages/lib/package.json":                       `{"name": "@acme/lib", "main": "src/index.ts"}`,
			"packages/lib/src/index.ts":                       "import dep from 'dep'\nexport const run = (): string => 'from source and ' + dep",
			"packages/lib/node_modules/dep/index.js":          "module.exports = 'dep'",
			"packages/lib/node_modules/dep/package.json":      `{"name": "dep"}`,
			"packages/other/node_modules/dep/package.json":    `{"name": "dep"}`,
			"packages/other/node_modules/dep/not-this-one.js": "",
		}, links: map[string]string{"node_modules/@acme/lib": "../../packages/lib"}},
		"workspace package, packages copied": {want: "from source and dep", files: map[string]string{
			"netlify.toml":                               "[functions]\nnode_bundler = \"nft\"",
			"netlify/functions/f.ts":                     "import { run } from '@acme/lib'\n" + v2,
			"packages/lib/package.json":                  `{"name": "@acme/lib", "main": "src/index.ts"}`,
			"packages/lib/src/index.ts":                  "import dep from 'dep'\nexport const run = (): string => 'from source and ' + dep",
			"packages/lib/node_modules/dep/index.js":     "module.exports = 'dep'",
			"packages/lib/node_modules/dep/package.json": `{"name": "dep"}`,
		}, links: map[string]string{"node_modules/@acme/lib": "../../packages/lib"}},
		"pnpm, external": {want: "outer inner 2 leaf 1", files: map[string]string{
			"netlify.toml":           "[functions.f]\nexternal_node_modules = [\"outer\"]",
			"netlify/functions/f.js": "exports.handler = async () => ({ statusCode: 200, body: require('outer') })",
			"node_modules/.pnpm/outer@1/node_modules/outer/package.json": `{"name": "outer", "dependencies": {"inner": "2", "leaf": "1"}}`,
			"node_modules/.pnpm/outer@1/node_modules/outer/index.js":     "module.exports = 'outer ' + require('inner') + ' ' + require('leaf')",
			"node_modules/.pnpm/inner@2/node_modules/inner/package.json": `{"name": "inner", "dependencies": {"outer": "1"}}`,
			"node_modules/.pnpm/inner@2/node_modules/inner/index.js":     "module.exports = 'inner 2'",
			"node_modules/.pnpm/inner@1/node_modules/inner/index.js":     "module.exports = 'inner 1'",
			"node_modules/.pnpm/leaf@1/node_modules/leaf/index.js":       "module.exports = 'leaf 1'",
			"node_modules/.pnpm/leaf@1/node_modules/leaf/package.json":   `{"name": "leaf"}`,
		}, links: map[string]string{
			"node_modules/outer":                            ".pnpm/outer@1/node_modules/outer",
			"node_modules/inner":                            ".pnpm/inner@1/node_modules/inner",
			"node_modules/.pnpm/outer@1/node_modules/inner": "../../inner@2/node_modules/inner",
			"node_modules/.pnpm/outer@1/node_modules/leaf":  "../../leaf@1/node_modules/leaf",
			"node_modules/.pnpm/inner@2/node_modules/outer": "../../outer@1/node_modules/outer",
		}},
		"two versions, packages copied": {want: "inner 1 outer inner 2", files: map[string]string{
			"netlify.toml":                                       "[functions]\nnode_bundler = \"zisi\"",
			"netlify/functions/f.js":                             "exports.handler = async () => ({ statusCode: 200, body: require('inner') + ' ' + require('outer') })",
			"node_modules/inner/index.js":                        "module.exports = 'inner 1'",
			"node_modules/outer/package.json":                    `{"name": "outer", "dependencies": {"inner": "2"}}`,
			"node_modules/outer/index.js":                        "module.exports = 'outer ' + require('inner')",
			"node_modules/outer/node_modules/inner/package.json": `{"name": "inner"}`,
			"node_modules/outer/node_modules/inner/index.js":     "module.exports = 'inner 2'",
		}},
		"package that reads its own files": {want: "font", files: map[string]string{
			"netlify/functions/f.mjs":            "import run from 'pdf'\n" + v2,
			"node_modules/pdf/package.json":      `{"name": "pdf", "main": "lib/pdf.js"}`,
			"node_modules/pdf/lib/pdf.js":        "const fs = require('fs')\nmodule.exports = () => fs.readFileSync(__dirname + '/data/font.afm', 'utf8')",
			"node_modules/pdf/lib/data/font.afm": "font",
		}},
		"package that reads its own files, below another": {want: "font", files: map[string]string{
			"netlify/functions/f.mjs":                           "import run from 'report'\n" + v2,
			"node_modules/report/package.json":                  `{"name": "report", "type": "module", "main": "index.js"}`,
			"node_modules/report/index.js":                      "export { default } from 'pdf'",
			"node_modules/report/node_modules/pdf/package.json": `{"name": "pdf", "type": "module", "exports": "./pdf.js"}`,
			"node_modules/report/node_modules/pdf/pdf.js":       "import fs from 'fs'\nexport default () => fs.readFileSync(new URL('./font.afm', import.meta.url), 'utf8')",
			"node_modules/report/node_modules/pdf/font.afm":     "font",
		}},
		"native package": {want: "native at its place", files: map[string]string{
			"netlify/functions/f.mjs":            "import run from 'native'\n" + v2,
			"node_modules/native/package.json":   `{"name": "native", "gypfile": true, "dependencies": {"bindings": "1"}}`,
			"node_modules/native/index.js":       "module.exports = () => require('bindings')(__dirname)",
			"node_modules/bindings/package.json": `{"name": "bindings"}`,
			"node_modules/bindings/index.js":     "module.exports = (dir) => require('fs').existsSync(require('path').join(dir, 'build', 'x' + '.node')) ? 'native at its place' : 'lost'",
			"node_modules/native/build/x.node":   "binary",
		}},
		"included files of the source": {want: "own, not that of netlify.toml: false", files: map[string]string{
			"netlify.toml":            "[functions]\nincluded_files = [\"toml/*\"]",
			"netlify/functions/f.mjs": "import fs from 'fs'\nconst run = (dir = 'data') => fs.readFileSync(dir + '/own.txt', 'utf8') + fs.existsSync('to' + 'ml/x.txt')\nexport const config = { includedFiles: ['../../da*/**', '!../../data/secret.txt'] }\n" + v2,
			"data/own.txt":            "own, not that of netlify.toml: ",
			"toml/x.txt":              "x",
		}},
		"exclusion first": {want: "a.txt", files: map[string]string{
			"netlify.toml":            "[functions]\nincluded_files = [\"!data/secret.txt\", \"data/**\"]",
			"netlify/functions/f.mjs": "import fs from 'fs'\nconst dir = 'data', run = () => fs.readdirSync(dir).join()\n" + v2,
			"data/a.txt":              "a", "data/secret.txt": "s",
		}},
		"ignored package": {want: "MODULE_NOT_FOUND", files: map[string]string{
			"netlify.toml":              "[functions]\nignored_node_modules = [\"dep\"]",
			"netlify/functions/f.js":    "exports.handler = async () => { let body; try { body = require('dep') } catch (e) { body = e.code } return { statusCode: 200, body } }",
			"node_modules/dep/index.js": "module.exports = 'bundled'",
		}},
		"base": {want: "in base", files: map[string]string{
			"netlify.toml":                  "[build]\nbase = \"site\"\n[functions]\nincluded_files = [\"data/*\"]",
			"site/netlify/functions/f.mjs":  "import fs from 'fs'\nconst name = 'a', run = () => fs.readFileSync(`data/${name}.txt`, 'utf8')\n" + v2,
			"site/data/a.txt":               "in base",
			"netlify/functions/outside.mjs": "not in base",
		}},
		"base with a file of its own": {want: "in inner", files: map[string]string{
			"netlify.toml":      "[build]\nbase = \"site\"\n[functions]\ndirectory = \"outer\"",
			"site/netlify.toml": "[build]\nbase = \"again\"\n[functions]\ndirectory = \"inner\"",
			"site/inner/f.mjs":  "const run = () => 'in inner'\n" + v2,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := site(t, test.files)
			for from, to := range test.links {
				link(t, root, from, to)
			}
			result := mustBuild(t, root)
			if problem.Errors(result.Problems) > 0 {
				t.Fatalf("problems: %v", result.Problems)
			}
			var f build.Function
			for _, f = range result.Functions {
				if f.Name == "f" {
					break
				}
			}
			got, err := run(t, f, `{}`)
			if err != nil || got != test.want {
				t.Errorf("%s printed %q (%v), want %q; problems: %v", f.Entry, got, err, test.want, result.Problems)
			}
			if strings.Contains(got, "unused") {
				t.Error("a file that nothing names was packed")
			}
		})
	}
}
