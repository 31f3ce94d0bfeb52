// Package compose runs docker-compose.yml for real: it builds the images, starts
// the system in containers under a name of its own, and does with it what README
// and docs/docker.md say. It needs a Docker engine (DOCKER_HOST) with Compose 1.29
// or 2, and nothing else; make docker-test runs it.
package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

const (
	site   = "work" // testdata/site
	calls  = 1000
	worked = "work-background"
	ticked = "tick"
)

// system is the running project, and what the steps of the test hand on.
type system struct {
	*project
	control *client.Client
	begun   time.Time // of the start
	first   string    // ID of the first call
	secret  string    // the token
}

// TestCompose is one life of an installation: each step goes on from the one before.
func TestCompose(t *testing.T) {
	p, ctx := newProject(t)
	s := &system{project: p}
	for _, step := range []struct {
		name string
		do   func(context.Context, *testing.T)
	}{
		{"build", s.build},
		{"start", s.start},
		{"first call", s.firstCall},
		{"token", s.token},
		{"console", s.console},
		{"containment", s.containment},
		{"second site", s.secondSite},
		{"scale", s.scale},
		{"reach", s.reach},
		{"a worker is killed", s.workerKilled},
		{"ticks", s.ticks},
		{"asynqmon", s.asynqmon},
		{"redis", s.redis},
		{"removal", s.removal},
	} {
		begun := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.do(ctx, t) }) {
			return
		}
		t.Logf("%s took %v", step.name, time.Since(begun).Round(100*time.Millisecond))
	}
}

func (s *system) build(ctx context.Context, t *testing.T) {
	if _, err := s.compose(ctx, "build"); err != nil {
		t.Fatal(err)
	}
}

// start starts everything with the command of the README, which returns when
// the example is deployed.
func (s *system) start(ctx context.Context, t *testing.T) {
	s.begun = time.Now()
	if _, err := s.sh(ctx, documented(t, "docker compose up --detach")); err != nil {
		t.Fatal(err)
	}
}

var header = regexp.MustCompile(`(?m)^Location: (\S+)\r$`)

// firstCall makes the call of the README, and follows what becomes of it.
func (s *system) firstCall(ctx context.Context, t *testing.T) {
	answer, err := s.sh(ctx, documented(t, "curl -i -X POST"))
	if err != nil {
		t.Fatal(err)
	}
	location := header.FindStringSubmatch(answer)
	if !strings.HasPrefix(answer, "HTTP/1.1 202 Accepted") || location == nil {
		t.Fatalf("the call was answered\n%s\nwant 202, with a Location", answer)
	}
	if err := harness.Eventually(ctx, func() error {
		status, body, err := get(ctx, "http://"+s.data+location[1])
		if err != nil || status != http.StatusOK || !strings.Contains(body, `"state":"succeeded"`) {
			return fmt.Errorf("it is %d %s, %v", status, body, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.first = path.Base(location[1])
	t.Logf("a finished run %v after the start", time.Since(s.begun).Round(100*time.Millisecond))
	mail, err := s.compose(ctx, "exec", "-T", "mail", "sh", "-c", "cat /tmp/mail/*.eml")
	if err != nil || !strings.Contains(mail, "To: a@example.com") {
		t.Errorf("the mail server has kept %q, %v; want the mail of the call", mail, err)
	}
}

// token asks for the token as the README does, and takes it to the control plane.
func (s *system) token(ctx context.Context, t *testing.T) {
	out, err := s.sh(ctx, documented(t, "docker compose run --rm -T cli token"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(out)
	s.secret = token
	if s.control, err = client.New("http://"+s.admin+"/api/v1", token, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.control.Workers(ctx); err != nil || len(token) != 64 {
		t.Fatalf("the token is %q and leads to %v; want 64 digits that let us in", token, err)
	}
	if status, body, err := get(ctx, "http://"+s.admin+"/api/v1/sites"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("without a token the control plane answers %d %s, %v; want 401", status, body, err)
	}
}

// console signs in as people do, and finds the first call there.
func (s *system) console(ctx context.Context, t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	read := func(req *http.Request, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s = %s, %v", req.Method, req.URL, res.Status, err)
		}
		return string(body)
	}
	form, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.admin+"/sign-in", strings.NewReader(url.Values{"token": {s.secret}}.Encode()))
	if err == nil {
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	read(form, err)
	page := read(http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/sites/default/invocations/"+s.first, nil))
	if !strings.Contains(page, "send-email-background") || !strings.Contains(page, "succeeded") {
		t.Errorf("the console does not show the finished run:\n%s", page)
	}
}

// redis checks that nobody was refused anything in Redis that he needs.
func (s *system) redis(ctx context.Context, t *testing.T) {
	out, err := s.compose(ctx, "exec", "-T", "redis", "sh", "-c", "REDISCLI_AUTH=$(cat /run/nightshift/redis-users/admin) redis-cli --user admin acl log")
	if err != nil {
		t.Fatal(err)
	}
	// Services ask how Redis is set up, and do with less where they are not told.
	refused := aclObject.FindAllStringSubmatch(out, -1)
	if len(refused) == 0 {
		t.Errorf("the log of Redis cannot be read:\n%s", out)
	}
	for _, object := range refused {
		if object[1] != "config|get" {
			t.Errorf("Redis refused %s:\n%s", object[1], out)
		}
	}
}

var aclObject = regexp.MustCompile(`(?m)^object\n(.*)$`)

// containment checks what the containers may do, by what Docker says of them and
// by what a process in one of them sees.
func (s *system) containment(ctx context.Context, t *testing.T) {
	list, err := s.containers(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	running := map[string]int{}
	published := []string{"gateway", "asynqmon"}
	for _, c := range list {
		name := c.service()
		if c.State.Status == "running" {
			running[name]++
		}
		if h := c.HostConfig; h.Privileged || !h.ReadonlyRootfs || len(h.CapAdd) > 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) ||
			!slices.ContainsFunc(h.SecurityOpt, func(o string) bool {
				return strings.HasPrefix(o, "no-new-privileges") && !strings.HasSuffix(o, "false")
			}) {
			t.Errorf("%s may do more than it needs: %+v", name, h)
		}
		if user, _, _ := strings.Cut(c.Config.User, ":"); user == "" || user == "0" || user == "root" {
			t.Errorf("%s runs as user %q", name, c.Config.User)
		}
		if c.State.Health != nil && c.State.Status == "running" && c.State.Health.Status == "unhealthy" {
			t.Errorf("%s is unhealthy", name)
		}
		for port, bindings := range c.HostConfig.PortBindings {
			for _, b := range bindings {
				if b.HostIP != "127.0.0.1" || !slices.Contains(published, name) {
					t.Errorf("%s publishes %s on %q", name, port, b.HostIP)
				}
			}
		}
	}
	for name, want := range map[string]int{"redis": 1, "gateway": 1, "worker": 1, "scheduler": 2, "asynqmon": 1, "mail": 1} {
		if running[name] != want {
			t.Errorf("%d of %s run, want %d", running[name], name, want)
		}
	}
	status, err := s.compose(ctx, "exec", "-T", "worker", "sh", "-c", "id -u; grep -hE 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status; touch /usr/x /home/x && echo written; true")
	for _, want := range []string{"65532\n", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if err != nil || !strings.Contains(status, want) || strings.Contains(status, "written") {
			t.Errorf("inside a worker: %s, %v; want %q, and nothing written", status, err, want)
		}
	}
}

// secondSite deploys a site with SITE_DIR, twice: the second time changes nothing.
func (s *system) secondSite(ctx context.Context, t *testing.T) {
	s.env = append(s.env, "SITE="+site, "SITE_DIR="+filepath.Join(harness.Root(), "test", "compose", "testdata", "site"))
	for _, want := range []string{"is published at", "nothing new to deploy"} {
		if out, err := s.compose(ctx, "run", "--rm", "-T", "deploy"); err != nil || !strings.Contains(out, want) {
			t.Fatalf("deploying %s: %v\n%s\nwant %q", site, err, out, want)
		}
	}
	s.env = append(s.env, "SITE=", "SITE_DIR=")
}

// scale starts two more workers. That starts the deploy of the example once more,
// which must not publish anything.
func (s *system) scale(ctx context.Context, t *testing.T) {
	before, err := s.control.Deploys(ctx, "default", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.sh(ctx, documented(t, "docker compose up --detach --scale worker=3")); err != nil {
		t.Fatal(err)
	}
	if err := harness.Eventually(ctx, func() error {
		if workers, err := s.control.Workers(ctx); err != nil || len(workers) != 3 {
			return fmt.Errorf("%d workers have reported, %v; want 3", len(workers), err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if after, err := s.control.Deploys(ctx, "default", 10); err != nil || len(after) != len(before) {
		t.Errorf("there are %d deploys of the example, %v; want %d, as before", len(after), err, len(before))
	}
}

// reach lets a function try what stands on its network: it gets nowhere without
// what only services have.
func (s *system) reach(ctx context.Context, t *testing.T) {
	workers, err := s.control.Workers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := struct {
		Redis   string   `json:"redis"`
		Workers []string `json:"workers"`
		Control string   `json:"control"`
	}{Redis: "redis:6379", Control: "gateway:8889"}
	for _, w := range workers {
		ask.Workers = append(ask.Workers, w.Addr)
	}
	body, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.data+"/.netlify/functions/reach", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = site + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Redis, Control string
		Workers        []string
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the function answers %s, %v", res.Status, err)
	}
	t.Logf("a function gets %+v", got)
	if !strings.HasPrefix(got.Redis, "-NOAUTH") {
		t.Errorf("Redis answers a function %q", got.Redis)
	}
	if len(got.Workers) != len(workers) || len(workers) == 0 {
		t.Errorf("%d workers have answered, of %d", len(got.Workers), len(workers))
	}
	for _, line := range got.Workers {
		if line != "HTTP/1.1 401 Unauthorized" {
			t.Errorf("a worker answers a function %q", line)
		}
	}
	if got.Control != "HTTP/1.1 401 Unauthorized" {
		t.Errorf("the control plane answers a function %q", got.Control)
	}
}

// workerKilled makes a thousand calls and kills a worker amid them.
func (s *system) workerKilled(ctx context.Context, t *testing.T) {
	accepted := s.callAll(ctx, t)
	await := func(atLeast int) []api.Invocation {
		t.Helper()
		var done []api.Invocation
		if err := harness.Eventually(ctx, func() (err error) {
			if done, err = s.list(ctx, site, client.InvocationQuery{Function: worked, State: invocation.Succeeded}); err == nil && len(done) < atLeast {
				err = fmt.Errorf("%d of %d have succeeded", len(done), calls)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return done
	}
	before := len(await(calls / 10))
	workers, err := s.containers(ctx, "worker")
	if err != nil || len(workers) != 3 {
		t.Fatalf("there are %d workers, %v; want 3", len(workers), err)
	}
	if _, err := s.docker(ctx, "kill", workers[0].ID); err != nil {
		t.Fatal(err)
	}
	if before >= calls {
		t.Fatalf("all %d were done before the worker was killed", calls)
	}
	done := await(calls)
	again := 0
	for _, inv := range done {
		if !accepted[inv.ID] {
			t.Errorf("%s has run, which was not accepted, or ran twice", inv.ID)
		}
		delete(accepted, inv.ID)
		if len(inv.Attempts) > 1 {
			again++
		}
	}
	if len(accepted) > 0 {
		t.Errorf("%d accepted calls have not succeeded", len(accepted))
	}
	t.Logf("killed after %d of %d; %d had been running there and ran again", before, calls, again)
}

// callAll makes all calls, 16 at a time, and returns the IDs of what was accepted.
func (s *system) callAll(ctx context.Context, t *testing.T) map[string]bool {
	t.Helper()
	accepted, next := map[string]bool{}, make(chan int)
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for n := range next {
				id, err := s.call(ctx, n)
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				mu.Lock()
				accepted[id] = true
				mu.Unlock()
			}
		})
	}
	for n := range calls {
		next <- n
	}
	close(next)
	callers.Wait()
	if t.Failed() || len(accepted) != calls {
		t.Fatalf("%d calls were accepted, want %d", len(accepted), calls)
	}
	return accepted
}

func (s *system) call(ctx context.Context, n int) (id string, err error) {
	body, err := json.Marshal(map[string]int{"n": n})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.data+"/.netlify/functions/"+worked, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Host = site + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("answered %s, want 202", res.Status)
	}
	return res.Header.Get("X-Nf-Request-Id"), nil
}

// list reads all invocations of a site that q asks for.
func (s *system) list(ctx context.Context, site string, q client.InvocationQuery) (all []api.Invocation, err error) {
	for {
		page, err := s.control.Invocations(ctx, site, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Invocations...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all, nil
		}
	}
}

// ticks checks that two schedulers have fired each tick once.
func (s *system) ticks(ctx context.Context, t *testing.T) {
	const enough = 3
	var fired []api.Invocation
	if err := harness.Eventually(ctx, func() (err error) {
		if fired, err = s.list(ctx, site, client.InvocationQuery{Function: ticked}); err == nil && len(fired) < enough {
			err = fmt.Errorf("%d ticks have fired, want %d", len(fired), enough)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	seen := map[time.Time]string{}
	for _, inv := range fired {
		if inv.Kind != function.Scheduled || inv.Tick == nil {
			t.Errorf("%s is of kind %s, for tick %v", inv.ID, inv.Kind, inv.Tick)
			continue
		}
		if other := seen[*inv.Tick]; other != "" {
			t.Errorf("tick %v was fired twice: %s and %s", inv.Tick, other, inv.ID)
		}
		seen[*inv.Tick] = inv.ID
	}
	t.Logf("%d ticks, each fired once", len(seen))
}

// queue is what asynqmon shows of one.
type queue struct {
	Queue                                        string
	Size, Processed, Succeeded, Failed, Archived int
}

// background is what asynqmon should show of the background calls: each attempt
// that came to its end, on whatever worker.
func (s *system) background(ctx context.Context) (queue, error) {
	want := queue{Queue: string(function.Background)}
	for _, name := range []string{site, "default"} {
		list, err := s.list(ctx, name, client.InvocationQuery{})
		if err != nil {
			return want, err
		}
		for _, inv := range list {
			if inv.Kind != function.Background {
				continue
			}
			for _, attempt := range inv.Attempts {
				switch attempt.Outcome {
				case invocation.OK:
					want.Succeeded++
				case "", invocation.WorkerLost, invocation.Drained: // somebody else took over
				default:
					want.Failed++
				}
			}
		}
	}
	want.Processed = want.Succeeded + want.Failed
	return want, nil
}

// asynqmon compares what it shows with what we know, and checks that it changes nothing.
func (s *system) asynqmon(ctx context.Context, t *testing.T) {
	var want queue
	if err := harness.Eventually(ctx, func() error {
		status, body, err := get(ctx, "http://"+s.queues+"/api/queues")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("asynqmon answers %d %s, %v", status, body, err)
		}
		var answer struct{ Queues []queue }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return err
		}
		if want, err = s.background(ctx); err != nil {
			return err
		}
		if !slices.Contains(answer.Queues, want) {
			return fmt.Errorf("asynqmon shows %+v, and we know of %+v", answer.Queues, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if want.Succeeded <= calls {
		t.Errorf("%d have succeeded; want more than %d", want.Succeeded, calls)
	}
	t.Logf("asynqmon and the control plane show %+v", want)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.queues+"/api/queues/background:pause", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("asynqmon answers %s to a pause, want 405", res.Status)
	}
}

// removal takes everything down with the command of the documentation, and looks
// for what it has left.
func (s *system) removal(ctx context.Context, t *testing.T) {
	list, err := s.containers(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.sh(ctx, documented(t, "docker compose down --volumes")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, err := s.containers(ctx, ""); err != nil || len(left) > 0 {
		t.Errorf("%d containers are left, %v", len(left), err)
	}
	names, err := s.docker(ctx, "volume", "ls", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	volumes := strings.Fields(names)
	for _, c := range list {
		for _, m := range c.Mounts {
			if m.Type == "volume" && slices.Contains(volumes, m.Name) {
				t.Errorf("volume %s of %s, at %s, is left", m.Name, c.service(), m.Destination)
			}
		}
	}
	if networks, err := s.docker(ctx, "network", "ls", "--quiet", "--filter", "label=com.docker.compose.project="+s.name); err != nil || networks != "" {
		t.Errorf("networks are left: %s, %v", networks, err)
	}
}

// documented is the one command of README's section about Docker that begins with prefix.
func documented(t *testing.T, prefix string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(harness.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## With Docker\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var found []string
	for line := range strings.Lines(section) {
		command, isCode := strings.CutPrefix(line, "    ")
		command, _, _ = strings.Cut(command, "  #")
		if command = strings.TrimSpace(command); isCode && (command == prefix || strings.HasPrefix(command, prefix+" ") && strings.Contains(prefix, "curl")) {
			found = append(found, command)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README's section With Docker has %d commands %q, want one", len(found), prefix)
	}
	return found[0]
}
