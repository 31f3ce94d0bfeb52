// Package embedded starts a Redis for people who have not set one up: a child
// process where redis-server or valkey-server is installed, and miniredis
// inside this process as the last resort.
//
// A child is durable (append-only file, fsync each second), listens on a unix
// socket that only this user can reach, and ends with its parent, however the
// parent ends. miniredis keeps everything in memory: nothing survives a
// restart, and callers must say so.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
)

// Kinds of server.
const (
	RedisServer  = "redis-server"
	ValkeyServer = "valkey-server"
	Miniredis    = "miniredis"
)

// Server is a running Redis.
type Server struct {
	kind string
	url  string
	stop func(context.Context) error
}

// Kind is RedisServer, ValkeyServer or Miniredis.
func (s *Server) Kind() string { return s.kind }

// URL is what redisdb.Open takes.
func (s *Server) URL() string { return s.url }

// Durable reports whether the data is there again after a restart.
func (s *Server) Durable() bool { return s.kind != Miniredis }

// Stop ends the server: TERM, so that it writes what it has, and KILL when ctx
// ends. Idempotent.
func (s *Server) Stop(ctx context.Context) error { return s.stop(ctx) }

// Start starts the best server that this machine offers, with its data in dir.
func Start(ctx context.Context, dir string) (*Server, error) {
	path, kind, ok := Find()
	if !ok {
		return StartMini()
	}
	return StartChild(ctx, path, kind, dir)
}

// Find looks for an installed server on PATH.
func Find() (path, kind string, ok bool) {
	for _, kind := range []string{RedisServer, ValkeyServer} {
		if path, err := exec.LookPath(kind); err == nil {
			return path, kind, true
		}
	}
	return "", "", false
}

// readyTimeout bounds the wait for a child to answer; loading a large
// append-only file takes seconds.
const readyTimeout = 30 * time.Second

// StartChild starts the server at path on a unix socket, with its data in dir,
// which one server at a time may use.
func StartChild(ctx context.Context, path, kind, dir string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the data folder %s cannot be made", dir)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	// Not in dir: the kernel cuts socket paths at 107 bytes.
	run, err := os.MkdirTemp("", "nightshift-redis-")
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("making a folder for the Redis socket: %w", err)
	}
	cleanup := func() {
		os.RemoveAll(run)
		lock.Close()
	}
	c, err := startChild(path, dir, filepath.Join(run, "redis.sock"))
	if err != nil {
		cleanup()
		return nil, err
	}
	s := &Server{kind: kind, url: "unix://" + c.socket}
	s.stop = func(ctx context.Context) error {
		defer cleanup()
		return c.stop(ctx)
	}
	if err := c.waitReady(ctx, s.url); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopCtx))
	}
	return s, nil
}

// lockDir keeps a second server off the same append-only file, which both
// would ruin. The kernel drops the lock with the process.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "redis.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the data folder %s cannot be written", dir)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fault.New(fault.Conflict, "the data folder %s is in use by another process; end it, or choose another folder", dir)
	}
	return lock, nil
}

// child is a server process.
type child struct {
	socket  string
	logPath string
	process *os.Process
	exited  chan struct{} // closed when the process is gone
}

func startChild(path, dir, socket string) (*child, error) {
	logPath := filepath.Join(dir, "redis.log")
	cmd := exec.Command(path,
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
		"--dir", dir, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		// An evicted key would be a lost invocation.
		"--maxmemory-policy", "noeviction",
		"--daemonize", "no", "--logfile", logPath,
	)
	cmd.SysProcAttr = sysProcAttr()
	c := &child{socket: socket, logPath: logPath, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting thread ends, so that
		// thread has to stay.
		runtime.LockOSThread()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // its exit status says nothing that its log does not
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return c, nil
}

func (c *child) waitReady(ctx context.Context, url string) error {
	rdb, err := redisdb.Open(url)
	if err != nil {
		return err
	}
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// A missing socket answers at once; LOADING is an error as well.
		if rdb.Ping(ctx).Err() == nil {
			return nil
		}
		select {
		case <-c.exited:
			return fault.New(fault.Unavailable, "the Redis server ended at once; its log says why: %s", c.logPath)
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "the Redis server did not answer in time; its log says why: %s", c.logPath)
		case <-tick.C:
		}
	}
}

func (c *child) stop(ctx context.Context) error {
	_ = c.process.Signal(syscall.SIGTERM) // gone already: fine
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		_ = c.process.Kill()
		<-c.exited
		return fmt.Errorf("the Redis server had to be killed: %w", context.Cause(ctx))
	}
}
