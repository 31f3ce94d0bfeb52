package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bootstrap "github.com/nightshift/nightshift/worker/runtime/node"
)

// ender has Node end as it does by itself, since it writes its profile only then.
const ender = "process.on('SIGTERM', () => process.exit())\n"

// profiling returns settings with which each process of a function writes a profile
// of its JavaScript into a folder when it ends. There are no walls then, because
// they keep functions from the folder. What is needed for it is put into scratch.
func profiling(ctx context.Context, folder, scratch string) ([]string, error) {
	real, _, err := bootstrap.FindNode(ctx)
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	hook, wrapper := filepath.Join(scratch, "end.cjs"), filepath.Join(scratch, "node")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' --cpu-prof --cpu-prof-dir='%s' --require '%s' \"$@\"\n", real, folder, hook)
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(hook, []byte(ender), 0o644), os.WriteFile(wrapper, []byte(script), 0o755)); err != nil {
		return nil, fmt.Errorf("preparing profiles: %w", err)
	}
	return []string{bootstrap.EnvVar + "=" + wrapper, "NIGHTSHIFT_WORKER_ISOLATION=off"}, nil
}
