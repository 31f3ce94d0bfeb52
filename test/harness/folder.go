package harness

import (
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveReadOnly removes a folder in which workers keep code that they have made
// read-only, which is more than t.TempDir can remove.
func RemoveReadOnly(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
	return os.RemoveAll(dir)
}
