package bundle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
)

// packages decides which packages are bundled. Those that are copied instead:
// the ones that settings name, all of them for bundlers that keep packages as
// files, those that name files beside their code, and those with native code.
type packages struct {
	in Input

	commonJS bool // what is imported is loaded by require

	mu     sync.Mutex // esbuild resolves in many goroutines
	copied map[string]wanted
	native map[string]bool
}

func newPackages(in Input, commonJS bool) *packages {
	p := &packages{in: in, commonJS: commonJS, copied: map[string]wanted{}, native: map[string]bool{}}
	for _, name := range in.ExternalModules {
		p.want(packageOf(name), filepath.Dir(in.Source), false)
	}
	return p
}

// want notes a package to be copied.
func (p *packages) want(name, dir string, optional bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.copied[name]
	if !ok {
		w = wanted{name: name, place: slashRel(p.in.Root, filepath.Dir(p.in.Source)), optional: optional}
	}
	if !slices.Contains(w.dirs, dir) {
		w.dirs = append(w.dirs, dir)
	}
	p.copied[name] = w
}

// list is what is to be copied, in an order that does not change.
func (p *packages) list() []wanted {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]wanted, 0, len(p.copied))
	for _, w := range p.copied {
		slices.Sort(w.dirs)
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b wanted) int { return strings.Compare(a.name, b.name) })
	return out
}

func (p *packages) plugin() api.Plugin {
	return api.Plugin{Name: "packages", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^[^./]`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if _, ours := args.PluginData.(asking); ours || args.Kind == api.ResolveEntryPoint || args.Namespace != "file" {
				return api.OnResolveResult{}, nil
			}
			name := packageOf(args.Path)
			dir, installed := findPackage([]string{args.ResolveDir}, name)
			if !installed || !p.in.CopyModules && !slices.Contains(p.in.readers, name) && !p.isNative(dir) {
				return api.OnResolveResult{}, nil
			}
			if (p.commonJS || args.Kind == api.ResolveJSRequireCall) && args.Kind != api.ResolveJSDynamicImport && onlyESM(dir) {
				return api.OnResolveResult{}, nil
			}
			found := build.Resolve(args.Path, api.ResolveOptions{
				Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asking{},
			})
			// Linked packages of the site itself are source, which is bundled.
			if len(found.Errors) > 0 || found.External || !strings.Contains(filepath.ToSlash(found.Path), "/node_modules/") {
				return api.OnResolveResult{}, nil
			}
			p.want(name, args.ResolveDir, false)
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		})
	}}
}

// onlyESM reports whether a package cannot be loaded by require on every Node
// that runs functions, so that it has to be bundled.
func onlyESM(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	var manifest struct{ Type string }
	return err == nil && json.Unmarshal(data, &manifest) == nil && manifest.Type == "module"
}

// builders are packages that only packages with native code depend on.
var builders = []string{"bindings", "nan", "node-gyp", "node-gyp-build", "node-pre-gyp", "@mapbox/node-pre-gyp", "prebuild", "prebuild-install", "node-addon-api"}

// isNative reports whether a package has native code, by what its package.json
// says. Netlify looks at the same.
func (p *packages) isNative(dir string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	native, known := p.native[dir]
	if known {
		return native
	}
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	var manifest struct {
		Binary, Napi json.RawMessage
		Gypfile      bool
		Dependencies map[string]string
		Files        []string
	}
	if err == nil && json.Unmarshal(data, &manifest) == nil {
		native = manifest.Binary != nil || manifest.Napi != nil || manifest.Gypfile ||
			slices.ContainsFunc(builders, func(name string) bool { _, has := manifest.Dependencies[name]; return has }) ||
			slices.ContainsFunc(manifest.Files, func(f string) bool { return !strings.HasPrefix(f, "!") && filepath.Ext(f) == ".node" })
	}
	p.native[dir] = native
	return native
}
