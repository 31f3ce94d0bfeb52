package manifest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/manifest"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// values are the values of a set as JSON, with sorted keys.
func values(t *testing.T, set setting.Set) string {
	t.Helper()
	out := map[string]any{}
	for key, v := range set {
		if v.At.File == "" {
			t.Errorf("%s has no place", key)
		}
		out[key] = v.Data
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSettings reads what zip-it-and-ship-it 16.2.3 wrote.
func TestSettings(t *testing.T) {
	t.Parallel()
	const source = "functions/manifest.json"
	m, problems := manifest.Read("testdata", source)
	if len(problems) > 0 {
		t.Fatalf("Read: %v", problems)
	}
	for file, want := range map[string]string{
		"v1.zip":              `{}`,
		"dotted.zip":          `{"schedule":"@hourly"}`,
		"tick.zip":            `{"schedule":"@daily"}`,
		"bg.zip":              `{"background":true,"timeout":77}`,
		"work-background.zip": `{"background":true}`,
		"v2.zip": `{"excludedPath":["/items/none"],"method":["GET","POST"],"path":["/items/:id"],"preferStatic":true,` +
			`"rateLimit":{"action":"rate_limit","aggregateBy":["ip"],"algorithm":"sliding_window","windowLimit":5,"windowSize":60}}`,
		"sized.zip": `{"generator":"tool@1","memory":2048,"name":"Sized","region":"fra","vcpu":0.5}`,
		"gone":      `{"background":true}`,
	} {
		set, problems, ok := m.Settings(file)
		if !ok || len(problems) > 0 {
			t.Errorf("Settings(%s) = %t, %v; want them", file, ok, problems)
		}
		if got := values(t, set); got != want {
			t.Errorf("Settings(%s) = %s\nwant %s", file, got, want)
		}
	}
	if _, problems, ok := m.Settings("events.zip"); !ok || len(problems) != 1 || !strings.Contains(problems[0].Message, "(deploySucceeded)") {
		t.Errorf("Settings(events.zip) = %v, %t; want a warning about its events", problems, ok)
	}
	if _, _, ok := m.Settings("unknown.zip"); ok {
		t.Error("Settings(unknown.zip) are there, want none")
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"something else":  {`{"name": "my app", "version": "2"}`, ""},
		"a web manifest":  {`{"name": "my app"}`, ""},
		"no JSON":         {`{`, "m.json: is not valid JSON, so the settings of the zips beside it are not known: "},
		"another version": {`{"version": 2, "functions": []}`, "m.json: has the version 2; the one that is understood is 1"},
		"another form":    {`{"version": 1, "functions": {}}`, "m.json: does not have the form that zip-it-and-ship-it writes: "},
		"empty":           {`{"version": 1, "functions": []}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, manifest.Name, test.text)
			_, problems := manifest.Read(dir, "m.json")
			var got string
			for _, p := range problems {
				got += p.Error()
			}
			if !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("problems %q, want %q", got, test.want)
			}
		})
	}
	if _, problems := manifest.Read(t.TempDir(), "m.json"); len(problems) > 0 {
		t.Errorf("without a manifest: %v, want nothing", problems)
	}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "server.json", `{"version": 1, "config": {"includedFiles": ["a/**"], "generator": "tool", "nodeModuleFormat": "esm"}}`)
	write(t, dir, "old.json", `{"version": 0, "config": {"generator": "tool"}}`)
	write(t, dir, "broken.json", `{`)
	for file, want := range map[string]string{
		"server.mjs": `{"generator":"tool","includedFiles":["a/**"]}`,
		"old.mjs":    `{}`, "broken.mjs": `{}`, "none.mjs": `{}`,
	} {
		if got := values(t, manifest.Beside(filepath.Join(dir, file), "internal/"+file)); got != want {
			t.Errorf("Beside(%s) = %s, want %s", file, got, want)
		}
	}
}
