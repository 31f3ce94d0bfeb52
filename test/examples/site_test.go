package examples

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/harness"
)

// site is an example that runs, and somebody who follows its README.
type site struct {
	*testing.T
	name    string
	source  string // the example's folder
	readme  *readme
	given   *settings
	dir     string   // where commands are typed: examples and bin are there, as in a clone
	kept    string   // where the stand-ins keep what they keep
	url     string   // of the site, as it is typed
	data    string   // host:port of the data plane
	env     []string // of whoever types
	flags   string   // of each nightshift command
	standIn string   // host:port of what stands for the systems around the site
	mail    *harness.MailSink

	typed int    // how many commands of the README were typed
	id    string // of the invocation that was started last: the README's ID
}

// newSite reads an example and starts its mail server. Nothing runs yet.
func newSite(t *testing.T, name string) *site {
	t.Helper()
	s := &site{T: t, name: name, source: filepath.Join(harness.Root(), "examples", name), dir: t.TempDir(), standIn: freeAddr(t)}
	if exists(filepath.Join(s.source, "package-lock.json")) && !exists(filepath.Join(s.source, "node_modules", ".package-lock.json")) {
		t.Fatalf("examples/%s has no installed packages; run `npm ci --prefix examples/%s`, or `make e2e`, which does", name, name)
	}
	var err error
	s.given, err = readSettings(filepath.Join(s.source, "netlify.toml"))
	check(t, err)
	s.readme, err = readReadme(name)
	check(t, err)
	check(t, s.readme.check(name, s.given.names()))
	check(t, os.Symlink(binDir, filepath.Join(s.dir, "bin")))
	s.mail, err = harness.StartGreylist()
	check(t, err)
	t.Cleanup(func() { check(t, s.mail.Close()) })
	return s
}

// open starts the stand-ins of an example and deploys it.
func (in *installation) open(t *testing.T, name string) *site {
	t.Helper()
	s := newSite(t, name)
	s.kept, s.env, s.flags = t.TempDir(), in.environ(), " --site "+name
	s.data, s.url = in.data, "http://"+name+".localhost"+in.data[strings.LastIndexByte(in.data, ':'):]
	check(t, os.Symlink(filepath.Join(harness.Root(), "examples"), filepath.Join(s.dir, "examples")))
	if program := s.given.program(); program != "" {
		node, err := exec.LookPath("node")
		check(t, err)
		s.start(harness.Spec{
			Name: program, Path: node, Args: []string{program}, Dir: s.source,
			Env: append(s.ports(), "DATA_DIR="+s.kept, "CALLBACK_SECRET="+in.secret),
		}, "http://"+s.standIn)
	}
	if name != "invoices" { // the default site is there already
		in.nightshift(t, "sites", "create", name)
	}
	for key, value := range s.variables() {
		in.nightshift(t, "env", "set", key, value, "--site", name)
	}
	in.nightshift(t, "deploy", "--prod", "--site", name, s.source)
	return s
}

// dev runs a copy of an example under nightshift dev, which starts its stand-ins.
func dev(t *testing.T, name string) *site {
	t.Helper()
	s := newSite(t, name)
	copied := filepath.Join(s.dir, "examples", name)
	check(t, copySite(s.source, copied))
	s.kept, s.data = filepath.Join(copied, ".nightshift"), freeAddr(t)
	s.url = "http://" + s.data
	admin := freeAddr(t)
	s.env = harness.Environ("NIGHTSHIFT_API_URL=http://" + admin + "/api/v1")
	env := s.ports()
	for key, value := range s.variables() { // what the shell has goes before netlify.toml
		env = append(env, key+"="+value)
	}
	t.Cleanup(func() { check(t, harness.RemoveReadOnly(s.kept)) })
	p := s.start(harness.Spec{
		Name: "dev", Path: filepath.Join("bin", "nightshift"), Dir: s.dir, Env: env,
		Args: []string{"dev", "examples/" + name, "--port", portOf(s.data), "--admin-port", portOf(admin)},
	}, "http://"+s.data, "http://"+s.standIn)
	eventually(t, func() error { // the gateway answers before there is anything to serve
		if p.Log.Count(deployed) == 0 {
			return errors.New("nightshift dev has deployed nothing yet")
		}
		return nil
	})
	return s
}

// deployed is what nightshift dev says when the site is there.
var deployed = regexp.MustCompile(`(?m)^Ready after`)

// variables are those of the site, with the addresses of this run.
func (s *site) variables() map[string]string {
	values := map[string]string{}
	for key, value := range s.given.variables() {
		values[key] = strings.NewReplacer(standIns, s.standIn, mailServer, s.mail.Addr()).Replace(value)
	}
	return values
}

// ports is the environment of the stand-ins. Their own mail server is there and is
// not used.
func (s *site) ports() []string {
	return harness.Environ("PORT="+portOf(s.standIn), "SMTP_PORT="+portOf(freeAddr(s.T)))
}

// start starts a process and waits until each of the URLs answers.
func (s *site) start(spec harness.Spec, urls ...string) *harness.Process {
	s.Helper()
	var fleet harness.Fleet
	p, err := fleet.Start(spec)
	check(s.T, err)
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("---- %s\n%s", spec.Name, p.Log.Tail(60))
		}
		check(s.T, fleet.Close())
	})
	for _, url := range urls {
		eventually(s.T, func() error {
			if !p.Running() {
				s.Fatalf("%s ended:\n%s", spec.Name, p.Log)
			}
			res, err := http.Get(url)
			if err != nil {
				return err
			}
			return res.Body.Close()
		})
	}
	return p
}

// The addresses that READMEs and netlify.toml have, and the test replaces.
const (
	dataPlane  = "http://127.0.0.1:8888"
	standIns   = "127.0.0.1:4000"
	mailServer = "127.0.0.1:2525"
)

var (
	placeholder = regexp.MustCompile(`\bID\b`)
	accepted    = regexp.MustCompile(`(?m)^X-Nf-Request-Id: (\S+)\r?$`)
	triggered   = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{26}\n$`)
	// looks are commands that change nothing, so that they can be typed until they
	// show what the reader waits for.
	looks = regexp.MustCompile(`^(curl (-o \S+ )?http://\S+|git -C \S+ log .*)$`)
)

// types types the next command of the README, which must begin as said, and hands
// what it printed to see. One that only looks is typed again until see is content.
func (s *site) types(beginning string, see func(out string) error) {
	s.Helper()
	if s.typed == len(s.readme.types) {
		s.Fatalf("the README ends before %q", beginning)
	}
	command := s.readme.types[s.typed]
	s.typed++
	if !strings.HasPrefix(command, beginning) {
		s.Fatalf("the README's command %d is\n%s\nwant one that begins with %q", s.typed, command, beginning)
	}
	again := looks.MatchString(command)
	command = s.here(command)
	try := func() error {
		out, err := s.shell(command)
		if err == nil {
			err = see(out)
		}
		if err != nil {
			return fmt.Errorf("%s\n%w", command, err)
		}
		return nil
	}
	if again {
		eventually(s.T, try)
		return
	}
	check(s.T, try())
}

// here is a command with the addresses and the ID of this run.
func (s *site) here(command string) string {
	if strings.HasPrefix(command, "bin/nightshift ") {
		command += s.flags
	}
	return strings.NewReplacer(
		dataPlane, s.url,
		standIns, s.standIn,
		"examples/"+s.name+"/.nightshift", s.kept,
	).Replace(placeholder.ReplaceAllLiteralString(command, s.id))
}

// shell runs a command and remembers the invocation that it started.
func (s *site) shell(command string) (string, error) {
	ctx, cancel := context.WithTimeout(s.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env, cmd.Dir = s.env, s.dir
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return "", err
	}
	if found := accepted.FindStringSubmatch(string(out)); found != nil {
		s.id = found[1]
	} else if triggered.Match(out) {
		s.id = strings.TrimSpace(string(out))
	}
	return string(out), nil
}

// allTyped fails if the README goes on.
func (s *site) allTyped() {
	s.Helper()
	if rest := s.readme.types[s.typed:]; len(rest) > 0 {
		s.Fatalf("the test does not follow the README to its end:\n%s", strings.Join(rest, "\n"))
	}
}

// began wants the ID of an invocation, and nothing else.
func began(out string) error {
	if !triggered.MatchString(out) {
		return fmt.Errorf("want an ID, got\n%s", out)
	}
	return nil
}

// has wants each of the parts in what was printed.
func has(parts ...string) func(string) error {
	return func(out string) error {
		for _, part := range parts {
			if !strings.Contains(out, part) {
				return fmt.Errorf("want %s in\n%s", part, out)
			}
		}
		return nil
	}
}

// ended waits for the end of an invocation.
func (s *site) ended(id string) api.Invocation {
	s.Helper()
	var inv api.Invocation
	eventually(s.T, func() error {
		req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+s.data+"/.nightshift/invocations/"+id, nil)
		if err != nil {
			return err
		}
		req.Host = strings.TrimPrefix(s.url, "http://") // an invocation is there on the hosts of its own site only
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &inv); err != nil {
			return fmt.Errorf("%w\n%s", err, raw)
		}
		if !inv.State.Terminal() {
			return fmt.Errorf("not at its end: %s", raw)
		}
		return nil
	})
	return inv
}

// succeeded waits for an invocation to succeed in so many attempts, and returns
// the body of its result.
func (s *site) succeeded(id string, attempts, status int) string {
	s.Helper()
	inv := s.ended(id)
	if inv.State != invocation.Succeeded || len(inv.Attempts) != attempts || inv.Result == nil || inv.Result.Status != status {
		s.Fatalf("%s: ends %s after %d attempts with %+v, want succeeded after %d with status %d\n%+v",
			inv.Function, inv.State, len(inv.Attempts), inv.Result, attempts, status, inv.Attempts)
	}
	return inv.Result.Body
}
