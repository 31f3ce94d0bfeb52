package netlifytoml_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
)

func read(t *testing.T, text string) (netlifytoml.File, []string) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, netlifytoml.Name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	file, problems := netlifytoml.Read(root)
	return file, words(problems)
}

func words(problems []problem.Problem) []string {
	var out []string
	for _, p := range problems {
		kind := "error "
		if p.Warning {
			kind = "warning "
		}
		out = append(out, kind+p.Error())
	}
	return out
}

func TestSettings(t *testing.T) {
	t.Parallel()
	file, problems := read(t, `
[functions]
  directory = "fn"
  included_files = ["data/**"]
  timeout = 5

[functions."send-*"]
  background = true
  included_files = ["mail/**"]
  retryDelays = [1, 2.5]

[functions.send-report]
  timeout = 60
  external_node_modules = ["sharp"]
`)
	if len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
	if file.Directory != "fn" {
		t.Errorf("Directory = %q, want fn", file.Directory)
	}
	tests := map[string]string{
		"other":       "includedFiles=[data/**]@4 timeout=5@5",
		"send-mail":   "background=true@8 includedFiles=[data/** mail/**]@9 retryDelays=[1 2.5]@10 timeout=5@5",
		"send-report": "background=true@8 externalNodeModules=[sharp]@14 includedFiles=[data/** mail/**]@9 retryDelays=[1 2.5]@10 timeout=60@13",
	}
	for name, want := range tests {
		set := file.Settings(name)
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(set)) {
			parts = append(parts, fmt.Sprintf("%s=%v@%d", key, set[key].Data, set[key].At.Line))
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("Settings(%q)\n got %s\nwant %s", name, got, want)
		}
	}
	unmatched := words(file.Unmatched([]string{"other", "send-mail"}))
	if want := []string{`warning netlify.toml:13: [functions."send-report"] matches no function`}; !slices.Equal(unmatched, want) {
		t.Errorf("Unmatched = %q, want %q", unmatched, want)
	}
}

// A table within a section is one setting, with numbers of the kind that settings have.
func TestTableInASection(t *testing.T) {
	t.Parallel()
	file, problems := read(t, "[functions.a]\ntimeout = 1\n[functions.a.rate_limit]\nwindow_size = 60\naggregate_by = [\"ip\"]\n[functions.b]\nrateLimit = { windowLimit = 5 }\n")
	a, b := file.Settings("a")["rateLimit"], file.Settings("b")["rateLimit"]
	if got, want := fmt.Sprintf("%#v@%d", a.Data, a.At.Line), `map[string]interface {}{"aggregate_by":[]interface {}{"ip"}, "window_size":60}@3`; got != want || len(problems) > 0 {
		t.Errorf("setting of a = %s, %q; want %s", got, problems, want)
	}
	if got, want := fmt.Sprintf("%#v@%d", b.Data, b.At.Line), `map[string]interface {}{"windowLimit":5}@7`; got != want {
		t.Errorf("setting of b = %s, want %s", got, want)
	}
}

func TestWeight(t *testing.T) {
	t.Parallel()
	file, _ := read(t, "[functions.\"*-background\"]\ntimeout = 1\n[functions.\"send-x*\"]\ntimeout = 2\n[functions.send-x]\ntimeout = 3\n")
	for name, want := range map[string]any{"a-background": 1.0, "send-x-background": 1.0, "send-xy": 2.0, "send-x": 3.0} {
		if got := file.Settings(name)["timeout"].Data; got != want {
			t.Errorf("timeout of %s = %v, want %v: the longer pattern wins, and the exact name over all", name, got, want)
		}
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, directory, dev, command string }{
		"none":            {"", "", "", ""},
		"build":           {"[build]\nfunctions = \"a\"", "a", "", ""},
		"functions first": {"[build]\nfunctions = \"a\"\n[functions]\ndirectory = \"b\"", "b", "", ""},
		"dev":             {"[dev]\nfunctions = \"c\"\ncommand = \"node x.mjs\"", "", "c", "node x.mjs"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, problems := read(t, test.text)
			if file.Directory != test.directory || file.DevDirectory != test.dev || file.DevCommand != test.command || len(problems) > 0 {
				t.Errorf("got %q %q %q %q, want %q %q %q", file.Directory, file.DevDirectory, file.DevCommand, problems, test.directory, test.dev, test.command)
			}
		})
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	file, problems := read(t, "[build]\npublish = \"dist\"\n[dev]\npublish = \"public\"")
	if file.Publish != "dist" || file.PublishAt.Line != 2 || file.DevPublish != "public" || file.DevPublishAt.Line != 4 || len(problems) > 0 {
		t.Errorf("Read = %+v, %q", file, problems)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const text = "[[redirects]]\nfrom = \"/a\"\nto = \"/b\"\n\n[[redirects]]\nfrom = \"/c\"\n[[headers]]\nfor = \"/*\"\nvalues = {A = \"1\"}\n" +
		"[[context.branch-deploy.redirects]]\nfrom = \"/d\"\nto = \"/e\"\n[[context.branch-deploy.redirects]]\nto = \"/f\"\n"
	if err := os.WriteFile(filepath.Join(root, netlifytoml.Name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// What is wrong with a rule leaves the rest of the file usable.
	file, problems := netlifytoml.Read(root, "production")
	if len(problems) > 0 || len(file.Redirects) != 1 || file.Redirects[0].To != "/b" || len(file.Headers) != 1 || file.Headers[0].Values["A"] != "1" {
		t.Errorf("Read = %+v, %q", file, words(problems))
	}
	if got := words(file.RuleProblems); len(got) != 1 || !strings.HasPrefix(got[0], "error netlify.toml:5:1: it is not said where the redirect from /c leads") || file.RuleProblems[0].At.Text != "[[redirects]]" {
		t.Errorf("problems of rules: %q", got)
	}
	// A context's are in place of the others, and are placed where they begin.
	file, problems = netlifytoml.Read(root, "branch-deploy")
	if got := words(file.RuleProblems); len(problems) > 0 || len(file.Redirects) != 1 || file.Redirects[0].To != "/e" || !slices.Equal(got, []string{"error netlify.toml:10:1: the redirect has no from: write the path that it is about"}) {
		t.Errorf("Read in a context = %+v, %q, %q", file, words(problems), got)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []string
	}{
		"syntax":            {"[functions]\ndirectory = fn\n", []string{"error netlify.toml:2:13: is not valid TOML: expected value but found \"fn\" instead"}},
		"open table":        {"a = 1\n[functions\n", []string{"error netlify.toml:2:11: is not valid TOML: expected '.' or ']' to end table name, but got '\\n' instead"}},
		"duplicate":         {"[dev]\n[dev]\n", []string{"error netlify.toml:2:2: is not valid TOML: Key 'dev' has already been defined."}},
		"not ours":          {"[build]\n  command = \"npm run build\"\n[[plugins]]\npackage = \"a\"\n[[plugins]]\npackage = \"b\"\n", []string{"warning netlify.toml:2:3: build.command has no effect: Nightshift bundles the functions and runs no build", "warning netlify.toml:3:1: plugins has no effect: Nightshift serves functions and static files, with redirects and headers"}},
		"publish":           {"[build]\npublish = 1\n[dev]\npublish = true", []string{"error netlify.toml:2:1: build.publish must be a string", "error netlify.toml:4:1: dev.publish must be a string"}},
		"environment":       {"[build.environment]\nA = \"1\"", []string{"warning netlify.toml:1:1: build.environment is for nightshift dev only: functions that are deployed do not see it, as on Netlify; for them use nightshift env set"}},
		"environment list":  {"[build.environment]\nA = [1]", []string{"warning netlify.toml:1:1: build.environment is for nightshift dev only: functions that are deployed do not see it, as on Netlify; for them use nightshift env set", "error netlify.toml:2:1: build.environment.A must be a string"}},
		"environment text":  {"[build]\nenvironment = 1", []string{"error netlify.toml:2:1: build.environment must be a table: write [build.environment]"}},
		"dev server":        {"[dev]\nport = 1", []string{"warning netlify.toml:2:1: dev.port has no effect: it configures Netlify's own dev server"}},
		"directory of one":  {"[functions.a]\ndirectory = \"x\"", []string{"error netlify.toml:2:1: directory must be defined on the main `functions` object, because it is that of all functions: [functions] directory = …"}},
		"background of all": {"[functions]\nbackground = true", []string{"error netlify.toml:2:1: background must be said of certain functions: [functions.\"name\"] background = true"}},
		"loose key":         {"[functions]\nsend = 5", []string{"error netlify.toml:2:1: functions.send is neither a setting nor a table; settings of one function stand in [functions.\"send\"]"}},
		"not a table":       {"functions = 3", []string{"error netlify.toml:1:1: functions must be a table: write [functions]"}},
		"not a string":      {"[functions]\ndirectory = 3", []string{"error netlify.toml:2:1: functions.directory must be a string"}},
		"bad glob":          {"[functions.\"a[\"]\ntimeout = 1", []string{"error netlify.toml:1:1: \"a[\" is not a valid glob"}},
		"key with equals":   {"[functions]\n\"a=b\" = 5", []string{"error netlify.toml:2:1: functions.a=b is neither a setting nor a table; settings of one function stand in [functions.\"a=b\"]"}},
		"inline table":      {"functions = { directory = 3 }", []string{"error netlify.toml:1:1: functions.directory must be a string"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := read(t, test.text); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q\n got %q\nwant %q", test.text, got, test.want)
			}
		})
	}
}

func TestMissingFileIsEmpty(t *testing.T) {
	t.Parallel()
	file, problems := netlifytoml.Read(t.TempDir())
	if file.Directory != "" || len(problems) > 0 || len(file.Settings("a")) > 0 {
		t.Errorf("Read of nothing = %+v, %v", file, problems)
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/netlify/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files to begin with: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("[functions.\"a*\"]\ntimeout = 1\n[build]\nfunctions = 'x'")
	f.Add("functions = { a = { b = 1 } }\n\"q=\" = 2")
	f.Fuzz(func(t *testing.T, text string) {
		file, problems := read(t, text)
		if len(problems) == 0 {
			file.Settings("a")
		}
	})
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	text := "[build.environment]\nA = \"a\"\nB = 1\nC = true\n[context.dev.environment]\nA = \"dev\"\nD = \"d\"\n[context.production.environment]\nA = \"production\"\n"
	if err := os.WriteFile(filepath.Join(root, netlifytoml.Name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for context, want := range map[string]map[string]string{
		"dev":            {"A": "dev", "B": "1", "C": "true", "D": "d"},
		"production":     {"A": "production", "B": "1", "C": "true"},
		"deploy-preview": {"A": "a", "B": "1", "C": "true"},
	} {
		if file, _ := netlifytoml.Read(root, context); !maps.Equal(file.Environment, want) {
			t.Errorf("Environment in %s = %v, want %v", context, file.Environment, want)
		}
	}
}

// TestEnvironmentOfDev: what is written for dev alone needs no warning that it is
// for dev alone.
func TestEnvironmentOfDev(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"[context.dev.environment]\nA = \"a\"\n":                                              0,
		"[context.dev.environment]\nA = \"a\"\n[build.environment]\nB = \"b\"\n":              1,
		"[context.dev.environment]\nA = \"a\"\n[context.main.environment]\nB = \"b\"\n":       1,
		"[context.dev.environment]\nA = \"a\"\n[context.production.environment]\nB = \"b\"\n": 0,
		"[context.main.environment]\nB = \"b\"\n[context.dev]\n[context.dev.functions]\n":     1,
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, netlifytoml.Name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, problems := netlifytoml.Read(root, "dev", "main"); len(problems) != want {
			t.Errorf("%q has the problems %v, want %d", text, problems, want)
		}
	}
}
