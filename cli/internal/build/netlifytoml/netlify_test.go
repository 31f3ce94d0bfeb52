package netlifytoml_test

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/function"
)

// chosen are the files in testdata/netlify that are read differently, and why.
var chosen = map[string]string{
	"base-missing.toml":        "that the directory is there is checked by the build, not by the reader",
	"base-own.toml":            "the second file is read by the build, not by the reader",
	"directory-outside.toml":   "that the directory is inside of the site is checked by the build, not by the reader",
	"extended.toml":            "an error, because the glob library has no extended globs: nothing is dropped in silence",
	"files-text.toml":          "one string is taken for a list of one",
	"not-hoisted-timeout.toml": "timeout and the other keys of Nightshift may stand in [functions] too",
	"schedule-empty.toml":      "an empty schedule fires never, at Netlify too, so it is an error",
}

type outcome struct {
	Base      string                    `json:"base"`
	Directory string                    `json:"directory"`
	Functions map[string]map[string]any `json:"functions"`
	Error     string                    `json:"error,omitempty"`
}

// outcomeOf does what Netlify does with a file: read it, and check the settings of each function.
func outcomeOf(file netlifytoml.File, problems []problem.Problem) outcome {
	out := outcome{Base: file.Base, Directory: path.Join(file.Base, "netlify/functions"), Functions: map[string]map[string]any{}}
	if file.Directory != "" {
		out.Directory = path.Join(file.Base, strings.TrimPrefix(file.Directory, "/"))
	}
	for _, name := range []string{"send-mail", "send-report", "a-background", "job", "schedule"} {
		set := file.Settings(name)
		_, _, more := setting.Resolve(function.Function{Name: name}, set)
		problems = append(problems, more...)
		if len(set) > 0 {
			out.Functions[name] = map[string]any{}
		}
		for key, value := range set {
			out.Functions[name][key] = value.Data
		}
		if out.Functions[name]["memory"] == "2gb" {
			out.Functions[name]["memory"] = 2048.0 // Netlify converts it
		}
	}
	for _, p := range problems {
		if !p.Warning {
			return outcome{Error: p.Error()}
		}
	}
	return out
}

// TestAsNetlify reads the files that Netlify's own packages have read.
func TestAsNetlify(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "netlify", "netlify.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows map[string]map[string]outcome
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "netlify", "*.toml"))
	if err != nil || len(files) != len(rows) {
		t.Fatalf("%d files and %d rows (%v); record them anew", len(files), len(rows), err)
	}
	contexts := map[string][]string{"production": {"production", "main"}, "branch-deploy": {"branch-deploy", "feat/mail"}, "dev": {"dev", "main"}}
	for name := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", "netlify", name))
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, netlifytoml.Name), text, 0o644); err != nil {
				t.Fatal(err)
			}
			var differences []string
			for _, context := range slices.Sorted(maps.Keys(contexts)) {
				want := rows[name][context]
				got := outcomeOf(netlifytoml.Read(root, contexts[context]...))
				if got.Error != "" && want.Error != "" {
					continue // in words of our own
				}
				gotJSON, _ := json.Marshal(got)
				wantJSON, _ := json.Marshal(want)
				if string(gotJSON) != string(wantJSON) {
					differences = append(differences, context+"\n     got "+string(gotJSON)+"\n Netlify "+string(wantJSON))
				}
			}
			why, known := chosen[name]
			switch {
			case known && len(differences) == 0:
				t.Errorf("%s is read as Netlify reads it, so it is no chosen difference any more (%s)", name, why)
			case !known && len(differences) > 0:
				t.Errorf("%s is read differently\n%s", name, strings.Join(differences, "\n"))
			}
		})
	}
}
