// Package dev is `nightshift dev`: the three services and an embedded store in
// one process, with a site deployed into them, again after each change.
//
//	source ─▶ build ─▶ deploy ─▶ gateway, worker, scheduler ─▶ log lines
//	   ▲                                                          │
//	   └───────────────── watch ◀─── the person ◀── terminal ◀────┘
//
// The site goes in through the control API, as `nightshift deploy` sends it,
// so dev has no behaviour of its own but five: scheduled functions can be
// called, they do not fire by themselves unless told to, the control plane
// needs no token, a function that cannot be built answers with the reason, and
// functions get the variables of .env files and of netlify.toml.
package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/dev/child"
	"github.com/nightshift/nightshift/cli/internal/dev/watch"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

// Site is the name of the site that dev serves: the gateway's default one.
const Site = "default"

// stopTimeout bounds the end of everything. Usually it takes well below a second.
const stopTimeout = 20 * time.Second

// commandWait is how long [dev] command has to say its first word.
const commandWait = 2 * time.Second

// Config configures Run.
type Config struct {
	// Dir is the site's directory. Required.
	Dir string
	// Functions is the directory of the functions, if not what netlify.toml says.
	Functions string
	// Port and AdminPort are those of the data and the control plane, on
	// 127.0.0.1. 0 takes a free one.
	Port, AdminPort int
	// RedisURL is a Redis to use instead of an embedded one.
	RedisURL string
	// DataDir is where everything is kept. Default <Dir>/.nightshift.
	DataDir string
	// Cron lets schedules fire by themselves.
	Cron bool
	// Token, if set, is needed on the control plane.
	Token string
	// CallbackSecret signs callbacks; see package callback. Default: one of the
	// data folder's own.
	CallbackSecret secret.Text
	// CallbackAllow lists the networks, as CIDRs separated by commas, that
	// callbacks may reach although they are not public. Default: loopback.
	CallbackAllow string
	// Isolation and FunctionReadable are the worker's settings of these names.
	Isolation, FunctionReadable string
	// Out takes what is printed.
	Out   io.Writer
	Style view.Style
	// Logger takes what the services log. Required.
	Logger *slog.Logger
	// Ready, if not nil, is told the two addresses once the site is deployed.
	Ready func(dataAddr, adminAddr string)
}

// session is one run of dev.
type session struct {
	cfg      Config
	out      io.Writer
	root     string // of the site
	data     string // the data folder
	scratch  string // where builds leave what makes the next one quicker
	watcher  *watch.Watcher
	redis    *redisServer
	services *services
	client   *client.Client

	stopLogs     func()
	stopCommand  func()
	commandSpoke chan struct{} // closed after the first line of the command, or its end

	good     map[string]function.Function // the last version of each function that could be built
	deployed string                       // fingerprint of the newest deploy

	variables []api.EnvironmentVariable // of the newest deploy
	sources   string                    // the files that they are from
	warned    string                    // what was last said about variables that are left out
}

// Run serves the site until ctx ends. The error says why it could not begin.
func Run(ctx context.Context, cfg Config) (err error) {
	s := &session{cfg: cfg, out: view.NewSynced(cfg.Out), good: map[string]function.Function{}}
	begun := time.Now()
	if s.scratch, err = os.MkdirTemp("", "nightshift-dev-"); err != nil {
		return fault.Wrap(err, fault.Unavailable, "making a temporary directory")
	}
	defer os.RemoveAll(s.scratch)
	first, buildErr := s.build(ctx, nil)
	if buildErr != nil && !fault.Is(buildErr, fault.NotFound) {
		return buildErr
	}
	s.root = first.Root
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.begin(ctx, first); err != nil {
		return err
	}
	// From here on, so that what is saved while everything starts is not missed.
	s.watcher.Watch(watchSet(first))
	s.greet()
	if err := s.deploy(ctx, first, buildErr); err != nil {
		return err
	}
	s.awaitCommand(ctx)
	s.table(first)
	s.addresses()
	fmt.Fprintf(s.out, "%s after %s. Changes are deployed as they are saved; Ctrl-C ends.\n\n", s.cfg.Style.Good("Ready"), round(time.Since(begun)))
	if cfg.Ready != nil {
		cfg.Ready(s.services.gateway.Addr(), s.services.gateway.AdminAddr())
	}
	s.watch(ctx, first)
	return nil
}

func (s *session) build(ctx context.Context, last *build.Result) (*build.Result, error) {
	return build.Build(ctx, build.Options{
		Root: s.cfg.Dir, Dev: true, Directory: s.cfg.Functions, Contexts: []string{"dev"}, Scratch: s.scratch,
		Log: s.progress, Last: last,
	})
}

// begin starts everything. What it has started when it fails, end ends.
func (s *session) begin(ctx context.Context, first *build.Result) (err error) {
	if s.watcher, err = watch.New(); err != nil {
		return err
	}
	if s.redis, err = openRedis(ctx, s.cfg.RedisURL, filepath.Join(s.data, "redis")); err != nil {
		return err
	}
	// All settings are checked before anything runs.
	keys, err := openSecrets(s.cfg, s.data)
	if err != nil {
		return err
	}
	if s.services, err = newServices(s.cfg, s.redis.url, s.data, keys); err != nil {
		return err
	}
	if s.client, err = client.New("http://"+s.services.gateway.AdminAddr()+"/api/v1", s.cfg.Token, nil); err != nil {
		return err
	}
	if s.stopLogs, err = s.followLogs(ctx); err != nil {
		return err
	}
	s.stopCommand = s.runCommand(first)
	return s.services.start(ctx)
}

// end ends what begin started: first what calls functions and runs them, then
// what they may need, then what records it.
func (s *session) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if s.client != nil {
		s.client.Close()
	}
	if s.services != nil {
		fmt.Fprintln(s.out, s.cfg.Style.Dim("Stopping …"))
		errs = append(errs, s.services.stop(ctx))
	}
	if s.stopCommand != nil {
		s.stopCommand()
	}
	if s.stopLogs != nil {
		s.stopLogs()
	}
	if s.redis != nil {
		errs = append(errs, s.redis.stop(ctx))
	}
	if s.watcher != nil {
		errs = append(errs, s.watcher.Close())
	}
	return errors.Join(errs...)
}

// prepare finds what would stop everything later, and makes the data folder.
func (s *session) prepare() error {
	if err := cmp.Or(portFree(s.cfg.Port, "--port"), portFree(s.cfg.AdminPort, "--admin-port")); err != nil {
		return err
	}
	s.data = cmp.Or(s.cfg.DataDir, filepath.Join(s.root, ".nightshift"))
	var err error
	if s.data, err = filepath.Abs(s.data); err != nil {
		return fault.Wrap(err, fault.Invalid, "the data folder %s cannot be used", s.cfg.DataDir)
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return fault.Wrap(err, fault.Invalid, "the data folder %s cannot be made; choose another one with --data", s.data)
	}
	if s.cfg.DataDir != "" {
		return nil
	}
	// Inside the site, the folder keeps itself out of version control.
	if err := os.WriteFile(filepath.Join(s.data, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return fault.Wrap(err, fault.Invalid, "the data folder %s cannot be written; choose another one with --data", s.data)
	}
	return nil
}

// portFree says in one line that a port is taken.
func portFree(port int, flag string) error {
	if port == 0 {
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.New(fault.Conflict, "port %d is in use; end the program that uses it, or choose another port with %s", port, flag)
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "port %d cannot be used; choose another one with %s", port, flag)
	}
	return listener.Close()
}

// followLogs prints what functions write, until the function that it returns is called.
func (s *session) followLogs(ctx context.Context) (stop func(), err error) {
	rdb, err := redisdb.Open(s.redis.url)
	if err != nil {
		return nil, err
	}
	// Not ctx: the last words that come while everything stops are printed too.
	logCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stands, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err := store.New(rdb, store.Options{}).WatchLogs(logCtx, Site, stands, func(e store.LogEntry) {
			view.Log(s.out, s.cfg.Style, view.LogLine{
				Time: e.Time, Function: e.Function, Kind: e.Kind, Invocation: e.Invocation, Stream: e.Stream, Text: e.Text,
			})
		})
		if err != nil && logCtx.Err() == nil {
			s.cfg.Logger.Error("log lines no longer followed", "error", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
		_ = rdb.Close() // nothing is left to be sent
	}
	select {
	case <-stands:
		return stop, nil
	case <-done:
		stop()
		return nil, fault.New(fault.Unavailable, "the log lines of functions cannot be followed in Redis")
	case <-ctx.Done():
		stop()
		return nil, context.Cause(ctx)
	}
}

// runCommand runs [dev] command beside the services until the function that it
// returns is called.
func (s *session) runCommand(site *build.Result) (stop func()) {
	command := site.DevCommand
	s.commandSpoke = make(chan struct{})
	if command == "" {
		close(s.commandSpoke)
		return func() {}
	}
	style := s.cfg.Style
	spoke := sync.OnceFunc(func() { close(s.commandSpoke) })
	c, err := child.Start(command, s.root, s.commandEnv(site), func(line string) {
		fmt.Fprintf(s.out, "%s %s\n", style.Dim("[command]"), line)
		spoke()
	})
	if err != nil {
		message, _ := fault.Public(err)
		fmt.Fprintf(s.out, "%s %s\n", style.Bad("error"), message)
		spoke()
		return func() {}
	}
	stopping, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		<-c.Done()
		spoke()
		select {
		case <-stopping:
		default:
			fmt.Fprintf(s.out, "%s the command %q ended: %s\n", style.Warn("warning"), command, ending(c.Err()))
		}
	}()
	return func() {
		close(stopping)
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		c.Stop(ctx)
		<-told
	}
}

// awaitCommand gives the command a moment to come up, because functions may
// need it from the first call on. A server says so when it listens; one that
// says nothing is not waited for any longer.
func (s *session) awaitCommand(ctx context.Context) {
	select {
	case <-s.commandSpoke:
	case <-time.After(commandWait):
	case <-ctx.Done():
	}
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// round makes a duration short to read.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
