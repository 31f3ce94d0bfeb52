package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/nightshift/nightshift/test/harness"
)

// What peers are set to. A poll of 1 s, which is asynq's own, would have calls
// wait for half a second.
const (
	peerConcurrency = "CONCURRENCY=50"
	peerPoll        = "POLL=5ms"
	backgroundPath  = "/.netlify/functions/noop-background"
)

func peersDir(name string) string {
	return filepath.Join(harness.Root(), "test", "load", "peers", name)
}

// startBull starts BullMQ behind Fastify, with the handler in the worker's process.
func startBull(ctx context.Context, b *bench, workers bool) (*running, error) {
	dir := peersDir("bullmq")
	if !exists(filepath.Join(dir, "node_modules", ".package-lock.json")) {
		return nil, fmt.Errorf("the packages of BullMQ and Fastify are not installed: npm ci --prefix %s", dir)
	}
	c, err := newCrew(ctx)
	if err != nil {
		return nil, err
	}
	start := func() error {
		addr, err := c.serve(ctx, harness.Spec{Name: "gateway", Path: b.node, Args: []string{"api.mjs"}, Dir: dir})
		if err != nil {
			return err
		}
		c.running.target = "http://" + addr + backgroundPath
		if !workers {
			return nil
		}
		return c.work(ctx, harness.Spec{Name: "worker", Path: b.node, Args: []string{"worker.mjs"}, Dir: dir, Env: []string{peerConcurrency}})
	}
	if err := start(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return &c.running, nil
}

// startAsynqGo and startAsynqNode start asynq behind Echo. The function is Go in
// the worker's process, or a Node process that the worker calls over HTTP.
func startAsynqGo(ctx context.Context, b *bench, workers bool) (*running, error) {
	return startAsynq(ctx, b, workers, false)
}

func startAsynqNode(ctx context.Context, b *bench, workers bool) (*running, error) {
	return startAsynq(ctx, b, workers, true)
}

func startAsynq(ctx context.Context, b *bench, workers, overHTTP bool) (*running, error) {
	c, err := newCrew(ctx)
	if err != nil {
		return nil, err
	}
	start := func() error {
		program, settings := filepath.Join(b.dir, "asynq"), []string{peerConcurrency, peerPoll}
		addr, err := c.serve(ctx, harness.Spec{Name: "gateway", Path: program, Args: []string{"gateway"}})
		if err != nil {
			return err
		}
		c.running.target = "http://" + addr + backgroundPath
		if !workers {
			return nil
		}
		if overHTTP {
			addr, err := c.serve(ctx, harness.Spec{Name: functions, Path: b.node, Args: []string{"fn.mjs"}, Dir: peersDir("asynq")})
			if err != nil {
				return err
			}
			settings = append(settings, "FUNCTION=http://"+addr+"/")
		}
		return c.work(ctx, harness.Spec{Name: "worker", Path: program, Args: []string{"worker"}, Env: settings})
	}
	if err := start(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return &c.running, nil
}

// buildPeer builds the peer that is Go beside our own programs.
func buildPeer(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "asynq"), "./test/load/peers/asynq")
	cmd.Dir = harness.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building asynq: %w\n%s", err, out)
	}
	return nil
}
