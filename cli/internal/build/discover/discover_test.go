package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/discover"
	"github.com/nightshift/nightshift/shared/fault"
)

// touch makes files below a new directory: empty ones, or with "=ELF" behind
// the name, ones that start as a program does.
func touch(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		name, program := strings.CutSuffix(name, "=ELF")
		var data []byte
		if program {
			data = []byte("\x7fELF\x02\x01\x01")
		}
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files    []string
		want     []string // name=path
		problems []string
	}{
		"each extension": {
			files: []string{"a.js", "b.mjs", "c.cjs", "d.ts", "e.tsx", "f.mts", "g.cts", "h.zip"},
			want:  []string{"a=a.js", "b=b.mjs", "c=c.cjs", "d=d.ts", "e=e.tsx", "f=f.mts", "g=g.cts", "h=h.zip"},
		},
		"other files are no functions": {
			files: []string{"a.json", "b.jsx", "c.md", "d.d.ts", "README", ".hidden"},
		},
		"directory with its own name": {
			files: []string{"mail/mail.js", "mail/index.js"},
			want:  []string{"mail=mail/mail.js"},
		},
		"directory with index": {
			files: []string{"mail/index.mjs", "mail/lib.js"},
			want:  []string{"mail=mail/index.mjs"},
		},
		"directory entry order": {
			files: []string{"a/index.js", "a/a.ts", "b/index.ts", "b/b.mjs", "c/c.mts", "c/index.cjs"},
			want:  []string{"a=a/index.js", "b=b/index.ts", "c=c/index.cjs"},
		},
		"helpers in a directory": {
			files: []string{"lib/helper.js", "lib/deep/index.js", "_shared/db.ts", "a.js"},
			want:  []string{"a=a.js"},
		},
		"node_modules is passed over": {
			files: []string{"node_modules/index.js", "node_modules/x/index.js", "a.js"},
			want:  []string{"a=a.js"},
		},
		"directory beats file": {
			files:    []string{"same.js", "same/index.ts"},
			want:     []string{"same=same/index.ts"},
			problems: []string{"same.js: is left out, because same/index.ts has the same name and comes first"},
		},
		"extensions have an order": {
			files: []string{"x.ts", "x.mjs", "x.js"},
			want:  []string{"x=x.js"},
			problems: []string{
				"x.mjs: is left out, because x.js has the same name and comes first",
				"x.ts: is left out, because x.js has the same name and comes first",
			},
		},
		"case matters": {
			files: []string{"Mail.js", "mail.js"},
			want:  []string{"Mail=Mail.js", "mail=mail.js"},
		},
		"names": {
			files: []string{"ok_name-1.js", "a.test.js", "sp ace.js", "___netlify-entry-point.js"},
			want:  []string{"ok_name-1=ok_name-1.js"},
			problems: []string{
				"___netlify-entry-point.js: the name ___netlify-entry-point is reserved; it is left out",
				`a.test.js: "a.test" cannot be the name of a function, because it may have only letters, digits, hyphen and underscore (128 at most); it is left out. Rename the file, or move it out of this directory if it is not a function`,
				`sp ace.js: "sp ace" cannot be the name of a function, because it may have only letters, digits, hyphen and underscore (128 at most); it is left out. Rename the file, or move it out of this directory if it is not a function`,
			},
		},
		"other languages": {
			files: []string{"gofn/main.go", "own/own.go", "own/main.go", "golib/lib.go", "rusty/Cargo.toml", "rusty/src/main.rs"},
			want:  []string{"gofn=gofn/main.go", "own=own/own.go"},
			problems: []string{
				"rusty: Rust functions are not built here, so it is left out; build it yourself (cargo build --release --target x86_64-unknown-linux-musl, for example) and put the program into .",
			},
		},
		"programs, by their content": {
			files:    []string{"plain", "tool=ELF", "tool2.bin=ELF", "script.js=ELF", "pkg/tool3=ELF"},
			want:     []string{"script=script.js", "tool=tool", "tool2=tool2.bin"},
			problems: nil,
		},
		"JavaScript before Go before a program": {
			files: []string{"a.ts", "a/main.go", "a.bin=ELF", "b/index.mjs", "b/main.go", "c/main.go", "c.x=ELF"},
			want:  []string{"a=a.ts", "b=b/index.mjs", "c=c/main.go"},
			problems: []string{
				"a/main.go: is left out, because a.ts has the same name and comes first",
				"a.bin: is left out, because a.ts has the same name and comes first",
				"c.x: is left out, because c/main.go has the same name and comes first",
			},
		},
		"directory name with a dot": {
			files: []string{"a.b/index.js"},
			want:  []string{"a=a.b/index.js"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := touch(t, test.files...)
			candidates, problems, err := discover.Find(root, root)
			if err != nil {
				t.Fatalf("Find: %v", err)
			}
			var got, gotProblems []string
			for _, c := range candidates {
				rel, err := filepath.Rel(root, c.Path)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, c.Name+"="+filepath.ToSlash(rel))
			}
			for _, p := range problems {
				if !p.Warning {
					t.Errorf("problem %v is an error, want a warning", p)
				}
				gotProblems = append(gotProblems, p.Error())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Find = %q, want %q", got, test.want)
			}
			if !slices.Equal(gotProblems, test.problems) {
				t.Errorf("problems\n got %q\nwant %q", gotProblems, test.problems)
			}
		})
	}
}

func TestFindFollowsLinks(t *testing.T) {
	t.Parallel()
	root := touch(t, "lib/real.js", "functions/a.js")
	if err := os.Symlink("../lib/real.js", filepath.Join(root, "functions", "linked.js")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere.js", filepath.Join(root, "functions", "gone.js")); err != nil {
		t.Fatal(err)
	}
	candidates, problems, err := discover.Find(root, filepath.Join(root, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	if len(candidates) != 2 || candidates[1].Name != "linked" {
		t.Errorf("Find = %v, want a and linked", candidates)
	}
	if len(problems) != 1 || problems[0].Error() != "functions/gone.js: cannot be read and is left out: no such file or directory" {
		t.Errorf("problems = %v", problems)
	}
}

func TestFindWithoutDirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, _, err := discover.Find(root, filepath.Join(root, "netlify", "functions"))
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("Find of a missing directory: %v, want not found", err)
	}
}

func TestFindInSeveralDirectories(t *testing.T) {
	t.Parallel()
	root := touch(t, "internal/server.mjs", "internal/a.js", "internal/b/main.go", "v1/a.mjs", "v1/c.zip", "user/b.ts", "user/d.js")
	dir := func(name string) string { return filepath.Join(root, name) }
	candidates, problems, err := discover.Find(root, dir("internal"), dir("nowhere"), dir("v1"), dir("user"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range candidates {
		got = append(got, c.Name+" "+string(c.Kind)+" "+filepath.Base(c.Dir)+"/"+filepath.Base(c.Path))
	}
	want := []string{"a JavaScript v1/a.mjs", "b JavaScript user/b.ts", "c zip v1/c.zip", "d JavaScript user/d.js", "server JavaScript internal/server.mjs"}
	if !slices.Equal(got, want) {
		t.Errorf("Find = %q\nwant %q", got, want)
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Error())
	}
	wantTexts := []string{
		"internal/a.js: is left out, because v1/a.mjs has the same name, and its directory comes first",
		"internal/b/main.go: is left out, because user/b.ts has the same name, and its directory comes first",
	}
	if !slices.Equal(texts, wantTexts) {
		t.Errorf("problems = %q\nwant %q", texts, wantTexts)
	}
	if _, _, err := discover.Find(root, dir("internal"), dir("missing")); err != nil {
		t.Errorf("Find without the user's directory: %v, want that the internal one is enough", err)
	}
}
