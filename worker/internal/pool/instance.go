package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/meter"
	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
	"github.com/nightshift/nightshift/worker/runtime/node"
)

// instance is one function process with its API and its folder.
type instance struct {
	proc *process.Process
	api  *runtimeapi.Server
	cell *jail.Cell
	use  *meter.Watch // set before started is closed; nil if the process could not be started
	// started is closed when the process runs, or does not.
	started chan struct{}
	// outOfMemory is set when the language runtime says so itself, or its control group.
	outOfMemory *atomic.Bool
	gone        chan struct{} // closed when it has ended and left the pool

	// Guarded by Pool.mu.
	key    string    // "" while it is a spare
	busy   bool      // a call has it
	served bool      // it has had one
	doomed bool      // ends after its call
	heir   bool      // its slot is promised to somebody
	usedAt time.Time // when it became idle
}

// parked reports whether a spare is ready.
func (i *instance) parked() bool { return isClosed(i.api.Parked()) }

// alive reports whether the process is not known to have ended. Between its end
// and its leaving the pool it must be given no call: its API may not have
// noticed yet, would send the call into a dead connection, and the function
// would be blamed for a crash.
func (i *instance) alive() bool { return !isClosed(i.proc.Done()) }

// ended reports whether it has left the pool.
func (i *instance) ended() bool { return isClosed(i.gone) }

func isClosed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// startSpare starts a Node process without a function. A slot is counted for it.
func (p *Pool) startSpare() (*instance, error) {
	return p.launch("", true, func(i *instance) process.Config {
		cfg := process.Config{Path: p.cfg.Node, Args: append(p.nodeArgs(nil), node.SpareArg), Dir: "/", Env: p.spareEnv(i)}
		i.cell.Lock(&cfg, p.dir)
		return cfg
	})
}

// startFor starts a process for a function in a slot that is counted already.
func (p *Pool) startFor(code *Code, call *Call) (*instance, error) {
	i, err := p.launch(code.Key, code.Function.Runtime != "provided", func(i *instance) process.Config {
		cfg := process.Config{Env: p.functionEnv(i, code), Dir: code.Dir, Log: call.Log, MaxOutput: p.cfg.MaxOutput}
		if code.Function.Runtime == "provided" {
			cfg.Path = filepath.Join(code.Dir, filepath.FromSlash(code.Function.Entry))
			i.cell.Lock(&cfg, code.Dir)
			return cfg
		}
		cfg.Path, cfg.Args = p.cfg.Node, p.nodeArgs(code.Env)
		i.cell.Lock(&cfg, code.Dir, p.dir)
		return cfg
	})
	if err == nil {
		if code.Function.Runtime != "provided" {
			i.api.Assign(p.assignment(code, code.Dir))
		}
		return i, nil
	}
	if code.Function.Runtime == "provided" && cannotExecute(err) {
		return nil, failed(invocation.InitError, "Runtime.InvalidEntrypoint",
			fmt.Sprintf("%s cannot be executed: %v", code.Function.Entry, errors.Unwrap(err)))
	}
	p.log.Error("starting a function process", "function", code.Function.Name, "invocation", call.ID, "error", err)
	return nil, unavailable(err)
}

// cannotExecute reports whether the file is at fault: missing, not executable,
// or for another machine.
func cannotExecute(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.EISDIR)
}

// launch starts a process with its API and its folder, and whoever mourns it. If
// that does not work, the slot is freed. Only our own bootstrap can be told a
// secret.
func (p *Pool) launch(key string, secret bool, config func(i *instance) process.Config) (*instance, error) {
	i := &instance{key: key, busy: key != "", outOfMemory: new(atomic.Bool), started: make(chan struct{}), gone: make(chan struct{})}
	err := func() (err error) {
		defer close(i.started)
		if i.api, err = runtimeapi.Listen(p.door(i, secret)); err != nil {
			return err
		}
		if i.cell, err = p.cfg.Jail.Cell(); err != nil {
			_ = i.api.Close() // nobody has called yet
			return err
		}
		cfg := config(i)
		cfg.Notice = i.notice
		if i.proc, err = process.Start(cfg); err != nil {
			_ = i.api.Close()
			p.demolish(i)
			return err
		}
		i.use = p.meter.Watch(meter.Target{PID: i.proc.PID(), Brand: i.proc.Brand(), Tmp: i.cell.Tmp()})
		if i.busy {
			i.use.Busy()
		}
		return nil
	}()

	p.mu.Lock()
	defer p.mu.Unlock()
	if key != "" {
		p.launched(key)
	}
	if err != nil {
		p.slots--
		p.serve()
		return nil, err
	}
	p.all[i] = struct{}{}
	if p.stopped {
		p.stopLater(i, 0)
	}
	p.running.Go(func() { p.mourn(i) })
	return i, nil
}

// door says who may use a process's API: nobody else, as far as that can be told.
func (p *Pool) door(i *instance, secret bool) runtimeapi.Config {
	cfg := runtimeapi.Config{Secret: secret, Refused: p.metrics.refusedAPI}
	if p.peers {
		cfg.Owner = func(ctx context.Context, s runtimeapi.Socket) bool {
			select {
			case <-i.started:
				return i.use != nil && i.use.HasSocket(s.Inode, s.UID)
			case <-ctx.Done():
				return false
			}
		}
	}
	return cfg
}

// mourn waits until the process has ended, for whatever reason, and frees its slot.
func (p *Pool) mourn(i *instance) {
	<-i.proc.Done()
	i.use.End()
	if i.cell.OutOfMemory() {
		i.outOfMemory.Store(true)
	}
	if err := i.api.Close(); err != nil {
		p.log.Warn("closing a runtime api", "error", err)
	}
	p.running.Go(func() { p.demolish(i) }) // whoever waits for the slot need not wait for its files
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, i)
	p.removeIdle(i)
	p.removeSpare(i)
	close(i.gone)
	if !i.heir {
		p.slots--
		p.serve()
	}
	p.wakeUpkeep()
}

// demolish removes the folder of a process that has ended.
func (p *Pool) demolish(i *instance) {
	if err := i.cell.Remove(); err != nil {
		p.log.Warn("removing the folder of a function process", "error", err)
	}
}

// adopt turns a spare into a function's process.
func (p *Pool) adopt(i *instance, code *Code) error {
	p.mu.Lock()
	i.key = code.Key
	p.mu.Unlock()
	dir, err := i.cell.Adopt(code.Dir)
	if err != nil {
		return err
	}
	i.api.Assign(p.assignment(code, dir))
	return nil
}

// assignment tells a Node process its function, whose code it finds in dir.
func (p *Pool) assignment(code *Code, dir string) runtimeapi.Assignment {
	return runtimeapi.Assignment{
		Dir:   dir,
		Entry: code.Function.Entry,
		API:   int(code.Function.API),
		Name:  code.Function.Name,
		Env:   p.functionVars(code, dir),

		Awaited: code.Function.Kind == function.Sync,
	}
}

func (i *instance) notice(stream string, text []byte) {
	if stream == "stderr" && saysOutOfMemory(text) {
		i.outOfMemory.Store(true)
	}
}
