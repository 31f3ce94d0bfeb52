package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/artifact/artifacttest"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

// steps is a go-redis hook that numbers the commands of a client, pipelines as
// one, and lets the test do something before each, or break it.
type steps struct {
	n      int
	before func(n int) error // an error breaks the command
	lose   func(n int) error // an error breaks its reply
}

func (s *steps) around(do func() error) error {
	s.n++
	n := s.n
	if s.before != nil {
		if err := s.before(n); err != nil {
			return err
		}
	}
	err := do()
	if s.lose != nil {
		if lost := s.lose(n); lost != nil {
			return lost
		}
	}
	return err
}

func (s *steps) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s *steps) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := s.around(func() error { return next(ctx, cmd) })
		if errors.Is(err, errCrash) {
			cmd.SetErr(err)
		}
		return err
	}
}

func (s *steps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := s.around(func() error { return next(ctx, cmds) })
		if errors.Is(err, errCrash) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

var errCrash = errors.New("the scheduler is dead")

// client deploys as a gateway does, with the contents that are garbage.
type client struct {
	w       *world
	deploy  deploy.Deploy
	content map[string][]byte // by name of the blob
	missing []string          // what it was told to upload
	ready   bool
}

func newClient(w *world) *client {
	file := []byte("left")
	code, digest := artifacttest.Pack(w.t, artifact.File{Path: "f.js", Data: file})
	return &client{w: w, deploy: description("again", []string{digest}, []string{artifacttest.Digest(file)}), content: map[string][]byte{
		artifact.Code.Name(digest): code, artifact.Static.Name(artifacttest.Digest(file)): file,
	}}
}

// write stores the deploy's record: from then on it needs its blobs.
func (c *client) write() {
	c.w.t.Helper()
	if err := c.w.store.CreateDeploy(c.w.t.Context(), c.deploy); err != nil {
		c.w.t.Fatal(err)
	}
}

// settle makes the deploy ready unless something is missing.
func (c *client) settle() {
	c.w.t.Helper()
	ctx := c.w.t.Context()
	names := make([]string, 0, len(c.content))
	for name := range c.content {
		names = append(names, name)
	}
	doomed, err := c.w.store.Doomed(ctx, names)
	if err != nil {
		c.w.t.Fatal(err)
	}
	there := artifacttest.Names(c.w.t, c.w.blobs.Store)
	c.missing = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(there, name) && !slices.Contains(doomed, name) })
	if len(c.missing) == 0 && !c.ready {
		c.w.set("deploy:"+c.deploy.ID, "state", string(deploy.Ready))
		c.ready = true
	}
}

// upload sends what is missing, as far as it is taken, and settles.
func (c *client) upload() {
	c.w.t.Helper()
	ctx := c.w.t.Context()
	for _, name := range c.missing {
		doomed, err := c.w.store.Doomed(ctx, []string{name})
		if err != nil {
			c.w.t.Fatal(err)
		}
		if len(doomed) > 0 {
			return // 503
		}
		kind, digest, _ := artifact.ParseName(name)
		put := c.w.blobs.Put
		if kind == artifact.Static {
			put = c.w.blobs.PutFile
		}
		if err := put(ctx, digest, bytes.NewReader(c.content[name])); err != nil {
			c.w.t.Fatal(err)
		}
	}
	c.settle()
}

// check fails the test unless the client can finish, and its deploy has all that
// it needs, also after the next round.
func (c *client) check(what string) {
	c.w.t.Helper()
	if !c.ready {
		c.settle()
		c.upload()
	}
	if !c.ready {
		c.w.t.Fatalf("%s: the client cannot finish: %v are missing", what, c.missing)
	}
	c.w.round(c.w.collector(c.w.store), c.w.term())
	there := artifacttest.Names(c.w.t, c.w.blobs.Store)
	for name := range c.content {
		if !slices.Contains(there, name) {
			c.w.t.Fatalf("%s: the ready deploy has lost %s", what, name)
		}
	}
}

// stage empties the world and puts garbage into it: what a removed deploy has
// left, beside a deploy that needs other blobs. It returns the commands of a
// collector.
func (w *world) stage() (*steps, *store.Store) {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.rdb.FlushAll(ctx).Err(); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range artifacttest.Names(w.t, w.blobs.Store) {
		kind, digest, _ := artifact.ParseName(name)
		if err := w.blobs.Store.Delete(ctx, digest, kind); err != nil {
			w.t.Fatal(err)
		}
	}
	w.blobs.old = map[string]bool{}
	w.deploy(description("lives", []string{w.code("needed", true)}, []string{w.file("needed", true)}), deploy.Ready, day)
	w.set("blobs:shop", "sha1:"+strings.Repeat("0", 40), w.file("left", true)+" 4")
	w.set("blobs:shop", "zip:"+w.code("left", true), "{}")
	s := &steps{}
	rdb := w.server.Client()
	rdb.AddHook(s)
	return s, store.New(rdb, store.Options{})
}

// commands is how many steps a round has here, once Redis knows the scripts.
func (w *world) commands() (count int) {
	w.t.Helper()
	for range 2 {
		s, stepped := w.stage()
		n := w.round(w.collector(stepped), w.term())
		if n.blobs != 2 || s.n < 10 {
			w.t.Fatalf("a round did %+v in %d commands, want 2 blobs", n, s.n)
		}
		count = s.n
	}
	return count
}

// A deploy that appears between any two steps of a round, and looks for its blobs
// between any two later ones, keeps them or is told to send them again.
func TestDeploysBesideARound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commands := w.commands()
	for i := 1; i <= commands; i++ {
		for j := i; j <= commands; j++ {
			s, stepped := w.stage()
			c := newClient(w)
			s.before = func(n int) error {
				if n == i {
					c.write()
				}
				if n == j {
					c.settle()
					c.upload()
				}
				return nil
			}
			w.round(w.collector(stepped), w.term())
			c.check(fmt.Sprintf("written before command %d, complete before %d", i, j))
		}
	}
}

// A leader dies at any step, and a client deploys before and after the next one
// comes. Nothing is lost, and what is garbage is gone in the end.
func TestACrashBetweenSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range w.commands() {
		for name, lost := range map[string]bool{"before": false, "after": true} {
			for _, deploys := range []bool{false, true} {
				s, stepped := w.stage()
				crash := func(n int) error {
					if n >= i+1 {
						return errCrash
					}
					return nil
				}
				if lost {
					s.lose = crash
				} else {
					s.before = crash
				}
				if _, err := w.collector(stepped).round(t.Context(), w.term()); err == nil {
					t.Fatalf("a round without command %d succeeded", i+1)
				}
				what := fmt.Sprintf("died "+name+" command %d", i+1)
				c := newClient(w)
				if deploys {
					c.write()
					c.settle()
					c.upload()
				}
				w.round(w.collector(w.store), w.term())
				if doomed, err := w.store.AllDoomed(t.Context()); err != nil || len(doomed) != 0 {
					t.Fatalf("%s: doomed after the next leader's round: %v, %v", what, doomed, err)
				}
				if deploys {
					c.check(what)
					continue
				}
				if got := artifacttest.Names(t, w.blobs.Store); len(got) != 2 {
					t.Fatalf("%s: %d blobs are left, want the 2 that are needed", what, len(got))
				}
				if left := w.rdb.HKeys(t.Context(), "nightshift:{catalog}:blobs:shop").Val(); len(left) != 0 {
					t.Fatalf("%s: %v of what was deleted are still remembered", what, left)
				}
			}
		}
	}
}

// A leader is frozen at any step. Another one leads meanwhile, and a client
// deploys. When the first one comes back it takes nothing away.
func TestAFrozenLeaderThatComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := 1; i <= w.commands(); i++ {
		s, stepped := w.stage()
		c := newClient(w)
		s.before = func(n int) error {
			if n == i {
				w.round(w.collector(w.store), w.term())
				c.write()
				c.settle()
				c.upload()
			}
			return nil
		}
		if _, err := w.collector(stepped).round(t.Context(), w.term()); err != nil && !errors.Is(err, store.ErrSuperseded) {
			t.Fatalf("frozen before command %d: round = %v", i, err)
		}
		// It may have left notes, which the leader's next round takes back.
		c.check(fmt.Sprintf("frozen before command %d", i))
	}
}
