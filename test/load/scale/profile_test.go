package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A process leaves a profile also when it is told to end.
func TestProfiling(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "profiles")
	env, err := profiling(t.Context(), folder, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	node, _ := strings.CutPrefix(env[0], "NIGHTSHIFT_NODE=")
	if out, err := exec.CommandContext(t.Context(), node, "-e", "setInterval(() => {}, 1000); process.kill(process.pid, 'SIGTERM')").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 || filepath.Ext(files[0].Name()) != ".cpuprofile" {
		t.Errorf("the folder has %v, %v; want one profile", files, err)
	}
}
