package release

import (
	"context"
	"maps"
	"strings"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/schedule"
	"github.com/nightshift/nightshift/shared/store"
)

// Description is what a deploy consists of. Our own clients say all of it.
// Those of Netlify's API leave open what their uploads tell: a function without
// a runtime becomes what its zip is, and a file with a SHA-1 only gets its
// digest and size.
type Description struct {
	Functions []function.Function
	Files     map[string]deploy.File
	// Redirects and Headers are the rules for paths. Clients of Netlify's API send
	// them in a file; see applyConfig.
	Redirects []deploy.Redirect
	Headers   []deploy.HeaderRule
	// Environment is set for this deploy only, over what the site has.
	Environment []environ.Variable
}

// Check says what is wrong with it, as fault.Invalid, whatever uploads will tell.
func (in Description) Check() error {
	return check(deploy.Deploy{Site: anySite, Functions: in.Functions, Files: in.Files, Redirects: in.Redirects, Headers: in.Headers})
}

// describes reports whether a ready deploy consists of what is described, as far
// as code and files go.
func (in Description) describes(d deploy.Deploy) bool {
	if len(in.Functions) != len(d.Functions) {
		return false
	}
	for i := range in.Functions {
		f, ok := d.Function(in.Functions[i].Name)
		if !ok || f.Artifact != in.Functions[i].Artifact {
			return false
		}
	}
	files := maps.Clone(in.Files)
	if f := files[configFile]; f.SHA1 != "" {
		delete(files, configFile) // see applyConfig
	}
	return maps.EqualFunc(files, d.Files, func(a, b deploy.File) bool {
		return a.Digest == b.Digest || a.Digest == "" && a.SHA1 == b.SHA1
	})
}

// anySite stands for the site where it does not matter which one it is.
const anySite = "site"

// Describe says what a deploy consists of, and freezes its environment. It may
// be repeated until the deploy is ready, and then by a client that says the same
// again because the answer was lost. What is wrong with it is fault.Invalid.
func (s *Service) Describe(ctx context.Context, site, id string, in Description) (Progress, error) {
	d, err := s.Deploy(ctx, site, id)
	if err != nil {
		return Progress{}, err
	}
	d.Functions, d.Files, d.Redirects, d.Headers = in.Functions, in.Files, in.Redirects, in.Headers
	if err := check(d); err != nil {
		return Progress{}, err
	}
	why := d.Context(!d.Draft)
	if s.Dev {
		why = deploy.Dev
	}
	sealed, err := s.Environment.Freeze(ctx, site, why, d.Branch, in.Environment)
	if err != nil {
		return Progress{}, err
	}
	err = s.Store.Describe(ctx, d, sealed)
	if fault.Is(err, fault.Conflict) {
		return s.describedBefore(ctx, id, in, err)
	}
	if err != nil {
		return Progress{}, err
	}
	return s.settle(ctx, id)
}

// describedBefore finds out whether a deploy that takes no description any more
// has become ready by the very same one, whose answer was lost.
func (s *Service) describedBefore(ctx context.Context, id string, in Description, conflict error) (Progress, error) {
	d, err := s.Store.Deploy(ctx, id)
	if err != nil {
		return Progress{}, err
	}
	if d.State != deploy.Ready || !in.describes(d) {
		return Progress{}, conflict
	}
	return Progress{Deploy: d}, nil
}

// notKnownYet stands for the entry of a zip that has not been seen.
const notKnownYet = "not-known-yet.js"

// open reports whether the upload of a function's zip tells what it is.
func open(f *function.Function) bool { return f.Runtime == "" }

// fill completes a function by what is known about its zip.
func fill(f *function.Function, z store.Zip) {
	f.Runtime, f.Entry, f.TimeoutMS = z.Runtime, z.Entry, z.TimeoutMS
	f.API = function.APIv1 // Netlify's bootstrap, which is in the zip, speaks that to us
	switch {
	case f.Schedule != "":
		f.Kind = function.Scheduled
		if z.Background && f.TimeoutMS == 0 {
			f.TimeoutMS = function.DefaultBackgroundTimeout.Milliseconds()
		}
	case z.Background:
		f.Kind = function.Background
	default:
		f.Kind = function.Sync
	}
}

// check says what is wrong with a deploy, whatever its uploads will tell, as
// fault.Invalid.
func check(d deploy.Deploy) error {
	functions := make([]function.Function, len(d.Functions))
	for i, f := range d.Functions {
		if open(&f) {
			fill(&f, store.Zip{Runtime: "node", Entry: notKnownYet})
		}
		functions[i] = f
	}
	d.Functions = functions
	if err := d.Validate(); err != nil {
		return fault.New(fault.Invalid, "the deploy is not valid: %v", err)
	}
	for i := range d.Functions {
		f := &d.Functions[i]
		if err := route.Check(f); err != nil {
			return err
		}
		if f.Kind != function.Scheduled {
			continue
		}
		if _, err := schedule.Parse(f.Schedule, f.Timezone); err != nil {
			message, _ := fault.Public(err)
			return fault.New(fault.Invalid, "function %s: %s", f.Name, strings.TrimSuffix(message, "."))
		}
	}
	return nil
}
