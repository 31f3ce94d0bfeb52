package build_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// site writes files into a new directory.
func site(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func mustBuild(t *testing.T, root string) *build.Result {
	t.Helper()
	result, err := build.Build(t.Context(), build.Options{Root: root})
	if err != nil {
		t.Fatalf("Build(%s): %v", root, err)
	}
	return result
}

// TestGolden builds the sites in testdata and compares what comes out, all but
// the code itself.
func TestGolden(t *testing.T) {
	t.Parallel()
	sites, err := filepath.Glob(filepath.Join("testdata", "*", "netlify.toml"))
	if err != nil || len(sites) < 2 {
		t.Fatalf("sites in testdata: %v, %v", sites, err)
	}
	for _, config := range sites {
		root := filepath.Dir(config)
		t.Run(filepath.Base(root), func(t *testing.T) {
			t.Parallel()
			result := mustBuild(t, root)
			var got strings.Builder
			for _, f := range result.Functions {
				f.Artifact = ""
				line, err := json.Marshal(f.Function)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "%s\n", line)
			}
			for _, p := range result.Problems {
				kind := "error"
				if p.Warning {
					kind = "warning"
				}
				fmt.Fprintf(&got, "%s [%s] %s\n", kind, p.Function, p.Error())
				if excerpt := p.Excerpt(); excerpt != "" {
					fmt.Fprintln(&got, excerpt)
				}
			}
			golden := root + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("build of %s differs from %s (write it anew with -update)\ngot\n%s\nwant\n%s", root, golden, got.String(), want)
			}
		})
	}
}

func TestEqualSourcesGiveEqualArtifacts(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"netlify.toml":               "[functions]\nincluded_files = [\"data/*\"]\n",
		"data/a.txt":                 "a",
		"lib/x.ts":                   "export const x: number = 1",
		"netlify/functions/one.ts":   "import { x } from '../../lib/x'\nexport default () => new Response(String(x))",
		"netlify/functions/two.js":   "const fs = require('fs')\nexports.handler = async () => ({ statusCode: 200, body: fs.readFileSync('data/a.txt', 'utf8') })",
		"netlify/functions/three.js": "exports.default = () => new Response('x')",
	}
	first, second := mustBuild(t, site(t, files)), mustBuild(t, site(t, files))
	if len(first.Functions) != 3 {
		t.Fatalf("built %d functions, want 3: %v", len(first.Functions), first.Problems)
	}
	for i, f := range first.Functions {
		if g := second.Functions[i]; g.Artifact != f.Artifact {
			t.Errorf("%s: artifact %s in one directory and %s in another", f.Name, f.Artifact, g.Artifact)
		}
	}
	files["lib/x.ts"] = "export const x: number = 2"
	third := mustBuild(t, site(t, files))
	for i, f := range first.Functions {
		if changed := third.Functions[i].Artifact != f.Artifact; changed != (f.Name == "one") {
			t.Errorf("%s: changed = %t after a change of what only one imports", f.Name, changed)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{
		"netlify.toml":  "[build]\n  publish = \"/dist\"\n[dev]\n  publish = \"public\"\n",
		"dist/built.js": "built", "public/source.js": "source", "netlify/functions/f.mjs": "export default () => new Response('x')",
	})
	for dev, want := range map[bool]string{false: "built.js", true: "source.js"} {
		result, err := build.Build(t.Context(), build.Options{Root: root, Dev: dev})
		if err != nil || len(result.Problems) > 0 || len(result.Functions) != 1 || len(result.Files) != 1 || result.Files[0].Path != want {
			t.Errorf("Build with dev %t = %+v, %v; want the file %s", dev, result, err, want)
		}
	}
}

// unpack writes an artifact into a new directory.
func unpack(t *testing.T, f build.Function) string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(f.Zip), int64(len(f.Zip)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range archive.File {
		r, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name] = string(data)
	}
	return site(t, files)
}

// runner loads an entry as a runtime does, and calls it.
const runner = `
const [entry, args] = process.argv.slice(1);
const module = await import(entry);
const handler = module.handler ?? module.default?.handler;
if (handler) {
  const result = await handler(JSON.parse(args || '{}'), {});
  console.log(typeof result.body === 'string' ? result.body : JSON.stringify(result));
} else {
  const fn = module.default.fetch ?? module.default;
  console.log(await (await fn(new Request('http://127.0.0.1/'), {})).text());
}`

func run(t *testing.T, f build.Function, args ...string) (string, error) {
	t.Helper()
	dir := unpack(t, f)
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"--enable-source-maps", "--input-type=module", "-e", runner, "--", filepath.Join(dir, f.Entry)}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestBuiltFunctionsRun builds one function of each form and runs it, away from
// its sources.
func TestBuiltFunctionsRun(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{
		"package.json":            `{"type": "commonjs"}`,
		"netlify.toml":            "[functions.reads]\nincluded_files = [\"data/**\", \"!data/secret.txt\"]\n[functions.external]\nexternal_node_modules = [\"outer\"]\n",
		"data/hello.txt":          "hello from a file",
		"data/secret.txt":         "secret",
		"lib/greet.ts":            "export const greet = (who: string): string => `hi ${who}`",
		"node_modules/cjs/x.json": `{"n": 7}`,
		// A package that needs what only CommonJS has.
		"node_modules/cjs/index.js":                          "const path = require('path'); const name = 'os'; exports.info = () => [typeof __dirname, typeof __filename, path.basename('/a/b'), typeof require(name).cpus, require('./x.json').n].join()",
		"node_modules/outer/package.json":                    `{"name": "outer", "main": "main.js", "dependencies": {"inner": "1"}, "optionalDependencies": {"absent": "1"}}`,
		"node_modules/outer/main.js":                         "module.exports = () => 'outer+' + require('inner') + require('fs').readFileSync(__dirname + '/data.bin', 'utf8')",
		"node_modules/outer/data.bin":                        "!",
		"node_modules/outer/node_modules/inner/package.json": `{"name": "inner"}`,
		"node_modules/outer/node_modules/inner/index.js":     "module.exports = 'inner'",
		"node_modules/addon/index.js":                        "try { require('./a.node') } catch (e) { exports.code = e.code ?? String(e) }",
		"node_modules/addon/a.node":                          "not a library",
		"netlify/functions/v1-cjs.js":                        "exports.handler = async (event) => ({ statusCode: 200, body: 'v1 cjs ' + event.x })",
		"netlify/functions/v1-module.js":                     "module.exports = { handler: (event, context) => ({ statusCode: 200, body: 'v1 module' }) }",
		"netlify/functions/v1-esm.js":                        "export const handler = async () => ({ statusCode: 200, body: 'v1 esm ' + typeof require + ' ' + typeof __dirname })",
		"netlify/functions/v1-tla.mjs":                       "const x = await Promise.resolve(3)\nexport const handler = async () => ({ statusCode: 200, body: `tla ${x}` })",
		"netlify/functions/v2-ts.mts":                        "import { greet } from '../../lib/greet'\nexport default async (req: Request) => new Response(greet('ts'))",
		"netlify/functions/v2-cjs.js":                        "exports.default = async () => new Response('v2 cjs')",
		"netlify/functions/v2-object.mjs":                    "export default { fetch: () => new Response('v2 object') }",
		"netlify/functions/v2-requires.mjs":                  "import cjs from 'cjs'\nexport default () => new Response(cjs.info())",
		"netlify/functions/v2-own-require.mjs":               "import { createRequire } from 'node:module'\nimport { fileURLToPath } from 'node:url'\nimport cjs from 'cjs'\nconst require = createRequire(import.meta.url)\nconst __filename = fileURLToPath(import.meta.url)\nconst __dirname = __filename.slice(0, 1)\nexport default () => new Response(typeof require('node:fs').readFileSync + ' ' + __dirname + ' ' + cjs.info())",
		"netlify/functions/scheduled.js":                     "const { schedule } = require('@netlify/functions')\nexports.handler = schedule('@daily', async () => ({ statusCode: 200, body: 'no package needed' }))",
		"netlify/functions/built.mjs":                        "import { builder, stream } from '@netlify/functions'\nexport const handler = builder(async () => ({ statusCode: 200, body: 'built ' + typeof stream }))",
		"netlify/functions/reads.mjs":                        "import { readFile, access } from 'node:fs/promises'\nexport default async () => new Response(await readFile('data/hello.txt', 'utf8') + ', ' + await readFile(new URL('../../data/hello.txt', import.meta.url), 'utf8') + ', ' + await access('data/secret.txt').then(() => 'leaked', () => 'no secret'))",
		"netlify/functions/external.js":                      "const outer = require('outer')\nexports.handler = async () => ({ statusCode: 200, body: outer() })",
		"netlify/functions/addon.mjs":                        "import addon from 'addon'\nexport default () => new Response(String(addon.code))",
		"netlify/functions/jsx.js":                           "const h = (tag, props, ...children) => `<${tag}>${children.join('')}</${tag}>`\nconst React = { createElement: h }\nexport default () => new Response(<p>jsx</p>)",
		"netlify/functions/nested/nested.ts":                 "import { word } from './word'\nexport default () => new Response(word)",
		"netlify/functions/nested/word.ts":                   "export const word = 'nested'",
		"netlify/functions/named.ts":                         "class Thing {}\nexport default () => new Response(Thing.name + ' ' + (() => { const f = () => 1; return f.name })())",
		"netlify/functions/json.mjs":                         "import data from '../../data.json' with { type: 'json' }\nexport default () => new Response(data.text)",
		"data.json":                                          `{"text": "from json"}`,
		"netlify/functions/optional.js":                      "let x; try { x = require('not-installed') } catch { x = 'without it' }\nexports.handler = async () => ({ statusCode: 200, body: x })",
	})
	result := mustBuild(t, root)
	if problem.Errors(result.Problems) > 0 {
		t.Fatalf("problems: %v", result.Problems)
	}
	wants := map[string]string{
		"v1-cjs": "v1 cjs 5", "v1-module": "v1 module", "v1-esm": "v1 esm function string", "v1-tla": "tla 3",
		"v2-ts": "hi ts", "v2-cjs": "v2 cjs", "v2-object": "v2 object",
		"v2-requires":    "string,string,b,function,7",
		"v2-own-require": "function / string,string,b,function,7",
		"scheduled":      "no package needed",
		"built":          `Method Not Allowed`,
		"reads":          "hello from a file, hello from a file, no secret",
		"external":       "outer+inner!",
		"addon":          "ERR_DLOPEN_FAILED",
		"jsx":            "<p>jsx</p>",
		"nested":         "nested", "named": "Thing f", "json": "from json", "optional": "without it",
	}
	for _, f := range result.Functions {
		want, ok := wants[f.Name]
		if !ok {
			t.Errorf("%s was built and is not in the table", f.Name)
			continue
		}
		delete(wants, f.Name)
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			got, err := run(t, f, `{"x": 5}`)
			if err != nil || got != want {
				t.Errorf("%s printed %q (%v), want %q", f.Entry, got, err, want)
			}
		})
	}
	for name := range wants {
		t.Errorf("%s was not built", name)
	}
}

func TestStacksNameTheSource(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{
		"lib/fail.ts":            "interface A { a: string }\n\nexport const fail = (a?: A): never => {\n  throw new Error('boom')\n}\n",
		"netlify/functions/f.ts": "import { fail } from '../../lib/fail'\n\nexport default () => fail()",
	})
	result := mustBuild(t, root)
	out, err := run(t, result.Functions[0])
	if err == nil || !strings.Contains(out, "lib/fail.ts:4:9") || !strings.Contains(out, "netlify/functions/f.ts:3:") {
		t.Errorf("the stack does not name lib/fail.ts:4:9 and netlify/functions/f.ts:3 (%v):\n%s", err, out)
	}
}

func TestInputsAreTheFilesThatPeopleEdit(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{
		"lib/a.js":                  "export * from './b.js'",
		"lib/b.js":                  "export const b = 1",
		"data/x.txt":                "x",
		"netlify.toml":              "[functions]\nincluded_files = [\"data/*.txt\"]",
		"node_modules/dep/index.js": "module.exports = 1",
		"netlify/functions/f.mjs":   "import dep from 'dep'\nimport { b } from '../../lib/a.js'\nexport default () => new Response(b + dep)",
	})
	result := mustBuild(t, root)
	var got []string
	for _, input := range result.Functions[0].Inputs {
		rel, err := filepath.Rel(result.Root, input)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.ToSlash(rel))
	}
	slices.Sort(got)
	if want := []string{"data/x.txt", "lib/a.js", "lib/b.js", "netlify/functions/f.mjs"}; !slices.Equal(got, want) {
		t.Errorf("Inputs = %q, want %q", got, want)
	}
}

func TestNothingToBuild(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	file := filepath.Join(site(t, map[string]string{"f": ""}), "f")
	tests := map[string]struct {
		root string
		kind fault.Kind
		want string
	}{
		"no functions directory": {empty, fault.NotFound, "there is no directory netlify/functions in "},
		"no site":                {filepath.Join(empty, "nowhere"), fault.Invalid, "there is no directory "},
		"a file":                 {file, fault.Invalid, "is not a directory; say where the site is"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := build.Build(t.Context(), build.Options{Root: test.root})
			if message, _ := fault.Public(err); !fault.Is(err, test.kind) || !strings.Contains(message, test.want) {
				t.Errorf("Build(%s) = %v, want %s with %q", test.root, err, test.kind, test.want)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	const all = "[dev]\nfunctions = \"a\"\n[functions]\ndirectory = \"/b\"\n[build]\nfunctions = \"c\"\n[context.dev.functions]\ndirectory = \"e\"\n[context.production]\nfunctions = \"d\"\n"
	files := map[string]string{}
	for _, dir := range []string{"a", "b", "c", "d", "e", "netlify/functions"} {
		files[dir+"/"+filepath.Base(dir)+".mjs"] = "export default () => new Response('x')"
	}
	tests := map[string]struct {
		toml string
		opts build.Options
		want string // the function's name, or the error
	}{
		"default":                   {"", build.Options{}, "functions"},
		"build":                     {"[build]\nfunctions = \"c\"", build.Options{}, "c"},
		"functions before build":    {all, build.Options{}, "b"},
		"dev before functions":      {all, build.Options{Dev: true, Contexts: []string{"dev"}}, "a"},
		"context before functions":  {"[functions]\ndirectory = \"b\"\n[context.dev.functions]\ndirectory = \"e\"", build.Options{Dev: true, Contexts: []string{"dev"}}, "e"},
		"context of build":          {"[build]\nfunctions = \"c\"\n[context.production]\nfunctions = \"d\"", build.Options{Contexts: []string{"production"}}, "d"},
		"another context":           {"[build]\nfunctions = \"c\"\n[context.production]\nfunctions = \"d\"", build.Options{Contexts: []string{"deploy-preview"}}, "c"},
		"flag before all":           {all, build.Options{Dev: true, Directory: "d"}, "d"},
		"outside of the site":       {"[functions]\ndirectory = \"../x\"", build.Options{}, "netlify.toml:2:1: the functions directory "},
		"base that is not there":    {"[build]\nbase = \"nowhere\"", build.Options{}, "netlify.toml:2:1: Base directory does not exist: there is no directory nowhere in the site"},
		"place of a context's key":  {"[context.dev.functions.a]\n  timeout = 9999", build.Options{Directory: "a", Contexts: []string{"dev"}}, "netlify.toml:2:3: timeout must be a number of seconds from 0.001 to 900, not 9999"},
		"context that is not meant": {"[context.dev.functions.a]\n  timeout = 9999", build.Options{Directory: "a", Contexts: []string{"production"}}, "a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.opts.Root = site(t, files)
			if err := os.WriteFile(filepath.Join(test.opts.Root, "netlify.toml"), []byte(test.toml), 0o644); err != nil {
				t.Fatal(err)
			}
			result, err := build.Build(t.Context(), test.opts)
			if err != nil {
				t.Fatalf("Build: %v", err)
			}
			var got string
			for _, f := range result.Functions {
				got += f.Name
			}
			for _, p := range result.Problems {
				got += p.Error()
			}
			if !strings.HasPrefix(got, test.want) || len(result.Functions) > 0 && got != test.want {
				t.Errorf("Build(%+v) of\n%s\n got %s\nwant %s", test.opts, test.toml, got, test.want)
			}
		})
	}
}

// TestStaticOnly builds sites that have files to publish and no directory of functions.
func TestStaticOnly(t *testing.T) {
	t.Parallel()
	const publish = "[build]\npublish = \"public\"\n"
	tests := map[string]struct {
		toml  string
		opts  build.Options
		files int
		want  string // the problem or the error
	}{
		"files":                           {publish, build.Options{}, 1, ""},
		"in dev":                          {publish, build.Options{Dev: true}, 1, ""},
		"a directory in netlify.toml":     {publish + "functions = \"fns\"", build.Options{}, 1, "netlify.toml:3:1: there is no directory fns, so no functions are built from it"},
		"a directory on the command line": {publish, build.Options{Directory: "fns"}, 1, "there is no directory fns in "},
		"what is published is not there":  {"[build]\npublish = \"dist\"", build.Options{}, 0, "netlify.toml:2:1: there is no directory dist, so no static files are served; run what builds the site first"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.opts.Root = site(t, map[string]string{"netlify.toml": test.toml, "public/index.html": "<h1>home</h1>"})
			result, err := build.Build(t.Context(), test.opts)
			got := ""
			if err != nil {
				got, _ = fault.Public(err)
			}
			for _, p := range result.Problems {
				if !p.Warning {
					t.Errorf("Build: error %v", p)
				}
				got += p.Error()
			}
			if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" || len(result.Files) != test.files || len(result.Functions) > 0 {
				t.Errorf("Build: %d files, %d functions, %q; want %d, 0, %q", len(result.Files), len(result.Functions), got, test.files, test.want)
			}
		})
	}
}

// TestPlacesBelowABase are links that lead from where the command was given.
func TestPlacesBelowABase(t *testing.T) {
	t.Parallel()
	result := mustBuild(t, site(t, map[string]string{
		"netlify.toml":                    "[build]\nbase = \"site\"\n[functions.slow]\ntimeout = 9999\n",
		"site/netlify/functions/bad.mjs":  "export default () => new Response('x')\nexport const config = { schedule: cron() }",
		"site/netlify/functions/slow.mjs": "import x from './nothing.mjs'\nexport default () => new Response('x')",
	}))
	var got []string
	for _, p := range result.Problems {
		got = append(got, p.At.String())
	}
	for _, b := range result.Broken {
		got = append(got, b.Source, b.Problems[0].At.String())
	}
	want := []string{
		"netlify.toml:4:1", "site/netlify/functions/bad.mjs:2:25", "site/netlify/functions/slow.mjs:1:15",
		"site/netlify/functions/bad.mjs", "site/netlify/functions/bad.mjs:2:25", "site/netlify/functions/slow.mjs", "netlify.toml:4:1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("places\n got %q\nwant %q", got, want)
	}
}
