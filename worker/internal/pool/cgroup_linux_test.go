package pool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/meter"
)

// grouped is a jail with control groups, or nil and why there are none.
func grouped(t *testing.T, limits jail.Limits) (*jail.Jail, string) {
	t.Helper()
	j := jailtest.New(t, func(c *jail.Config) { c.ControlGroups, c.Limits = true, limits })
	n := slices.IndexFunc(j.Report(), func(w jail.Wall) bool { return w.Name == "control groups" })
	if n < 0 {
		t.Fatal("the report says nothing of control groups")
	}
	return j, j.Report()[n].Why
}

func groupOf(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "0::")
	return strings.TrimSpace(after)
}

// Each process has a group of its own, spares and others, and none is left. The
// groups of this test limit nothing, so that it needs no controllers.
func TestProcessesHaveControlGroups(t *testing.T) {
	j, why := grouped(t, jail.Limits{Files: 1024})
	if why != "" {
		t.Logf("none here: %s", why)
	}
	p := start(t, Config{Max: 2, Spares: 1, Jail: j})
	code := source(t, "pid", `exports.handler = async () => ({ statusCode: 200, body: String(process.pid) })`)
	pid := must(t, p, code, "x")
	p.mu.Lock()
	i := p.idle["pid"][0]
	p.mu.Unlock()
	if in := filepath.Base(groupOf(t, pid)) == i.proc.Brand().String(); in != (why == "") {
		t.Errorf("process %s with the brand %s is in %s, and groups are missing because of %q", pid, i.proc.Brand(), groupOf(t, pid), why)
	}
	if ours := groupOf(t, "self"); why == "" && filepath.Base(ours) != "worker" {
		t.Errorf("we are in %s", ours)
	}
}

// Where the kernel limits the memory of groups, it ends a function also if
// nobody measures; and it is told so.
func TestControlGroupEndsWhatIsOutOfMemory(t *testing.T) {
	j, why := grouped(t, jail.Limits{Memory: 200 << 20})
	p := start(t, Config{Max: 2, Jail: j})
	if err := p.meter.Close(); err != nil {
		t.Fatal(err)
	}
	p.meter = meter.New(meter.Config{}) // measures nothing
	bomb := source(t, "bomb", `exports.handler = () => { const kept = []; for (let i = 0; i < 40; i++) kept.push(Buffer.alloc(10e6, 1)); return { statusCode: 200, body: 'held' } }`)
	_, _, err := do(t.Context(), p, bomb, "x", true)
	if why != "" {
		t.Logf("none here: %s", why)
		if err != nil {
			t.Errorf("with nobody to end it: %v", err)
		}
		return
	}
	if f := failedOf(err); f == nil || f.Outcome != invocation.OutOfMemory {
		t.Errorf("%v, want out of memory", err)
	}
	if got := must(t, p, corpus(t, "count", "count.js"), "x"); !strings.Contains(got, `"calls":1`) {
		t.Errorf("another function answers %s", got)
	}
}
