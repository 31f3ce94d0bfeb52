// Package build turns the source of a site into deployable functions.
//
//	discover      which files are functions
//	netlifytoml   what netlify.toml says about them
//	insource      what their source says about itself
//	setting       both together, checked
//	bundle        one function with all that it imports, as files
//
// A function with a problem is left out and reported with file, line and
// column; the others are built. Nothing of the site is executed. Equal sources
// give equal artifacts.
package build

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/bundle"
	"github.com/nightshift/nightshift/cli/internal/build/discover"
	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup" // bounds how many bundles are made at once
)

// DefaultDirectory is where functions are when nothing says otherwise.
const DefaultDirectory = "netlify/functions"

// Options say what is built.
type Options struct {
	// Root is the site's directory: the one with netlify.toml.
	Root string
	// Dev prefers [dev] functions over [functions] directory.
	Dev bool
	// Directory of the functions, relative to the site; it goes before what
	// netlify.toml says.
	Directory string
	// Contexts are those tables of netlify.toml's [context] that count, the
	// later before the earlier: what the deploy is for, and its branch.
	Contexts []string
}

// Function is a built function.
type Function struct {
	function.Function
	Zip    []byte   // its artifact; Function.Artifact is the digest
	Inputs []string // the files of the site that it was made from, absolute
}

// Broken is a function that is there and could not be built.
type Broken struct {
	Name     string
	Source   string // relative to the site
	Inputs   []string
	Problems []problem.Problem
}

// Result is a built site.
type Result struct {
	Root       string // absolute
	Directory  string // of the functions, absolute
	DevCommand string // [dev] command
	Functions  []Function
	Broken     []Broken
	// Problems are all of them, those of Broken too, sorted by place.
	Problems []problem.Problem

	base   string // where the site is: Root, or [build] base below it
	config string // the base's own netlify.toml, if it has one
}

// Build builds a site. The error says that there is nothing to build at all;
// what is wrong with the site's files is in Problems.
func Build(ctx context.Context, opts Options) (*Result, error) {
	root, err := filepath.Abs(opts.Root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root) // esbuild reports real paths
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "there is no directory %s; say where the site is", opts.Root)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, fault.New(fault.Invalid, "%s is not a directory; say where the site is", opts.Root)
	}
	config, problems := netlifytoml.Read(root, opts.Contexts...)
	result := &Result{Root: root, base: root, Problems: problems}
	if config.Base != "" {
		config = result.rebase(config, opts.Contexts)
	}
	result.DevCommand = config.DevCommand
	if result.Directory = directory(result.base, config, opts); !inside(root, result.Directory) {
		at := config.DirectoryAt
		result.Problems = append(result.Problems, problem.Errorf(at, "the functions directory %s must be inside the site %s", result.Directory, root))
	}
	if problem.Errors(result.Problems) > 0 {
		return result, nil
	}
	candidates, problems, err := discover.Find(result.base, result.Directory)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return result, fault.Wrap(err, fault.NotFound, "there is no directory %s in %s; put a function there, for example %s/hello.mjs, or name the directory in netlify.toml: [functions] directory = \"…\"",
				show(root, result.Directory), root, show(root, result.Directory))
		}
		return result, err
	}
	result.Problems = append(result.Problems, problems...)
	if err := result.all(ctx, candidates, config); err != nil {
		return nil, err
	}
	result.fromRoot()
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.Name
	}
	result.Problems = append(result.Problems, config.Unmatched(names)...)
	for i, p := range result.Problems {
		if path.Base(p.At.File) == netlifytoml.Name { // one line there may concern many functions; it is said once
			result.Problems[i].Function = ""
		}
	}
	problem.Sort(result.Problems)
	result.Problems = slices.CompactFunc(result.Problems, func(a, b problem.Problem) bool { return a == b })
	return result, nil
}

// rebase moves the site to [build] base. A netlify.toml there counts instead
// of the first one; a base that it names is not followed, as at Netlify.
func (r *Result) rebase(config netlifytoml.File, contexts []string) netlifytoml.File {
	base := filepath.Join(r.Root, filepath.FromSlash(config.Base)) // a leading slash means the root, too
	if base == r.Root {
		return config
	}
	if info, err := os.Stat(base); err != nil || !info.IsDir() || !inside(r.Root, base) {
		r.Problems = append(r.Problems, problem.Errorf(config.BaseAt, "Base directory does not exist: there is no directory %s in the site", config.Base))
		return config
	}
	r.base = base
	own := filepath.Join(base, netlifytoml.Name)
	if _, err := os.Stat(own); err != nil {
		return config
	}
	r.config = own
	inner, problems := netlifytoml.Read(base, contexts...)
	for i := range problems {
		problems[i].At.File = show(r.Root, own)
	}
	r.Problems = append(r.Problems, problems...)
	return inner
}

// fromRoot makes the places of problems, which are relative to the base,
// relative to the site.
func (r *Result) fromRoot() {
	prefix := show(r.Root, r.base)
	if prefix == "." {
		return
	}
	for i := range r.Problems {
		r.Problems[i].At.File = r.showAt(prefix, r.Problems[i].At.File)
	}
	for i := range r.Broken {
		r.Broken[i].Source = prefix + "/" + r.Broken[i].Source
		r.Broken[i].Problems = slices.Clone(r.Broken[i].Problems)
		for j := range r.Broken[i].Problems {
			r.Broken[i].Problems[j].At.File = r.showAt(prefix, r.Broken[i].Problems[j].At.File)
		}
	}
}

func (r *Result) showAt(prefix, file string) string {
	switch {
	case file == "", filepath.IsAbs(file), strings.HasPrefix(file, prefix+"/"):
		return file
	case file == netlifytoml.Name && r.config == "":
		return file // the one at the root
	default:
		return path.Join(prefix, file)
	}
}

// inside reports whether a path is a directory or below it.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// directory is where the functions are.
func directory(root string, config netlifytoml.File, opts Options) string {
	dir := DefaultDirectory
	switch {
	case filepath.IsAbs(opts.Directory):
		return opts.Directory
	case opts.Directory != "":
		dir = opts.Directory
	case opts.Dev && config.DevDirectory != "":
		dir = config.DevDirectory
	case config.Directory != "":
		dir = config.Directory
	}
	// A leading slash means the site's root, as Netlify reads it.
	return filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(dir, "/")))
}

// all builds the candidates, a few at a time, and keeps their order.
func (r *Result) all(ctx context.Context, candidates []discover.Candidate, config netlifytoml.File) error {
	type outcome struct {
		function Function
		problems []problem.Problem
	}
	outcomes := make([]outcome, len(candidates))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, candidate := range candidates {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			outcomes[i].function, outcomes[i].problems = one(r.base, candidate, config.Settings(candidate.Name))
			if r.config != "" {
				outcomes[i].function.Inputs = append(outcomes[i].function.Inputs, r.config)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, o := range outcomes {
		r.Problems = append(r.Problems, o.problems...)
		switch {
		case problem.Errors(o.problems) > 0:
			r.Broken = append(r.Broken, Broken{
				Name: candidates[i].Name, Source: show(r.base, candidates[i].Path), Inputs: o.function.Inputs, Problems: o.problems,
			})
		case o.function.Artifact != "":
			r.Functions = append(r.Functions, o.function)
		}
	}
	return nil
}

// one builds a function. Without an artifact and without an error it is no function.
func one(root string, c discover.Candidate, fromFile setting.Set) (built Function, problems []problem.Problem) {
	source := show(root, c.Path)
	built.Inputs = []string{c.Path}
	defer func() {
		for i := range problems {
			problems[i].Function = c.Name
		}
	}()
	text, err := os.ReadFile(c.Path)
	if err != nil {
		return built, []problem.Problem{problem.Errorf(problem.Position{File: source}, "cannot be read: %v", err)}
	}
	if filepath.Ext(c.Path) == ".zip" {
		return built, []problem.Problem{problem.Errorf(problem.Position{File: source}, "zips that were made elsewhere cannot be deployed yet; put the source here")}
	}
	module := insource.Analyze(source, text)
	problems = module.Problems
	if problem.Errors(problems) > 0 {
		return built, problems
	}
	if module.API == 0 && len(problems) > 0 {
		return built, problems // that say why
	}
	if module.API == 0 {
		return built, append(problems, problem.Warnf(problem.Position{File: source},
			"exports neither a default function nor a `handler`, so it is left out; if it is no function, move it to a directory of its own"))
	}
	f, bundling, more := setting.Resolve(
		function.Function{Name: c.Name, API: module.API, Runtime: "node", Source: source},
		setting.Replace(fromFile, module.Settings),
	)
	problems = append(problems, more...)
	out := bundle.Build(bundle.Input{
		Root: root, Source: c.Path, Module: module,
		ExternalModules: bundling.ExternalModules, IgnoredModules: bundling.IgnoredModules, CopyModules: bundling.CopyModules,
		IncludedFiles: bundling.IncludedFiles, IncludedFrom: includedFrom(root, c, module.Settings),
	})
	problems = append(problems, out.Problems...)
	built.Function, built.Inputs = f, out.Inputs
	if problem.Errors(problems) > 0 {
		return built, problems
	}
	built.Entry = out.Entry
	built.Zip, built.Artifact, err = artifact.Pack(out.Files)
	if err == nil {
		err = built.Validate()
	}
	if err == nil && len(built.Zip) > artifact.MaxSize {
		err = fault.New(fault.TooLarge, "the function is %d MiB packed; %d MiB are allowed", len(built.Zip)>>20, artifact.MaxSize>>20)
	}
	if err != nil {
		built.Artifact = ""
		return built, append(problems, problem.Errorf(problem.Position{File: source}, "%v", err))
	}
	return built, problems
}

// includedFrom is where the globs of included files start: at the site's
// directory for those of netlify.toml, at the function's for its own.
func includedFrom(root string, c discover.Candidate, own setting.Set) string {
	if list, ok := own["includedFiles"].Data.([]any); own["includedFiles"].Data == nil || ok && len(list) == 0 {
		return root
	}
	return filepath.Dir(c.Path)
}

// show is a path relative to the site, with slashes.
func show(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
