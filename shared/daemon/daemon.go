// Package daemon is what every long-running process of ours has in common:
// settings from the environment, signals, ordered start, bounded stop in
// reverse order, an HTTP server with explicit limits, and health endpoints.
//
// A main translates environment and signals, and nothing else:
//
//	func main() { os.Exit(daemon.Main("worker", func(cfg worker.Config, log *slog.Logger) (daemon.Service, error) {
//		cfg.Logger = log
//		return worker.New(cfg)
//	})) }
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11" // reads a documented struct from the environment, so that no service parses by hand
	"github.com/nightshift/nightshift/shared/fault"
)

// Service is something that runs until it is stopped.
type Service interface {
	// Start begins to work and returns. ctx bounds the start only.
	Start(ctx context.Context) error
	// Stop ends all work, within ctx. It is idempotent, and safe without Start.
	Stop(ctx context.Context) error
}

// EnvPrefix is what every setting starts with.
const EnvPrefix = "NIGHTSHIFT_"

// Common are the settings that every process takes.
type Common struct {
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	// StopTimeout bounds the stop of the whole process; what still runs then is
	// abandoned. Default 16m, one minute above the longest attempt, because a
	// drain waits for running attempts (see each service's grace).
	StopTimeout time.Duration `env:"STOP_TIMEOUT" envDefault:"16m"`
}

// LoadEnv fills a configuration struct from NIGHTSHIFT_… variables. Each may be
// given as a file too: NIGHTSHIFT_TOKEN_FILE names one that holds
// NIGHTSHIFT_TOKEN, 64 KiB at most, and counts where that is not set or empty.
func LoadEnv[T any]() (T, error) {
	settings, err := environment(os.Environ())
	if err != nil {
		return *new(T), err
	}
	cfg, err := env.ParseAsWithOptions[T](env.Options{Prefix: EnvPrefix, Environment: settings})
	if err != nil {
		return cfg, fault.New(fault.Invalid, "reading settings: %s", envProblem(err))
	}
	return cfg, nil
}

// envProblem rewords the library's aggregate, one problem per clause.
func envProblem(err error) string {
	aggregate, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return err.Error()
	}
	var problems []string
	for _, e := range aggregate.Errors {
		problems = append(problems, e.Error())
	}
	return strings.Join(problems, "; ")
}

// Main runs a service until SIGINT or SIGTERM and returns the exit code. A
// second signal ends the process at once. C is the service's configuration,
// read from the environment; build makes the service from it.
//
// With the argument -health it runs nothing: it asks the service that runs with
// the same environment whether it is ready, and returns 0 if so. That is the
// health check of containers that have no program but this one.
func Main[C Config](name string, build func(cfg C, log *slog.Logger) (Service, error)) int {
	args := flag.NewFlagSet(name, flag.ContinueOnError)
	health := args.Bool("health", false, "ask the running service whether it is ready, and exit with 0 if it is")
	switch err := args.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp): // which is printed
		return 0
	case err != nil:
		return fault.Invalid.ExitCode()
	}
	if args.NArg() > 0 {
		return complain(name, fault.New(fault.Invalid, "%q is not understood; settings come from the environment, and the only argument is -health", args.Arg(0)))
	}
	common, err := LoadEnv[Common]()
	if err != nil {
		return complain(name, err)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: common.LogLevel})).With("service", name)
	cfg, err := LoadEnv[C]()
	if err != nil {
		return complain(name, err)
	}
	if *health {
		if err := Check(context.Background(), cfg.HealthAddr()); err != nil {
			return complain(name, err)
		}
		return 0
	}
	service, err := build(cfg, log)
	if err != nil {
		return complain(name, err)
	}
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	if err := run(ctx, restore, service, common.StopTimeout, log); err != nil {
		return complain(name, err)
	}
	return 0
}

// run is start, wait, stop.
func run(ctx context.Context, restore func(), s Service, stopTimeout time.Duration, log *slog.Logger) error {
	startErr := s.Start(ctx)
	if startErr == nil {
		log.Info("started")
		<-ctx.Done()
		log.Info("stopping")
	}
	restore() // from here on a second signal kills, as people expect
	stopCtx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := errors.Join(startErr, s.Stop(stopCtx)); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// complain prints one line for a person and returns the exit code.
func complain(name string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return fault.KindOf(err).ExitCode()
}

// Stack starts services in order and stops those that were started in reverse
// order. It is a Service itself. Its zero value is empty.
type Stack struct {
	entries []entry
	started int
}

type entry struct {
	name string
	s    Service
}

// Add puts a service on top.
func (st *Stack) Add(name string, s Service) { st.entries = append(st.entries, entry{name, s}) }

// Start starts all, or stops what it had started.
func (st *Stack) Start(ctx context.Context) error {
	for _, e := range st.entries {
		if err := e.s.Start(ctx); err != nil {
			// The caller may have given up already; what was started ends all the same.
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			stopErr := st.Stop(stopCtx)
			return errors.Join(fmt.Errorf("starting %s: %w", e.name, err), stopErr)
		}
		st.started++
	}
	return nil
}

// Stop stops what runs, newest first, and names what failed.
func (st *Stack) Stop(ctx context.Context) error {
	var errs []error
	for _, e := range slices.Backward(st.entries[:st.started]) {
		if err := e.s.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", e.name, err))
		}
	}
	st.started = 0
	return errors.Join(errs...)
}

// Loop is a Service around one blocking function, which must return soon after
// its context ends. Stop waits for it.
type Loop struct {
	run    func(context.Context)
	cancel context.CancelFunc
	done   chan struct{}
}

// NewLoop makes a Loop.
func NewLoop(run func(context.Context)) *Loop { return &Loop{run: run} }

// Start starts the function in a goroutine.
func (l *Loop) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		l.run(ctx)
	}()
	return nil
}

// Stop cancels the function's context and waits until it returned or ctx ended.
func (l *Loop) Stop(ctx context.Context) error {
	if l.cancel == nil {
		return nil
	}
	l.cancel()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("still running: %w", context.Cause(ctx))
	}
}
