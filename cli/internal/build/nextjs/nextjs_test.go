package nextjs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build/nextjs"
)

// The real Next runs in test/nextjs; this one does what a test needs.

// fake is a site with a package next whose build runs a script. It finds DIST,
// the folder to write to, and manifest(name, value).
func fake(t *testing.T, build string) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("the tests of nextjs need node on the PATH")
	}
	next := "node_modules/next/"
	return write(t, t.TempDir(), map[string]string{
		"package.json":                                         `{"dependencies":{"next":"15"}}`,
		"pages/api/job.js":                                     "export const config = { type: 'experimental-background' }\nexport default () => {}\n",
		"pages/api/[id].js":                                    "export default () => {}\n",
		"data.txt":                                             "data",
		next + "package.json":                                  `{"name":"next","version":"15.5.0"}`,
		next + "dist/server/config.js":                         "exports.default = async () => ({ distDir: 'out', pageExtensions: ['js'], basePath: '/base' })",
		next + "dist/shared/lib/constants.js":                  "exports.PHASE_PRODUCTION_BUILD = 'x'",
		next + "dist/build/templates/app-route.js":             "handler: function",
		next + "dist/compiled/@vercel/nft.js":                  "exports.nodeFileTrace = async (files) => ({ fileList: new Set(files.map((f) => f.slice(1))) })",
		next + "dist/server/api-utils/node/api-resolver.js":    "// resolver",
		next + "dist/shared/lib/router/utils/route-regex.js":   "",
		next + "dist/shared/lib/router/utils/route-matcher.js": "",
		"node_modules/@next/env/package.json":                  `{"main":"index.js"}`,
		"node_modules/@next/env/index.js":                      "// env",
		next + "dist/bin/next": `
			const fs = require('fs'), path = require('path')
			const manifest = (name, value) => {
				fs.mkdirSync(path.dirname('out/' + name), { recursive: true })
				fs.writeFileSync('out/' + name, typeof value === 'string' ? value : JSON.stringify(value))
			}
			` + build,
	})
}

func write(t *testing.T, root string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// good is a build that succeeds, and counts itself.
const good = `
	fs.appendFileSync('out.log', 'built\n')
	manifest('BUILD_ID', 'id')
	manifest('server/pages-manifest.json', { '/api/job': 'pages/api/job.js', '/api/[id]': 'pages/api/[id].js' })
	manifest('routes-manifest.json', { dynamicRoutes: [{ page: '/api/[id]' }] })
	manifest('prerender-manifest.json', { preview: { previewModeId: 'p' } })
	for (const name of ['job', '[id]']) {
		manifest('server/pages/api/' + name + '.js', 'compiled')
		manifest('server/pages/api/' + name + '.js.nft.json', { files: ['../../../../data.txt', '../../../../gone.txt'] })
	}`

func options(root string) nextjs.Options {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		panic(err)
	}
	return nextjs.Options{Root: root, Functions: filepath.Join(root, "netlify/functions")}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	root := fake(t, good)
	opts := options(root)
	first, err := nextjs.Build(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range first.Functions {
		got = append(got, fmt.Sprintf("%s %s %v %s", f.Name, f.Kind, f.Paths, f.Source))
	}
	want := []string{"_api_job-background background [/base/api/job] pages/api/job.js", "_api_id-PARAM-handler sync [/base/api/:p0] pages/api/[id].js"}
	if !slices.Equal(got, want) || len(first.Problems) > 0 {
		t.Fatalf("Build = %q with %v, want %q", got, first.Problems, want)
	}
	for _, input := range []string{"pages/api/job.js", "package.json", "data.txt"} {
		if !slices.Contains(first.Inputs, filepath.Join(opts.Root, input)) {
			t.Errorf("%s is no input of the build: %q", input, first.Inputs)
		}
	}

	opts.Last = first
	second, err := nextjs.Build(t.Context(), opts)
	if err != nil || second != first {
		t.Errorf("Build of an unchanged site = %p, %v; want the result before, %p", second, err, first)
	}
	write(t, root, map[string]string{"netlify/functions/other.mjs": "", "out/server/x.js": "", "node_modules/x.js": ""})
	if third, err := nextjs.Build(t.Context(), opts); err != nil || third != first {
		t.Errorf("a change of what is no source builds again: %v", err)
	}
	write(t, root, map[string]string{"lib/new.js": ""})
	if fourth, err := nextjs.Build(t.Context(), opts); err != nil || fourth == first || len(fourth.Functions) != 2 {
		t.Errorf("a new file does not build again: %v", err)
	}
}

func TestPagesWithOneName(t *testing.T) {
	t.Parallel()
	root := fake(t, `
	manifest('BUILD_ID', 'id')
	manifest('server/pages-manifest.json', { '/api/a.b': 'pages/api/a.b.js', '/api/a_b': 'pages/api/a_b.js' })
	for (const name of ['a.b', 'a_b']) {
		manifest('server/pages/api/' + name + '.js', 'compiled')
		manifest('server/pages/api/' + name + '.js.nft.json', { files: [] })
	}`)
	write(t, root, map[string]string{"pages/api/a.b.js": "", "pages/api/a_b.js": ""})
	got, err := nextjs.Build(t.Context(), options(root))
	if err != nil || len(got.Functions) != 2 || got.Functions[0].Name == got.Functions[1].Name {
		t.Errorf("Build = %+v, %v; want two functions", got, err)
	}
}

func TestNoRoutes(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"empty":           {},
		"another package": {"package.json": `{"dependencies":{"nextra":"1"}}`, "pages/api/a.js": ""},
		"pages only":      {"package.json": `{"dependencies":{"next":"1"}}`, "pages/apix.js": "", "app/page.js": ""},
		"no JSON":         {"package.json": "{", "pages/api/a.js": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := nextjs.Build(t.Context(), options(write(t, t.TempDir(), files)))
			if got != nil || err != nil {
				t.Errorf("Build = %+v, %v; want nothing", got, err)
			}
		})
	}
}

func TestBuildFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		build  string
		change map[string]string
		want   []string
	}{
		"next build": {"console.error('\\x1b[31mFailed to compile.\\x1b[0m'); process.exit(1)", nil, []string{"next build failed:", "\nFailed to compile."}},
		"the type of config": {"console.error(\"does not satisfy the constraint 'ApiRouteConfig'\"); process.exit(1)", nil,
			[]string{"next build failed:", "add maxDuration"}},
		"configuration": {good, map[string]string{"node_modules/next/dist/server/config.js": "throw new Error('bad config')"}, []string{"the configuration of Next.js cannot be read", "bad config"}},
		"old":           {good, map[string]string{"node_modules/next/package.json": `{"version":"13.4.19"}`}, []string{"Next.js 13.4.19; API routes run from 13.5 on"}},
		"no manifest":   {"process.exit(0)", nil, []string{"what next build wrote is not what Next.js"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(write(t, fake(t, test.build), test.change))
			got, err := nextjs.Build(t.Context(), opts)
			if err != nil || len(got.Problems) != 1 || len(got.Functions) > 0 {
				t.Fatalf("Build = %+v, %v; want one problem", got, err)
			}
			for _, part := range test.want {
				if !strings.Contains(got.Problems[0].Message, part) {
					t.Errorf("the problem is %q, want %q in it", got.Problems[0].Message, part)
				}
			}
			if len(got.Inputs) == 0 {
				t.Error("a failed build has no inputs, so its repair would not be noticed")
			}
		})
	}
	t.Run("not installed", func(t *testing.T) {
		t.Parallel()
		root := fake(t, good)
		if err := os.RemoveAll(filepath.Join(root, "node_modules")); err != nil {
			t.Fatal(err)
		}
		got, err := nextjs.Build(t.Context(), options(root))
		if err != nil || len(got.Problems) != 1 || !strings.Contains(got.Problems[0].Message, "npm install") {
			t.Errorf("Build = %+v, %v; want one problem that says npm install", got, err)
		}
	})
}

func TestAFailureBreaksWhatThereWas(t *testing.T) {
	t.Parallel()
	root := fake(t, good)
	opts := options(root)
	first, err := nextjs.Build(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, map[string]string{"node_modules/next/dist/bin/next": "process.exit(1)", "lib/new.js": ""})
	opts.Last = first
	broken, err := nextjs.Build(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, b := range broken.Broken {
		names[b.Name] = len(b.Problems) == 1
	}
	if want := map[string]bool{"_api_job-background": true, "_api_id-PARAM-handler": true}; !maps.Equal(names, want) {
		t.Errorf("broken are %v, want %v", names, want)
	}
	opts.Last = broken
	if again, err := nextjs.Build(t.Context(), opts); err != nil || again != broken {
		t.Errorf("the same mistake is built again: %v", err)
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	root := fake(t, `
		const child = require('child_process').spawn('sleep', ['1000'])
		fs.writeFileSync('pids', process.pid + ' ' + child.pid)
		setInterval(() => {}, 1000)`)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	done := make(chan error, 1)
	go func() {
		_, err := nextjs.Build(ctx, options(root))
		done <- err
	}()
	var parent, child int
	eventually(t, "the build starts", func() bool {
		data, err := os.ReadFile(filepath.Join(root, "pids"))
		n, _ := fmt.Sscan(string(data), &parent, &child)
		return err == nil && n == 2
	})
	cancel(stopped)
	if err := <-done; !errors.Is(err, stopped) {
		t.Errorf("Build = %v, want %v", err, stopped)
	}
	for _, pid := range []int{parent, child} {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
		})
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		case <-tick.C:
		}
	}
}
