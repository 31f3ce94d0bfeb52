package static_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/shared/deploy"
)

// site writes files into a new directory. A content that begins with "->" makes a link.
func site(t *testing.T, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func collect(root, dir string) (paths, problems []string, files []static.File) {
	files, found := static.Collect(static.Input{
		Root: root, Directory: filepath.Join(root, dir), Functions: filepath.Join(root, "netlify", "functions"),
		At: problem.Position{File: "netlify.toml", Line: 2},
	})
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	for _, p := range found {
		kind := "error "
		if p.Warning {
			kind = "warning "
		}
		problems = append(problems, kind+strings.ReplaceAll(p.Error(), root, "ROOT"))
	}
	return paths, problems, files
}

func TestCollect(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		"netlify.toml": "", "package.json": "{}", ".env": "SECRET=1", "index.html": "root", "netlify/functions/f.mjs": "code",
		"node_modules/x/index.js": "x", "public/index.html": "home", "public/sub/a b.txt": "text", "public/.env": "SECRET=2",
		"public/.well-known/security.txt": "contact", "public/.git/HEAD": "x", "public/node_modules/x.js": "x",
		"public/netlify.toml": "", "public/sub/netlify.toml": "deep", "public/empty": "",
	}
	tests := map[string]struct {
		dir  string
		want []string
	}{
		"directory": {"public", []string{".well-known/security.txt", "empty", "index.html", "sub/a b.txt", "sub/netlify.toml"}},
		"whole site": {".", []string{"index.html", "package.json", "public/.well-known/security.txt", "public/empty", "public/index.html",
			"public/netlify.toml", "public/sub/a b.txt", "public/sub/netlify.toml"}},
	}
	root := site(t, all)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			paths, problems, files := collect(root, tt.dir)
			if !slices.Equal(paths, tt.want) || len(problems) > 0 {
				t.Errorf("Collect(%s) = %q, problems %q; want %q", tt.dir, paths, problems, tt.want)
			}
			for _, f := range files {
				data, err := os.ReadFile(f.Source)
				sum := sha256.Sum256(data)
				if err != nil || f.Digest != hex.EncodeToString(sum[:]) || f.Size != int64(len(data)) {
					t.Errorf("%s = %+v, want the digest and the size of its content (%v)", f.Path, f, err)
				}
			}
		})
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	outside := site(t, map[string]string{"secret": "secret"})
	root := site(t, map[string]string{
		"assets/logo.svg": "logo", ".env": "SECRET=1", "netlify/functions/f.mjs": "code", "public/index.html": "home",
		"public/logo.svg": "->../assets/logo.svg", "public/away": "->" + outside + "/secret", "public/env": "->../.env",
		"public/dir": "->../assets", "public/lost": "->nowhere", "public/code": "->../netlify/functions/f.mjs", "public/loop": "->loop",
	})
	paths, problems, _ := collect(root, "public")
	if want := []string{"index.html", "logo.svg"}; !slices.Equal(paths, want) {
		t.Errorf("Collect = %q, want %q", paths, want)
	}
	const out = "is a link out of what may be published; it is left out. Copy the file instead"
	want := []string{
		"warning public/away: " + out, "warning public/code: " + out,
		"warning public/dir: is a link to a directory; it is left out. Copy the directory instead",
		"warning public/env: " + out, "warning public/loop: is a link that leads nowhere; it is left out",
		"warning public/lost: is a link that leads nowhere; it is left out",
	}
	if !slices.Equal(problems, want) {
		t.Errorf("problems\n got %q\nwant %q", problems, want)
	}
}

func TestDirectoriesThatAreNotPublished(t *testing.T) {
	t.Parallel()
	outside := site(t, map[string]string{"secret": "secret"})
	root := site(t, map[string]string{
		".next/BUILD_ID": "x", "netlify/functions/f.js": "code", "build/BUILD_ID": "x", "build/server/app.js": "x", "file": "x", "away": "->" + outside, "_redirects/x": "a",
		"export/BUILD_ID": "an export has no server", "rules/_redirects": "/a /b", "rules/_headers": "x", "rules/sub/_headers": "served",
	})
	tests := map[string]struct {
		dir      string
		paths    []string
		problems []string
	}{
		"missing":           {"dist", nil, []string{"warning netlify.toml:2: there is no directory dist, so no static files are served; run what builds the site first"}},
		"next":              {".next", nil, []string{"warning netlify.toml:2: .next is what next build makes for its own server, and no static files: it is not published"}},
		"next by its build": {"build", nil, []string{"warning netlify.toml:2: build is what next build makes for its own server, and no static files: it is not published"}},
		"no server":         {"export", []string{"BUILD_ID"}, nil},
		"functions":         {"netlify/functions", nil, []string{"error netlify.toml:2: the directory netlify/functions holds the source of the functions, which is not for the public; publish another one"}},
		"file":              {"file", nil, []string{"error netlify.toml:2: file is not a directory"}},
		"link out":          {"away", nil, []string{"error netlify.toml:2: the directory away is outside of the site; publish one inside of ROOT"}},
		"above":             {"../" + filepath.Base(outside), nil, []string{"error netlify.toml:2: the directory " + outside + " is outside of the site; publish one inside of ROOT"}},
		"rules":             {"rules", []string{"sub/_headers"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "above" { // the two need not be neighbours
				tt.dir, _ = filepath.Rel(root, outside)
			}
			paths, problems, _ := collect(root, tt.dir)
			if !slices.Equal(paths, tt.paths) || !slices.Equal(problems, tt.problems) {
				t.Errorf("Collect(%s) = %q\n got %q\nwant %q, %q", tt.dir, paths, problems, tt.paths, tt.problems)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{"public/small": "x", "together/x": "x"})
	large := func(name string, size int64) { // with a hole: it takes no room on the disk
		file, err := os.Create(filepath.Join(root, name))
		if err == nil {
			err = file.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	large("public/large", deploy.MaxFileSize+1<<20)
	_, problems, files := collect(root, "public")
	if want := []string{"error public/large: has 251 MiB; 250 MiB are allowed for a static file"}; !slices.Equal(problems, want) || len(files) > 0 {
		t.Errorf("a large file: %q and %d files, want %q", problems, len(files), want)
	}

	// Nine at the limit of one are over the limit of all, which the sizes tell.
	for _, name := range strings.Split("abcdefghi", "") {
		large("together/"+name, deploy.MaxFileSize)
	}
	_, problems, _ = collect(root, "together")
	if want := []string{"error together: its files are more than 2048 MiB together; publish less, or serve large files from elsewhere"}; !slices.Equal(problems, want) {
		t.Errorf("large files: %q, want %q", problems, want)
	}
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	root := site(t, map[string]string{"public/a": "a", "public/b/c": "c", "public/d": "d"})
	for most, want := range map[int]string{3: "", 2: "public: there are more than 2 files in it; publish less"} {
		files, problems := static.Collect(static.Input{Root: root, Directory: filepath.Join(root, "public"), MaxFiles: most})
		got := ""
		for _, p := range problems {
			got += p.Error()
		}
		if got != want || (len(files) == 3) != (want == "") {
			t.Errorf("with %d allowed: %q and %d files, want %q", most, got, len(files), want)
		}
	}
}
