package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/worker/runtime/node"
)

// The bootstrap's pure parts have tests in their own language.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	path, _, err := node.FindNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("test/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests found: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--test"}, files...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
}

func TestFindNode(t *testing.T) {
	fake := func(name, script string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name, named, onPath string
		version, complaint  string // exactly one
	}{
		{name: "named", named: fake("node", "echo v22.1.0"), version: "22.1.0"},
		{name: "on PATH", onPath: fake("node", "echo v20.0.0"), version: "20.0.0"},
		{name: "neither", complaint: "Node.js is not on PATH; install Node 20 or newer"},
		{name: "named but missing", named: "/nowhere/node", complaint: "NIGHTSHIFT_NODE names /nowhere/node, which is not an executable"},
		{name: "too old", named: fake("node", "echo v18.19.1"), complaint: "is Node 18.19.1, which is too old; install Node 20 or newer"},
		{name: "something else", named: fake("node", "echo hello"), complaint: "does not answer --version as Node does"},
		{name: "broken", named: fake("node", "exit 3"), complaint: "does not answer --version as Node does"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(node.EnvVar, tc.named)
			t.Setenv("PATH", filepath.Dir(tc.onPath))
			path, version, err := node.FindNode(t.Context())
			if tc.complaint == "" {
				if want := tc.named + tc.onPath; err != nil || version != tc.version || path != want {
					t.Errorf("FindNode = %s, %s, %v; want %s, %s", path, version, err, want, tc.version)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tc.complaint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("FindNode: %v, want one line with %q", err, tc.complaint)
			}
		})
	}
}

// What is compiled ahead is taken by a Node with our usual flags, and by none with
// others, which compiles as if there was nothing.
func TestCompile(t *testing.T) {
	t.Parallel()
	path, _, err := node.FindNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bootstrap, err := node.Install(dir)
	if err != nil {
		t.Fatal(err)
	}
	// V8 keeps and reads two bytes for each character of a source that has others.
	source, err := os.ReadFile(filepath.Join(dir, "index.cjs"))
	if err != nil {
		t.Fatal(err)
	}
	if at := strings.IndexFunc(string(source), func(r rune) bool { return r > unicode.MaxASCII }); at >= 0 {
		t.Errorf("the bootstrap is not ASCII: %q", source[at:min(len(source), at+40)])
	}
	told := filepath.Join(dir, "told.cjs")
	const tell = `const vm = require('node:vm');
const { Script } = vm;
vm.Script = class extends Script {
  constructor(...args) {
    super(...args);
    console.log(this.cachedDataRejected);
    process.exit();
  }
};`
	if err := os.WriteFile(told, []byte(tell), 0o600); err != nil {
		t.Fatal(err)
	}
	rejected := func(flags ...string) string {
		cmd := exec.CommandContext(t.Context(), path, append(flags, "--require", told, bootstrap)...)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := rejected(); got != "undefined" {
		t.Errorf("before it is compiled, the compiled code is rejected: %s; want undefined", got)
	}
	for range 2 { // again over what is there
		if err := node.Compile(t.Context(), path, bootstrap); err != nil {
			t.Fatal(err)
		}
	}
	for flag, want := range map[string]string{"--no-deprecation": "false", "--max-old-space-size=512": "false", "--no-opt": "true"} {
		if got := rejected(flag); got != want {
			t.Errorf("with %s the compiled code is rejected: %s; want %s", flag, got, want)
		}
	}
	if err := node.Compile(t.Context(), filepath.Join(dir, "nothing"), bootstrap); err == nil {
		t.Error("compiled without Node")
	}
}
