package jail_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
)

func logged(j *jail.Jail) string {
	var text bytes.Buffer
	j.Log(slog.New(slog.NewTextHandler(&text, nil)))
	return text.String()
}

func TestReport(t *testing.T) {
	t.Parallel()
	j := jailtest.New(t)
	text := logged(j)
	for _, wall := range j.Report() {
		t.Logf("%s: %q", wall.Name, wall.Why)
		switch {
		case wall.Name == "" || wall.Follows == "" || wall.Remedy == "":
			t.Errorf("%+v does not say what it is, what follows, and what to do", wall)
		case wall.Why == "" && !strings.Contains(text, wall.Name):
			t.Errorf("%s is up, and the log does not say so: %s", wall.Name, text)
		case wall.Missing() && !strings.Contains(text, wall.Remedy):
			t.Errorf("%s is missing, and the log does not say what to do: %s", wall.Name, text)
		}
	}
	if runtime.GOOS == "linux" && len(j.Report()) < 5 {
		t.Errorf("a report of %d walls", len(j.Report()))
	}
	open := jailtest.New(t, func(c *jail.Config) { c.Open = true })
	if text := logged(open); !strings.Contains(text, "not isolated") || strings.Contains(text, "functions are isolated") {
		t.Errorf("a jail without walls says %s", text)
	}
}

func TestRequiredWalls(t *testing.T) {
	t.Parallel()
	// A folder that others cannot enter, so that root cannot give processes
	// user IDs of their own; for others than root that is no matter.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := jail.New(jail.Config{Dir: filepath.Join(dir, "cells"), Limits: jailtest.Limits, Required: true})
	if err == nil {
		defer j.Close()
	}
	if runtime.GOOS == "linux" && os.Getuid() != 0 {
		if err != nil && strings.Contains(err.Error(), "own user ID") {
			t.Errorf("a user's worker was asked for root's walls: %v", err)
		}
		return
	}
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), dir[:5]) || !strings.Contains(err.Error(), "NIGHTSHIFT_WORKER_ISOLATION") {
		t.Errorf("New = %v, want it refused with the setting, the wall and the reason", err)
	}
	best, err := jail.New(jail.Config{Dir: filepath.Join(dir, "cells"), Limits: jailtest.Limits})
	if err != nil {
		t.Fatalf("New without Required: %v", err)
	}
	defer best.Close()
	if runtime.GOOS == "linux" && !strings.Contains(logged(best), "other users cannot enter") {
		t.Errorf("the log does not say why: %s", logged(best))
	}
}
