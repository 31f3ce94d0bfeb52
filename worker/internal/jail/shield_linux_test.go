package jail_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// shielded starts this test again as another user, shielded, and looks at it as
// the same user from a third process.
func shielded(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestShield$")
	cmd.Env = append(os.Environ(), "NIGHTSHIFT_TEST_SHIELD=1", "HOME=/")
	cmd.Dir = "/"
	user := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		user.Credential = &syscall.Credential{Uid: 61235, Gid: 61235}
	}
	cmd.SysProcAttr = user
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "shielded hello" {
		t.Errorf("the shielded process says %q, %v", line, err)
	}
	for _, file := range []string{"environ", "mem", "maps", "fd"} {
		look := exec.Command("/bin/sh", "-c", fmt.Sprintf("ls -l /proc/%d/%s/ >/dev/null || head -c 1 /proc/%[1]d/%[2]s", cmd.Process.Pid, file))
		look.SysProcAttr, look.Dir = user, "/"
		if got, err := look.CombinedOutput(); err == nil {
			t.Errorf("another process of the user reads %s: %q", file, got)
		}
	}
	must(t, in.Close())
	if err := cmd.Wait(); err != nil {
		t.Errorf("the shielded process: %v", err)
	}
}
