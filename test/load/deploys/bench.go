package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/test/harness"
)

const (
	token = "deploys-0123456789abcdef01234567"
	site  = "shop"
	// limit bounds one deploy.
	limit = 5 * time.Minute
)

// bench is what all measurements have in common.
type bench struct {
	dir string // of everything
}

func (b *bench) site() string { return filepath.Join(b.dir, "site") }

// ours is the command line that is measured, run in the folder of the site.
func (b *bench) ours() []string {
	return []string{filepath.Join(b.dir, "nightshift"), "deploy", "--prod", "--site", site}
}

// prepare builds the programs and writes the site.
func (b *bench) prepare(ctx context.Context, functions, files int) error {
	if err := harness.Build(ctx, b.dir); err != nil {
		return err
	}
	write := func(name, text string) error {
		path := filepath.Join(b.site(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o644)
	}
	// Each function imports a module of the site, so that there is something to
	// bundle, and some code of its own.
	err := write("netlify.toml", "[build]\n  publish = \"public\"\n[functions]\n  directory = \"netlify/functions\"\n")
	for i := range functions {
		if err == nil {
			err = write(fmt.Sprintf("netlify/functions/f%d.mjs", i), fmt.Sprintf(
				"import { greet } from '../../lib/greet.mjs';\nconst table = %s;\nexport default async (request) => new Response(greet(%d, table));\n",
				"["+strings.Repeat(fmt.Sprintf("'row %d',\n", i), 200)+"]", i))
		}
	}
	if err == nil {
		err = write("lib/greet.mjs", "export const greet = (n, table) => `function ${n} of ${table.length} rows`;\n")
	}
	for i := range files {
		if err == nil {
			err = write(fmt.Sprintf("public/page%d.html", i), strings.Repeat(fmt.Sprintf("<p>page %d</p>\n", i), 500))
		}
	}
	return err
}

// measure deploys to a fresh installation, and then once more.
func (b *bench) measure(ctx context.Context, m *measured) (err error) {
	data, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return err
	}
	var fleet harness.Fleet
	redis, err := fleet.StartRedis(ctx, harness.EverySecond)
	if err != nil {
		return err
	}
	defer func() {
		if closed := fleet.Close(); err == nil {
			err = closed
		}
		_ = redis.Remove()
		_ = artifact.Remove(data)
		// What a client keeps beside the site to be quicker the next time.
		_ = os.RemoveAll(filepath.Join(b.site(), ".netlify"))
		_ = os.RemoveAll(filepath.Join(b.site(), ".nightshift"))
	}()
	services, err := fleet.StartServices(ctx, harness.Setup{
		Bin: b.dir, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(data, "blobs"),
			"NIGHTSHIFT_TOKEN=" + token, "NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(data, "worker"),
		},
	})
	if err != nil {
		return err
	}
	api, err := client.New(services.Admin[0]+"/api/v1", token, nil)
	if err != nil {
		return err
	}
	defer api.Close()
	if _, err := api.CreateSite(ctx, site); err != nil {
		return err
	}
	for _, times := range []*[]time.Duration{&m.cold, &m.unchanged} {
		took, err := b.deploy(ctx, &fleet, services, m)
		if err != nil {
			return err
		}
		*times = append(*times, took)
	}
	list, err := api.Deploys(ctx, site, 10)
	if err != nil || len(list) != 2 || !list[0].Published {
		return fmt.Errorf("two deploys were made, of which the second one should be published: %+v, %v", list, err)
	}
	return nil
}

// deploy runs the command line and returns how long it took.
func (b *bench) deploy(ctx context.Context, fleet *harness.Fleet, services *harness.Services, m *measured) (time.Duration, error) {
	api := services.Admin[0] + "/api/v1"
	env := harness.Environ("CI=1", "NIGHTSHIFT_API_URL="+api, "NIGHTSHIFT_TOKEN="+token, "NETLIFY_API_URL="+api, "NETLIFY_AUTH_TOKEN="+token)
	for _, name := range m.env {
		env = append(env, name+"="+os.Getenv(name))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	p, err := fleet.Start(harness.Spec{Name: "client", Path: m.command[0], Args: m.command[1:], Env: env, Dir: b.site()})
	if err != nil {
		return 0, err
	}
	code, err := p.Wait(ctx)
	took := time.Since(begun)
	if err != nil || code != 0 {
		return 0, fmt.Errorf("%v ended with %d, %v:\n%s", m.command, code, err, p.Log)
	}
	return took, nil
}
