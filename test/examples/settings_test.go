package examples

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml" // the one that reads netlify.toml in the command line
)

// settings are what a netlify.toml says for `nightshift dev`.
type settings struct {
	Dev struct {
		Command string `toml:"command"`
	} `toml:"dev"`
	Context struct {
		Dev struct {
			Environment map[string]string `toml:"environment"`
		} `toml:"dev"`
	} `toml:"context"`
}

func readSettings(file string) (*settings, error) {
	s := &settings{}
	if _, err := toml.DecodeFile(file, s); err != nil {
		return nil, err
	}
	if command := s.Dev.Command; command != "" && !strings.HasPrefix(command, "node ") {
		return nil, fmt.Errorf("%s: [dev] command is %q, want one that begins with node", file, command)
	}
	return s, nil
}

// program is what [dev] command starts with node; empty without one.
func (s *settings) program() string { return strings.TrimPrefix(s.Dev.Command, "node ") }

// variables are those that functions get under dev, and a deploy needs.
func (s *settings) variables() map[string]string { return s.Context.Dev.Environment }

func (s *settings) names() []string { return slices.Sorted(maps.Keys(s.variables())) }
