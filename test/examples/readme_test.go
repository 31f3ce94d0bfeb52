package examples

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/test/harness"
)

// readme is what the README of an example has its readers type.
type readme struct {
	text  string
	start []string // what builds and starts it, the first block
	types []string // what is typed in another terminal then
}

// readReadme reads the indented lines that are no comments.
func readReadme(name string) (*readme, error) {
	data, err := os.ReadFile(filepath.Join(harness.Root(), "examples", name, "README.md"))
	if err != nil {
		return nil, err
	}
	r := &readme{text: string(data)}
	var commands []string
	for line := range strings.Lines(r.text) {
		command, indented := strings.CutPrefix(line, "    ")
		if command = strings.TrimSpace(command); indented && command != "" && command[0] != '#' {
			commands = append(commands, command)
		}
	}
	started := slices.Index(commands, "bin/nightshift dev examples/"+name)
	if started < 0 {
		return nil, errors.New("the README does not say bin/nightshift dev examples/" + name)
	}
	r.start, r.types = commands[:started+1], commands[started+1:]
	return r, nil
}

// check compares what the README says about building, variables and deploying
// with what there is.
func (r *readme) check(name string, variables []string) error {
	start := []string{"make build", "npm ci --prefix examples/" + name, "bin/nightshift dev examples/" + name}
	if !exists(filepath.Join(harness.Root(), "examples", name, "package-lock.json")) {
		start = slices.Delete(start, 1, 2) // there is nothing to install
	}
	if !slices.Equal(r.start, start) {
		return fmt.Errorf("the README starts with %q, want %q", r.start, start)
	}
	if len(strings.Split(strings.TrimSpace(r.text), "\n")) > 50 {
		return errors.New("the README is longer than anybody reads")
	}
	mentioned := append(variables, "bin/nightshift deploy --prod examples/"+name)
	for _, what := range mentioned {
		if !strings.Contains(r.text, what) {
			return fmt.Errorf("the README does not mention %s", what)
		}
	}
	return nil
}

var link = regexp.MustCompile(`\]\(([a-z-]+)\)`)

// linksIn lists the folders that a list of examples links to.
func linksIn(text string) []string {
	var names []string
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return names
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
