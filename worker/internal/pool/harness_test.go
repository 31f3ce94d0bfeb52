package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/runtime/node"
)

// start starts a pool that is stopped at the end of the test.
func start(t testing.TB, cfg Config) *Pool {
	t.Helper()
	path, _, err := node.FindNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Node == "" {
		cfg.Node = path
	}
	if cfg.Grace == 0 {
		cfg.Grace = 300 * time.Millisecond
	}
	if cfg.Jail == nil {
		cfg.Jail = jailtest.New(t, func(c *jail.Config) { c.Node = cfg.Node })
	}
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

// stop stops a pool and checks that nothing of it is left.
func stop(t testing.TB, p *Pool) {
	t.Helper()
	p.mu.Lock()
	dir, brands := p.dir, map[process.Brand]bool{}
	for i := range p.all {
		brands[i.proc.Brand()] = true
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	for brand, pids := range process.Branded() {
		if brands[brand] {
			t.Errorf("Stop left processes behind: %v", pids)
		}
	}
	if _, err := os.Stat(dir); dir != "" && err == nil {
		t.Errorf("Stop left %s behind", dir)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots != 0 || len(p.all) != 0 {
		t.Errorf("after Stop: %d slots in use, %d processes", p.slots, len(p.all))
	}
}

// handlers is a copy of the Node runtime's collection of handlers, where all
// users find it.
var handlers string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nightshift-handlers-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Chmod(dir, 0o755), os.CopyFS(dir, os.DirFS("../../runtime/node/testdata/handlers")))
	}
	if err != nil {
		panic(err)
	}
	handlers = dir
	return m.Run()
}

// corpus is code from the Node runtime's collection of handlers.
func corpus(t testing.TB, key, entry string) Code {
	t.Helper()
	api := function.APIv1
	if strings.Contains(entry, "v2") {
		api = function.APIv2
	}
	return Code{Key: key, Dir: handlers, Function: function.Function{Name: key, Kind: function.Sync, API: api, Runtime: "node", Entry: entry}}
}

// lines is a log that may be read at any time.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(stream, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, stream+": "+text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// do runs a call to its end.
func do(ctx context.Context, p *Pool, code Code, body string, wait bool) (string, *lines, error) {
	log := &lines{}
	response, err := p.Invoke(ctx, code, Call{
		ID: "id-" + body, Attempt: 1, Log: log.add, Deadline: time.Now().Add(30 * time.Second),
		Event: fmt.Appendf(nil, `{"httpMethod":"POST","rawUrl":"http://site.test/?case=%s","headers":{},"body":%q}`, body, body),
	}, wait)
	if err != nil {
		return "", log, err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), log, err
}

func must(t *testing.T, p *Pool, code Code, body string) string {
	t.Helper()
	got, log, err := do(t.Context(), p, code, body, true)
	if err != nil {
		t.Fatalf("%s: %v, log %s", code.Key, err, log)
	}
	return got
}

func failedOf(err error) *Failed {
	f, _ := errors.AsType[*Failed](err)
	return f
}
