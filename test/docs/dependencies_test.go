package docs

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
	"golang.org/x/mod/modfile" // the go command's own reader of go.mod and go.work
)

// dependencies.md names all that is used and nothing that is not, with a reason each.
func TestDependencies(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/dependencies.md")
	for title, used := range map[string]map[string]bool{
		"Go modules": modules(t), "npm packages": packages(t), "Images": images(t), "Tools": tools(t),
	} {
		listed := rows(t, page, title)
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if !listed[name] {
				t.Errorf("docs/dependencies.md, %s: %s is used and not listed; add it with the one reason why it is here", title, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(listed)) {
			if !used[name] {
				t.Errorf("docs/dependencies.md, %s: %s is listed and not used any more", title, name)
			}
		}
		if len(used) == 0 {
			t.Errorf("%s: none found; the test looks in the wrong place", title)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(harness.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rows are the names in the first column of the tables below a heading. Each row
// has a reason.
func rows(t *testing.T, page, title string) map[string]bool {
	t.Helper()
	_, below, ok := strings.Cut(page, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("docs/dependencies.md has no heading %q", title)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	names := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|$").FindAllStringSubmatch(below, -1) {
		if names[m[1]] {
			t.Errorf("%s is listed twice", m[1])
		}
		names[m[1]] = true
		for cell := range strings.SplitSeq(m[2], "|") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%s has an empty column; say why it is used", m[1])
			}
		}
	}
	return names
}

// modules are the direct dependencies of all modules of the workspace.
func modules(t *testing.T) map[string]bool {
	t.Helper()
	work, err := modfile.ParseWork("go.work", []byte(read(t, "go.work")), nil)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, use := range work.Use {
		mod, err := modfile.Parse("go.mod", []byte(read(t, use.Path+"/go.mod")), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, require := range mod.Require {
			if !require.Indirect && !strings.HasPrefix(require.Mod.Path, "github.com/nightshift/nightshift/") {
				used[require.Mod.Path] = true
			}
		}
	}
	return used
}

// packages are the direct dependencies of all package.json files, but for those
// of made-up sites in testdata, which nobody installs.
func packages(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, pattern := range []string{"examples/*", "cli/types", "test/contract/testdata/site", "test/e2e/*", "test/load/peers/*", "test/nextjs/versions/*", "cli/internal/dev/testdata/helpers"} {
		files, err := filepath.Glob(filepath.Join(harness.Root(), pattern, "package.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no package.json in %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var manifest struct{ Dependencies, DevDependencies map[string]string }
			if err := json.Unmarshal(data, &manifest); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, list := range []map[string]string{manifest.Dependencies, manifest.DevDependencies} {
				for name := range list {
					used[name] = true
				}
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "package-lock.json")); err != nil && len(manifest.Dependencies)+len(manifest.DevDependencies) > 0 {
				t.Errorf("%s has dependencies and no lock file beside it", file)
			}
		}
	}
	return used
}

// images are those that are not ours.
func images(t *testing.T) map[string]bool {
	t.Helper()
	texts := read(t, "deploy/Dockerfile") + read(t, "docker-compose.yml") + read(t, "deploy/k8s/overlays/local/redis.yaml")
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:FROM| *(?:- )?image:) +([^\s$]+)`).FindAllStringSubmatch(texts, -1) {
		image, tag, _ := strings.Cut(m[1], ":")
		if strings.HasPrefix(image, "nightshift") {
			continue
		}
		used[m[1]] = true
		if !regexp.MustCompile(`[0-9]|nonroot`).MatchString(tag) {
			t.Errorf("%s has no tag that says which version", m[1])
		}
	}
	return used
}

// tools are programs that the Go command fetches.
func tools(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`go (?:run|install) (?:-\S+ |-ldflags="[^"]*" )*([a-z0-9.-]+\.[a-z]+/[^\s@]+)(@\S+)?`).FindAllStringSubmatch(read(t, "Makefile")+read(t, "deploy/Dockerfile"), -1) {
		used[m[1]] = true
		if !regexp.MustCompile(`^@v[0-9]+\.[0-9]+\.[0-9]+$`).MatchString(m[2]) {
			t.Errorf("%s is fetched as %q; pin a version", m[1], m[2])
		}
	}
	return used
}
