// Package supply tests what looks after the things that others make and we ship:
// the search for known vulnerabilities, which must find one that is there, and
// must never say that it has looked where it has not.
package supply

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// database makes a database of Go vulnerabilities, of the form that
// vuln.go.dev has, with one entry about a function, or empty.
func database(t *testing.T, module, pkg, symbol string) string {
	t.Helper()
	const at = "2026-01-02T03:04:05Z"
	dir := t.TempDir()
	write := func(name string, value any) {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	type object = map[string]any
	modules, vulns := []object{}, []object{}
	if module != "" {
		modules = append(modules, object{"path": module, "vulns": []object{{"id": "GO-2026-0001", "modified": at}}})
		vulns = append(vulns, object{"id": "GO-2026-0001", "modified": at})
		write("ID/GO-2026-0001.json", object{
			"schema_version": "1.3.1", "id": "GO-2026-0001", "modified": at, "published": at, "summary": "Made up for a test",
			"affected": []object{{
				"package": object{"name": module, "ecosystem": "Go"}, "ranges": []object{{"type": "SEMVER", "events": []object{{"introduced": "0"}}}},
				"ecosystem_specific": object{"imports": []object{{"path": pkg, "symbols": []string{symbol}}}},
			}},
			"database_specific": object{"url": "https://pkg.go.dev/vuln/GO-2026-0001"},
		})
	}
	write("index/db.json", object{"modified": at})
	write("index/modules.json", modules)
	write("index/vulns.json", vulns)
	return "file://" + dir
}

// registry answers what npm asks about advisories: that a package has one.
func registry(t *testing.T, name, severity string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/npm/v1/security/advisories/bulk" {
			http.NotFound(w, r)
			return
		}
		advisories := map[string]any{}
		if name != "" {
			advisories[name] = []map[string]any{{
				"id": 1, "url": "https://example.com/1", "title": "Made up for a test", "severity": severity, "vulnerable_versions": "<999",
				"cwe": []string{}, "cvss": map[string]any{"score": 0, "vectorString": nil},
			}}
		}
		_ = json.NewEncoder(w).Encode(advisories) // npm may have hung up
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// govulncheck is the command that the Makefile pins.
func govulncheck(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(harness.Root(), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^GOVULNCHECK +:= (go run \S+@v\S+)$`).FindSubmatch(makefile)
	if m == nil {
		t.Fatal("the Makefile does not say which govulncheck")
	}
	return string(m[1])
}

func TestVuln(t *testing.T) {
	t.Parallel()
	const called = "filippo.io/age" // package secret calls Decrypt
	silent := "http://127.0.0.1:1"  // where nobody answers
	empty, nobodyKnows := database(t, "", "", ""), registry(t, "", "")
	for name, tt := range map[string]struct {
		db, registry, lock string
		required           bool
		fails              bool
		says               []string
	}{
		"nothing is known":        {db: empty, registry: nobodyKnows, required: true, says: []string{"No vulnerabilities found", "0 known, 0 of them"}},
		"a function that we call": {db: database(t, called, called, "Decrypt"), registry: nobodyKnows, fails: true, says: []string{"GO-2026-0001", "age.Decrypt", "known vulnerabilities"}},
		"one that nobody calls":   {db: database(t, called, called+"/plugin", "NewIdentity"), registry: nobodyKnows, says: []string{"affected by 0 vulnerabilities"}},
		"a package of an example": {db: silent, registry: registry(t, "nodemailer", "high"), fails: true, says: []string{"of them high or critical nodemailer", "known vulnerabilities"}},
		"a small matter":          {db: silent, registry: registry(t, "nodemailer", "low"), says: []string{" known, 0 of them high"}},
		"a package of a test":     {db: silent, registry: registry(t, "netlify-cli", "high"), lock: "test/e2e/netlify/package-lock.json", says: []string{"of them high or critical netlify-cli"}},
		"no database":             {db: silent, registry: nobodyKnows, says: []string{"NOT CHECKED: Go code", silent, "0 known"}},
		"no folder":               {db: "file:///nowhere", registry: nobodyKnows, says: []string{"NOT CHECKED: Go code"}},
		"no registry":             {db: silent, registry: silent, says: []string{"NOT CHECKED: npm packages of examples/quickstart/package-lock.json"}},
		"nobody, for a release":   {db: silent, registry: silent, required: true, fails: true, says: []string{"NOT CHECKED: Go code", "NOT CHECKED: npm packages", "not all was checked"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.lock == "" {
				tt.lock = "examples/quickstart/package-lock.json"
			}
			cmd := exec.CommandContext(t.Context(), "test/supply/vuln", "github.com/nightshift/nightshift/shared/secret")
			cmd.Dir = harness.Root()
			cmd.Env = append(os.Environ(), "GOVULNCHECK="+govulncheck(t), "GOVULNDB="+tt.db, "NIGHTSHIFT_VULN=", "NIGHTSHIFT_VULN_LOCKS="+tt.lock,
				"npm_config_registry="+tt.registry, "npm_config_fetch_retries=0", "npm_config_cache="+t.TempDir())
			if tt.required {
				cmd.Env = append(cmd.Env, "NIGHTSHIFT_VULN=required")
			}
			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails {
				t.Errorf("it ends with %v, want a failure: %v", err, tt.fails)
			}
			for _, text := range tt.says {
				if !strings.Contains(string(out), text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if t.Failed() {
				t.Logf("it says:\n%s", out)
			}
		})
	}
}
