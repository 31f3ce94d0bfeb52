// Package deploy sends a built site to the control plane: announce the functions
// and static files, upload those that the server lacks, wait until the deploy is
// ready. `nightshift deploy` and `nightshift dev` both come through here, so
// what works in dev works on a real installation.
//
//	announce ─▶ upload what is missing ─▶ await ─▶ ready
//	               └──────────┴──▶ give up: the server is told
//
// A deploy is visible once it is ready, so whatever fails before leaves nothing
// behind that anybody could see.
package deploy

import (
	"cmp"
	"context"
	"fmt"
	"io"
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
	// CancelDeploy gives a deploy up that is not ready; a ready one is fault.Conflict.
	CancelDeploy(ctx context.Context, id string) (api.Deploy, error)
}

// Request is what is deployed.
type Request struct {
	Site       string
	Branch     string // empty: none
	Title      string
	Draft      bool // reachable on its permalink, and by its branch, only
	Production bool // published although it has a branch
	Functions  []build.Function
	Files      []static.File
	Redirects  []deploy.Redirect
	Headers    []deploy.HeaderRule
	// Environment are variables for this deploy alone.
	Environment []api.EnvironmentVariable
	// Uploading, if not nil, is told before the uploads what there is to send.
	Uploading func(Uploads)
	// Sent, if not nil, is told of each piece that is on its way, by several
	// uploads at once; of one that has to be sent again, as a negative number.
	Sent func(bytes int64)
}

// Uploads is what the server lacks.
type Uploads struct {
	Artifacts, Files int
	Bytes            int64 // of both
}

// uploads is how many artifacts and files are sent at once.
const uploads = 8

// tries is how often something is sent while the server says that it is
// unavailable for a moment.
const tries = 4

// poll is how often the state of the deploy is asked for.
const poll = 100 * time.Millisecond

// giveUpTimeout bounds telling the server that a deploy is given up.
const giveUpTimeout = 5 * time.Second

// Run deploys and returns the deploy once it is ready. With an error the deploy
// that comes back is how it was left: given up, or, if it was too late for that,
// ready; without an ID there is none.
func Run(ctx context.Context, client Client, req Request) (api.Deploy, error) {
	created, err := client.CreateDeploy(ctx, req.Site, api.CreateDeploy{
		Draft: req.Draft, Branch: req.Branch, Production: req.Production, Title: req.Title,
		Functions: describe(req.Functions), Files: manifest(req.Files),
		Redirects: req.Redirects, Headers: req.Headers, Environment: req.Environment,
	})
	if err != nil {
		return api.Deploy{}, err
	}
	done, err := complete(ctx, client, req, created)
	if err != nil && done.State != string(deploy.Failed) {
		done = giveUp(ctx, client, done)
	}
	return done, err
}

// complete brings a deploy that is announced to its end.
func complete(ctx context.Context, client Client, req Request, created api.Deploy) (api.Deploy, error) {
	functions, err := missing(req.Functions, created.RequiredFunctions, func(f build.Function) string { return f.Artifact })
	if err != nil {
		return created, err
	}
	files, err := missing(req.Files, created.Required, func(f static.File) string { return f.Digest })
	if err != nil {
		return created, err
	}
	if req.Uploading != nil {
		told := Uploads{Artifacts: len(functions), Files: len(files)}
		for _, f := range functions {
			told.Bytes += int64(len(f.Zip))
		}
		for _, f := range files {
			told.Bytes += f.Size
		}
		req.Uploading(told)
	}
	group, uploadCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	send := sender{client: client, deployID: created.ID, sent: req.Sent}
	// What is large goes first, so that it is not what all wait for at the end.
	slices.SortStableFunc(functions, func(a, b build.Function) int { return len(b.Zip) - len(a.Zip) })
	slices.SortStableFunc(files, func(a, b static.File) int { return cmp.Compare(b.Size, a.Size) })
	for _, f := range functions {
		group.Go(func() error { return send.function(uploadCtx, f) })
	}
	for _, f := range files {
		if uploadCtx.Err() != nil {
			break
		}
		group.Go(func() error { return send.file(uploadCtx, f) })
	}
	err = group.Wait()
	switch {
	case ctx.Err() != nil: // not in what words which upload noticed it
		return created, ctx.Err()
	case err != nil:
		return created, err
	}
	if created.State == string(deploy.Ready) { // the server had everything
		return created, nil
	}
	return await(ctx, client, created)
}

// giveUp tells the server that nothing more comes, whatever has ended ctx, and
// returns what became of the deploy. If the server cannot be told, the deploy
// stays incomplete, which nobody sees, until it is collected.
func giveUp(ctx context.Context, client Client, d api.Deploy) api.Deploy {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	left, err := client.CancelDeploy(ctx, d.ID)
	if fault.Is(err, fault.Conflict) { // it is past that: ready, most likely
		left, err = client.Deploy(ctx, d.Site, d.ID)
	}
	if err != nil {
		return d
	}
	return left
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
		var current api.Deploy
		err := again(ctx, func() (err error) {
			current, err = client.Deploy(ctx, d.Site, d.ID)
			return err
		})
		if err != nil {
			return d, err
		}
		switch deploy.State(current.State) {
		case deploy.Ready:
			return current, nil
		case deploy.Failed:
			return current, failed(current)
		}
		if err := pause(ctx, poll); err != nil {
			return current, fmt.Errorf("waiting for deploy %s to become ready: %w", d.ID, err)
		}
	}
}

// failed is the fault of a deploy that the server gave up.
func failed(d api.Deploy) error {
	why := ""
	if d.ErrorMessage != "" {
		why = ": " + d.ErrorMessage
	}
	return fault.New(fault.Conflict, "deploy %s failed on the server and is not visible to anybody%s; deploy again", d.ID, why)
}

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
