// Package manifest reads what Netlify's tools write beside functions about
// them: the manifest.json beside bundled functions, which says what their code
// no longer does, and the <name>.json beside a framework's function.
package manifest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
)

// Name is the file's name.
const Name = "manifest.json"

// version is the one that zip-it-and-ship-it writes.
const version = 1

// Manifest is what a manifest.json says. The zero Manifest knows no function.
type Manifest struct {
	functions map[string]entry // by the name of the file that holds the function
	at        problem.Position
}

// entry is one function of it. What people set, and what only Netlify's own
// platform reads, is the same there; the latter is left out here.
type entry struct {
	Path           string   `json:"path"`
	DisplayName    string   `json:"displayName"`
	Generator      string   `json:"generator"`
	InvocationMode string   `json:"invocationMode"`
	Schedule       string   `json:"schedule"`
	Timeout        *float64 `json:"timeout"`
	Memory         any      `json:"memory"`
	VCPU           any      `json:"vcpu"`
	Region         string   `json:"region"`
	Routes         []route  `json:"routes"`
	ExcludedRoutes []route  `json:"excludedRoutes"`
	TrafficRules   *traffic `json:"trafficRules"`
	Subscriptions  []string `json:"eventSubscriptions"`
}

type route struct {
	Pattern      string   `json:"pattern"`
	Methods      []string `json:"methods"`
	PreferStatic bool     `json:"prefer_static"`
}

// traffic is config.rateLimit as the platform has it.
type traffic struct {
	Action struct {
		Type   string `json:"type"`
		Config struct {
			To    string `json:"to"`
			Limit struct {
				Algorithm string  `json:"algorithm"`
				Size      float64 `json:"windowSize"`
				Limit     float64 `json:"windowLimit"`
			} `json:"rateLimitConfig"`
			Aggregate struct {
				Keys []struct {
					Type string `json:"type"`
				} `json:"keys"`
			} `json:"aggregate"`
		} `json:"config"`
	} `json:"action"`
}

// Read reads the manifest of a directory. source is how problems call the file.
// Without one, or with a file of the same name that is something else, the
// Manifest is the zero one.
func Read(dir, source string) (Manifest, []problem.Problem) {
	at := problem.Position{File: source}
	data, err := os.ReadFile(filepath.Join(dir, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return Manifest{}, []problem.Problem{problem.Errorf(at, "cannot be read: %v", err)}
	}
	var doc struct {
		Version   any              `json:"version"`
		Functions *json.RawMessage `json:"functions"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return Manifest{}, []problem.Problem{problem.Errorf(at, "is not valid JSON, so the settings of the zips beside it are not known: %v", err)}
	}
	switch {
	case doc.Functions == nil:
		return Manifest{}, nil
	case doc.Version != float64(version):
		return Manifest{}, []problem.Problem{problem.Errorf(at, "has the version %v; the one that is understood is %d", doc.Version, version)}
	}
	var entries []entry
	if err := json.Unmarshal(*doc.Functions, &entries); err != nil {
		return Manifest{}, []problem.Problem{problem.Errorf(at, "does not have the form that zip-it-and-ship-it writes: %v", err)}
	}
	m := Manifest{functions: map[string]entry{}, at: at}
	for _, e := range entries {
		// The paths are those of the machine that bundled.
		m.functions[e.Path[strings.LastIndexAny(e.Path, `/\`)+1:]] = e
	}
	return m, nil
}

// Settings are those of the function in a file beside the manifest, as its
// source had them; false if the manifest does not know it.
func (m *Manifest) Settings(file string) (setting.Set, []problem.Problem, bool) {
	e, ok := m.functions[file]
	if !ok {
		return nil, nil, false
	}
	set := setting.Set{}
	// The manifest is about all of them; the function's file says which is meant.
	at := problem.Position{File: path.Join(path.Dir(m.at.File), file)}
	put := func(key string, value any) { set[key] = setting.Value{Data: value, At: at} }
	if e.InvocationMode == "background" {
		put("background", true)
	}
	if e.Timeout != nil {
		put("timeout", *e.Timeout)
	}
	for key, value := range map[string]string{"schedule": e.Schedule, "name": e.DisplayName, "generator": e.Generator, "region": e.Region} {
		if value != "" {
			put(key, value)
		}
	}
	for key, value := range map[string]any{"memory": e.Memory, "vcpu": e.VCPU} {
		if value != nil {
			put(key, value)
		}
	}
	e.routes(put)
	if e.TrafficRules != nil {
		put("rateLimit", e.TrafficRules.setting())
	}
	if len(e.Subscriptions) > 0 {
		return set, []problem.Problem{problem.Warnf(at, "is called for events of Netlify's platform (%s), and there are none here", strings.Join(e.Subscriptions, ", "))}, true
	}
	return set, nil, true
}

// routes puts what routes say back into the form of the source, where methods
// and preferStatic are said once for all of them.
func (e *entry) routes(put func(string, any)) {
	var paths, excluded, methods []any
	for _, r := range e.Routes {
		paths = append(paths, r.Pattern)
		for _, method := range r.Methods {
			if !slices.Contains(methods, any(method)) {
				methods = append(methods, method)
			}
		}
		if r.PreferStatic {
			put("preferStatic", true)
		}
	}
	for _, r := range e.ExcludedRoutes {
		excluded = append(excluded, r.Pattern)
	}
	for key, list := range map[string][]any{"path": paths, "excludedPath": excluded, "method": methods} {
		if len(list) > 0 {
			put(key, list)
		}
	}
}

func (t *traffic) setting() map[string]any {
	c := t.Action.Config
	keys := make([]any, len(c.Aggregate.Keys))
	for i, k := range c.Aggregate.Keys {
		keys[i] = k.Type
	}
	out := map[string]any{"windowLimit": c.Limit.Limit, "windowSize": c.Limit.Size, "aggregateBy": keys}
	for key, value := range map[string]string{"action": t.Action.Type, "algorithm": c.Limit.Algorithm, "to": c.To} {
		if value != "" {
			out[key] = value
		}
	}
	return out
}

// Beside reads the <name>.json beside a function's file, which frameworks write
// into their own directories. Without one, or with one that is something else,
// there are no settings.
func Beside(file, source string) setting.Set {
	data, err := os.ReadFile(strings.TrimSuffix(file, filepath.Ext(file)) + ".json")
	if err != nil {
		return nil
	}
	var doc struct {
		Version float64        `json:"version"`
		Config  map[string]any `json:"config"`
	}
	if json.Unmarshal(data, &doc) != nil || doc.Version != version {
		return nil
	}
	at := problem.Position{File: strings.TrimSuffix(source, filepath.Ext(source)) + ".json"}
	set := setting.Set{}
	for key, value := range doc.Config {
		if setting.Known(key) { // the others steer Netlify's bundler
			set[key] = setting.Value{Data: value, At: at}
		}
	}
	return set
}
