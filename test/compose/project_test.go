package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// project is the system in containers, under a name and on ports of its own, so
// that it is beside whatever else runs on the machine.
type project struct {
	name    string
	program []string // docker compose, or docker-compose
	env     []string
	// addresses, host:port, of what is published
	data, admin, queues string
}

// newProject makes a project that runs nothing yet, and removes what it has run
// at the end of the test. With an end that comes from outside, a signal or the
// test's deadline, the context that it returns leaves the time for that.
func newProject(t *testing.T) (*project, context.Context) {
	t.Helper()
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-2*time.Minute))
		t.Cleanup(cancel)
	}
	p := &project{name: fmt.Sprintf("nightshift-test-%d", os.Getpid()), program: program(ctx)}
	p.program = append(p.program, "--project-name", p.name)
	p.env = append(os.Environ(),
		// What is empty here is so whatever a .env says.
		"NIGHTSHIFT_VERSION=test", "NIGHTSHIFT_TOKEN=", "NIGHTSHIFT_SECRET_KEY=", "SITE=", "SITE_DIR=",
		"NIGHTSHIFT_WORKER_CONCURRENCY=", "COMPOSE_PROFILES=", "COMPOSE_FILE=docker-compose.yml")
	for _, published := range []struct {
		setting string
		addr    *string
	}{{"NIGHTSHIFT_PORT", &p.data}, {"NIGHTSHIFT_ADMIN_PORT", &p.admin}, {"NIGHTSHIFT_ASYNQMON_PORT", &p.queues}} {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		*published.addr = fmt.Sprintf("127.0.0.1:%d", port)
		p.env = append(p.env, fmt.Sprintf("%s=%d", published.setting, port))
	}
	t.Cleanup(func() { p.remove(t) })
	return p, ctx
}

// remove shows the logs of a test that has failed, and takes everything down.
func (p *project) remove(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	if t.Failed() {
		logs, err := p.compose(ctx, "logs", "--no-color", "--tail=40")
		t.Logf("what the containers wrote, %v:\n%s", err, logs)
	}
	if out, err := p.compose(ctx, "down", "--volumes", "--timeout=2"); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}

// compose runs a command of Compose and returns what it wrote.
func (p *project) compose(ctx context.Context, args ...string) (string, error) {
	return p.run(ctx, slices.Concat(p.program, args))
}

// docker runs a command of Docker.
func (p *project) docker(ctx context.Context, args ...string) (string, error) {
	return p.run(ctx, append([]string{"docker"}, args...))
}

func (p *project) run(ctx context.Context, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = harness.Root(), p.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String() + errs.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// sh runs a command of the documentation, as it stands there, on this project.
func (p *project) sh(ctx context.Context, command string) (string, error) {
	command = strings.NewReplacer(
		"docker compose", strings.Join(p.program, " "), "127.0.0.1:8888", p.data, "127.0.0.1:8889", p.admin,
	).Replace(command)
	return p.run(ctx, []string{"sh", "-c", command})
}

// container is what Docker says of one.
type container struct {
	ID    string `json:"Id"`
	State struct {
		Status string
		Health *struct{ Status string }
	}
	Config struct {
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		Privileged, ReadonlyRootfs   bool
		CapAdd, CapDrop, SecurityOpt []string
		NetworkMode                  string
		PortBindings                 map[string][]struct {
			HostIP string `json:"HostIp"`
		}
	}
	Mounts []struct{ Type, Name, Destination string }
}

func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

// containers lists those of a service, or of all with "", with the ones that have ended.
func (p *project) containers(ctx context.Context, service string) ([]container, error) {
	args := []string{"ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=" + p.name}
	if service != "" {
		args = append(args, "--filter", "label=com.docker.compose.service="+service)
	}
	ids, err := p.docker(ctx, args...)
	if err != nil || ids == "" {
		return nil, err
	}
	out, err := p.docker(ctx, append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var list []container
	return list, json.Unmarshal([]byte(out), &list)
}

// get asks for a URL and returns the status and the body.
func get(ctx context.Context, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}
