package nextjs

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// oldest and newest major versions that are tested, in test/nextjs.
const (
	oldest = 13
	newest = 16
)

// tail is how many lines of a failed build are shown.
const tail = 40

//go:embed script/site.cjs
var siteScript string

// config is what matters of next.config.js.
type config struct {
	DistDir        string   `json:"distDir"`
	PageExtensions []string `json:"pageExtensions"`
	BasePath       string   `json:"basePath"`
	// WholeHandlers says that compiled route handlers serve a request by themselves.
	WholeHandlers bool `json:"wholeHandlers"`
}

// find finds the site's own Next, as Node would.
func (s *site) find() error {
	for dir := s.Root; ; dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "node_modules", "next", "package.json"))
		if err == nil {
			var manifest struct{ Version string }
			if err := json.Unmarshal(data, &manifest); err != nil {
				return fault.Wrap(err, fault.Invalid, "node_modules/next/package.json cannot be read; install the packages again")
			}
			s.version = manifest.Version
			s.bin = filepath.Join(dir, "node_modules", "next", "dist", "bin", "next")
			return s.checkVersion()
		}
		if dir == filepath.Dir(dir) {
			return fault.New(fault.Invalid, "this is a Next.js site, but the package next is not installed; run npm install (or pnpm, or yarn) in the site")
		}
	}
}

func (s *site) checkVersion() error {
	first, rest, _ := strings.Cut(s.version, ".")
	major, err := strconv.Atoi(first)
	minor, _, _ := strings.Cut(rest, ".")
	if n, _ := strconv.Atoi(minor); err != nil || major < oldest || major == oldest && n < 5 {
		return fault.New(fault.Invalid, "the site has Next.js %s; API routes run from %d.5 on. Update next", s.version, oldest)
	}
	if major > newest {
		s.Log(fmt.Sprintf("Next.js %s is newer than what is tested (%d); tell us if a route does not run", s.version, newest))
	}
	return nil
}

// inspect asks for the configuration.
func (s *site) inspect(ctx context.Context) error {
	return s.ask(ctx, &s.config, "config", s.Root)
}

// ask runs the script with the site's own Next and reads its answer.
func (s *site) ask(ctx context.Context, answer any, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe for node: %w", err)
	}
	defer r.Close()
	cmd, output, err := s.node(ctx, append([]string{"-"}, args...)...)
	if err != nil {
		w.Close()
		return err
	}
	cmd.Stdin = strings.NewReader(siteScript)
	cmd.ExtraFiles = []*os.File{w} // descriptor 3
	decoded := make(chan error, 1)
	go func() { decoded <- json.NewDecoder(r).Decode(answer) }()
	err = cmd.Run()
	w.Close()
	if failed := <-decoded; err == nil {
		err = failed
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the configuration of Next.js cannot be read:\n%s", output.tail(tail))
	}
	return nil
}

// next runs `next build`.
func (s *site) next(ctx context.Context) error {
	cmd, output, err := s.node(ctx, s.bin, "build")
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		text := output.tail(tail)
		if strings.Contains(text, "ApiRouteConfig") {
			text += "\n\nNext.js checks the type of `config` and knows neither type nor schedule. It is content if one of its own keys is there too: add maxDuration, the seconds that the route may take."
		}
		return fault.Wrap(err, fault.Invalid, "next build failed:\n%s", text)
	}
	return nil
}

// node prepares a run of Node in the site. When ctx ends, it ends with all
// that it has started: next build works in several processes.
func (s *site) node(ctx context.Context, args ...string) (*exec.Cmd, *output, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "node is not on the PATH; next build needs it")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.Root
	cmd.Env = environ()
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the output open
	return cmd, out, nil
}

// environ is ours, without our own secrets, as a build machine would have it.
func environ() []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "NIGHTSHIFT_") && name != "NODE_ENV" && name != "NEXT_TELEMETRY_DISABLED" && name != "CI" {
			env = append(env, entry)
		}
	}
	// CI keeps Next from installing packages that it misses. NIGHTSHIFT lets
	// next.config.js tell this build from others.
	return append(env, "NODE_ENV=production", "NEXT_TELEMETRY_DISABLED=1", "CI=1", "NIGHTSHIFT=1")
}

// output keeps the end of what a command prints.
type output struct{ text []byte }

// maxOutput bounds it.
const maxOutput = 64 << 10

func (o *output) Write(b []byte) (int, error) {
	o.text = append(o.text, b...)
	if over := len(o.text) - maxOutput; over > 0 {
		o.text = append([]byte(nil), o.text[over:]...)
	}
	return len(b), nil
}

// tail is the last n lines, without colours.
func (o *output) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(escapes.ReplaceAllString(string(o.text), "")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// escapes are the colours and cursor moves of terminals.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
