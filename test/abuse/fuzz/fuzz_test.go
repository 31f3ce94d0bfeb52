package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module is a repository with one target of each kind.
var module = map[string]string{
	"go.mod": "module example.com/m\n\ngo 1.26\n",
	"a/a_test.go": `package a

import (
	"os"
	"testing"
)

func FuzzGood(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {})
}

func FuzzCrashes(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if string(b) != "a" {
			panic("on all but the seed")
		}
	})
}

func FuzzHangs(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if string(b) != "a" {
			select {}
		}
	})
}

func FuzzLitters(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := os.CreateTemp("", "litter"); err != nil {
			t.Fatal(err)
		}
	})
}

var kept []byte

func FuzzKeeps(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		more := make([]byte, 1<<20)
		for i := range more {
			more[i] = 1
		}
		kept = append(kept, more...)
	})
}
`,
	"a/node_modules/b_test.go": "package b\n\nfunc FuzzForeign() {}\n",
}

// repository writes the module.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range module {
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

// A run that finds nothing is worth what it would have found.
func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	root := repository(t)
	targets, err := find(root, regexp.MustCompile(""))
	if err != nil || len(targets) != 5 {
		t.Fatalf("find = %v, %v; want 5 targets", targets, err)
	}
	says := map[string]string{
		"FuzzGood": "", "FuzzCrashes": "on all but the seed", "FuzzHangs": "it hangs",
		"FuzzLitters": "files behind", "FuzzKeeps": "came to hold",
	}
	for name, want := range says {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := settings{inputs: 100, hang: 5 * time.Second, memory: 64, workers: 1, out: &out, root: root, dir: t.TempDir()}
			err := s.runAll(t.Context(), []target{{"a", name}})
			switch {
			case want == "" && err != nil:
				t.Errorf("%v\n%s", err, &out)
			case want == "" && !regexp.MustCompile(`(?m)^a +`+name+` +1\d\d `).MatchString(out.String()):
				t.Errorf("the table has no row with its inputs:\n%s", &out)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("err = %v, want one that says %q", err, want)
			}
		})
	}
}

// A target whose time is over has not failed.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	root := repository(t)
	var out strings.Builder
	s := settings{inputs: 1e9, most: 3 * time.Second, hang: time.Minute, memory: 512, workers: 1, out: &out, root: root, dir: t.TempDir()}
	if err := s.runAll(t.Context(), []target{{"a", "FuzzGood"}}); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
