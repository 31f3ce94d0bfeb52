package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/load/drive"
	"github.com/nightshift/nightshift/test/load/installation"
)

// nodeFile is the name of results of node with a file.
const nodeFile = "node"

// coldFunction is small: it reads the event and answers with a digest of it. Each
// has a number of its own, so that no two are the same code.
const coldFunction = `const { createHash } = require('node:crypto');

exports.handler = async (event) => {
  const { id } = JSON.parse(event.body);
  const digest = createHash('sha256').update(event.body).digest('hex');
  return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ function: %d, id, digest }) };
};
`

// coldPause is between first calls. A spare process stands ready again after the
// pauses of all ways.
const coldPause = 400 * time.Millisecond

// cold measures the first call of functions that never ran: with a process that
// stands ready, without one, and of node with the same code in a file, in turn.
func (b *bench) cold(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "cold")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeCold(dir, b.coldCalls); err != nil {
		return err
	}
	var first [2]func(i int) (time.Duration, error)
	for i, spares := range []string{"1", "-1"} {
		r, err := b.install(ctx, installation.Options{Bin: b.bin, Site: dir, Workers: 1, Env: []string{"NIGHTSHIFT_WORKER_SPARES=" + spares}})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.close()) }()
		first[i] = func(n int) (time.Duration, error) { return firstCall(r.target, n) }
		// The first of all is not measured: with it what all have in common is there.
		if _, err := first[i](0); err != nil {
			return err
		}
	}
	ways := map[string]func(int) (time.Duration, error){
		"spare": first[0], "no spare": first[1],
		nodeFile: func(n int) (time.Duration, error) { return b.runFile(ctx, coldFile(dir, n)) },
	}
	if b.lambda != "" {
		ways[lambda] = func(n int) (time.Duration, error) { return b.runLambda(ctx, dir, n) }
	}
	took := map[string][]time.Duration{}
	for n := 1; n <= b.coldCalls; n++ {
		for name, call := range ways { // in no order
			if err := pause(ctx, coldPause); err != nil {
				return err
			}
			d, err := call(n)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			took[name] = append(took[name], d)
		}
	}
	for name, times := range took {
		s := spreadOf(times)
		system, figure := name, "first p50 ms"
		switch name {
		case "spare":
			system = ours
		case "no spare":
			system, figure = ours, "bare first p50 ms"
		}
		b.note(system, "cold "+name, s)
		b.book.add(system, map[string]float64{figure: s.P50})
	}
	return nil
}

func coldFile(dir string, n int) string {
	return filepath.Join(dir, "files", fmt.Sprintf("cold-%d.js", n))
}

// writeCold writes a site of functions, from 0 to n, and files for node that do
// the same and print the answer.
func writeCold(dir string, n int) error {
	functions := filepath.Join(dir, "netlify", "functions")
	if err := errors.Join(os.MkdirAll(functions, 0o755), os.Mkdir(filepath.Join(dir, "files"), 0o755)); err != nil {
		return err
	}
	for i := range n + 1 {
		code := fmt.Sprintf(coldFunction, i)
		call := fmt.Sprintf("\nexports.handler({ body: %q }).then((answer) => console.log(JSON.stringify(answer)));\n", drive.Body(i, ""))
		if err := errors.Join(
			os.WriteFile(filepath.Join(functions, fmt.Sprintf("cold-%d.js", i)), []byte(code), 0o644),
			os.WriteFile(coldFile(dir, i), []byte(code+call), 0o644),
		); err != nil {
			return err
		}
	}
	return nil
}

// firstCall calls function n beside the target, over a connection of its own.
func firstCall(target string, n int) (time.Duration, error) {
	target, err := sibling(target, fmt.Sprintf("cold-%d", n))
	if err != nil {
		return 0, err
	}
	c, err := drive.NewConn(target)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	body, begun := drive.Body(n, ""), time.Now()
	status, err := c.Post(body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it is answered %d %s, want 200", status, http.StatusText(status))
	}
	return time.Since(begun), err
}

// runFile runs node with a file until it prints the answer.
func (b *bench) runFile(ctx context.Context, file string) (time.Duration, error) {
	return untilLine(exec.CommandContext(ctx, b.node, file))
}

// untilLine runs a command, and says how long it took to print a line.
func untilLine(cmd *exec.Cmd) (time.Duration, error) {
	cmd.Env = harness.Environ()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewReader(out)
	_, err = lines.ReadString('\n')
	took := time.Since(begun)
	_, _ = io.Copy(io.Discard, lines)
	return took, errors.Join(err, cmd.Wait())
}
