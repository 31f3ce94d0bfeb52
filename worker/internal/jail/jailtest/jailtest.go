// Package jailtest opens jails for tests, in folders where processes of all
// users find them.
package jailtest

import (
	"os"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/worker/internal/jail"
)

// Limits are the worker's own.
var Limits = jail.Limits{Memory: 1 << 30, Tmp: 512 << 20, Processes: 1024, Files: 1024}

// New opens a jail with all walls that the machine lets be, until the end of
// the test.
func New(t testing.TB, change ...func(*jail.Config)) *jail.Jail {
	t.Helper()
	cfg := jail.Config{Dir: Dir(t), Limits: Limits, Max: 64}
	for _, f := range change {
		f(&cfg)
	}
	j, err := jail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("closing the jail: %v", err)
		}
	})
	return j
}

// Dir is a folder, until the end of the test. That of testing.T is closed to
// other users.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nightshift-jail-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := artifact.Remove(dir); err != nil {
			t.Errorf("removing the test's folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Code copies code to where a function's process finds it.
func Code(t testing.TB, from string) string {
	t.Helper()
	dir := Dir(t)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}
