package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Durability is when Redis writes to disk what it was told.
type Durability string

// The durabilities that tests need.
const (
	// BeforeReply makes killing the server lose nothing that was confirmed.
	BeforeReply Durability = "always"
	// EverySecond is Redis's own default.
	EverySecond Durability = "everysec"
)

// Redis is a private redis-server on a unix socket.
type Redis struct {
	fleet      *Fleet
	dir        string
	durability Durability
	env        []string
}

// RedisDir makes a folder for the data of a Redis, below NIGHTSHIFT_TEST_REDIS_DIR or,
// without it, where temporary files are. A disk that others write to can hold up fsync,
// and Redis with it, for seconds; a folder in memory cannot. Socket paths are limited
// to about 100 bytes, which folders of tests exceed.
func RedisDir() (string, error) { return os.MkdirTemp(os.Getenv("NIGHTSHIFT_TEST_REDIS_DIR"), "redis") }

// StartRedis starts a server of its own for the fleet. env is added to its
// environment.
func (f *Fleet) StartRedis(ctx context.Context, d Durability, env ...string) (*Redis, error) {
	dir, err := RedisDir()
	if err != nil {
		return nil, err
	}
	r := &Redis{fleet: f, dir: dir, durability: d, env: env}
	return r, r.Restart(ctx)
}

// URL is what NIGHTSHIFT_REDIS_URL takes. It stays the same over a restart.
func (r *Redis) URL() string { return "unix://" + r.socket() }

// Dir is where its data is.
func (r *Redis) Dir() string { return r.dir }

func (r *Redis) socket() string { return filepath.Join(r.dir, "s") }

// Restart starts the server on its data again and waits until it answers.
func (r *Redis) Restart(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("the system tests need redis-server on PATH (apt-get install redis-server): %w", err)
	}
	p, err := r.fleet.Start(Spec{
		Name: "redis", Path: path, Env: Environ(r.env...), Dir: r.dir,
		Args: []string{
			"--port", "0", "--unixsocket", r.socket(), "--dir", r.dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", string(r.durability),
		},
	})
	if err != nil {
		return err
	}
	// It reads all of its data first, on a machine that may have other things to do.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return Eventually(ctx, func() error {
		if !p.Running() {
			return fmt.Errorf("redis-server ended:\n%s", p.Log.Tail(20))
		}
		return ping("unix", r.socket())
	})
}

// Kill ends the server at once.
func (r *Redis) Kill(ctx context.Context) error {
	p, err := r.fleet.Process("redis")
	if err != nil {
		return err
	}
	return p.Kill(ctx)
}

// Remove deletes the data. The fleet must be closed.
func (r *Redis) Remove() error { return os.RemoveAll(r.dir) }
