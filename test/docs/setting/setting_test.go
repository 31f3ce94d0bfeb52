package setting_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/docs/setting"
)

// tree writes a source tree.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOf(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"one/config.go": `package one

import (
	"log/slog"
	"time"

	stored "github.com/nightshift/nightshift/shared/store"
)

// Config configures it.
type Config struct {
	// Size is how many, 1 to 9. With Dev
	// it is one. Default 3: enough.
	Size int ` + "`env:\"ONE_SIZE\"`" + `
	// Wait is as long as Size allows. Default 5m, but not more.
	Wait time.Duration ` + "`env:\"WAIT\"`" + `
	// First and Second are two. Defaults: none.
	First  string ` + "`env:\"FIRST\"`" + `
	Second string ` + "`env:\"SECOND\"`" + `
	Dev bool ` + "`env:\"-\"`" + `
	Records stored.Options
	Logger *slog.Logger ` + "`env:\"-\"`" + `
}
`,
		"one/config_test.go":    "package one\n\ntype Config struct{}\n",
		"two/config.go":         "package two\n\ntype Config struct {\n\t// Wait is required. Required.\n\tWait int `env:\"WAIT\" envDefault:\"7\"`\n}\n",
		"shared/store/store.go": "package store\n\ntype Options struct {\n\t// Keep is kept. Default 168h; 1m or more.\n\tKeep bool `env:\"KEEP\"`\n}\n",
	})
	list, err := setting.Of(root, []setting.Source{
		{Service: "one", Structs: [][2]string{{"one", "Config"}}},
		{Service: "two", Structs: [][2]string{{"two", "Config"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		row := s.Name + " " + s.Type
		for _, r := range s.Reads {
			row += " | " + r.Service + ": " + r.Default + ": " + r.Text
		}
		got = append(got, row)
	}
	want := `NIGHTSHIFT_FIRST text | one: none: ` + "`NIGHTSHIFT_FIRST` and `NIGHTSHIFT_SECOND`" + ` are two. Defaults: none.
NIGHTSHIFT_KEEP true or false | one: 168h: ` + "`NIGHTSHIFT_KEEP`" + ` is kept. Default 168h; 1m or more.
NIGHTSHIFT_ONE_SIZE number | one: 3: ` + "`NIGHTSHIFT_ONE_SIZE` is how many, 1 to 9. With `nightshift dev`" + ` it is one. Default 3: enough.
NIGHTSHIFT_SECOND text | one: none: ` + "`NIGHTSHIFT_FIRST` and `NIGHTSHIFT_SECOND`" + ` are two. Defaults: none.
NIGHTSHIFT_WAIT duration | one: 5m: ` + "`NIGHTSHIFT_WAIT` is as long as `NIGHTSHIFT_ONE_SIZE`" + ` allows. Default 5m, but not more. | two: 7: ` + "`NIGHTSHIFT_WAIT`" + ` is required. Required.`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("Of read\n%s\nwant\n%s", text, want)
	}
	if table := setting.Table(list); !strings.Contains(table, "| [`NIGHTSHIFT_WAIT`](#nightshift_wait) | duration | `5m` | one, two |") {
		t.Errorf("Table wrote\n%s", table)
	}
	if text := setting.Sections(list, strings.NewReplacer()); !strings.Contains(text, "On the two: `NIGHTSHIFT_WAIT` is required.") {
		t.Errorf("Sections wrote\n%s", text)
	}
	if _, err := setting.Of(root, []setting.Source{{Service: "one", Structs: [][2]string{{"one", "Options"}}}}); err == nil {
		t.Error("Of found a struct that is not there")
	}
}
