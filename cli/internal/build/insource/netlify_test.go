package insource_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/function"
)

var update = flag.Bool("update", false, "write the table anew")

// reading is what a bundler reads in a source, in the terms of both.
type reading struct {
	API           int      `json:"-"`
	Schedule      string   `json:"schedule,omitempty"`
	Background    bool     `json:"background,omitempty"`
	Path          []string `json:"path,omitempty"`
	ExcludedPath  []string `json:"excludedPath,omitempty"`
	Method        []string `json:"method,omitempty"`
	PreferStatic  bool     `json:"preferStatic,omitempty"`
	Timeout       float64  `json:"timeout,omitempty"`
	IncludedFiles []string `json:"includedFiles,omitempty"`
	External      []string `json:"externalNodeModules,omitempty"`
	Error         string   `json:"-"`
}

// String is the reading without what is empty; the words of an error are no part of it.
func (r reading) String() string {
	if r.Error != "" {
		return "error"
	}
	if r.API == 0 {
		return "no function"
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	if string(text) == "{}" {
		return fmt.Sprintf("v%d", r.API)
	}
	return fmt.Sprintf("v%d %s", r.API, text)
}

// recorded are Netlify's readings by file, from testdata/netlify/netlify.json.
func recorded(t *testing.T) map[string]reading {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "netlify", "netlify.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows map[string]struct {
		API            int
		Config         reading
		InvocationMode string
		Error          string
		BundleError    string
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	out := map[string]reading{}
	for file, row := range rows {
		r := row.Config
		r.API, r.Error = row.API, row.Error+row.BundleError
		r.Background = row.InvocationMode == "background"
		r.Path = slices.Compact(r.Path) // as its routes are
		out[file] = r
	}
	return out
}

// read reads a source as a build does.
func read(t *testing.T, file string) (reading, []string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "netlify", "sources", file))
	if err != nil {
		t.Fatal(err)
	}
	m := insource.Analyze(file, source)
	name := strings.TrimSuffix(file, filepath.Ext(file))
	f, bundling, more := setting.Resolve(function.Function{Name: name, API: m.API}, m.Settings)
	r := reading{
		API: int(m.API), Schedule: f.Schedule, Path: f.Paths, ExcludedPath: f.ExcludedPaths, Method: f.Methods,
		PreferStatic: f.PreferStatic, IncludedFiles: bundling.IncludedFiles, External: bundling.ExternalModules,
		Background: m.Settings["background"].Data == true || strings.HasSuffix(name, "-background"),
	}
	if timeout, ok := m.Settings["timeout"].Data.(float64); ok {
		r.Timeout = timeout
	}
	var said []string
	for _, p := range append(m.Problems, more...) {
		kind := "error"
		if p.Warning {
			kind = "warning"
		} else if r.Error == "" {
			r.Error = p.Error()
		}
		said = append(said, kind+" "+p.Error())
	}
	return r, said
}

// differences are the sources that are read differently on purpose.
var differences = []struct {
	why   string
	files string
}{
	{"static, so it is read; Netlify drops it without a word, and a schedule with it", `
		config-angle.ts config-as-const-satisfies.ts config-as-const.ts config-as.ts config-by-name.mjs
		config-defineproperty.cjs config-frozen.mjs config-list-satisfies.ts config-satisfies.ts config-spread-inline.mjs
		config-spread.mjs key-computed-name.mjs key-shorthand.mjs v2-object-config-name.mjs v2-object-config-satisfies.ts
		value-arithmetic.mjs value-as.ts value-concatenated.mjs value-const-enum.ts value-constant-as.ts value-constant.mjs
		value-enum-number.ts value-enum.ts value-index.mjs value-let.mjs value-member-as-const.ts value-member-quoted.mjs
		value-member.mjs value-not-null.ts value-not-true.mjs value-template-constant.mjs value-template.mjs`},
	{"one string is taken for a list of one; Netlify drops it", `field-included-text.mjs`},
	{"static, so it is read; Netlify refuses it", `
		schedule-as-handler.ts schedule-as.ts schedule-constant-of-constant.mjs schedule-require-name.js
		schedule-require-object.js schedule-satisfies.ts schedule-shadowed.mjs schedule-template.mjs
		value-array-constant.mjs value-array-spread.mjs`},
	{"the helper is found through namespaces too, where Netlify leaves the function public", `
		schedule-namespace.mjs schedule-require-inline.js schedule-require-late.js schedule-require-member.js
		schedule-require-namespace.js schedule-tsc.js schedule-wrapped-namespace.mjs`},
	{"the helper is found inside of other calls, too", `schedule-wrapped.mjs`},
	{"a type is no use of the helper", `schedule-type-import.ts`},
	{"@netlify/functions 5.3 has no default export; a site without the package gets ours, which earlier versions are like", `schedule-default-import.mjs`},
	{"cannot be read without running the code, so it is an error; Netlify drops it without a word, and a schedule with it", `
		config-assigned-later.mjs config-conditional.mjs config-destructured.mjs config-function.mjs config-getter.mjs
		config-imported.mjs config-reexported.mjs config-spread-imported.mjs config-wrapped.mjs key-computed-imported.mjs
		key-duplicate-dropped.mjs key-method.mjs v2-reexport-both.mjs value-bigint.mjs value-condition.mjs
		value-env-default.mjs value-env.mjs value-imported.mjs value-join.mjs value-regex.mjs value-tagged-template.mjs
		value-template-env.mjs`},
	{"a value of a wrong type, or out of bounds, is an error; Netlify drops or ignores it", `
		field-types.mjs value-null.mjs value-negative.mjs field-node-bundler.mjs`},
	{"a misspelled key is an error; Netlify ignores it", `key-unknown.mjs`},
	{"a cron expression that never fires is an error at build time", `field-schedule-empty.mjs field-schedule-nope.mjs schedule-bad-cron.mjs`},
	{"Netlify refuses it as well, in a later step", `field-schedule-path.mjs`},
	{"a region has no effect here, so one that is not known yet must not stop a build", `field-region-wrong.mjs`},
	{"a schedule or background in a config that is ignored is an error", `v1-config.mjs schedule-beside-config.mjs`},
	{"schedule() belongs to a v1 handler; Netlify leaves the function public", `schedule-around-default.mjs`},
	{"the syntax is read; Netlify's parser fails at it and drops the whole config without a word", `
		file-decorators.js file-decorators.ts file-import-assertions.mjs file-jsx.js file-jsx.tsx`},
	{"a syntax error is an error; Netlify ships the file, and each call fails", `file-syntax-error-v1.js`},
	{"nothing that can be called, so it is left out with a warning; at Netlify each call fails", `
		file-comment-only.js file-empty.js v1-other-name.mjs`},
	{"nothing that can be called, so it is an error; at Netlify each call fails", `
		v1-and-default-object.mjs v2-export-equals.cts v2-module-exports-function.js v2-object-without-fetch.mjs`},
	{"Netlify's events do not happen here, so it is left out with a warning", `v2-events.mjs v2-events-and-schedule.mjs`},
	{"module.exports = { default } is a default export; at Netlify each call fails", `v2-module-exports-object.js`},
}

// TestAsNetlify reads the sources that Netlify's own bundler has read, and
// writes both readings into a table.
func TestAsNetlify(t *testing.T) {
	t.Parallel()
	rows := recorded(t)
	sources, err := filepath.Glob(filepath.Join("testdata", "netlify", "sources", "*.*"))
	if err != nil || len(sources) != len(rows) {
		t.Fatalf("%d sources and %d rows (%v); record them anew", len(sources), len(rows), err)
	}
	why := map[string]string{}
	for _, d := range differences {
		for _, file := range strings.Fields(d.files) {
			if _, known := rows[file]; !known || why[file] != "" {
				t.Errorf("the list of differences names %s, which is not there or stands twice", file)
			}
			why[file] = d.why
		}
	}
	var table strings.Builder
	same := 0
	for _, file := range slices.Sorted(maps.Keys(rows)) {
		theirs := rows[file]
		ours, said := read(t, file)
		equal := ours.String() == theirs.String()
		switch {
		case equal:
			same++
			if why[file] != "" {
				t.Errorf("%s is read as Netlify reads it, so it is no difference any more (%s)", file, why[file])
			}
		case why[file] == "":
			t.Errorf("%s is read differently\n     got %s %q\n Netlify %s %s", file, ours, said, theirs, theirs.Error)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", file, cell(theirs), cell(ours), why[file])
	}
	head := fmt.Sprintf("# What Netlify reads, and what we read\n\n%d sources: %d are read alike, %d differently on purpose. "+
		"Made by `TestAsNetlify -update`.\n\n| source | Netlify | Nightshift | why they differ |\n|---|---|---|---|\n", len(rows), same, len(rows)-same)
	golden := filepath.Join("testdata", "netlify", "table.md")
	if *update {
		if err := os.WriteFile(golden, []byte(head+table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if head+table.String() != string(want) {
		t.Errorf("%s is out of date; look at what changed, and write it anew with -update", golden)
	}
}

// cell is a reading in the table.
func cell(r reading) string {
	text := r.String()
	if r.Error != "" {
		text = "error: " + r.Error
	}
	return strings.ReplaceAll(text, "|", "\\|")
}

// TestHugeSources are read in time, and places in them are right.
func TestHugeSources(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x.split(/[/]/).map((y) => ({ y, z: y / 2, [`${y}`]: x })), ", 20)
	var source strings.Builder
	lines := 0
	for ; source.Len() < 1<<19; lines++ {
		fmt.Fprintf(&source, "export const row%d = (x) => [%s]\n", lines, body)
	}
	source.WriteString("export default () => new Response('x')\nexport const config = { schedule: '@daily', timeout: 5 }\n")
	want := fmt.Sprintf("v2 | schedule=@daily@%d:25 | timeout=5@%d:45", lines+2, lines+2)
	if got := summary(insource.Analyze("f.mjs", []byte(source.String()))); got != want {
		t.Errorf("Analyze of %d KiB\n got %s\nwant %s", source.Len()>>10, got, want)
	}
}
