package claim

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTake(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "shared")
	first, err := Take(parent, 0o711)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Take(parent, 0o711)
	if err != nil {
		t.Fatal(err)
	}
	if first.Path == second.Path {
		t.Fatalf("both have %s", first.Path)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	third, err := Take(parent, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if third.Path != first.Path {
		t.Errorf("Take = %s, want %s, which is free again", third.Path, first.Path)
	}
	if info, err := os.Stat(third.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("permissions %v, %v; want 0700", info.Mode(), err)
	}
}
