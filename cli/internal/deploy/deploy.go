// Package deploy sends a built site to the control plane: announce the
// functions, upload the artifacts that the server lacks, wait until the deploy
// is ready. `nightshift deploy` and `nightshift dev` both come through here, so
// what works in dev works on a real installation.
package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
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
	// Deploy reads a deploy of a site.
	Deploy(ctx context.Context, site, id string) (api.Deploy, error)
}

// Request is what is deployed.
type Request struct {
	Site      string
	Branch    string // empty: none
	Draft     bool   // reachable on its permalink only
	Functions []build.Function
	// Uploading, if not nil, is told before the uploads how many there are.
	Uploading func(n int)
}

// uploads is how many artifacts are sent at once.
const uploads = 4

// tries is how often an upload is sent while the server says that it is
// unavailable for a moment.
const tries = 4

// poll is how often the state of the deploy is asked for.
const poll = 100 * time.Millisecond

// Run deploys and returns the deploy once it is ready.
func Run(ctx context.Context, client Client, req Request) (api.Deploy, error) {
	created, err := client.CreateDeploy(ctx, req.Site, api.CreateDeploy{Draft: req.Draft, Branch: req.Branch, Functions: describe(req.Functions)})
	if err != nil {
		return api.Deploy{}, err
	}
	missing, err := missing(req.Functions, created.RequiredFunctions)
	if err != nil {
		return created, err
	}
	if req.Uploading != nil {
		req.Uploading(len(missing))
	}
	group, uploadCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, f := range missing {
		group.Go(func() error { return upload(uploadCtx, client, created.ID, f) })
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

// missing picks one function for each digest that the server asked for.
func missing(functions []build.Function, digests []string) ([]build.Function, error) {
	var out []build.Function
	for _, digest := range digests {
		i := slices.IndexFunc(functions, func(f build.Function) bool { return f.Artifact == digest })
		if i < 0 {
			return nil, fmt.Errorf("the server asks for the artifact %s, which is not part of this deploy", digest)
		}
		out = append(out, functions[i])
	}
	return out, nil
}

// upload sends one artifact, again while trying again helps.
func upload(ctx context.Context, client Client, deployID string, f build.Function) error {
	for try := 1; ; try++ {
		_, err := client.UploadFunction(ctx, deployID, f.Name, bytes.NewReader(f.Zip))
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
