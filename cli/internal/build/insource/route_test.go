package insource_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
)

// routeSummary is what a route says, in one line.
func routeSummary(r insource.Route) string {
	var parts []string
	show := func(prefix string, set setting.Set) {
		for _, key := range slices.Sorted(maps.Keys(set)) {
			v := set[key]
			parts = append(parts, fmt.Sprintf("%s%s=%v@%d:%d", prefix, key, v.Data, v.At.Line, v.At.Column))
		}
	}
	show("", r.Config)
	show("segment ", r.Segment)
	for _, method := range slices.Sorted(maps.Keys(r.Handlers)) {
		parts = append(parts, method)
		show(method+" ", r.Handlers[method])
	}
	for _, p := range r.Problems {
		parts = append(parts, p.Error())
	}
	return strings.Join(parts, " | ")
}

func TestAnalyzeRoute(t *testing.T) {
	t.Parallel()
	const page = "export default function handler(req, res) { res.end() }\n"
	tests := map[string]struct{ file, source, want string }{
		"no config":               {"a.js", page, ""},
		"config":                  {"a.ts", page + "export const config = { type: 'experimental-background', api: { bodyParser: false } } as const", "api=map[bodyParser:false]@2:58 | type=experimental-background@2:25"},
		"annotated":               {"a.ts", page + "export const config: PageConfig & { type: string } = {\n  type: 'experimental-scheduled',\n}", "type=experimental-scheduled@3:3"},
		"commonjs":                {"a.js", "module.exports = (req, res) => res.end()\nmodule.exports.config = { type: 'x' }", "type=x@2:27"},
		"constants":               {"a.js", "const every = '@daily'\n" + page + "export const config = { schedule: every }", "schedule=@daily@3:25"},
		"re-export":               {"a.js", "export { default, config } from '../lib/job'", "a.js:1:19: config comes from ../lib/job, so it cannot be read without running the code; write `export const config = { … }` in this file"},
		"default of another file": {"a.js", "export { default } from '../lib/job'", ""},
		"star":                    {"a.js", "export { default } from '../lib/job'\nexport * from '../lib/job'", "a.js:2:15: everything of another file is exported here, and its config cannot be seen; write `export const config = { … }` in this file, or export by name"},
		"call":                    {"a.js", page + "export const config = make()", "a.js:2:14: config cannot be read without running the code, because it is the result of a call; write `export const config = { … }`"},
		"env":                     {"a.js", page + "export const config = { type: process.env.TYPE }", "a.js:2:43: config.type cannot be read without running the code, because it is `process.env.TYPE`, which is known only when the code runs; use literals and constants of this file"},
		"misspelled":              {"a.js", page + "export const confg = { type: 'experimental-background' }", "a.js:2:14: the export confg has no effect; did you mean config?"},
		"not misspelled":          {"a.js", page + "export const configs = { a: 1 }", ""},
		"syntax":                  {"a.js", "export default (", "a.js:1:17: Unexpected end of file"},

		"segment":           {"route.ts", "export const runtime = 'edge'\nexport const maxDuration = 5 * 60\nexport function GET() {}", "segment maxDuration=300@2:14 | segment runtime=edge@1:14 | GET"},
		"segment of a call": {"route.ts", "export const maxDuration = long()\nexport function GET() {}", "GET | route.ts:1:14: maxDuration cannot be read without running the code; write `export const maxDuration = …` with a literal"},
		"handlers":          {"route.ts", "export async function GET() {}\nexport const POST = async () => {}\nfunction put() {}\nexport { put as PUT }", "GET | POST | PUT"},
		"behind function":   {"route.ts", "export async function POST(r: Request) { return new Response() }\nPOST.config = { type: 'experimental-background', retries: 1 }", "POST | POST retries=1@2:50 | POST type=experimental-background@2:17"},
		"behind const":      {"route.ts", "export const POST = async (r: Request) => new Response()\nPOST.config = { schedule: '@daily' } satisfies object", "POST | POST schedule=@daily@2:17"},
		"behind alias":      {"route.js", "async function run() {}\nrun.config = { type: 'x' }\nexport { run as GET, run as POST }", "GET | GET type=x@2:16 | POST | POST type=x@2:16"},
		"Object.assign":     {"route.ts", "export const POST = Object.assign(withAuth(async () => new Response()), { config: { type: 'x' } })", "POST | POST type=x@1:85"},
		"of a call":         {"route.ts", "export async function POST() {}\nPOST.config = make()", "POST | route.ts:2:6: POST.config cannot be read without running the code, because it is the result of a call; write `POST.config = { … }`"},
		"misspelled behind": {"route.ts", "export async function POST() {}\nPOST.confg = { type: 'x' }", "POST | route.ts:2:16: POST.confg has no effect; did you mean POST.config?"},
		"other members":     {"route.ts", "export async function POST() {}\nPOST.displayName = 'x'", "POST"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := routeSummary(insource.AnalyzeRoute(test.file, []byte(test.source))); got != test.want {
				t.Errorf("AnalyzeRoute(%q)\n got %s\nwant %s", test.source, got, test.want)
			}
		})
	}
}
