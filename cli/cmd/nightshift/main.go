// Command nightshift develops, deploys and operates sites of background and
// scheduled functions. `nightshift help` lists what it can do.
//
// Settings: NIGHTSHIFT_API_URL is the control plane (default
// http://127.0.0.1:8889/api/v1), NIGHTSHIFT_TOKEN the token for it. `nightshift
// dev` also reads NIGHTSHIFT_REDIS_URL and NIGHTSHIFT_LOG_LEVEL. NO_COLOR
// turns colours off.
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
