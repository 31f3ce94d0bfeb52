// Package build turns the source of a site into deployable functions.
//
//	discover      which files are functions
//	netlifytoml   what netlify.toml says about them
//	insource      what their source says about itself
//	setting       both together, checked
//	bundle        one function with all that it imports, as files
//	nextjs        the API routes of a Next.js site, by the site's own next build
//
// A function with a problem is left out and reported with file, line and
// column; the others are built. Of the site nothing is executed but next build.
// Equal sources give equal artifacts, apart from what next build makes anew.
package build

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/bundle"
	"github.com/nightshift/nightshift/cli/internal/build/discover"
	"github.com/nightshift/nightshift/cli/internal/build/insource"
	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/nextjs"
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
	// Log, if not nil, is told what takes long.
	Log func(line string)
	// Last, if not nil, is the result before. next build does not run again if
	// nothing that it reads has changed since.
	Last *Result
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
	// Next are the routes of a Next.js site, nil without any. Its functions
	// stand in Functions and Broken too, behind the others.
	Next *nextjs.Result
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
	config, problems := netlifytoml.Read(root)
	result := &Result{Root: root, Directory: directory(root, config, opts.Dev), DevCommand: config.DevCommand, Problems: problems}
	if problem.Errors(problems) > 0 {
		return result, nil
	}
	if err := result.next(ctx, config, opts); err != nil {
		return result, err
	}
	candidates, problems, err := discover.Find(root, result.Directory)
	if err != nil && !(result.Next != nil && fault.Is(err, fault.NotFound)) {
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
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.Name
	}
	names = append(names, result.addNext(names)...)
	result.Problems = append(result.Problems, config.Unmatched(names)...)
	for i, p := range result.Problems {
		if p.At.File == netlifytoml.Name { // one line there may concern many functions; it is said once
			result.Problems[i].Function = ""
		}
	}
	problem.Sort(result.Problems)
	result.Problems = slices.CompactFunc(result.Problems, func(a, b problem.Problem) bool { return a == b })
	return result, nil
}

// next builds the routes of a Next.js site.
func (r *Result) next(ctx context.Context, config netlifytoml.File, opts Options) (err error) {
	next := nextjs.Options{Root: r.Root, Functions: r.Directory, Settings: config.Settings, Log: opts.Log}
	if opts.Last != nil {
		next.Last = opts.Last.Next
	}
	r.Next, err = nextjs.Build(ctx, next)
	return err
}

// addNext adds the routes behind the functions of the site's own, which so come
// first where both have a path. It returns the names of the routes.
func (r *Result) addNext(taken []string) (names []string) {
	if r.Next == nil {
		return nil
	}
	r.Problems = append(r.Problems, r.Next.Problems...)
	for _, f := range r.Next.Functions {
		names = append(names, f.Name)
		if slices.Contains(taken, f.Name) {
			r.Problems = append(r.Problems, problem.Errorf(problem.Position{File: f.Source}, "there is a function %s already, so the route cannot have its function; rename one of them", f.Name))
			continue
		}
		r.Functions = append(r.Functions, Function(f))
	}
	for _, b := range r.Next.Broken {
		names = append(names, b.Name)
		r.Broken = append(r.Broken, Broken(b))
	}
	return names
}

// directory is where the functions are.
func directory(root string, config netlifytoml.File, dev bool) string {
	dir := DefaultDirectory
	switch {
	case dev && config.DevDirectory != "":
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
			outcomes[i].function, outcomes[i].problems = one(r.Root, candidate, config.Settings(candidate.Name))
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
				Name: candidates[i].Name, Source: show(r.Root, candidates[i].Path), Inputs: o.function.Inputs, Problems: o.problems,
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
		ExternalModules: bundling.ExternalModules, IncludedFiles: bundling.IncludedFiles,
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

// show is a path relative to the site, with slashes.
func show(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
