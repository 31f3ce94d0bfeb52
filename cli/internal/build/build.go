// Package build turns the source of a site into deployable functions, and
// collects the static files beside them.
//
//	discover      which files are functions, and of which kind
//	netlifytoml   what netlify.toml says about them
//	manifest      what Netlify's own tools wrote beside them
//	setting       all that is said about a function together, checked
//	static        the files that are served as they are
//
// Redirects and headers are read by package rulefile, of shared, because the
// control plane reads them too.
//
// Each kind of source has packages of its own, and kinds.go is where they meet:
//
//	insource, bundle   JavaScript: what it says about itself; with all that it imports, as files
//	archive            zips that were bundled elsewhere
//	golang             Go programs
//	executable         programs that were built elsewhere
//	nextjs             the API routes of a Next.js site, by the site's own next build
//
// A function with a problem is left out and reported with file, line and
// column; the others are built. Of the site nothing is executed but next build.
// Equal sources give equal artifacts, apart from what next build makes anew.
package build

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/build/discover"
	"github.com/nightshift/nightshift/cli/internal/build/executable"
	"github.com/nightshift/nightshift/cli/internal/build/netlifytoml"
	"github.com/nightshift/nightshift/cli/internal/build/nextjs"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup" // bounds how many bundles are made at once
)

// DefaultDirectory is where functions are when nothing says otherwise.
const DefaultDirectory = "netlify/functions"

// internalDirectories are where frameworks put the functions that they
// generate, weakest first: Netlify's older and newer interface for them.
var internalDirectories = []string{".netlify/functions-internal", ".netlify/v1/functions"}

// Options say what is built.
type Options struct {
	// Root is the site's directory: the one with netlify.toml.
	Root string
	// Dev prefers [dev] functions and publish over those of [functions] and
	// [build], and makes programs for this machine instead of for workers.
	Dev bool
	// Scratch is a directory in which a build may leave what makes the next one
	// of the same site quicker. Empty: none.
	Scratch string
	// Directory of the functions, relative to the site; it goes before what
	// netlify.toml says.
	Directory string
	// Contexts are those tables of netlify.toml's [context] that count, the
	// later before the earlier: what the deploy is for, and its branch.
	Contexts []string
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
	Root      string // absolute
	Directory string // of the functions, absolute
	// Internal are the directories of generated functions, absolute; they need not exist.
	Internal   []string
	DevCommand string // [dev] command
	// Environment is [build.environment], which functions see in development only.
	Environment map[string]string
	Functions   []Function
	Broken      []Broken
	Publish     string // directory of the static files, absolute; empty: none
	Files       []static.File
	// Redirects and Headers are those of `_redirects` and `_headers`, then those of
	// netlify.toml, as Netlify has it.
	Redirects []deploy.Redirect
	Headers   []deploy.HeaderRule
	// Problems are all of them, those of Broken too, sorted by place.
	Problems []problem.Problem
	// Next are the routes of a Next.js site, nil without any. Its functions
	// stand in Functions and Broken too, behind the others.
	Next *nextjs.Result

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
	result.DevCommand, result.Environment = config.DevCommand, config.Environment
	if result.Directory = directory(result.base, config, opts); !inside(root, result.Directory) {
		at := config.DirectoryAt
		result.Problems = append(result.Problems, problem.Errorf(at, "the functions directory %s must be inside the site %s", result.Directory, root))
	}
	if problem.Errors(result.Problems) > 0 {
		return result, nil
	}
	if err := result.next(ctx, config, opts); err != nil {
		return result, err
	}
	result.static(config, opts.Dev)
	result.rules(config)
	for _, dir := range internalDirectories {
		result.Internal = append(result.Internal, filepath.Join(result.base, filepath.FromSlash(dir)))
	}
	candidates, problems, err := discover.Find(result.base, append(slices.Clone(result.Internal), result.Directory)...)
	switch {
	case fault.Is(err, fault.NotFound) && result.withoutFunctions(opts):
		if config.Directory != "" {
			problems = []problem.Problem{problem.Warnf(config.DirectoryAt, "there is no directory %s, so no functions are built from it", show(root, result.Directory))}
		}
	case err != nil:
		if fault.Is(err, fault.NotFound) {
			return result, fault.Wrap(err, fault.NotFound, "there is no directory %s in %s; put a function there, for example %s/hello.mjs, or name the directory in netlify.toml: [functions] directory = \"…\"",
				show(root, result.Directory), root, show(root, result.Directory))
		}
		return result, err
	}
	result.Problems = append(result.Problems, problems...)
	manifests, problems := readManifests(result.base, candidates)
	result.Problems = append(result.Problems, problems...)
	kinds := kinds{root: result.base, internal: result.Internal, manifests: manifests, target: executable.Workers(), scratch: opts.Scratch}
	if opts.Dev {
		kinds.target = executable.Host()
	}
	if err := result.all(ctx, kinds, candidates, config); err != nil {
		return nil, err
	}
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.Name
	}
	names = append(names, result.addNext(names)...)
	result.fromRoot()
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

// withoutFunctions reports whether there can be a site without a directory of
// functions: one of routes, or of static files. A directory that the person
// asks for on the command line has to be there.
func (r *Result) withoutFunctions(opts Options) bool {
	return r.Next != nil || r.Publish != "" && opts.Directory == ""
}

// next builds the routes of a Next.js site.
func (r *Result) next(ctx context.Context, config netlifytoml.File, opts Options) (err error) {
	next := nextjs.Options{Root: r.base, Functions: r.Directory, Settings: config.Settings, Dev: opts.Dev, Log: opts.Log}
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

// static collects the static files, if there is a directory for them.
func (r *Result) static(config netlifytoml.File, dev bool) {
	dir, at := config.Publish, config.PublishAt
	if dev && config.DevPublish != "" {
		dir, at = config.DevPublish, config.DevPublishAt
	}
	if dir == "" {
		return
	}
	r.Publish = filepath.Join(r.base, filepath.FromSlash(strings.TrimPrefix(dir, "/")))
	files, problems := static.Collect(static.Input{Root: r.Root, Directory: r.Publish, At: at, Functions: r.Directory})
	r.Files = files
	r.Problems = append(r.Problems, problems...)
}

// all builds the candidates, a few at a time, and keeps their order.
func (r *Result) all(ctx context.Context, kinds kinds, candidates []discover.Candidate, config netlifytoml.File) error {
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
			outcomes[i].function, outcomes[i].problems = one(ctx, kinds, candidate, config.Settings(candidate.Name))
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
func one(ctx context.Context, kinds kinds, c discover.Candidate, fromFile setting.Set) (built Function, problems []problem.Problem) {
	at := problem.Position{File: show(kinds.root, c.Path)}
	built.Inputs = []string{c.Path}
	defer func() {
		for i := range problems {
			problems[i].Function = c.Name
		}
	}()
	read := kinds.read(ctx, c)
	problems = read.problems
	if problem.Errors(problems) > 0 || read.pack == nil {
		return built, problems
	}
	read.function.Name, read.function.Source = c.Name, at.File
	f, bundling, more := setting.Resolve(read.function, setting.Replace(fromFile, read.settings))
	problems = append(problems, more...)
	out := read.pack(bundling)
	problems = append(problems, out.problems...)
	built.Function, built.Inputs = f, append(out.inputs, read.inputs...)
	if problem.Errors(problems) > 0 {
		return built, problems
	}
	built.Entry, built.Zip, built.Artifact = out.entry, out.zip, out.digest
	var err error
	if built.Zip == nil {
		built.Zip, built.Artifact, err = artifact.Pack(out.files)
	}
	if err == nil {
		err = built.Validate()
	}
	if err == nil && len(built.Zip) > artifact.MaxSize {
		err = fault.New(fault.TooLarge, "the function is %d MiB packed; %d MiB are allowed", len(built.Zip)>>20, artifact.MaxSize>>20)
	}
	if err != nil {
		built.Artifact = ""
		return built, append(problems, problem.Errorf(at, "%v", err))
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
