// Package nextjs turns the API routes of a Next.js site into functions.
//
//	detect    is this a Next.js site with routes?
//	next      runs the site's own `next build`
//	manifest  reads what that left behind: the routes, and their order
//	config    what a route's source says about itself, read statically
//	trace     the files that one route needs, and nothing else
//	adapter   the JavaScript that runs a route through the site's own Next
//
// One route becomes one function, whatever its kind. A handler of the app
// directory with a config of its own becomes one beside the others of its file.
package nextjs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/setting"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup" // bounds how many functions are packed at once
)

// Options say what is built.
type Options struct {
	// Root is the site's directory, absolute, without links in it.
	Root string
	// Functions is where functions that are no routes are, absolute: changes
	// there do not concern Next.
	Functions string
	// Settings are those that netlify.toml has for a function.
	Settings func(name string) setting.Set
	// Dev packs the .env files that are for this machine only, too.
	Dev bool
	// Log, if not nil, is told what takes long.
	Log func(line string)
	// Last, if not nil, is the result before; it is the result again if nothing
	// has changed since.
	Last *Result
}

// Function is a built function.
type Function struct {
	function.Function
	Zip    []byte
	Inputs []string
}

// Broken is a function that is there and could not be built.
type Broken struct {
	Name     string
	Source   string
	Inputs   []string
	Problems []problem.Problem
}

// Result is a built site. Functions are in the order in which Next looks for
// the route of a path.
type Result struct {
	Functions []Function
	Broken    []Broken
	Problems  []problem.Problem
	// Inputs are the files that the build depends on, and Trees the folders in
	// which new ones would count.
	Inputs, Trees []string

	config  config
	sources sources
}

// site is one build under way.
type site struct {
	Options
	result  *Result
	version string // of Next
	bin     string // its command, absolute
	config  config
	routes  []route
	shared  shared
}

// Build builds the routes of a site, or returns nil if there are none. The
// error is that of ctx; what is wrong with the site is in Problems.
func Build(ctx context.Context, opts Options) (*Result, error) {
	if !detect(opts.Root) {
		return nil, nil
	}
	if last := opts.Last; last != nil && last.sources != nil && last.sources.same(opts, last.config.DistDir) {
		return last, nil
	}
	if opts.Log == nil {
		opts.Log = func(string) {}
	}
	s := &site{Options: opts, result: &Result{Trees: trees(opts.Root)}}
	if err := s.build(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.failed(err)
	}
	s.localEnvironment()
	s.result.Inputs = s.result.sources.files(opts.Root)
	return s.result, nil
}

// build runs all steps. Its error is about the whole site.
func (s *site) build(ctx context.Context) error {
	s.result.sources = read(s.Options, ".next") // for the watch, should the next steps fail
	if err := s.find(); err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	s.result.config, s.result.sources = s.config, read(s.Options, s.config.DistDir)
	begun := time.Now()
	s.Log(fmt.Sprintf("next build (Next.js %s) runs …", s.version))
	if err := s.next(ctx); err != nil {
		return err
	}
	s.Log(fmt.Sprintf("next build took %s", time.Since(begun).Round(100*time.Millisecond)))
	s.result.sources.absorb(read(s.Options, s.config.DistDir), s.result.Trees)
	if err := s.readManifests(); err != nil {
		return err
	}
	if err := s.traceShared(ctx); err != nil {
		return err
	}
	return s.functions(ctx)
}

// failed records an error that stops every route. Those that there were before
// are broken by it.
func (s *site) failed(err error) {
	message, _ := fault.Public(err)
	if fault.KindOf(err) == fault.Internal {
		message = err.Error()
	}
	p := problem.Errorf(problem.Position{}, "%s", message)
	s.result.Problems = append(s.result.Problems, p)
	if s.Last == nil {
		return
	}
	for _, f := range s.Last.Functions {
		s.result.Broken = append(s.result.Broken, Broken{Name: f.Name, Source: f.Source, Inputs: f.Inputs, Problems: []problem.Problem{p}})
	}
	for _, b := range s.Last.Broken {
		b.Problems = []problem.Problem{p}
		s.result.Broken = append(s.result.Broken, b)
	}
}

// functions makes the functions of all routes.
func (s *site) functions(ctx context.Context) error {
	var all []planned
	taken := map[string]bool{}
	for _, r := range s.routes {
		more, problems := s.plan(r)
		s.result.Problems = append(s.result.Problems, problems...)
		for _, p := range more {
			if taken[p.Name] || !function.ValidName(p.Name) {
				p.Name = distinct(p.Name, r.page)
			}
			taken[p.Name] = true
			all = append(all, p)
		}
	}
	built := make([]Function, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all {
		if problem.Errors(all[i].problems) > 0 {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if built[i], err = s.pack(all[i]); err != nil {
				all[i].problems = append(all[i].problems, problem.Errorf(problem.Position{File: all[i].route.source}, "%v", err))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, p := range all {
		for j := range p.problems {
			p.problems[j].Function = p.Name
		}
		s.result.Problems = append(s.result.Problems, p.problems...)
		if problem.Errors(p.problems) > 0 {
			s.result.Broken = append(s.result.Broken, Broken{
				Name: p.Name, Source: p.route.source, Problems: p.problems,
				Inputs: []string{filepath.Join(s.Root, filepath.FromSlash(p.route.source))},
			})
			continue
		}
		s.result.Functions = append(s.result.Functions, built[i])
	}
	return nil
}

// pack makes the artifact of a function.
func (s *site) pack(p planned) (Function, error) {
	files, err := s.files(p)
	if err != nil {
		return Function{}, err
	}
	f := Function{Function: p.Function, Inputs: []string{filepath.Join(s.Root, filepath.FromSlash(p.route.source))}}
	f.Entry = entry
	if f.Zip, f.Artifact, err = artifact.Pack(files); err != nil {
		return Function{}, err
	}
	return f, f.Validate()
}

// exists reports whether there is a file.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
