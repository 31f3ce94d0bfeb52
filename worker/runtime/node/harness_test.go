package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/runtime/node"
)

// bench is a running pool for the functions in testdata/handlers.
type bench struct {
	pool *pool.Pool
	dir  string
}

func setup(t *testing.T, change ...func(*pool.Config)) *bench {
	t.Helper()
	path, _, err := node.FindNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := pool.Config{Max: 4, Grace: 300 * time.Millisecond, Node: path, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(&cfg)
	}
	cfg.Jail = jailtest.New(t, func(c *jail.Config) { c.Node = cfg.Node })
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stopping the pool: %v", err)
		}
	})
	return &bench{pool: p, dir: jailtest.Code(t, "testdata/handlers")}
}

// call is one call of a corpus function.
type call struct {
	entry string
	body  string // the event's body; for v2 the case
	kind  function.Kind
	limit time.Duration
	event map[string]any
	env   []string
	ctx   context.Context
	// client is context.clientContext, as JSON.
	client string
	// attempt is its number; 0 stands for the first.
	attempt int
}

// answer is all that came of it.
type answer struct {
	status int
	header map[string][]string
	body   string
	length int64
	failed *pool.Failed
	err    error
	mu     sync.Mutex
	log    []string
}

func (a *answer) has(line string) bool { return a.count(line) > 0 }

func (a *answer) count(line string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.log {
		if strings.Contains(l, line) {
			n++
		}
	}
	return n
}

func (b *bench) code(c call) pool.Code {
	api := function.APIv1
	if strings.Contains(c.entry, "v2") {
		api = function.APIv2
	}
	if c.kind == "" {
		c.kind = function.Sync
	}
	return pool.Code{
		Key: c.entry + strings.Join(c.env, " "),
		Dir: b.dir,
		Env: c.env,
		Function: function.Function{
			Name: strings.TrimSuffix(c.entry, filepath.Ext(c.entry)), Kind: c.kind, API: api,
			Runtime: "node", Entry: c.entry, TimeoutMS: c.limit.Milliseconds(),
		},
	}
}

func (b *bench) run(t *testing.T, c call) *answer {
	t.Helper()
	if c.limit == 0 {
		c.limit = 30 * time.Second
	}
	if c.ctx == nil {
		c.ctx = t.Context()
	}
	event := map[string]any{
		"httpMethod": "POST", "path": "/x", "body": c.body, "isBase64Encoded": false,
		"rawUrl": "http://site.test/x?case=" + c.body, "headers": map[string]string{"host": "site.test", "x-test": "yes"},
	}
	for key, value := range c.event {
		event[key] = value
	}
	raw, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{}
	response, err := b.pool.Invoke(c.ctx, b.code(c), pool.Call{
		ID: "01HZX" + fmt.Sprint(len(c.entry)), Attempt: max(c.attempt, 1), Event: raw, Deadline: time.Now().Add(c.limit), ClientContext: c.client,
		Log: func(stream, text string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.log = append(a.log, stream+": "+text)
		},
	}, true)
	if err == nil {
		a.status, a.header, a.length = response.Status, response.Header, response.Length
		var body []byte
		body, err = io.ReadAll(response.Body)
		a.body = string(body)
		if closeErr := response.Body.Close(); closeErr != nil {
			t.Errorf("closing the body: %v", closeErr)
		}
	}
	a.err = err
	if f, ok := errors.AsType[*pool.Failed](err); ok {
		a.failed = f
	} else if err != nil {
		t.Fatalf("%s: Invoke = %v, which is not a *Failed", c.entry, err)
	}
	return a
}
