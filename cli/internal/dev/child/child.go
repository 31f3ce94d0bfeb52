// Package child runs the command that a site wants beside it in dev, and
// leaves nothing of it behind.
package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// grace is how long the command has between TERM and KILL.
const grace = 2 * time.Second

// maxLine bounds one line of output; what is longer comes in pieces.
const maxLine = 64 << 10

// Child is a running command.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // after done
}

// Start runs a shell command in dir, in a process group of its own. emit is
// given each line that it prints, from one goroutine.
func Start(command, dir string, env []string, emit func(line string)) (*Child, error) {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = attributes()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe for the dev command: %w", err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	c := &Child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(c.done)
		// The kernel sends the parent-death signal when the thread ends that made the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = writer.Close() // the child has its own
		started <- err
		if err != nil {
			_ = reader.Close()
			return
		}
		printed := make(chan struct{})
		go func() {
			defer close(printed)
			lines(reader, emit)
		}()
		c.err = cmd.Wait()
		// What the command left behind in its group ends with it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		// A grandchild may hold the pipe open; its last words are not waited for.
		select {
		case <-printed:
		case <-time.After(grace):
		}
		_ = reader.Close()
		<-printed
	}()
	if err := <-started; err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cannot run the dev command %q", command)
	}
	return c, nil
}

// lines reads to the end.
func lines(r io.Reader, emit func(string)) {
	buffered := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := buffered.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" || err == nil {
			emit(text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// Done is closed when the command has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says how the command ended, after Done.
func (c *Child) Err() error { return c.err }

// Stop ends the whole group: TERM, and KILL after the grace or when ctx ends.
func (c *Child) Stop(ctx context.Context) {
	select {
	case <-c.done: // its number may belong to somebody else by now
		return
	default:
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-c.done:
		return
	case <-time.After(grace):
	case <-ctx.Done():
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
}
