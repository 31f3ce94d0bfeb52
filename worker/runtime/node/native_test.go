package node_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// An add-on is machine code in the function's process.
func TestNativeAddOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	addon := filepath.Join(b.dir, "addon.node")
	args := []string{"-shared", "-fPIC", "-o", addon, "testdata/addon.c"}
	if runtime.GOOS == "darwin" {
		args = append(args, "-undefined", "dynamic_lookup")
	}
	if out, err := exec.CommandContext(t.Context(), "cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("building the add-on, for which a C compiler is needed: %v\n%s", err, out)
	}
	for _, name := range []string{"Ada", "Grace"} {
		a := b.run(t, call{entry: "native.js", body: name, env: []string{"ADDON=" + addon}})
		if a.err != nil || a.body != "hello "+name {
			t.Errorf("got %q, %v, log %q, want hello %s", a.body, a.err, a.log, name)
		}
	}
}
