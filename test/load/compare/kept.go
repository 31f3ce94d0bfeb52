package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"

	"github.com/nightshift/nightshift/test/harness"
)

// kept are the numbers of targets that were accepted last, by name.
type kept map[string]measured

func keptPath() string {
	return filepath.Join(harness.Root(), "test", "load", "compare", "accepted.json")
}

// readKept reads them; where there are none yet, it returns none.
func readKept(path string) (kept, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// write keeps the numbers of a run, and those of others that it did not measure.
func (k kept) write(path string, run kept) error {
	all := maps.Clone(k)
	maps.Copy(all, run)
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// noise is by how much rounds may differ from those of another day, beside what
// they differ among themselves.
const noise = 0.05

// moved says whether a number is another one than before: whether the rounds of
// both, with some noise about them, are apart.
func moved(before, now measured) bool {
	wide := func(m measured) (low, high float64) {
		return m.Low - noise*math.Abs(m.Low), m.High + noise*math.Abs(m.High)
	}
	beforeLow, beforeHigh := wide(before)
	low, high := wide(now)
	return low > beforeHigh || high < beforeLow
}

// changes tells, in the order of the targets, what moved.
func (k kept) changes(run kept, targets []target) []string {
	var lines []string
	for _, t := range targets {
		before, was := k[t.name()]
		now, is := run[t.name()]
		if !was || !is || !moved(before, now) {
			continue
		}
		verdict := "worse"
		if (now.Value > before.Value) == t.atLeast {
			verdict = "better"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, %.3g before and %.3g now", t.name(), verdict, before.Value, now.Value))
	}
	return lines
}
