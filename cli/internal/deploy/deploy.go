// Package deploy sends a built site to the control plane: announce the functions
// and static files, upload those that the server lacks, wait until the deploy is
// ready. `nightshift deploy` and `nightshift dev` both come through here, so
// what works in dev works on a real installation.
package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"golang.org/x/sync/errgroup" // bounds the uploads that run at once
)

// Client is the part of the control API that a deploy needs. Its errors are faults.
type Client interface {
	// CreateDeploy announces a deploy of a site.
	CreateDeploy(ctx context.Context, site string, body api.CreateDeploy) (api.Deploy, error)
	// UploadFunction sends the artifact of one function. Doing it again is harmless.
	UploadFunction(ctx context.Context, deployID, name string, zip io.Reader) (api.Deploy, error)
	// UploadFile sends one static file. Doing it again is harmless.
	UploadFile(ctx context.Context, deployID, path string, content io.Reader) (api.File, error)
	// Deploy reads a deploy of a site.
	Deploy(ctx context.Context, site, id string) (api.Deploy, error)
}

// Request is what is deployed.
type Request struct {
	Site      string
	Branch    string // empty: none
	Draft     bool   // reachable on its permalink only
	Functions []build.Function
	Files     []static.File
	Redirects []deploy.Redirect
	Headers   []deploy.HeaderRule
	// Environment are variables for this deploy alone.
	Environment []api.EnvironmentVariable
	// Uploading, if not nil, is told before the uploads how many there are.
	Uploading func(artifacts, files int)
}

// uploads is how many artifacts and files are sent at once.
const uploads = 4

// tries is how often an upload is sent while the server says that it is
// unavailable for a moment.
const tries = 4

// poll is how often the state of the deploy is asked for.
const poll = 100 * time.Millisecond

// Run deploys and returns the deploy once it is ready.
func Run(ctx context.Context, client Client, req Request) (api.Deploy, error) {
	created, err := client.CreateDeploy(ctx, req.Site, api.CreateDeploy{
		Draft: req.Draft, Branch: req.Branch, Functions: describe(req.Functions), Files: manifest(req.Files), Environment: req.Environment,
		Redirects: req.Redirects, Headers: req.Headers,
	})
	if err != nil {
		return api.Deploy{}, err
	}
	functions, err := missing(req.Functions, created.RequiredFunctions, func(f build.Function) string { return f.Artifact })
	if err != nil {
		return created, err
	}
	files, err := missing(req.Files, created.Required, func(f static.File) string { return f.Digest })
	if err != nil {
		return created, err
	}
	if req.Uploading != nil {
		req.Uploading(len(functions), len(files))
	}
	group, uploadCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, f := range files {
		group.Go(func() error { return uploadFile(uploadCtx, client, created.ID, f) })
	}
	for _, f := range functions {
		group.Go(func() error {
			return again(uploadCtx, func() error {
				_, err := client.UploadFunction(uploadCtx, created.ID, f.Name, bytes.NewReader(f.Zip))
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return created, err
	}
	return await(ctx, client, created)
}

func describe(functions []build.Function) []function.Function {
	out := make([]function.Function, len(functions))
	for i, f := range functions {
		out[i] = f.Function
	}
	return out
}

// manifest describes static files by path.
func manifest(files []static.File) map[string]deploy.File {
	out := make(map[string]deploy.File, len(files))
	for _, f := range files {
		out[f.Path] = f.File
	}
	return out
}

// missing picks one thing for each digest that the server asked for.
func missing[T any](all []T, digests []string, digestOf func(T) string) ([]T, error) {
	byDigest := make(map[string]T, len(all))
	for _, thing := range slices.Backward(all) { // of equal ones the first
		byDigest[digestOf(thing)] = thing
	}
	var out []T
	for _, digest := range digests {
		thing, ok := byDigest[digest]
		if !ok {
			return nil, fmt.Errorf("the server asks for the artifact %s, which is not part of this deploy", digest)
		}
		out = append(out, thing)
	}
	return out, nil
}

// uploadFile sends one static file.
func uploadFile(ctx context.Context, client Client, deployID string, f static.File) error {
	return again(ctx, func() error {
		content, err := os.Open(f.Source)
		if err != nil {
			return fault.Wrap(err, fault.Conflict, "%s has changed while it was deployed; deploy again", f.Path)
		}
		defer content.Close()
		_, err = client.UploadFile(ctx, deployID, f.Path, content)
		if fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge) { // other bytes than the digest says
			err = fault.Wrap(err, fault.Conflict, "%s has changed while it was deployed; deploy again", f.Path)
		}
		return err
	})
}

// again sends something, and again while trying again helps.
func again(ctx context.Context, send func() error) error {
	for try := 1; ; try++ {
		err := send()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Throttled) || try == tries {
			return err
		}
		_, after := fault.Public(err)
		if err := pause(ctx, max(after, time.Duration(try)*200*time.Millisecond)); err != nil {
			return err
		}
	}
}

// await asks until the deploy is ready.
func await(ctx context.Context, client Client, d api.Deploy) (api.Deploy, error) {
	for {
		current, err := client.Deploy(ctx, d.Site, d.ID)
		if err != nil {
			return d, err
		}
		switch deploy.State(current.State) {
		case deploy.Ready:
			return current, nil
		case deploy.Failed:
			return current, fault.New(fault.Conflict, "deploy %s failed on the server and is not visible to anybody; deploy again", d.ID)
		}
		if err := pause(ctx, poll); err != nil {
			return current, fmt.Errorf("waiting for deploy %s to become ready: %w", d.ID, err)
		}
	}
}

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
