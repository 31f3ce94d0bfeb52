package dev_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/dev"
)

// envFunction answers with variables by name.
const envFunction = `export default async (req) => Response.json(Object.fromEntries((await req.text()).split(',').map((name) => [name, process.env[name] ?? null])))`

// sees asks a function for variables until it has these, "-" meaning none.
func (w *world) sees(want map[string]string) {
	w.t.Helper()
	names := strings.Join(slices.Sorted(maps.Keys(want)), ",")
	var got map[string]*string
	w.eventually("functions see "+names+" as they should be", func() bool {
		status, _, body := w.call("POST", functions+"env", names)
		got = nil
		if status != 200 || json.Unmarshal([]byte(body), &got) != nil {
			return false
		}
		for name, value := range want {
			if got[name] == nil && value != "-" || got[name] != nil && *got[name] != value {
				return false
			}
		}
		return true
	})
}

func TestEnvironment(t *testing.T) {
	t.Setenv("NIGHTSHIFT_TEST_SHELL", "of the shell")
	w := start(t, map[string]string{
		"netlify.toml": "[build.environment]\nTOML = 'toml'\nALL = 'toml'\n[context.dev.environment]\nDEV = 'dev'\n[context.production.environment]\nDEV = 'production'\n" +
			"[dev]\ncommand = \"echo command sees $ALL; exec sleep 1000\"\n",
		".env":                      "ALL=env\nENV=env\nDEVELOPMENT=env\nLOCAL=env\nPASSWORD='pa$$w0rd$1'\nNIGHTSHIFT_TEST_SHELL=of the file\nSITE_ID=forged\nno assignment\n",
		".env.development":          "ALL=development\nDEVELOPMENT=development\nLOCAL=development\n",
		".env.local":                "ALL=local\nLOCAL=local\n",
		".env.development.local":    "ALL=\"two\\nlines\"\n",
		".env.production":           "ALL=production\nPRODUCTION=x\n",
		"netlify/functions/env.mjs": envFunction,
	}, nil)
	w.sees(map[string]string{
		"TOML": "toml", "DEV": "dev", "ENV": "env", "DEVELOPMENT": "development", "LOCAL": "local", "ALL": "two\nlines",
		"PASSWORD": "pa$$w0rd$1", "NIGHTSHIFT_TEST_SHELL": "of the shell", "SITE_ID": "default", "CONTEXT": "dev", "PRODUCTION": "-", "NIGHTSHIFT_SECRET_KEY": "-",
	})
	for _, want := range []string{
		"warning SITE_ID is read-only: every deploy gets it from Nightshift",
		"warning .env: line 8 is neither NAME=value nor a comment",
		"build.environment is for nightshift dev only",
		"[command] command sees two",
		"variables  8, from netlify.toml, .env, .env.development, .env.local, .env.development.local",
	} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("not printed: %q", want)
		}
	}
	if n := strings.Count(w.out.String(), "SITE_ID is read-only"); n != 1 {
		t.Errorf("the warning was printed %d times, want once", n)
	}

	// Changes are deployed, as those of functions are.
	write(t, w.root, ".env.development.local", "ALL=again")
	w.sees(map[string]string{"ALL": "again"})
	if err := os.Remove(filepath.Join(w.root, ".env.development.local")); err != nil {
		t.Fatal(err)
	}
	w.sees(map[string]string{"ALL": "local"})
	write(t, w.root, "netlify.toml", "[build.environment]\nTOML = 'another'\n")
	w.sees(map[string]string{"TOML": "another", "DEV": "-"})
	w.eventually("the change is told", func() bool {
		return strings.Contains(w.out.String(), "after a change of .env.development.local: environment of all functions (")
	})

	// The key is the owner's, and no value is in a file that dev wrote.
	data := filepath.Join(w.root, ".nightshift")
	if info, err := os.Stat(filepath.Join(data, "secret.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want 0600", info.Mode(), err)
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.out.String(), "pa$$w0rd") {
		t.Error("a value was printed")
	}
	err := filepath.WalkDir(data, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(content), "pa$$w0rd") {
			t.Errorf("%s has a value in it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The key stays, so that variables that were set on dev's control plane stay readable.
func TestTheKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	files := map[string]string{".env": "A=1", "netlify/functions/env.mjs": envFunction}
	var keys []string
	for range 2 {
		w := start(t, files, func(c *dev.Config) { c.DataDir = data })
		w.sees(map[string]string{"A": "1"})
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(data, "secret.key"))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(key))
	}
	if keys[0] != keys[1] {
		t.Error("the second start made another key")
	}
}
