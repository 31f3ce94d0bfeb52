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
	API           int      `json:"api"`
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
	return fmt.Sprintf("v%d %s", r.API, strings.Replace(string(text), fmt.Sprintf(`"api":%d`, r.API), "", 1))
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

func TestDump(t *testing.T) {
	rows := recorded(t)
	for _, file := range slices.Sorted(maps.Keys(rows)) {
		ours, said := read(t, file)
		theirs := rows[file]
		mark := "=="
		if ours.String() != theirs.String() {
			mark = "!="
		}
		fmt.Printf("%s %-38s %s || %s\n", mark, file, theirs, ours)
		for _, s := range said {
			fmt.Println("       ", s)
		}
		if theirs.Error != "" {
			fmt.Println("   N:  ", theirs.Error)
		}
	}
}
