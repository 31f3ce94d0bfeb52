package nextjs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/manual/page"
)

// The part of docs/migrating.md that needs Next.js, in a project that has it
// installed: its files are written and its commands are run.
func TestMigrating(t *testing.T) {
	bin := programs(t)
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "migrating.md"))
	check(t, err)
	var p *page.Page
	for _, section := range page.Sections(string(text)) {
		if section.Title == "From Next.js on Netlify" {
			p, err = page.Parse(section.Text)
			check(t, err)
		}
	}
	if p == nil {
		t.Fatal("docs/migrating.md has no section about Next.js")
	}
	packages := install(t, version{name: "14", linked: true}) // as TestVersions has it, so that it is installed once
	dir, err := os.MkdirTemp(filepath.Dir(packages), "migrating-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, linkTree(packages, dir))
	check(t, os.MkdirAll(filepath.Join(dir, "app"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "app", "layout.js"), []byte("export default function Layout({ children }) {\n  return <html><body>{children}</body></html>;\n}\n"), 0o644))

	var fleet harness.Fleet
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range fleet.All() {
				t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(40))
			}
		}
		check(t, fleet.Close())
	})
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	check(t, err)
	t.Cleanup(func() { check(t, redis.Remove()) })
	services, err := fleet.StartServices(t.Context(), harness.Setup{
		Bin: bin, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: []string{"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(t.TempDir(), "blobs"), "NIGHTSHIFT_TOKEN=" + token},
	})
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	data := strings.Replace(services.Data[0], "http://127.0.0.1", "localhost", 1)
	check(t, p.Run(ctx, page.World{
		Dir: dir,
		Env: harness.Environ("PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "NO_COLOR=1", "NEXT_TELEMETRY_DISABLED=1",
			"NIGHTSHIFT_API_URL="+services.Admin[0]+"/api/v1", "NIGHTSHIFT_TOKEN="+token),
		Replace: strings.NewReplacer("localhost:8888", data),
	}))
}
