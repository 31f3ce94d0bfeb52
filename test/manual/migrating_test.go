package manual

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/manual/page"
)

// nextjs is the section that needs Next.js; test/nextjs runs it.
const nextjs = "From Next.js on Netlify"

// Each section of migrating.md is one site after another on one installation,
// as for somebody who moves one thing after the other.
func TestMigrating(t *testing.T) {
	t.Parallel()
	in := install(t)
	sections := page.Sections(in.read("migrating.md"))
	if len(sections) != 6 {
		t.Errorf("migrating.md has %d sections, want 6", len(sections))
	}
	for _, section := range sections {
		if section.Title == nextjs {
			continue
		}
		t.Run(section.Title, func(t *testing.T) {
			p := in.run(t, "docs/migrating.md, "+section.Title, section.Text)
			for _, block := range p.Before {
				readable(t, section.Title, block)
			}
		})
	}
}

// readable checks that code of another system is at least code.
func readable(t *testing.T, section string, block page.Block) {
	t.Helper()
	switch block.Language {
	case "json":
		if !json.Valid([]byte(block.Text)) {
			t.Errorf("%s, line %d: the block is not JSON", section, block.Line)
		}
	case "js":
		file := filepath.Join(t.TempDir(), "before.mjs")
		if err := os.WriteFile(file, []byte(block.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", "--check", file)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s, line %d: the block cannot be read: %v\n%s", section, block.Line, err, out)
		}
	case "yaml":
		if strings.Contains(block.Text, "\t") {
			t.Errorf("%s, line %d: there is a tab in the block", section, block.Line)
		}
	default:
		t.Errorf("%s, line %d: nothing says how a block of %q is read", section, block.Line, block.Language)
	}
}
