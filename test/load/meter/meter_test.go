package meter

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const line = "42 (a (strange) name) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 30 5 20 0 9 0 12345 0 0"
	got, err := parse([]byte(line))
	want := stat{parent: 7, own: 1200 * time.Millisecond, waited: 350 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("parse = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parse([]byte("42 (short) S 7")); err == nil {
		t.Error("a line that is too short is no error")
	}
}

// Descendants count for who started them, while they live and when they have ended.
func TestOfCountsDescendants(t *testing.T) {
	t.Parallel()
	// A shell whose child computes for a while, and ends.
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "(for ((i = 0; i < 100000; i++)); do :; done); echo; read")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	used, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if u := used[0]; u.Family < 50*time.Millisecond || u.CPU >= u.Family || u.Resident == 0 {
		t.Errorf("the shell has used %+v, want more of its child than of itself", u)
	}
	_ = in.Close()
	_ = cmd.Wait() // read has nothing to read
	if _, err := Of(cmd.Process.Pid); err == nil {
		t.Error("a process that has ended is no error")
	}
	if used, err := Of(os.Getpid()); err != nil || used[0].Family == 0 {
		t.Errorf("the test itself has used %+v, %v, want that of the shell's family, too", used, err)
	}
}

func TestParseInfo(t *testing.T) {
	t.Parallel()
	c, err := parseInfo("# Stats\r\ntotal_commands_processed:12\r\ntotal_net_input_bytes:34\r\nused_memory:56\r\naof_current_size:78\r\n" +
		"# Commandstats\r\ncmdstat_evalsha:calls=9,usec=1,usec_per_call=0.11\r\ncmdstat_config|get:calls=2,usec=1\r\nrole:master\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Commands != 12 || c.In != 34 || c.Memory != 56 || c.File != 78 || c.ByName["evalsha"] != 9 || c.ByName["config|get"] != 2 {
		t.Errorf("the counters are %+v", c)
	}
	if _, err := parseInfo("used_memory:lots"); err == nil {
		t.Error("a counter that is no number is no error")
	}
}

func TestSentCommand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`+1700000000.123456 [0 127.0.0.1:6000] "EvalSha" "abc" "1"`: "evalsha",
		`+1700000000.123456 [0 unix:/tmp/s] "ping"`:                 "ping",
		`+1700000000.123456 [0 lua] "get" "key"`:                    "",
		`+OK`:                                                       "",
	} {
		if got := sentCommand(line); got != want {
			t.Errorf("sentCommand(%s) = %q, want %q", line, got, want)
		}
	}
}
