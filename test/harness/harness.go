// Package harness runs the real system for a test: it builds the binaries,
// starts them as processes with settings by environment only, stops or kills
// them, and leaves nothing behind.
//
// A [Fleet] owns all that a test starts. Closing it ends every process, and
// every descendant that any of them had, by process ID; what a process wrote is
// in its [Log], to be shown when the test fails. Nothing here knows the testing
// package, so scripts and programs use it alike.
package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// programs are the binaries of the product, by the package that makes each.
var programs = map[string]string{
	"gateway":    "./gateway/cmd/gateway",
	"worker":     "./worker/cmd/worker",
	"scheduler":  "./scheduler/cmd/scheduler",
	"nightshift": "./cli/cmd/nightshift",
}

// Root is the root of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Build builds all programs into dir. It uses no flags, so that it shares the
// build cache with everything else.
func Build(ctx context.Context, dir string) error {
	for name, pkg := range programs {
		cmd := exec.CommandContext(ctx, "go", "build", "-tags=grpcnotrace", "-o", filepath.Join(dir, name), pkg) // as the Makefile does
		cmd.Dir, cmd.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// RunBuilt runs the tests of a package that need the programs, after it has built
// them and set dir to where they are; or to NIGHTSHIFT_TEST_BIN, if that names a
// directory with all of them. It returns the exit code.
func RunBuilt(tests interface{ Run() int }, dir *string) int {
	if *dir = os.Getenv("NIGHTSHIFT_TEST_BIN"); *dir != "" {
		return tests.Run()
	}
	temp, err := os.MkdirTemp("", "nightshift-bin")
	if err == nil {
		defer os.RemoveAll(temp)
		*dir, err = temp, Build(context.Background(), temp)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}

// Fleet is a set of processes that end together.
type Fleet struct {
	mu        sync.Mutex
	processes []*Process
}

// Start starts a process of the fleet. A name may be used again once its
// process has ended.
func (f *Fleet) Start(spec Spec) (*Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(spec.Name); p != nil && p.Running() {
		return nil, fmt.Errorf("%s runs already", spec.Name)
	}
	p, err := start(spec)
	if err != nil {
		return nil, err
	}
	f.processes = append(f.processes, p)
	return p, nil
}

// Process returns the newest process of a name.
func (f *Fleet) Process(name string) (*Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.find(name); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no process was started under the name %s", name)
}

func (f *Fleet) find(name string) *Process {
	for _, p := range slices.Backward(f.processes) {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Running lists the running processes, oldest first.
func (f *Fleet) Running() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.processes), func(p *Process) bool { return !p.Running() })
}

// All lists every process that was started, oldest first.
func (f *Fleet) All() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes)
}

// Close ends all processes and their descendants, newest first.
func (f *Fleet) Close() error {
	var errs []error
	for _, p := range slices.Backward(f.All()) {
		errs = append(errs, p.destroy())
	}
	return errors.Join(errs...)
}

// Ports that FreePort gives out are below those that Linux gives to whoever
// connects or asks for any (from 32,768 on): one of those may be somebody's again
// before it is used.
const (
	firstPort = 12_000
	lastPort  = 32_000
)

var givenPorts sync.Map // to nobody twice

// FreePort finds a TCP port on loopback that nobody uses now, and that it has not
// given out before.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port is free: %w", err)
}

// Eventually calls try until it returns nil. When ctx ends first, the last
// error that try returned is the answer.
func Eventually(ctx context.Context, try func() error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("given up: %w", err)
		case <-tick.C:
		}
	}
}

// Environ is a small environment for a process: what programs need of ours to
// run at all, and the given settings.
func Environ(settings ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "TMPDIR=" + os.TempDir()}
	return append(env, settings...)
}
