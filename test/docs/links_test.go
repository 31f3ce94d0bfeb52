package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	// What GitHub leaves out of the anchor of a heading.
	unanchored = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: every link from one page of the repository to another leads somewhere,
// and so does the heading that it names.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := pagesOf(t, harness.Root())
	if len(pages) < 20 {
		t.Fatalf("there are %d pages, want all of the repository", len(pages))
	}
	for page, text := range pages {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, ":") { // a scheme
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", page, target)
				continue
			}
			if anchor != "" && !strings.Contains(anchors(pages[file]), "\n"+anchor+"\n") {
				t.Errorf("%s links to #%s of %s, which has no such heading", page, anchor, file)
			}
		}
	}
}

// pagesOf reads all pages below a folder, without what stands in code blocks.
func pagesOf(t *testing.T, root string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || path != root && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		pages[path] = fenced.ReplaceAllString(string(text), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// anchors are the anchors of a page's headings, one a line.
func anchors(text string) string {
	all := "\n"
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		words := unanchored.ReplaceAllString(strings.ToLower(found[1]), "")
		all += strings.ReplaceAll(strings.TrimSpace(words), " ", "-") + "\n"
	}
	return all
}
