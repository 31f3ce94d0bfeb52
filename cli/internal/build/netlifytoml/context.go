package netlifytoml

import (
	"maps"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
)

// ofBuild are the keys that belong to [build] when they stand in a context.
var ofBuild = []string{"base", "command", "edge_functions", "environment", "functions", "ignore", "processing", "publish"}

// overlay lays [context.<name>] over the file, for each of the contexts that
// the build is for, the later one on top. Tables are merged, all else is replaced.
func (p *parser) overlay(doc map[string]any, contexts []string) {
	tables, ok := doc["context"].(map[string]any)
	if !ok {
		if _, there := doc["context"]; there {
			p.errorf([]string{"context"}, "context must be a table: write [context.production]")
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if _, ok := tables[name].(map[string]any); !ok {
			p.errorf([]string{"context", name}, "context.%s must be a table: write [context.%s]", name, name)
			delete(tables, name)
		}
	}
	for _, name := range matching(tables, contexts) {
		table, _ := tables[name].(map[string]any)
		if _, there := table["environment"]; there && name != "dev" {
			p.beyondDev = true
		}
		for _, key := range slices.Sorted(maps.Keys(table)) {
			from, value := []string{"context", name, key}, table[key]
			_, isTable := value.(map[string]any)
			to := []string{key}
			if slices.Contains(ofBuild, key) && (key != "functions" || !isTable) {
				to = []string{"build", key}
			}
			p.lay(doc, to, value, from)
		}
	}
}

// lay puts a value at a key of the file, and the place of the value with it.
func (p *parser) lay(doc map[string]any, to []string, value any, from []string) {
	at := doc
	for _, key := range to[:len(to)-1] {
		inner, ok := at[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[key] = inner
		}
		at = inner
	}
	last := to[len(to)-1]
	table, isTable := value.(map[string]any)
	if _, ok := at[last].(map[string]any); !isTable || !ok {
		at[last] = value
		p.places.move(to, from)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		p.lay(doc, append(slices.Clone(to), key), table[key], append(slices.Clone(from), key))
	}
}

// matching are the tables of the contexts: of each its own, or else all that
// name its beginning, as "feat/*" does.
func matching(tables map[string]any, contexts []string) []string {
	var out []string
	for _, context := range contexts {
		if _, ok := tables[context]; ok {
			out = append(out, context)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			if start, wild := strings.CutSuffix(name, "*"); wild && context != "" && strings.HasPrefix(context, start) {
				out = append(out, name)
			}
		}
	}
	return out
}

// move makes the place of one key that of another, with all below it.
func (p places) move(to, from []string) {
	target, source := strings.Join(to, separator), strings.Join(from, separator)
	moved := map[string]problem.Position{target: p.at(from)}
	for key, at := range p.byKey {
		if below, ok := strings.CutPrefix(key, source+separator); ok {
			moved[target+separator+below] = at
		}
	}
	maps.Copy(p.byKey, moved)
}
