package nextjs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
)

func TestNamesAndPatterns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		page, name, background, pattern string
		dynamic                         bool
	}{
		"index":              {"/api", "_api-handler", "_api-background", "/docs/api", false},
		"plain":              {"/api/hello-background", "_api_hello-background-handler", "_api_hello-background-background", "/docs/api/hello-background", false},
		"parameter":          {"/api/items/[id]", "_api_items_id-PARAM-handler", "_api_items_id-PARAM-background", "/docs/api/items/:p0", true},
		"parameters":         {"/api/[a]/b/[c-d]", "_api_a-PARAM_b_c-d-PARAM-handler", "_api_a-PARAM_b_c-d-PARAM-background", "/docs/api/:p0/b/:p1", true},
		"catch-all":          {"/api/files/[...path]", "_api_files_path-SPLAT-handler", "_api_files_path-SPLAT-background", "/docs/api/files/:p0+", true},
		"optional catch-all": {"/api/shop/[[...rest]]", "_api_shop-SPLAT-handler", "_api_shop-SPLAT-background", "/docs/api/shop/:p0*", false},
		"not a name":         {"/api/a.b", "_api_a_b-handler", "_api_a_b-background", "/docs/api/a.b", false},
		"to be escaped":      {"/api/ü b", "_api___b-handler", "_api___b-background", "/docs/api/%C3%BC%20b", false},
		"pattern characters": {"/api/a(b)/[c]", "_api_a_b__c-PARAM-handler", "_api_a_b__c-PARAM-background", `/docs/api/a\(b\)/:p0`, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := functionName(test.page, false); got != test.name {
				t.Errorf("functionName(%q, false) = %q, want %q", test.page, got, test.name)
			}
			if got := functionName(test.page, true); got != test.background {
				t.Errorf("functionName(%q, true) = %q, want %q", test.page, got, test.background)
			}
			if got := pattern("/docs", test.page); got != test.pattern {
				t.Errorf("pattern(%q) = %q, want %q", test.page, got, test.pattern)
			}
			if got := dynamic(test.page); got != test.dynamic {
				t.Errorf("dynamic(%q) = %v, want %v", test.page, got, test.dynamic)
			}
		})
	}
}

func TestDistinctNames(t *testing.T) {
	t.Parallel()
	one, other := distinct("_api_a_b-background", "/api/a.b"), distinct("_api_a_b-background", "/api/a_b")
	if one == other || !strings.HasPrefix(one, "_api_a_b-") || !strings.HasSuffix(one, "-background") {
		t.Errorf("distinct names are %q and %q", one, other)
	}
	page := "/api/" + strings.Repeat("x", 200)
	if got := distinct(functionName(page, false), page); len(got) != 128 || !strings.HasSuffix(got, "-handler") {
		t.Errorf("the name of a long page is %q", got)
	}
}

// files writes a site and returns its root.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
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

// show is a plan in a few words.
func show(plans []planned, left []problem.Problem) string {
	var out []string
	for _, p := range plans {
		line := fmt.Sprintf("%s %s", p.Name, p.Kind)
		if p.Schedule != "" {
			line += " " + p.Schedule
		}
		if p.TimeoutMS > 0 {
			line += fmt.Sprintf(" %dms", p.TimeoutMS)
		}
		if p.Retries != nil {
			line += fmt.Sprintf(" retries %d", *p.Retries)
		}
		if len(p.Methods) > 0 {
			line += " " + strings.Join(p.Methods, ",")
		}
		if p.method != "" {
			line += " tick " + p.method
		}
		for _, problem := range p.problems {
			if problem.Warning {
				line += " | warning"
			}
			line += " | " + problem.Error()
		}
		out = append(out, line)
	}
	for _, p := range left {
		out = append(out, "left out: "+p.Error())
	}
	return strings.Join(out, "\n")
}

func TestPlanPages(t *testing.T) {
	t.Parallel()
	const invalid = "Invalid config value in pages/api/job.ts: "
	tests := map[string]struct{ page, config, want string }{
		"none":        {"", "", "_api_job-handler sync"},
		"next's own":  {"", "{ api: { bodyParser: false, externalResolver: true }, runtime: 'nodejs' }", "_api_job-handler sync"},
		"background":  {"", "{ type: 'experimental-background' }", "_api_job-background background"},
		"scheduled":   {"", "{ type: 'experimental-scheduled', schedule: '@hourly' }", "_api_job-handler scheduled @hourly"},
		"maxDuration": {"", "{ type: 'experimental-background', maxDuration: 120 }", "_api_job-background background 120000ms"},
		"own keys":    {"", "{ type: 'experimental-background', maxDuration: 120, timeout: 60, retries: 0 }", "_api_job-background background 60000ms retries 0"},
		"our word":    {"", "{ background: true }", "_api_job-background background"},

		"no schedule":           {"", "{ type: 'experimental-scheduled' }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + `schedule is required when type is "experimental-scheduled"`},
		"empty schedule":        {"", "{ type: 'experimental-scheduled', schedule: '' }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + `schedule is required when type is "experimental-scheduled"`},
		"scheduled on edge":     {"", "{ type: 'experimental-scheduled', schedule: '@daily', runtime: 'edge' }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + "edge runtime is not supported for scheduled functions"},
		"schedule alone":        {"", "{ schedule: '@daily' }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + `schedule is not allowed unless type is "experimental-scheduled"`},
		"background, scheduled": {"", "{ type: 'experimental-background', schedule: '@daily' }", "_api_job-background background | pages/api/job.ts:1:58: " + invalid + `schedule is not allowed unless type is "experimental-scheduled"`},
		"background on edge":    {"", "{ type: 'experimental-background', runtime: 'experimental-edge' }", "_api_job-background background | pages/api/job.ts:1:25: " + invalid + "edge runtime is not supported for background functions"},
		"other type":            {"", "{ type: 'background' }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + "type background is not supported"},
		"no text":               {"", "{ type: 5 }", "_api_job-handler sync | pages/api/job.ts:1:25: " + invalid + "type 5 is not supported"},
		"bad cron":              {"", "{ type: 'experimental-scheduled', schedule: '0 0 31 2 *' }", "_api_job-handler scheduled 0 0 31 2 * | pages/api/job.ts:1:57: "},
		"misspelled type":       {"", "{ tipe: 'experimental-background' }", "_api_job-handler sync | pages/api/job.ts:1:25: there is no setting \"tipe\"; did you mean \"type\"?"},
		"under another key":     {"", "{ kind: 'experimental-scheduled' }", "_api_job-handler sync | pages/api/job.ts:1:25: there is no setting \"kind\"; did you mean \"type\"?"},
		"path":                  {"", "{ path: '/x' }", "_api_job-handler sync | pages/api/job.ts:1:25: path cannot be set for a route: the path of a route is where its file is"},
		"too long":              {"", "{ maxDuration: 1800 }", "_api_job-handler sync | pages/api/job.ts:1:25: maxDuration must be a number of seconds up to 900"},
		"not static":            {"", "{ type: kind() }", "_api_job-handler  | pages/api/job.ts:1:25: config.type cannot be read without running the code, because it is the result of a call; use literals and constants of this file"},
		"scheduled, dynamic":    {"/api/[id]", "{ type: 'experimental-scheduled', schedule: '@daily' }", "_api_id-PARAM-handler sync | pages/api/job.ts:1:25: a scheduled route cannot have parameters in its path, because nothing gives them a value; move it to a path without [ ]"},
		"edge":                  {"edge", "{ runtime: 'edge' }", "left out: pages/api/job.ts:1:25: runs on Next's edge runtime, which is not here, so it is left out; take `runtime` out, or set it to nodejs"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "export default function handler() {}"
			if test.config != "" {
				text = "export const config = " + test.config + "\n" + text
			}
			s := &site{Options: Options{Root: files(t, map[string]string{"pages/api/job.ts": text})}}
			r := route{router: pagesRouter, page: "/api/job", source: "pages/api/job.ts", edge: test.page == "edge"}
			if strings.HasPrefix(test.page, "/") {
				r.page = test.page
			}
			got := show(s.plan(r))
			if got != test.want && !(strings.HasSuffix(test.want, ": ") && strings.HasPrefix(got, test.want)) {
				t.Errorf("plan of %s\n got %s\nwant %s", test.config, got, test.want)
			}
		})
	}
}

func TestPlanHandlers(t *testing.T) {
	t.Parallel()
	const bg = "{ type: 'experimental-background' }"
	tests := map[string]struct {
		source      string
		prerendered bool
		want        string
	}{
		"plain":            {"export function GET() {}\nexport function POST() {}", false, "_api_job-handler sync"},
		"limit":            {"export const maxDuration = 60\nexport function GET() {}", false, "_api_job-handler sync 60000ms"},
		"background":       {"export function POST() {}\nPOST.config = " + bg, false, "_api_job-background background POST tick POST"},
		"beside another":   {"export function GET() {}\nexport function POST() {}\nPOST.config = " + bg, false, "_api_job-background background POST tick POST\n_api_job-handler sync"},
		"two that agree":   {"export function PUT() {}\nexport function POST() {}\nPOST.config = " + bg + "\nPUT.config = " + bg, false, "_api_job-background background POST,PUT tick POST"},
		"two that differ":  {"export function PUT() {}\nexport function POST() {}\nPOST.config = " + bg + "\nPUT.config = { timeout: 5 }", false, "_api_job-background background POST,PUT tick POST | app/api/job/route.ts:4:16: PUT.config differs from POST.config; give both the same, or move one handler to a route of its own"},
		"scheduled":        {"export function GET() {}\nGET.config = { type: 'experimental-scheduled', schedule: '@daily' }", false, "_api_job-handler scheduled @daily GET tick GET"},
		"scheduled beside": {"export function GET() {}\nexport function POST() {}\nPOST.config = { type: 'experimental-scheduled', schedule: '@daily' }", false, "_api_job-POST-handler scheduled @daily POST tick POST\n_api_job-handler sync"},
		"limits only":      {"export function POST() {}\nPOST.config = { timeout: 5 }", false, "_api_job-handler sync 5000ms tick POST"},
		"limits beside":    {"export function GET() {}\nexport function POST() {}\nPOST.config = { timeout: 5 }", false, "_api_job-POST-handler sync 5000ms POST tick POST\n_api_job-handler sync"},
		"config export":    {"export const config = " + bg + "\nexport function POST() {}", false, "_api_job-handler sync | app/api/job/route.ts:1:25: config.type has no effect in a route handler; write it behind the handler: POST.config = { … }"},
		"no type":          {"export function POST() {}\nPOST.config = { schedule: '@daily' }", false, "_api_job-handler sync tick POST | app/api/job/route.ts:2:17: Invalid config value in app/api/job/route.ts: schedule is not allowed unless type is \"experimental-scheduled\""},
		"prerendered":      {"export function GET() {}", true, "left out: app/api/job/route.ts: is run by next build, and its result is a file, so it is left out; `export const dynamic = 'force-dynamic'` makes it run for each call"},
		"run by the build": {"export function GET() {}\nGET.config = " + bg, true, "_api_job-background background GET tick GET | app/api/job/route.ts:2:16: next build runs this handler to make a file of its result; add `export const dynamic = 'force-dynamic'`, or make it a POST"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{Options: Options{Root: files(t, map[string]string{"app/api/job/route.ts": test.source})}}
			got := show(s.plan(route{router: appRouter, page: "/api/job", source: "app/api/job/route.ts", prerendered: test.prerendered}))
			if got != test.want {
				t.Errorf("plan\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestPlanTakesLimitsOfNetlifyToml(t *testing.T) {
	t.Parallel()
	at := problem.Position{File: "netlify.toml", Line: 3}
	s := &site{Options: Options{
		Root: files(t, map[string]string{"pages/api/job.ts": "export const config = { timeout: 5 }\nexport default () => {}"}),
		Settings: func(string) setting.Set {
			return setting.Set{"timeout": {Data: 7.0, At: at}, "retries": {Data: 1.0, At: at}, "includedFiles": {Data: "x", At: at}}
		},
	}}
	got := show(s.plan(route{router: pagesRouter, page: "/api/job", source: "pages/api/job.ts"}))
	if want := "_api_job-handler sync 5000ms retries 1"; got != want {
		t.Errorf("plan = %s, want %s", got, want)
	}
}

func TestManifests(t *testing.T) {
	t.Parallel()
	manifest := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	root := files(t, map[string]string{
		"src/pages/api/index.ts":                    "",
		"src/pages/api/[...all].js":                 "",
		"src/pages/api/items/[id].ts":               "",
		"src/pages/api/edge/index.ts":               "",
		"src/app/(x)/api/app/[id]/route.ts":         "",
		"src/app/api/static/route.ts":               "",
		"src/app/sitemap.ts":                        "",
		"out/BUILD_ID":                              "id\n",
		"out/server/pages-manifest.json":            manifest(map[string]string{"/_app": "pages/_app.js", "/": "pages/index.html", "/apix": "pages/apix.js", "/api": "pages/api.js", "/api/[...all]": "pages/api/[...all].js", "/api/items/[id]": "pages/api/items/[id].js", "/api/edge": "edge/x.js"}),
		"out/server/app-paths-manifest.json":        manifest(map[string]string{"/page": "app/page.js", "/(x)/api/app/[id]/route": "app/(x)/api/app/[id]/route.js", "/api/static/route": "app/api/static/route.js", "/sitemap.xml/route": "app/sitemap.xml/route.js"}),
		"out/app-path-routes-manifest.json":         manifest(map[string]string{"/page": "/", "/(x)/api/app/[id]/route": "/api/app/[id]", "/api/static/route": "/api/static", "/sitemap.xml/route": "/sitemap.xml"}),
		"out/routes-manifest.json":                  `{"dynamicRoutes":[{"page":"/api/app/[id]"},{"page":"/api/items/[id]"},{"page":"/api/[...all]"}]}`,
		"out/required-server-files.json":            `{"files":["out/BUILD_ID"]}`,
		"out/prerender-manifest.json":               `{"routes":{"/api/static":{}},"dynamicRoutes":{}}`,
		"out/server/preview-props.json":             `{"previewModeId":"x"}`,
		"out/server/middleware-manifest.json":       `{"functions":{"/api/edge":{}}}`,
		"out/server/functions-config-manifest.json": `{}`,
	})
	s := &site{Options: Options{Root: root}, config: config{DistDir: "out", PageExtensions: []string{"tsx", "ts", "jsx", "js"}}}
	if err := s.readManifests(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.routes {
		got = append(got, fmt.Sprintf("%s %s %s edge=%v prerendered=%v", r.router, r.page, r.source, r.edge, r.prerendered))
	}
	want := []string{
		"pages /api src/pages/api/index.ts edge=false prerendered=false",
		"pages /api/edge src/pages/api/edge/index.ts edge=true prerendered=false",
		"app /api/static src/app/api/static/route.ts edge=false prerendered=true",
		"app /api/app/[id] src/app/(x)/api/app/[id]/route.ts edge=false prerendered=false",
		"pages /api/items/[id] src/pages/api/items/[id].ts edge=false prerendered=false",
		"pages /api/[...all] src/pages/api/[...all].js edge=false prerendered=false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("routes\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if string(s.shared.preview) != `{"previewModeId":"x"}` || s.shared.buildID != "id" || len(s.shared.manifests) != 1 {
		t.Errorf("shared = %+v", s.shared)
	}
}
