// Package installation starts the product for a measurement: a Redis, gateways,
// workers and schedulers as processes of their own, with the settings that they
// come with, and a site.
package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nightshift/nightshift/test/harness"
)

// Options say what to start.
type Options struct {
	Bin  string // the folder of the programs
	Site string // the folder of the site that is deployed

	Gateways, Workers int
	Redis             string   // URL of one that runs; empty: one of its own
	RedisArgs         []string // options of its own
	Env               []string // settings beside the needed ones
}

// Installation runs until it is closed.
type Installation struct {
	Services *harness.Services
	Redis    *harness.Node // nil if it was given

	fleet harness.Fleet
	dir   string
}

// Token is what the control plane wants.
const Token = "bench-0123456789abcdef0123456789"

// Start starts one scheduler, too, and deploys the site.
func Start(ctx context.Context, o Options) (*Installation, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	in := &Installation{dir: dir}
	if err := in.start(ctx, o); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (in *Installation) start(ctx context.Context, o Options) (err error) {
	url := o.Redis
	if url == "" {
		if in.Redis, err = in.fleet.StartNode(ctx, "redis", append([]string{"--maxmemory-policy", "noeviction"}, o.RedisArgs...)...); err != nil {
			return err
		}
		url = in.Redis.URL()
	}
	in.Services, err = in.fleet.StartServices(ctx, harness.Setup{
		Bin: o.Bin, Gateways: o.Gateways, Workers: o.Workers, Schedulers: 1,
		Env: append([]string{
			"NIGHTSHIFT_REDIS_URL=" + url, "NIGHTSHIFT_TOKEN=" + Token, "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(in.dir, "blobs"),
			"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(in.dir, "code"), "TMPDIR=" + in.dir,
			// The runs queue more than a site may that nobody knows.
			"NIGHTSHIFT_SITE_BACKLOG=10000000",
		}, o.Env...),
	})
	if err != nil {
		return err
	}
	_, err = in.Services.Nightshift(ctx, "deploy", o.Site, "--prod")
	return err
}

// URL is where gateway i, from 0 on, takes calls of a function.
func (in *Installation) URL(i int, function string) string {
	return in.Services.Data[i] + "/.netlify/functions/" + function
}

// Pid is the process ID of a service, such as worker1, or of redis.
func (in *Installation) Pid(name string) (int, error) {
	p, err := in.fleet.Process(name)
	if err != nil {
		return 0, err
	}
	if !p.Running() {
		return 0, fmt.Errorf("%s has ended:\n%s", name, p.Log.Tail(20))
	}
	return p.Pid(), nil
}

// Stop ends a service in its own time; Services.Again starts it again.
func (in *Installation) Stop(ctx context.Context, name string) error {
	p, err := in.fleet.Process(name)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

// Site is the folder of a site with noop-background, which tells by a datagram
// that it has started, and with sync functions that do nothing.
func Site() string { return filepath.Join(harness.Root(), "test", "load", "installation", "site") }

// Close ends all processes and removes what they wrote.
func (in *Installation) Close() error {
	err := in.fleet.Close()
	if in.Redis != nil {
		err = errors.Join(err, in.Redis.Remove())
	}
	return errors.Join(err, harness.RemoveReadOnly(in.dir))
}
