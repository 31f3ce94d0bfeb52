// Command nightshift develops, deploys and operates sites of background and
// scheduled functions. `nightshift help` lists what it can do.
//
// Every command but dev and completion has --json, which prints one JSON document
// (logs: one in each line), also for a failure. `nightshift completion bash`
// (zsh, fish, powershell) prints what lets a shell complete commands, and the
// names and IDs that the installation knows.
//
// Settings: NIGHTSHIFT_API_URL is the control plane (default
// http://127.0.0.1:8889/api/v1), NIGHTSHIFT_TOKEN the token for it. `nightshift
// dev` also reads NIGHTSHIFT_REDIS_URL, NIGHTSHIFT_LOG_LEVEL, NIGHTSHIFT_CALLBACK_SECRET
// and NIGHTSHIFT_CALLBACK_ALLOW. NO_COLOR turns colours off.
//
// It exits with 0 on success, 2 on wrong usage or input, 3 where the state of
// things does not allow it, 4 where trying again helps, 130 when it is
// interrupted, and 1 on everything else; package fault says which is which.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/nightshift/nightshift/cli/internal/command"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	// After the first signal the second one kills, as people expect.
	context.AfterFunc(ctx, restore)
	return command.Run(ctx, os.Args[1:], command.World{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Version: version,
	})
}
