// Command probe asks a URL once, for the health check of a container that has
// no program to ask with.
//
//	probe http://127.0.0.1:8080/
//
// It exits with 0 if the answer has status 200, within 5 s, with 4 if not, which
// it says on stderr, and with 2 on wrong usage.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: probe URL")
		os.Exit(fault.Invalid.ExitCode())
	}
	if err := daemon.Probe(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(fault.KindOf(err).ExitCode())
	}
}
