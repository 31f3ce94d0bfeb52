// Command record asks a running netlify-cli every case of the contract and
// writes its answers to test/contract/testdata/golden.json. README.md tells how
// to start the CLI.
//
//	go run ./test/contract/record [-addr 127.0.0.1:8899] [-only REGEXP]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"

	"github.com/nightshift/nightshift/test/contract/golden"
	"github.com/nightshift/nightshift/test/harness"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8899", "where netlify dev listens")
	only := flag.String("only", "", "record the cases that match, and keep the others")
	flag.Parse()
	if err := record(context.Background(), *addr, *only); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, addr, only string) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	old, err := golden.Load()
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	collector, err := harness.StartCollector()
	if err != nil {
		return err
	}
	defer collector.Close()
	answers := map[string]golden.Answer{}
	var asked []golden.Case
	for _, c := range golden.Cases() {
		kept, ok := old[c.Name]
		if ok {
			answers[c.Name] = kept
		}
		if !ok || match.MatchString(c.Name) {
			asked = append(asked, c)
		}
	}
	for _, c := range asked {
		a, err := golden.Ask(ctx, addr, c, collector)
		if err != nil {
			// A server that hangs is worth knowing, not a reason to stop.
			a = golden.Answer{Error: err.Error()}
		}
		answers[c.Name] = golden.Normalise(a)
		fmt.Printf("%-32s %d %s\n", c.Name, a.Status, a.Error)
		if err := golden.Save(answers); err != nil {
			return err
		}
	}
	return nil
}
