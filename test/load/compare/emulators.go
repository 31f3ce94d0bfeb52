package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/load/drive"
	"github.com/nightshift/nightshift/test/load/installation"
)

// Emulators of the platforms that the functions are written for, which people have
// on their machines. They are measured if they are there.
const (
	netlify = "netlify"
	lambda  = "lambda-local"
)

// slowCalls is how many calls of an emulator are measured, of which some take a
// tenth of a second each.
const slowCalls = 50

// emulate measures sync calls of the emulators.
func (b *bench) emulate(ctx context.Context) error {
	if b.netlify != "" {
		if err := b.emulateNetlify(ctx); err != nil {
			return fmt.Errorf("%s: %w", netlify, err)
		}
	}
	if b.lambda != "" {
		if err := b.emulateLambda(ctx); err != nil {
			return fmt.Errorf("%s: %w", lambda, err)
		}
	}
	return nil
}

// emulateNetlify measures netlify functions:serve, in a copy of the site, because
// it writes beside it.
func (b *bench) emulateNetlify(ctx context.Context) error {
	dir := filepath.Join(b.dir, fmt.Sprint("netlify-", b.round))
	if err := os.CopyFS(dir, os.DirFS(installation.Site())); err != nil {
		return err
	}
	port, err := harness.FreePort()
	if err != nil {
		return err
	}
	// Its own Node may be beside it.
	env := append(harness.Environ(), "PATH="+filepath.Dir(b.netlify)+":"+os.Getenv("PATH"), "HOME="+dir, "CI=1")
	spec := harness.Spec{
		Name: netlify, Path: b.netlify, Dir: dir, Env: env,
		Args: []string{"functions:serve", "--functions", "netlify/functions", "--port", fmt.Sprint(port), "--offline"},
	}
	base := fmt.Sprintf("http://127.0.0.1:%d/.netlify/functions/", port)
	return emulator(ctx, spec, base+"warm2", func() error {
		for figure, target := range map[string]string{"sync v1": base + "warm", "sync v2": base + "warm2"} {
			if err := b.emulated(ctx, netlify, figure, target, drive.Body(0, "")); err != nil {
				return err
			}
		}
		return nil
	})
}

// emulateLambda measures the server of lambda-local.
func (b *bench) emulateLambda(ctx context.Context) error {
	port, err := harness.FreePort()
	if err != nil {
		return err
	}
	code := filepath.Join(installation.Site(), "netlify", "functions", "warm.js")
	spec := harness.Spec{
		Name: lambda, Path: b.lambda, Env: harness.Environ(), Dir: b.dir,
		Args: []string{"-l", code, "-v", "0", "-W", fmt.Sprint(port)},
	}
	target := fmt.Sprintf("http://127.0.0.1:%d/", port)
	return emulator(ctx, spec, target, func() error {
		return b.emulated(ctx, lambda, "sync v1", target, fmt.Appendf(nil, `{"event":{"body":%q}}`, drive.Body(0, "")))
	})
}

// emulator starts a program, waits until something answers at its target, and
// measures.
func emulator(ctx context.Context, spec harness.Spec, target string, measure func() error) (err error) {
	fleet := harness.Fleet{}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	p, err := fleet.Start(spec)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = harness.Eventually(starting, func() error {
		if !p.Running() {
			cancel() // it will not answer any more
		}
		res, err := http.Get(target)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Log.Tail(20))
	}
	if err := measure(); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Log.Tail(20))
	}
	return nil
}

// emulated measures warm calls, one after the other.
func (b *bench) emulated(ctx context.Context, name, figure, target string, body []byte) error {
	if _, err := drive.Sync(ctx, target, body, slowCalls/5); err != nil {
		return err
	}
	took, err := drive.Sync(ctx, target, body, slowCalls)
	if err != nil {
		return err
	}
	s := spreadOf(took)
	b.note(name, figure, s)
	b.book.add(name, map[string]float64{figure + " p50 ms": s.P50})
	return nil
}

// runLambda runs lambda-local with a function until it prints the answer.
func (b *bench) runLambda(ctx context.Context, dir string, n int) (time.Duration, error) {
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, fmt.Appendf(nil, `{"body":%q}`, drive.Body(n, "")), 0o600); err != nil {
		return 0, err
	}
	code := filepath.Join(dir, "netlify", "functions", fmt.Sprintf("cold-%d.js", n))
	cmd := exec.CommandContext(ctx, b.lambda, "-l", code, "-e", event, "-v", "1")
	return untilLine(cmd)
}

// orNone finds a program that need not be there.
func orNone(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}
