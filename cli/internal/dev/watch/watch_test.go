package watch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/dev/watch"
)

// bundle is a watcher on a small site.
type bundle struct {
	root    string
	watcher *watch.Watcher
}

func setup(t *testing.T, inputs ...string) *bundle {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{root: root}
	for _, name := range []string{"netlify/functions/a.js", "netlify/functions/deep/helper.js", "netlify/functions/node_modules/x/index.js", "lib/used.js", "lib/other.js", "README.md"} {
		b.write(t, name, "1")
	}
	if b.watcher, err = watch.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.watcher.Close() })
	set := watch.Set{Root: root, Trees: []string{filepath.Join(root, "netlify", "functions")}}
	for _, input := range inputs {
		set.Inputs = append(set.Inputs, filepath.Join(root, input))
	}
	b.watcher.Watch(set)
	return b
}

func (b *bundle) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(b.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// next is the change that the watcher tells, or "" if it tells none for a while.
func (b *bundle) next(t *testing.T, wait time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	changed, err := b.watcher.Next(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next: %v", err)
	}
	return changed
}

const (
	soon  = 20 * time.Second       // a change is told long before
	still = 400 * time.Millisecond // several times the quiet after a change
)

func TestChangesThatCount(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *bundle){
		"netlify/functions/a.js":           func(t *testing.T, b *bundle) { b.write(t, "netlify/functions/a.js", "2") },
		"netlify/functions/new.ts":         func(t *testing.T, b *bundle) { b.write(t, "netlify/functions/new.ts", "2") },
		"netlify/functions/deep/helper.js": func(t *testing.T, b *bundle) { b.write(t, "netlify/functions/deep/helper.js", "2") },
		"lib/used.js":                      func(t *testing.T, b *bundle) { b.write(t, "lib/used.js", "2") },
		"netlify.toml":                     func(t *testing.T, b *bundle) { b.write(t, "netlify.toml", "2") },
		"package-lock.json":                func(t *testing.T, b *bundle) { b.write(t, "package-lock.json", "2") },
	}
	for want, change := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "lib/used.js")
			change(t, b)
			if got := b.next(t, soon); got != want {
				t.Errorf("Next = %q, want %q", got, want)
			}
		})
	}
}

func TestChangesThatDoNotCount(t *testing.T) {
	t.Parallel()
	b := setup(t, "lib/used.js")
	b.write(t, "README.md", "2")
	b.write(t, "lib/other.js", "2")
	b.write(t, "netlify/functions/.a.js.swp", "2")
	b.write(t, "netlify/functions/a.js~", "2")
	b.write(t, "netlify/functions/node_modules/x/index.js", "2")
	b.write(t, ".nightshift/redis/appendonly.aof", "2")
	if got := b.next(t, still); got != "" {
		t.Errorf("Next = %q, want no change", got)
	}
}

func TestStaticFilesCount(t *testing.T) {
	t.Parallel()
	b := setup(t, "lib/used.js")
	b.write(t, "public/sub/a.txt", "1")
	b.write(t, "public/.well-known/security.txt", "1")
	if got := b.next(t, still); got != "" { // the site is watched without them yet
		t.Fatalf("Next = %q, want no change", got)
	}
	b.watcher.Watch(watch.Set{Root: b.root, Trees: []string{filepath.Join(b.root, "netlify", "functions"), filepath.Join(b.root, "public")}})
	for _, name := range []string{"public/sub/a.txt", "public/new.html", "public/.well-known/security.txt", "netlify/functions/a.js"} {
		b.write(t, name, "2")
		if got := b.next(t, soon); got != name {
			t.Errorf("Next = %q, want %q", got, name)
		}
	}
	b.write(t, "public/sub/.a.txt.swp", "2")
	b.write(t, "README.md", "2")
	if got := b.next(t, still); got != "" {
		t.Errorf("Next = %q, want no change", got)
	}
}

func TestSavingByRenaming(t *testing.T) {
	t.Parallel()
	b := setup(t, "lib/used.js")
	for _, text := range []string{"2", "3"} { // the second one finds a file that was renamed into place
		b.write(t, "lib/.tmp", text)
		if err := os.Rename(filepath.Join(b.root, "lib", ".tmp"), filepath.Join(b.root, "lib", "used.js")); err != nil {
			t.Fatal(err)
		}
		if got := b.next(t, soon); got != "lib/used.js" {
			t.Errorf("Next = %q, want lib/used.js", got)
		}
	}
}

func TestManyChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		b.write(t, "netlify/functions/"+name+".js", "2")
	}
	if got := b.next(t, soon); got != "netlify/functions/a.js" {
		t.Errorf("Next = %q, want the first change", got)
	}
	if got := b.next(t, still); got != "" {
		t.Errorf("Next = %q, want nothing more", got)
	}
}

func TestDirectoryThatComesLater(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := watch.New()
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{root: root, watcher: watcher}
	t.Cleanup(func() { watcher.Close() })
	set := watch.Set{Root: root, Trees: []string{filepath.Join(root, "netlify", "functions")}}
	watcher.Watch(set)
	if err := os.Mkdir(filepath.Join(root, "netlify"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := b.next(t, soon); got != "netlify" {
		t.Fatalf("Next = %q, want netlify", got)
	}
	watcher.Watch(set)
	if err := os.Mkdir(filepath.Join(root, "netlify", "functions"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := b.next(t, soon); got != "netlify/functions" {
		t.Fatalf("Next = %q, want netlify/functions", got)
	}
	watcher.Watch(set)
	b.write(t, "netlify/functions/a.js", "1")
	if got := b.next(t, soon); got != "netlify/functions/a.js" {
		t.Errorf("Next = %q, want the new function", got)
	}
}
