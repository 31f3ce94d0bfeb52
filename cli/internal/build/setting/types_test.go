package setting_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/build/setting"
)

// TestTypesHaveEveryKey holds the file that `make types` compiles against the
// keys that are read: one that is added here and not to the types fails.
func TestTypesHaveEveryKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "types", "test", "every-key.ts")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var typed []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):`).FindAllStringSubmatch(string(text), -1) {
		typed = append(typed, m[1])
	}
	for _, key := range setting.Supported {
		if !slices.Contains(typed, key) {
			t.Errorf("%s is read and not typed: add it to cli/types/index.d.ts and to %s", key, file)
		}
	}
	for _, key := range typed {
		if !setting.Known(key) {
			t.Errorf("%s is in %s and not known", key, file)
		}
	}
}
