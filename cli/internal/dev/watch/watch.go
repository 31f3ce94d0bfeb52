// Package watch tells when the source of a site changed.
//
// It watches folders, not files, because editors save by renaming a new file
// over the old one. What counts is decided per event: anything below the
// functions' directory, that of the static files and those of routes, the files that bundles were made of, netlify.toml, and
// the lock files that an install of packages writes last.
package watch

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify" // the one portable layer over inotify and kqueue
	"github.com/nightshift/nightshift/shared/fault"
)

// quiet is how long it must be quiet before a change is told: an editor writes
// several files, and a checkout many.
const quiet = 80 * time.Millisecond

// manifests are files of the root that change what a build gives.
var manifests = []string{"netlify.toml", "package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "tsconfig.json"}

// Set is what is watched.
type Set struct {
	Root string // of the site, absolute
	// Trees are the directories of which everything below is watched: those of
	// functions, of static files and of routes; absolute. They need not exist.
	Trees  []string
	Inputs []string // files that bundles were made of, absolute
}

// Watcher watches one set at a time. It is used by one goroutine.
type Watcher struct {
	notify  *fsnotify.Watcher
	set     Set
	inputs  map[string]bool
	watched map[string]bool
}

// New makes a watcher that watches nothing yet.
func New() (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "cannot watch files; too many programs may be watching (on Linux: fs.inotify.max_user_instances)")
	}
	return &Watcher{notify: notify, watched: map[string]bool{}}, nil
}

// Close ends watching.
func (w *Watcher) Close() error { return w.notify.Close() }

// Watch changes the set. What cannot be watched is left out: a folder may go
// away between two looks.
func (w *Watcher) Watch(set Set) {
	w.set, w.inputs = set, map[string]bool{}
	want := map[string]bool{set.Root: true}
	for _, top := range set.Trees {
		for _, dir := range tree(top) {
			want[dir] = true
		}
		// Until the directory exists, the folder that will hold it is watched.
		for dir := top; len(dir) > len(set.Root); dir = filepath.Dir(dir) {
			if info, err := os.Stat(filepath.Dir(dir)); err == nil && info.IsDir() {
				want[filepath.Dir(dir)] = true
				break
			}
		}
	}
	for _, input := range set.Inputs {
		w.inputs[input] = true
		want[filepath.Dir(input)] = true
	}
	for dir := range want {
		if !w.watched[dir] {
			w.watched[dir] = w.notify.Add(dir) == nil
		}
	}
	for dir := range w.watched {
		if !want[dir] {
			_ = w.notify.Remove(dir) // gone already, if it fails
			delete(w.watched, dir)
		}
	}
}

// tree lists a directory and those below it, without packages and hidden ones.
func tree(root string) []string {
	var dirs []string
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || !entry.IsDir():
			return nil
		case path != root && (entry.Name() == "node_modules" || hidden(entry.Name())):
			return fs.SkipDir
		}
		dirs = append(dirs, path)
		return nil
	})
	return dirs
}

// Next waits for a change, and for the quiet after it, and returns one of the
// files that changed, relative to the root. Its error is that of ctx.
func (w *Watcher) Next(ctx context.Context) (string, error) {
	var changed string
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case event, open := <-w.notify.Events:
			if !open {
				return "", os.ErrClosed
			}
			if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
				delete(w.watched, event.Name) // a folder of that name would be a new one
			}
			if !w.counts(event) {
				continue
			}
			if changed == "" {
				changed = event.Name
			}
			settled = time.After(quiet)
		case <-w.notify.Errors:
			// An overflow loses events; a build too many is the harmless answer.
			changed, settled = w.set.Root, time.After(quiet)
		case <-settled:
			if rel, err := filepath.Rel(w.set.Root, changed); err == nil {
				return filepath.ToSlash(rel), nil
			}
			return changed, nil
		}
	}
}

// counts reports whether an event can change what a build gives.
func (w *Watcher) counts(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	name := event.Name
	if w.inputs[name] {
		return true
	}
	if filepath.Dir(name) == w.set.Root && slices.Contains(manifests, filepath.Base(name)) {
		return true
	}
	for _, top := range w.set.Trees {
		base := filepath.Base(name)
		switch {
		case within(top, name) && !hidden(base) && !strings.HasSuffix(base, "~"):
			return true
		case within(name, top) && name != top: // a folder above the directory came or went
			return true
		}
	}
	return false
}

// hidden reports whether a name is no part of a site, such as an editor's
// swap file; .well-known is the one that is.
func hidden(name string) bool { return strings.HasPrefix(name, ".") && name != ".well-known" }

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}
