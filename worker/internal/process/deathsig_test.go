package process

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// The worker may be killed without a chance to clean up.
func TestChildDiesWithItsParent(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_TEST_PARENT") != "" {
		p, err := Start(Config{Path: "/bin/sleep", Args: []string{"300"}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("child %d\n", p.PID())
		os.Stdout.Sync()
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestChildDiesWithItsParent$")
	parent.Env = append(os.Environ(), "NIGHTSHIFT_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "child %d\n", &pid); err != nil || !alive(pid) {
		t.Errorf("the child did not start: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("parent: %v", err)
	}
	polltest.Until(t, "the child is gone", func() bool { return !alive(pid) })
}
