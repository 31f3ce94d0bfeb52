package build

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/nightshift/nightshift/cli/internal/build/archive"
	"github.com/nightshift/nightshift/cli/internal/build/bundle"
	"github.com/nightshift/nightshift/cli/internal/build/discover"
	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/golang"
	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/manifest"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/function"
)

// kinds reads candidates, each as its kind wants it.
type kinds struct {
	root      string
	internal  []string                     // directories of generated functions
	manifests map[string]manifest.Manifest // by directory
	target    executable.Target
	scratch   string
}

// source is a candidate that has been read: what it is, what it says about
// itself, and how it is packed once all settings are known.
type source struct {
	function function.Function // runtime and API
	settings setting.Set
	inputs   []string // beside those that packing finds
	problems []problem.Problem
	pack     func(setting.Bundling) packed // nil: it is no function
}

// packed is the code of a function: files, or a zip that stays as it is.
type packed struct {
	entry    string
	files    []artifact.File
	zip      []byte
	digest   string // of zip
	inputs   []string
	problems []problem.Problem
}

func (k kinds) read(ctx context.Context, c discover.Candidate) source {
	switch c.Kind {
	case discover.Archive:
		return k.archive(c)
	case discover.Golang:
		return k.golang(ctx, c)
	case discover.Executable:
		return k.executable(c)
	default:
		return k.javaScript(c)
	}
}

func (k kinds) javaScript(c discover.Candidate) source {
	at := problem.Position{File: show(k.root, c.Path)}
	text, err := os.ReadFile(c.Path)
	if err != nil {
		return source{problems: []problem.Problem{problem.Errorf(at, "cannot be read: %v", err)}}
	}
	module := insource.Analyze(at.File, text)
	s := source{
		function: function.Function{Runtime: "node", API: module.API},
		settings: module.Settings,
		problems: module.Problems,
	}
	if module.API == 0 {
		if len(s.problems) == 0 { // else they say why
			s.problems = append(s.problems, problem.Warnf(at, "exports neither a default function nor a `handler`, so it is left out; if it is no function, move it to a directory of its own"))
		}
		return s
	}
	if slices.Contains(k.internal, c.Dir) {
		s.settings = setting.Replace(manifest.Beside(c.Path, at.File), s.settings)
	}
	s.pack = func(b setting.Bundling) packed {
		out := bundle.Build(bundle.Input{
			Root: k.root, Source: c.Path, Module: module,
			ExternalModules: b.ExternalModules, IgnoredModules: b.IgnoredModules, CopyModules: b.CopyModules,
			IncludedFiles: b.IncludedFiles, IncludedFrom: includedFrom(k.root, c, module.Settings),
		})
		return packed{entry: out.Entry, files: out.Files, inputs: out.Inputs, problems: out.Problems}
	}
	return s
}

func (k kinds) archive(c discover.Candidate) source {
	m := k.manifests[c.Dir]
	described, problems, ok := m.Settings(filepath.Base(c.Path))
	out := archive.Read(archive.Input{Path: c.Path, Source: show(k.root, c.Path), Target: k.target, Described: ok})
	s := source{
		function: function.Function{Runtime: out.Runtime, API: out.API},
		// The manifest knows what netlify.toml said when the zip was made; the
		// code knows the settings that are ours and not Netlify's.
		settings: setting.Replace(out.Settings, described),
		inputs:   []string{filepath.Join(c.Dir, manifest.Name)},
		problems: slices.Concat(problems, out.Problems),
	}
	s.pack = func(setting.Bundling) packed {
		return packed{entry: out.Entry, zip: out.Zip, digest: out.Digest, inputs: []string{c.Path}}
	}
	return s
}

func (k kinds) golang(ctx context.Context, c discover.Candidate) source {
	s := source{function: function.Function{Runtime: "provided"}}
	s.pack = func(b setting.Bundling) packed {
		out := golang.Build(ctx, golang.Input{Root: k.root, Dir: filepath.Dir(c.Path), Target: k.target, Scratch: k.scratch})
		p := packed{entry: executable.Entry, files: out.Files, inputs: out.Inputs, problems: out.Problems}
		k.include(&p, c, b)
		return p
	}
	return s
}

func (k kinds) executable(c discover.Candidate) source {
	data, problems := executable.Read(c.Path, show(k.root, c.Path), k.target)
	m := k.manifests[c.Dir]
	described, more, _ := m.Settings(filepath.Base(c.Path))
	s := source{
		function: function.Function{Runtime: "provided"},
		settings: described,
		problems: slices.Concat(problems, more),
	}
	if data == nil {
		return s
	}
	s.pack = func(b setting.Bundling) packed {
		p := packed{
			entry:  executable.Entry,
			files:  []artifact.File{{Path: executable.Entry, Data: data, Executable: true}},
			inputs: []string{c.Path},
		}
		k.include(&p, c, b)
		return p
	}
	return s
}

// include adds the files that a program reads when it runs.
func (k kinds) include(p *packed, c discover.Candidate, b setting.Bundling) {
	files, inputs, problems := bundle.Included(bundle.Input{Root: k.root, Source: c.Path, IncludedFiles: b.IncludedFiles})
	p.files = append(p.files, files...)
	p.inputs = append(p.inputs, inputs...)
	p.problems = append(p.problems, problems...)
}

// readManifests reads those of the directories with functions that were made
// elsewhere.
func readManifests(root string, candidates []discover.Candidate) (map[string]manifest.Manifest, []problem.Problem) {
	manifests := map[string]manifest.Manifest{}
	var problems []problem.Problem
	for _, c := range candidates {
		if _, read := manifests[c.Dir]; read || c.Kind != discover.Archive && c.Kind != discover.Executable {
			continue
		}
		m, more := manifest.Read(c.Dir, show(root, filepath.Join(c.Dir, manifest.Name)))
		manifests[c.Dir] = m
		problems = append(problems, more...)
	}
	return manifests, problems
}

// includedFrom is where the globs of included files start: at the site's
// directory for those of netlify.toml, at the function's for its own.
func includedFrom(root string, c discover.Candidate, own setting.Set) string {
	if list, ok := own["includedFiles"].Data.([]any); own["includedFiles"].Data == nil || ok && len(list) == 0 {
		return root
	}
	return filepath.Dir(c.Path)
}
