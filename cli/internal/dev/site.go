package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/cli/internal/deploy"
	"github.com/nightshift/nightshift/cli/internal/dev/watch"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/embedded"
)

// deploy prints the problems of a build and deploys what could be built, with
// stand-ins for the rest. buildErr is that there is nothing to build.
func (s *session) deploy(ctx context.Context, result *build.Result, buildErr error) error {
	view.Problems(s.out, s.cfg.Style, result.Problems)
	if buildErr != nil {
		message, _ := fault.Public(buildErr)
		fmt.Fprintf(s.out, "%s %s\n", s.cfg.Style.Warn("warning"), message)
	}
	functions := slices.Clone(result.Functions)
	for _, broken := range result.Broken {
		stand, err := standIn(broken, s.good[broken.Name])
		if err != nil {
			return err
		}
		functions = append(functions, stand)
	}
	for _, f := range result.Functions {
		s.good[f.Name] = f.Function
	}
	environment := s.environment(result)
	fingerprint, err := fingerprintOf(functions, result, environment)
	if err != nil || fingerprint == s.deployed {
		return err
	}
	if _, err := deploy.Run(ctx, s.client, deploy.Request{Site: Site, Functions: functions, Files: result.Files, Redirects: result.Redirects, Headers: result.Headers, Environment: environment}); err != nil {
		return err
	}
	s.deployed, s.variables = fingerprint, environment
	return nil
}

// fingerprintOf tells whether a deploy would change anything.
func fingerprintOf(functions []build.Function, result *build.Result, environment []api.EnvironmentVariable) (string, error) {
	described := make([]function.Function, len(functions))
	for i, f := range functions {
		described[i] = f.Function
	}
	data, err := json.Marshal([]any{described, result.Files, result.Redirects, result.Headers, environment})
	return string(data), err
}

// standIn makes a function that answers with the reason why there is no better
// one, on the paths that the last good version had. It is sync whatever the
// function was, so that the reason reaches whoever calls.
func standIn(broken build.Broken, good function.Function) (build.Function, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s could not be built.\n\n", broken.Name)
	view.Problems(&text, view.Plain, slices.DeleteFunc(slices.Clone(broken.Problems), func(p problem.Problem) bool { return p.Warning }))
	quoted, err := json.Marshal(text.String())
	if err != nil {
		return build.Function{}, err
	}
	const entry = "build-error.mjs"
	code := fmt.Sprintf("export default () => new Response(%s, { status: 500, headers: { 'content-type': 'text/plain; charset=utf-8' } })\n", quoted)
	zip, digest, err := artifact.Pack([]artifact.File{{Path: entry, Data: []byte(code)}})
	if err != nil {
		return build.Function{}, err
	}
	return build.Function{Zip: zip, Function: function.Function{
		Name: broken.Name, Kind: function.Sync, API: function.APIv2, Runtime: "node", Entry: entry, Artifact: digest,
		Source: broken.Source, Paths: good.Paths, ExcludedPaths: good.ExcludedPaths, Methods: good.Methods,
	}}, nil
}

// watch redeploys after each change, until ctx ends.
func (s *session) watch(ctx context.Context, last *build.Result) {
	for {
		s.watcher.Watch(watchSet(last))
		changed, err := s.watcher.Next(ctx)
		if err != nil {
			return
		}
		begun := time.Now()
		next, buildErr := s.build(ctx, last)
		switch {
		case ctx.Err() != nil:
			return
		case buildErr != nil && !fault.Is(buildErr, fault.NotFound):
			s.complain(buildErr)
			continue
		}
		keepInputs(next, last)
		before, variables := s.deployed, s.variables
		if err := s.deploy(ctx, next, buildErr); err != nil {
			if ctx.Err() == nil {
				s.complain(err)
			}
			last = next
			continue
		}
		if s.deployed != before {
			s.changes(changed, last, next, !slices.EqualFunc(variables, s.variables, sameVariable), time.Since(begun))
		}
		if next.DevCommand != last.DevCommand {
			fmt.Fprintf(s.out, "%s [dev] command has changed; start again for it\n", s.cfg.Style.Warn("warning"))
		}
		last = next
	}
}

// keepInputs lets a function that no longer builds keep the files that it was
// made of before: the mistake may be in any of them.
func keepInputs(next, last *build.Result) {
	before := map[string][]string{}
	for _, f := range last.Functions {
		before[f.Name] = f.Inputs
	}
	for _, b := range last.Broken {
		before[b.Name] = b.Inputs
	}
	for i := range next.Broken {
		next.Broken[i].Inputs = slices.Concat(next.Broken[i].Inputs, before[next.Broken[i].Name])
	}
}

func watchSet(r *build.Result) watch.Set {
	set := watch.Set{Root: r.Root, Trees: append(slices.Clone(r.Internal), r.Directory)}
	if r.Publish != "" {
		set.Trees = append(set.Trees, r.Publish)
	}
	for _, f := range r.Functions {
		set.Inputs = append(set.Inputs, f.Inputs...)
	}
	for _, b := range r.Broken {
		set.Inputs = append(set.Inputs, b.Inputs...)
	}
	if r.Next != nil {
		set.Inputs = append(set.Inputs, r.Next.Inputs...)
		set.Trees = append(set.Trees, r.Next.Trees...)
	}
	for _, name := range envFiles {
		set.Inputs = append(set.Inputs, filepath.Join(r.Base(), name))
	}
	slices.Sort(set.Inputs)
	set.Inputs = slices.Compact(set.Inputs)
	return set
}

// changes prints what a change of a file did.
func (s *session) changes(file string, last, next *build.Result, environment bool, took time.Duration) {
	before, after := versions(last), versions(next)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, ok := before[name]; !ok {
			parts = append(parts, "new "+name)
		} else if was != after[name] {
			parts = append(parts, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			parts = append(parts, "without "+name)
		}
	}
	if n := changedFiles(last.Files, next.Files); n > 0 {
		parts = append(parts, view.Count(n, "static file"))
	}
	if !reflect.DeepEqual(last.Redirects, next.Redirects) {
		parts = append(parts, view.Count(len(next.Redirects), "redirect"))
	}
	if !reflect.DeepEqual(last.Headers, next.Headers) {
		parts = append(parts, view.Count(len(next.Headers), "header rule"))
	}
	if environment {
		parts = append(parts, "environment of all functions")
	}
	label := s.cfg.Style.Good("Deployed")
	if len(next.Broken) > 0 {
		label = s.cfg.Style.Warn("Deployed, " + view.Count(len(next.Broken), "function") + " broken,")
	}
	fmt.Fprintf(s.out, "%s after a change of %s: %s (%s)\n", label, file, strings.Join(parts, ", "), round(took))
}

// changedFiles counts the static files that came, went or became others.
func changedFiles(last, next []static.File) int {
	before := map[string]string{}
	for _, f := range last {
		before[f.Path] = f.Digest
	}
	n := 0
	for _, f := range next {
		if before[f.Path] != f.Digest {
			n++
		}
		delete(before, f.Path)
	}
	return n + len(before)
}

// versions tells the versions of functions apart, by name.
func versions(r *build.Result) map[string]string {
	out := map[string]string{}
	for _, f := range r.Functions {
		data, _ := json.Marshal(f.Function) // a struct of strings and numbers
		out[f.Name] = string(data)
	}
	for _, b := range r.Broken {
		out[b.Name] = fmt.Sprint(b.Problems)
	}
	return out
}

// progress tells what a build is busy with.
func (s *session) progress(line string) { fmt.Fprintln(s.out, s.cfg.Style.Dim(line)) }

func (s *session) complain(err error) {
	message, _ := fault.Public(err)
	if fault.KindOf(err) == fault.Internal {
		message = err.Error()
	}
	fmt.Fprintf(s.out, "%s not deployed: %s\n", s.cfg.Style.Bad("error"), message)
}

// greet prints the title, and a warning where it matters.
func (s *session) greet() {
	fmt.Fprintf(s.out, "%s %s\n\n", s.cfg.Style.Bold("Nightshift dev"), s.root)
	if r := s.redis.embedded; r != nil && !r.Durable() {
		fmt.Fprintf(s.out, "%s neither redis-server nor valkey-server is on PATH, so a store in memory is used: NOTHING SURVIVES A RESTART. Install redis-server, or give --redis\n\n", s.cfg.Style.Warn("warning"))
	}
}

// table prints the functions.
func (s *session) table(result *build.Result) {
	base := "http://" + s.services.gateway.Addr()
	list := view.Built(result.Functions, base, true)
	if len(list) == 0 {
		fmt.Fprintf(s.out, "  no functions yet; they are looked for in %s\n", result.Directory)
	} else {
		view.Functions(s.out, s.cfg.Style, list, time.Now())
	}
	if result.Publish != "" {
		fmt.Fprintf(s.out, "  %s of %s\n", view.Count(len(result.Files), "static file"), result.Publish)
	}
	if rules := view.Rules(len(result.Redirects), len(result.Headers)); rules != "" {
		fmt.Fprintf(s.out, "  %s\n", rules)
	}
	fmt.Fprintln(s.out)
}

// addresses prints where everything is.
func (s *session) addresses() {
	line := func(label, text string) { fmt.Fprintf(s.out, "  %s %s\n", s.cfg.Style.Dim(label), text) }
	line("functions ", "http://"+s.services.gateway.Addr())
	line("console   ", "http://"+s.services.gateway.AdminAddr())
	switch r := s.redis.embedded; {
	case r == nil:
		line("store     ", "the given Redis")
	case r.Kind() == embedded.Miniredis:
		line("store     ", "in memory ("+r.Kind()+")")
	default:
		line("store     ", r.Kind()+", data in "+s.data)
	}
	if n := len(s.variables); n > 0 {
		line("variables ", fmt.Sprintf("%d, from %s", n, s.sources))
	}
	if s.cfg.Cron {
		line("schedules ", "fire by themselves")
	} else {
		line("schedules ", "fire when their URL is called; --cron lets them fire by themselves")
	}
	fmt.Fprintln(s.out)
}
