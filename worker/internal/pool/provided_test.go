package pool

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
)

// provided builds a function that brings its own runtime.
func provided(t *testing.T) Code {
	t.Helper()
	dir := jailtest.Dir(t)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bootstrap"), "./testdata/provided")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	return Code{Key: "go", Dir: dir, Env: []string{"OWN=yes"}, Function: function.Function{
		Name: "go", Kind: function.Sync, Runtime: "provided", Entry: "bootstrap",
	}}
}

func TestProvidedRuntime(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 2, Spares: 1})
	code := provided(t)
	for range 3 {
		got, log, err := do(t.Context(), p, code, "hello", true)
		if err != nil || !strings.Contains(got, `"body":"hello"`) {
			t.Fatalf("got %q, %v", got, err)
		}
		if want := "stdout: handling id-hello as bootstrap"; log.String() != want {
			t.Errorf("log %q, want %q", log, want)
		}
	}
	_, _, err := do(t.Context(), p, code, "fail", true)
	if f := failedOf(err); f == nil || f.Outcome != invocation.Error || f.Failure.Message != "asked to" || f.Failure.Stack != "    at main (main.go:7)" {
		t.Errorf("error: %+v", err)
	}
	if warm := p.Stats().Warm["go"]; warm != 1 {
		t.Errorf("%d warm processes after a handled error, want 1", warm)
	}
	_, log, err := do(t.Context(), p, code, "exit", true)
	want := "the function's process exited with code 5 before it returned"
	if f := failedOf(err); f == nil || f.Outcome != invocation.Crashed || f.Failure.Message != want || !strings.Contains(log.String(), "system: "+want) {
		t.Errorf("exit: %+v, log %s", err, log)
	}
	code.Key, code.Env = "init", []string{"FAIL_INIT=1"}
	_, _, err = do(t.Context(), p, code, "x", true)
	if f := failedOf(err); f == nil || f.Outcome != invocation.InitError || f.Failure.Message != "FAIL_INIT is set" {
		t.Errorf("init error: %+v", err)
	}
}

func TestProvidedThatCannotBeExecuted(t *testing.T) {
	t.Parallel()
	p := start(t, Config{Max: 1})
	dir := jailtest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "plain"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nonsense"), []byte("\x7fELFnonsense"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{"missing", "plain", "nonsense", "."} {
		code := Code{Key: entry, Dir: dir, Function: function.Function{Name: "f", Kind: function.Sync, Runtime: "provided", Entry: entry}}
		_, _, err := do(t.Context(), p, code, "x", true)
		if f := failedOf(err); f == nil || f.Outcome != invocation.InitError || !strings.Contains(f.Failure.Message, entry+" cannot be executed") {
			t.Errorf("%s: %v, want an init error that names it", entry, err)
		}
	}
}

func TestNodeIsNeededForNodeOnly(t *testing.T) {
	t.Parallel()
	p, err := New(Config{Max: 1, Jail: jailtest.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	_, _, err = do(t.Context(), p, corpus(t, "n", "noop.js"), "x", true)
	if f := failedOf(err); f == nil || f.Outcome != invocation.InitError || !strings.Contains(f.Failure.Message, "no Node.js") {
		t.Errorf("a Node function without Node: %v", err)
	}
}
