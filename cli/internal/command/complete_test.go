package command_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/cli/internal/command"
	"github.com/spf13/cobra"
)

// run runs a command line against an API.
func run(t *testing.T, api string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = command.Run(t.Context(), args, command.World{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Version: "v1",
		Getenv: func(key string) string {
			return map[string]string{"NIGHTSHIFT_API_URL": api, "NIGHTSHIFT_TOKEN": "secret"}[key]
		},
	})
	return exit, out.String(), errs.String()
}

// offers are the words that a shell would show, without what stands beside them.
func offers(t *testing.T, stdout string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, ":") {
		t.Fatalf("the completion does not end with its directive: %q", stdout)
	}
	var words []string
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		words = append(words, word)
	}
	return words
}

func TestComplete(t *testing.T) {
	t.Parallel()
	release, control := newInstallation(t), newControlled(t)
	tests := []struct{ api, args, want string }{
		{release.URL, "invoke |", "hello fails job"},
		{release.URL, "invoke h|", "hello"},
		{release.URL, "invoke hello |", ""},
		{release.URL, "invoke --site |", "default kept shop"},
		{release.URL, "invoke --site shop |", ""},
		{release.URL, "schedules trigger |", "nightly"},
		{release.URL, "schedules --site |", "default kept shop"},
		{release.URL, "invocations --function |", "hello fails job nightly"},
		{release.URL, "invocations --state d|", "dead"},
		{release.URL, "publish |", newest + " a1b2ffffe5f60718293a4b5c " + older},
		{release.URL, "publish 00|", older},
		{release.URL, "rollback --site kept |", "cccc00000000000000000000 bbbb00000000000000000000"},
		{release.URL, "env set K v --context br|", "branch-deploy branch:"},
		{release.URL, "workers |", ""},
		{release.URL, "lo|", "lock logs"},
		{control.URL, "invocations show |", "DEAD"},
		{control.URL, "retry |", "DEAD"},
		{control.URL, "retry DEAD |", ""},
		{control.URL, "callbacks retry |", "DEAD"},
		{control.URL, "logs |", "DEAD"},
		{control.URL, "token revoke |", "0123456789abcdef"},
		{control.URL, "token create --scope |", "read invoke deploy admin"},
		{release.URL, "token create --site |", "default kept shop"},
		{"http://127.0.0.1:1", "invoke |", ""},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			begun, _ := strings.CutSuffix(tt.args, "|")
			args := strings.Split(begun, " ")
			exit, stdout, _ := run(t, tt.api+"/api/v1", append([]string{"__complete"}, args...)...)
			if got := strings.Join(offers(t, stdout), " "); exit != 0 || got != tt.want {
				t.Errorf("exit %d, offered %q, want %q", exit, got, tt.want)
			}
		})
	}
}

// Somebody who presses Tab waits a second at most, also for a server that
// takes the connection and says nothing.
func TestCompleteGivesUp(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	exit, stdout, _ := run(t, silent.URL+"/api/v1", "__complete", "invoke", "")
	if exit != 0 || len(offers(t, stdout)) > 0 {
		t.Errorf("exit %d, %q; want no words", exit, stdout)
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		exit, stdout, stderr := run(t, "http://127.0.0.1:1", "completion", shell)
		if exit != 0 || stderr != "" || !strings.Contains(stdout, "__complete") {
			t.Errorf("%s: exit %d, %q, a script of %d bytes", shell, exit, stderr, len(stdout))
		}
		program, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue // a shell that is not there cannot read it
		}
		script := filepath.Join(t.TempDir(), shell)
		if err := os.WriteFile(script, []byte(stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s does not take its script: %v\n%s", shell, err, out)
		}
	}
	if exit, _, stderr := run(t, "http://127.0.0.1:1", "completion", "bash", "zsh"); exit != 2 || !strings.Contains(stderr, "does not take") {
		t.Errorf("too many arguments: exit %d, %q", exit, stderr)
	}
}

// Machines read what every command prints, and shells know what each takes.
func TestEveryCommand(t *testing.T) {
	t.Parallel()
	root := command.Root(command.World{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }})
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		switch {
		case !cmd.HasParent() || cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Parent().Name() == "completion":
			return
		case cmd.ValidArgsFunction == nil && cmd.CommandPath() != "nightshift env import":
			t.Errorf("%s: nothing says what a shell offers", cmd.CommandPath())
		}
		if cmd.Name() == "dev" || cmd.CommandPath() == "nightshift env" { // the one runs on, the other prints help
			return
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", cmd.CommandPath())
		}
	}
	visit(root)
}
