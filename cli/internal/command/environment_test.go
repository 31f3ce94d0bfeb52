package command_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/command"
	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/secret"
)

// controlPlane starts a gateway and returns the settings for it.
func controlPlane(t *testing.T, key secret.Text) map[string]string {
	t.Helper()
	return controlPlaneOn(t, redistest.Start(t).URL(), key)
}

// controlPlaneOn is controlPlane on a Redis that is there.
func controlPlaneOn(t *testing.T, redisURL string, key secret.Text) map[string]string {
	t.Helper()
	g, err := gateway.New(gateway.Config{
		RedisURL: redisURL, BlobURL: "file://" + t.TempDir(), Token: "secret", SecretKey: key,
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", LameDuck: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"NIGHTSHIFT_API_URL": "http://" + g.AdminAddr() + "/api/v1", "NIGHTSHIFT_TOKEN": "secret"}
}

// TestEnv runs commands against a gateway, one after the other.
func TestEnv(t *testing.T) {
	t.Parallel()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	env := controlPlane(t, key)
	files := site(t, map[string]string{
		"good.env":     "# of the shop\nTOKEN='from file'\nNEW=\"two\\nlines\"\nexport CENT=pa$$w0rd$1\n",
		"bad.env":      "A=1\nno assignment\n",
		"readonly.env": "A=1\nSITE_ID=x\n",
		"empty.env":    "# nothing\n",
	})
	at := func(name string) string { return filepath.Join(files, name) }
	var transcript strings.Builder
	for _, step := range []struct {
		line  string // arguments, separated by single spaces
		stdin string
	}{
		{"list", ""},
		{"set TOKEN one", ""},
		{"set TOKEN two --context production --context branch:feat/x", ""},
		{"set PASSWORD --context production --context deploy-preview --secret", "s3cr3t\n"},
		{"set LONG " + strings.Repeat("0123456789", 8), ""},
		{"list", ""},
		{"list --context branch:feat/x", ""},
		{"list --context dev --json", ""},
		{"get TOKEN", ""},
		{"get TOKEN --context branch:feat/x", ""},
		{"get TOKEN --context branch:other", ""},
		{"get TOKEN --context dev --json", ""},
		{"get PASSWORD", ""},
		{"get PASSWORD --context dev", ""},
		{"get NOTHING", ""},
		{"set TOKEN three --json", ""},
		{"set LONG x --context staging", ""},
		{"set SITE_ID x", ""},
		{"set 1A x", ""},
		{"unset TOKEN --context production", ""},
		{"unset PASSWORD --context production", ""},
		{"unset PASSWORD --context deploy-preview", ""},
		{"unset LONG", ""},
		{"unset LONG", ""},
		{"import " + at("good.env"), ""},
		{"import - --context production --secret", "TOKEN=piped\nPIPED=1\n"},
		{"import " + at("bad.env"), ""},
		{"import " + at("readonly.env"), ""},
		{"import " + at("empty.env"), ""},
		{"import " + at("missing.env"), ""},
		{"list", ""},
		{"list --site other", ""},
		{"set", ""},
		{"", ""},
	} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"env"}, strings.Fields(step.line)...)
		exit := command.Run(t.Context(), args, command.World{
			Stdin: strings.NewReader(step.stdin), Stdout: &stdout, Stderr: &stderr, Getenv: func(key string) string { return env[key] },
		})
		fmt.Fprintf(&transcript, "$ nightshift %s\n%s%s[%d]\n\n", strings.Join(args, " "), &stdout, &stderr, exit)
	}
	got := strings.ReplaceAll(transcript.String(), files, "DIR")
	golden(t, "env", got)
	if n := strings.Count(got, "s3cr3t"); n > 0 {
		t.Errorf("a secret was printed %d times", n)
	}
}

func TestEnvWithoutASecretKey(t *testing.T) {
	t.Parallel()
	env := controlPlane(t, "")
	var stdout, stderr bytes.Buffer
	exit := command.Run(t.Context(), []string{"env", "set", "A", "canary-4711"}, command.World{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(key string) string { return env[key] },
	})
	if exit != 3 || !strings.Contains(stderr.String(), "NIGHTSHIFT_SECRET_KEY is not set on the gateway; make one with: nightshift secret-key") || strings.Contains(stderr.String(), "canary") {
		t.Errorf("exit %d, %s; want what to do", exit, stderr.String())
	}
}

func TestSecretKey(t *testing.T) {
	t.Parallel()
	var keys []string
	for range 2 {
		var stdout, stderr bytes.Buffer
		exit := command.Run(t.Context(), []string{"secret-key"}, command.World{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr})
		if exit != 0 || !regexp.MustCompile(`^AGE-SECRET-KEY-1[A-Z0-9]+\n$`).MatchString(stdout.String()) || stderr.Len() > 0 {
			t.Errorf("exit %d, %d bytes, %q; want one key alone", exit, stdout.Len(), stderr.String())
		}
		if _, err := secret.Parse(secret.Text(stdout.String())); err != nil {
			t.Errorf("Parse: %v", err)
		}
		keys = append(keys, stdout.String())
	}
	if keys[0] == keys[1] {
		t.Error("the same key twice")
	}
}

// TestSecretKeyRotation replaces a key with commands.
func TestSecretKeyRotation(t *testing.T) {
	t.Parallel()
	var keys []secret.Text
	for range 2 {
		key, err := secret.Generate()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	rdb := redistest.Start(t).URL()
	ids := map[string]string{}
	for i, key := range keys {
		box, err := secret.Parse(key)
		if err != nil {
			t.Fatal(err)
		}
		ids[box.Keys()[0]] = []string{"KEY-OLD-----", "KEY-NEW-----"}[i] // as long as a name is
	}
	var transcript strings.Builder
	run := func(env map[string]string, line string) {
		var stdout, stderr bytes.Buffer
		exit := command.Run(t.Context(), strings.Fields(line), command.World{
			Stdin: strings.NewReader("s3cr3t"), Stdout: &stdout, Stderr: &stderr, Getenv: func(key string) string { return env[key] },
		})
		fmt.Fprintf(&transcript, "$ nightshift %s\n%s%s[%d]\n\n", line, &stdout, &stderr, exit)
	}
	for _, gateway := range []struct {
		name, keys string
		lines      []string
	}{
		{"without a key", "", []string{"secret-key status", "secret-key reseal"}},
		{"with the old key", string(keys[0]), []string{"env set A --secret", "env set B two", "secret-key status"}},
		{"with the new key alone, too early", string(keys[1]), []string{"secret-key status", "env get B"}},
		{"with both", string(keys[1] + "," + keys[0]), []string{"secret-key status", "secret-key reseal", "secret-key reseal", "secret-key status --json"}},
		{"with the new key alone", string(keys[1]), []string{"secret-key status", "env get B"}},
	} {
		fmt.Fprintf(&transcript, "# a gateway %s\n\n", gateway.name)
		env := controlPlaneOn(t, rdb, secret.Text(gateway.keys))
		for _, line := range gateway.lines {
			run(env, line)
		}
	}
	got := transcript.String()
	for id, name := range ids {
		got = strings.ReplaceAll(got, id, name)
	}
	golden(t, "secret-key", got)
	if strings.Contains(got, "s3cr3t") || strings.Contains(got, "AGE-SECRET") {
		t.Error("a secret was printed")
	}
}
