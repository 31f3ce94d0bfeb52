package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	inputs  int
	most    time.Duration
	hang    time.Duration
	memory  int64 // MiB
	guided  bool
	workers int

	out   io.Writer
	root  string // of the repository
	dir   string // for binaries and temporary folders
	cache string // where Go keeps what was interesting; empty: dir
}

// result is what a target took.
type result struct {
	target
	inputs      int
	interesting int
	took        time.Duration
	memory      int64 // MiB that its largest process came to hold
	err         error
}

// buildCache is where `go test -fuzz` keeps what was interesting.
func buildCache(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	return filepath.Join(strings.TrimSpace(string(out)), "fuzz"), err
}

// built is a test binary, or why there is none.
type built struct {
	path string
	err  error
}

// runAll runs the targets one after the other; while one runs, the next package
// is compiled. It goes on after a failure.
func (s *settings) runAll(ctx context.Context, targets []target) error {
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	binaries := make(chan built, 1)
	var compiler sync.WaitGroup
	compiler.Go(func() { s.compileAll(ctx, targets, binaries) })
	defer compiler.Wait()
	defer cancel()

	const row = "%-34s %-22s %9v %8v %8v %7v\n"
	fmt.Fprintf(s.out, row, "package", "target", "inputs", "new", "time", "MiB")
	inputs, wrong := 0, []error(nil)
	var binary built
	for i, t := range targets {
		if i == 0 || targets[i-1].pkg != t.pkg {
			binary = <-binaries
		}
		r := result{target: t, err: binary.err}
		if r.err == nil {
			r = s.run(ctx, t, binary.path)
		}
		inputs += r.inputs
		fmt.Fprintf(s.out, row, t.pkg, t.name, r.inputs, r.interesting, r.took.Round(100*time.Millisecond), r.memory)
		if r.err != nil {
			wrong = append(wrong, fmt.Errorf("%s in %s: %w", t.name, t.pkg, r.err))
			fmt.Fprintln(s.out, "FAILED:", r.err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Fprintf(s.out, "%d targets took %d inputs in %v; %d failed\n", len(targets), inputs, time.Since(begun).Round(time.Second), len(wrong))
	return errors.Join(append(wrong, context.Cause(ctx))...)
}

// compileAll compiles the packages in the order of their targets.
func (s *settings) compileAll(ctx context.Context, targets []target, to chan<- built) {
	for i, t := range targets {
		if i > 0 && targets[i-1].pkg == t.pkg {
			continue
		}
		path := filepath.Join(s.dir, strings.ReplaceAll(t.pkg, "/", "-")+".test")
		args := []string{"test", "-c", "-vet=off", "-o", path}
		if s.guided {
			args = append(args, "-fuzz", ".")
		}
		cmd := exec.CommandContext(ctx, "go", append(args, "./"+t.pkg)...)
		cmd.Dir = s.root
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("compiling: %w\n%s", err, out)
		}
		select {
		case to <- built{path, err}:
		case <-ctx.Done():
			return
		}
	}
}

// run runs one target.
func (s *settings) run(ctx context.Context, t target, binary string) result {
	r := result{target: t}
	temp, err := os.MkdirTemp(s.dir, "tmp")
	if err != nil {
		r.err = err
		return r
	}
	cache := filepath.Join(temp, "cache")
	if s.cache != "" {
		cache = filepath.Join(s.cache, "github.com/nightshift/nightshift", filepath.FromSlash(t.pkg))
	}
	left := filepath.Join(temp, "left")
	if r.err = os.Mkdir(left, 0o755); r.err != nil {
		return r
	}
	cmd := exec.Command(binary, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", strconv.Itoa(s.inputs)+"x",
		"-test.fuzzcachedir", cache, "-test.parallel", strconv.Itoa(s.workers), "-test.fuzzminimizetime", "5s")
	cmd.Dir = filepath.Join(s.root, filepath.FromSlash(t.pkg))
	cmd.Env = append(os.Environ(), "TMPDIR="+left)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begun := time.Now()
	if r.err = cmd.Start(); r.err != nil {
		return r
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	r.err = s.watch(ctx, cmd.Process.Pid, &out, done)
	r.took = time.Since(begun)
	r.inputs, r.interesting = out.figures()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = usage.Maxrss >> 10 // of the largest of its processes
	}
	switch {
	case r.err != nil:
		r.err = fmt.Errorf("%w\n%s", r.err, out.tail())
	case r.inputs == 0:
		r.err = fmt.Errorf("it took no input:\n%s", out.tail())
	case r.memory > s.memory:
		r.err = fmt.Errorf("a process came to hold %d MiB", r.memory)
	default:
		r.err = empty(left)
	}
	return r
}

// watch waits for the end of a target, stops it when its time is over, and kills
// it, with the stacks of all goroutines, when it takes no more inputs.
func (s *settings) watch(ctx context.Context, pid int, out *output, done <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var over <-chan time.Time
	if s.most > 0 {
		over = time.After(s.most)
	}
	inputs, moved, stopped := 0, time.Now(), false
	for {
		select {
		case err := <-done:
			if stopped && ctx.Err() == nil && out.interrupted() {
				return nil
			}
			return err
		case <-ctx.Done():
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			<-done
			return ctx.Err()
		case <-over:
			stopped, over = true, nil
			_ = syscall.Kill(pid, syscall.SIGINT) // what it says at the end counts
		case now := <-tick.C:
			if n, _ := out.figures(); n != inputs {
				inputs, moved = n, now
			}
			if now.Sub(moved) < s.hang {
				continue
			}
			_ = syscall.Kill(-pid, syscall.SIGQUIT)
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				_ = syscall.Kill(-pid, syscall.SIGKILL)
				<-done
			}
			return fmt.Errorf("it hangs: no input was taken for %v", s.hang)
		}
	}
}

// empty says what a target has left in its temporary folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("it left %d files behind, such as %s", len(entries), entries[0].Name())
	}
	return err
}

// output is what a target wrote.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is part of io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

var progress = regexp.MustCompile(`execs: (\d+) \(.*?\)(?:, new interesting: (\d+))?`)

// figures are the newest that it gave.
func (o *output) figures() (inputs, interesting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := progress.FindAllSubmatch(o.text.Bytes(), -1)
	if len(all) == 0 {
		return 0, 0
	}
	last := all[len(all)-1]
	inputs, _ = strconv.Atoi(string(last[1]))
	interesting, _ = strconv.Atoi(string(last[2]))
	return inputs, interesting
}

// interrupted reports whether it ended as one does that was told to, and not by
// a failure.
func (o *output) interrupted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !bytes.Contains(o.text.Bytes(), []byte("--- FAIL"))
}

// tail is the end of it.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	const most = 8 << 10
	b := o.text.Bytes()
	return string(b[max(0, len(b)-most):])
}
