package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// write is one kind of write, for the tables of failures below.
type write struct {
	name string
	// prepare makes what the write needs and returns its parts: do makes the
	// write through s, which breaks; done reports whether it is stored, once.
	prepare func(t testing.TB, b *backend) (do func(ctx context.Context, s *Store) error, done func() bool)
	// again is whether a second call by the caller succeeds after a first one
	// that is stored although it failed.
	again func(error) bool
}

func isNil(err error) bool      { return err == nil }
func isNotFound(err error) bool { return fault.Is(err, fault.NotFound) }
func isConflict(err error) bool { return fault.Is(err, fault.Conflict) }

// writes lists every write that is not a step.
var writes = []write{
	{"Begin", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.create(t, function.Background)
		return func(ctx context.Context, s *Store) error {
				_, err := s.Begin(ctx, function.Background, id, "w")
				return err
			}, func() bool {
				inv := b.read(t, id)
				return inv.State == invocation.Running && len(inv.Attempts) >= 1
			}
	}, isNil},
	{"Finish", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.put(t, invocation.Running)
		return func(ctx context.Context, s *Store) error {
				return s.Finish(ctx, function.Background, id, 1, ends[invocation.Failed])
			}, func() bool {
				return b.read(t, id).State == invocation.Failed && b.field(t, id, fieldFailures) == "1"
			}
	}, isNil},
	{"Cancel queued", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.create(t, function.Background)
		return func(ctx context.Context, s *Store) error {
			_, err := s.Cancel(ctx, id)
			return err
		}, func() bool { return b.read(t, id).State == invocation.Cancelled }
	}, isConflict},
	{"Cancel running", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.put(t, invocation.Running)
		return func(ctx context.Context, s *Store) error {
			_, err := s.Cancel(ctx, id)
			return err
		}, func() bool { return b.field(t, id, fieldCancel) != "" }
	}, isNil},
	{"AppendLog", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.put(t, invocation.Running)
		return func(ctx context.Context, s *Store) error {
			return s.AppendLog(ctx, LogSource{Site: "shop", Kind: function.Background, Invocation: id}, numbered(1, 0, 3))
		}, func() bool { return b.lines(t, id) == 3 }
	}, isNil},
	{"AppendLog after a short log", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.put(t, invocation.Running)
		b.append(t, id, numbered(1, 0, 2))
		return func(ctx context.Context, s *Store) error {
			return s.AppendLog(ctx, LogSource{Site: "shop", Kind: function.Background, Invocation: id}, numbered(1, 2, 3))
		}, func() bool { return b.lines(t, id) == 5 }
	}, isNil},
	{"CreateDeploy", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error {
				return s.CreateDeploy(ctx, deploy.Deploy{ID: "d1", Site: "shop"})
			}, func() bool {
				all, err := b.DeploySummaries(t.Context(), "shop", 0, 0)
				return err == nil && len(all) == 1
			}
	}, isConflict},
	{"Describe", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.announced(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error {
				return s.Describe(ctx, deploy.Deploy{ID: "d1", Site: "shop"}, []byte("sealed"))
			}, func() bool {
				d, err := b.Deploy(t.Context(), "d1")
				return err == nil && d.State == deploy.Uploading
			}
	}, isNil},
	{"Fail", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.announced(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error { return s.Fail(ctx, "d1", "why") }, func() bool {
			d, err := b.Deploy(t.Context(), "d1")
			return err == nil && d.State == deploy.Failed && d.Reason == "why"
		}
	}, isNil},
	{"Seal", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.announced(t, "shop", "d1")
		if err := b.Describe(t.Context(), deploy.Deploy{ID: "d1", Site: "shop"}, nil); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error {
				_, err := s.Seal(ctx, deploy.Deploy{ID: "d1", Site: "shop", Branch: "main"})
				return err
			}, func() bool {
				c, err := b.Catalog(t.Context())
				return err == nil && c.Version == 1 && c.Published["shop"].ID == "d1" && c.Branches["shop"]["main"] == "d1"
			}
	}, isNil},
	{"CreateSite", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error { return s.CreateSite(ctx, "shop") }, func() bool {
			all, err := b.Sites(t.Context())
			return err == nil && len(all) == 1
		}
	}, isConflict},
	{"Lock", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.deployed(t, "shop", "d1")
		b.publish(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error { return s.Lock(ctx, "shop", "d1") }, func() bool {
			return b.rdb.HGet(t.Context(), lockedKey(), "shop").Val() == "d1"
		}
	}, isNil},
	{"Unlock", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.deployed(t, "shop", "d1")
		b.publish(t, "shop", "d1")
		if err := b.Lock(t.Context(), "shop", "d1"); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error { return s.Unlock(ctx, "shop") }, func() bool {
			return b.rdb.HLen(t.Context(), lockedKey()).Val() == 0
		}
	}, isNil},
	{"Unpublish", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.deployed(t, "shop", "d1")
		b.publish(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error { return s.Unpublish(ctx, "shop") }, func() bool {
			c, err := b.Catalog(t.Context())
			return err == nil && c.Version == 2 && len(c.Published) == 0
		}
	}, isNil},
	{"RememberFile", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		f := deploy.File{SHA1: "a1", Digest: "b2", Size: 3}
		return func(ctx context.Context, s *Store) error { return s.RememberFile(ctx, "shop", f) }, func() bool {
			known, err := b.FilesBySHA1(t.Context(), "shop", []string{"a0", "a1"})
			return err == nil && len(known) == 1 && known["a1"] == f
		}
	}, isNil},
	{"NoteBlob", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error { return s.NoteBlob(ctx, "shop", "file:a") }, func() bool {
			of, err := b.Uploaded(t.Context(), "shop", []string{"file:a", "code:a", "file:b"})
			other, otherErr := b.Uploaded(t.Context(), "blog", []string{"file:a"})
			return err == nil && otherErr == nil && len(of) == 1 && of["file:a"] && len(other) == 0
		}
	}, isNil},
	{"RememberZip", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		z := Zip{Runtime: "node", Entry: "a.js", TimeoutMS: 1000, Background: true}
		return func(ctx context.Context, s *Store) error { return s.RememberZip(ctx, "shop", "b2", z) }, func() bool {
			known, err := b.Zips(t.Context(), "shop", []string{"b1", "b2"})
			return err == nil && len(known) == 1 && known["b2"] == z
		}
	}, isNil},
	{"Publish", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		b.deployed(t, "shop", "d1")
		return func(ctx context.Context, s *Store) error {
				return s.Publish(ctx, "shop", "d1")
			}, func() bool {
				c, err := b.Catalog(t.Context())
				return err == nil && c.Version == 1 && c.Published["shop"].ID == "d1"
			}
	}, isNil},
	{"Await", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error {
				return s.Await(ctx, "d1", []string{"a", "b"})
			}, func() bool {
				left, err := b.Awaited(t.Context(), "d1")
				return err == nil && slices.Equal(left, []string{"a", "b"})
			}
	}, isNil},
	{"Arrived", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		if err := b.Await(t.Context(), "d1", []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error {
				_, err := s.Arrived(ctx, "d1", "a")
				return err
			}, func() bool {
				left, err := b.Awaited(t.Context(), "d1")
				return err == nil && slices.Equal(left, []string{"b"})
			}
	}, isNil},
	{"CountCall", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		calls := 0
		return func(ctx context.Context, s *Store) error {
				calls++
				_, err := s.CountCall(ctx, Rate{Site: "shop", Function: "f", Limit: function.RateLimit{Limit: 3, WindowMS: 60_000}})
				return err
			}, func() bool { // a caller may count again, the driver may not
				count, _ := b.rdb.HGet(t.Context(), rateKey("shop", "f", ""), "count").Int()
				return count >= 1 && count <= calls
			}
	}, isNil},
	{"ChangeVariables", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error {
				return s.ChangeVariables(ctx, "shop", 10, VariableChange{Key: "A", After: []byte("sealed a")}, VariableChange{Key: "B", After: []byte("sealed b")})
			}, func() bool {
				all, err := b.Variables(t.Context(), "shop")
				return err == nil && string(all["A"]) == "sealed a" && string(all["B"]) == "sealed b"
			}
	}, isNil},
	{"CreateToken", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		made := newStoredToken("ci")
		return func(ctx context.Context, s *Store) error {
				_, err := s.CreateToken(ctx, made.Token, made.Digest)
				return err
			}, func() bool {
				all, err := b.Tokens(t.Context())
				return err == nil && len(all) == 1 && all[0].ID == made.ID
			}
	}, isNil},
	{"AppendAudit", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		calls := 0
		return func(ctx context.Context, s *Store) error {
				calls++
				return s.AppendAudit(ctx, AuditEntry{Action: "site.create", Status: 201}, time.Hour)
			}, func() bool { // a caller may append again, the driver may not
				n := int(b.rdb.XLen(t.Context(), auditKey()).Val())
				return n >= 1 && n <= calls
			}
	}, isNil},
	{"NoteTokenUse", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.token(t, "ci").ID
		return func(ctx context.Context, s *Store) error { return s.NoteTokenUse(ctx, id) }, func() bool {
			got, err := b.Token(t.Context(), id)
			return err == nil && !got.LastUsedAt.IsZero()
		}
	}, isNil},
	{"RevokeToken", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		id := b.token(t, "ci").ID
		if err := b.NoteTokenUse(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error { return s.RevokeToken(ctx, id) }, func() bool {
			return b.rdb.Exists(t.Context(), tokenKeys()...).Val() == 0
		}
	}, isNotFound},
	{"Heartbeat", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error {
				return s.Heartbeat(ctx, Worker{ID: "w"}, time.Minute)
			}, func() bool {
				all, err := b.Workers(t.Context())
				return err == nil && len(all) == 1
			}
	}, isNil},
	{"Withdraw", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		if err := b.Heartbeat(t.Context(), Worker{ID: "w"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error { return s.Withdraw(ctx, "w") }, func() bool {
			all, err := b.Workers(t.Context())
			return err == nil && len(all) == 0
		}
	}, isNil},
	{"BeginTerm", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error {
			_, err := s.BeginTerm(ctx)
			return err
		}, func() bool { return b.rdb.Exists(t.Context(), termKey()).Val() == 1 }
	}, isNil},
	{"SyncCursors", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		term := b.term(t)
		return func(ctx context.Context, s *Store) error {
			_, err := s.SyncCursors(ctx, term, []string{"a"})
			return err
		}, func() bool { return b.rdb.HLen(t.Context(), cursorsKey()).Val() == 1 }
	}, isNil},
	{"Skip", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		term := b.term(t)
		tick := b.sync(t, term, "a")["a"].Add(time.Minute)
		after := tick.Add(-time.Minute)
		return func(ctx context.Context, s *Store) error {
				return s.Skip(ctx, term, Skipping{Key: "a", After: after, From: tick, To: tick, Count: 2, Reason: SkipMissed})
			}, func() bool {
				cursors, err := b.Cursors(t.Context())
				totals := b.totals(t)
				return err == nil && cursors["a"].Equal(tick) && totals.Due == 2 && totals.Skipped == 2 && len(b.ledger(t, "a")) == 1
			}
	}, isNil},
	{"MoveCursors", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		term := b.term(t)
		before := b.sync(t, term, "a", "b")["b"]
		return func(ctx context.Context, s *Store) error {
				moved, err := s.MoveCursors(ctx, term, []string{"b", "c"}, []string{"a"})
				if err == nil && (len(moved) != 2 || !moved["b"].Equal(before)) {
					t.Errorf("MoveCursors = %v, want b at %v, and c", moved, before)
				}
				return err
			}, func() bool {
				cursors, err := b.Cursors(t.Context())
				return err == nil && len(cursors) == 2 && cursors["b"].Equal(before) && !cursors["c"].IsZero()
			}
	}, isNil},
	{"Suppress", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		term := b.term(t)
		after := b.sync(t, term, "a")["a"]
		tick := after.Add(time.Minute)
		b.do(t, b.Fire(term, Firing{Key: "a", After: after, Tick: tick, Due: 1}))
		return func(ctx context.Context, s *Store) error { return s.Suppress(ctx, term, "a", tick) }, func() bool {
			return b.totals(t).Suppressed == 1 && len(b.ledger(t, "a")) == 2
		}
	}, isNil},
	{"Pause", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		return func(ctx context.Context, s *Store) error { return s.Pause(ctx, "shop", "f", "me") }, func() bool {
			paused, err := b.Paused(t.Context(), "shop")
			spans := b.rdb.HGet(t.Context(), pausesKey("shop"), "f").Val()
			return err == nil && paused["f"].By == "me" && strings.Count(spans, "-") == 1
		}
	}, isNil},
	{"Resume", func(t testing.TB, b *backend) (func(context.Context, *Store) error, func() bool) {
		if err := b.Pause(t.Context(), "shop", "f", "me"); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *Store) error { return s.Resume(ctx, "shop", "f") }, func() bool {
			paused, err := b.Paused(t.Context(), "shop")
			spans := b.rdb.HGet(t.Context(), pausesKey("shop"), "f").Val()
			return err == nil && len(paused) == 0 && strings.Count(spans, "-") == 1 && !strings.HasSuffix(spans, "-")
		}
	}, isNil},
}

// Every write has two ways to fail, and the caller cannot tell them apart: it
// never reached Redis, or its reply was lost. Both are unavailable, what is
// stored is the whole write or nothing, and doing it again is safe.
func TestWritesThatFail(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, w := range slices.Concat(writes, stepWrites, collectWrites, callbackWrites) {
			for kind, name := range map[redistest.Fault]string{redistest.Failed: "failed", redistest.FailedButDone: "failed but done"} {
				t.Run(w.name+" "+name, func(t *testing.T) {
					if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
					rdb := b.client(t)
					var breaker redistest.Breaker
					rdb.AddHook(&breaker)
					broken := New(rdb, Options{})
					b.load(t)
					do, done := w.prepare(t, b)

					breaker.Break(1, kind, func(cmd redis.Cmder) bool { return slices.Contains(writeCommands, cmd.Name()) })
					err := do(t.Context(), broken)
					if breaker.Broke() != 1 {
						t.Fatal("nothing broke")
					}
					if !fault.Is(err, fault.Unavailable) || !errors.Is(err, redistest.ErrBroken) {
						t.Errorf("%s = %v, want unavailable with its cause", w.name, err)
					}
					if _, after := fault.Public(err); after != retryAfter {
						t.Errorf("try again after %v, want %v", after, retryAfter)
					}
					if got, want := done(), kind == redistest.FailedButDone; got != want {
						t.Errorf("stored: %t, want %t", got, want)
					}
					again := isNil
					if kind == redistest.FailedButDone {
						again = w.again
					}
					if err := do(t.Context(), broken); !again(err) {
						t.Errorf("%s again = %v", w.name, err)
					}
					if !done() {
						t.Error("not stored after the second call")
					}
					b.checkPins(t)
					b.checkIndex(t)
				})
			}
		}
	})
}

// writeCommands are the names of the commands that write.
var writeCommands = []string{"evalsha", "incr", "hdel", "hset", "srem"}

// load gives Redis all scripts, because an EVALSHA that is answered with
// NOSCRIPT is no write.
func (b *backend) load(t testing.TB) {
	t.Helper()
	for _, script := range []*redis.Script{
		endScript, cancelScript, linesScript, deployCreateScript, deployDescribeScript, deployFailScript, deploySealScript,
		siteCreateScript, lockScript, publishScript, rollbackScript, unpublishScript, heartbeatScript, workersScript, rateScript, awaitScript, arrivedScript, syncCursorsScript, skipScript, suppressScript, pauseScript, resumeScript, environmentScript,
		expireScript, deployRemoveScript, doomScript, listScript, trimScript, countsScript,
		callbackClaimScript, callbackSettleScript, callbackRetryScript,
		tokenCreateScript, tokenReadScript, tokenUsedScript, tokenRevokeScript, auditScript,
	} {
		if err := script.Load(t.Context(), b.rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Begin(t.Context(), function.Background, newID(), "w"); !isNotFound(err) {
		t.Fatal(err)
	}
}

// lossy is a connection that drops the reply to a write and breaks, when armed.
type lossy struct {
	net.Conn
	armed *atomic.Bool
	hit   bool
}

func (c *lossy) Write(p []byte) (int, error) {
	for _, name := range writeCommands {
		if bytes.Contains(p, []byte("\r\n"+name+"\r\n")) && c.armed.CompareAndSwap(true, false) {
			c.hit = true
		}
	}
	return c.Conn.Write(p)
}

func (c *lossy) Read(p []byte) (int, error) {
	if !c.hit {
		return c.Conn.Read(p)
	}
	if _, err := c.Conn.Read(p); err != nil { // the server has done it once it answers
		return 0, err
	}
	_ = c.Conn.Close()
	return 0, io.EOF
}

// The driver sends a command again by itself when a connection breaks. Nobody
// above notices, and what is stored is what one call stores.
func TestTheDriverRepeatsWrites(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.load(t)
		origin, ok := b.client(t).(*redis.Client)
		if !ok {
			t.Fatal("the server has no plain client")
		}
		var armed atomic.Bool
		rdb := redis.NewClient(&redis.Options{
			Username: origin.Options().Username, Password: origin.Options().Password, MaxRetries: 2,
			Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, origin.Options().Network, origin.Options().Addr)
				return &lossy{Conn: conn, armed: &armed}, err
			},
		})
		t.Cleanup(func() { _ = rdb.Close() })
		s := New(rdb, Options{})
		for _, w := range slices.Concat(writes, stepWrites, collectWrites, callbackWrites) {
			if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			do, done := w.prepare(t, b)
			armed.Store(true)
			if err := do(t.Context(), s); err != nil {
				t.Errorf("%s = %v, want nil", w.name, err)
			}
			if armed.Load() {
				t.Errorf("%s: no reply was lost", w.name)
			}
			if !done() {
				t.Errorf("%s: not stored, or stored twice", w.name)
			}
			b.checkPins(t)
			b.checkIndex(t)
		}

		// Of Begin that means: one attempt, and no worker is taken for lost.
		id := b.create(t, function.Background)
		armed.Store(true)
		begun, err := s.Begin(t.Context(), function.Background, id, "w")
		if err != nil || begun.Attempt != 1 || len(begun.Invocation.Attempts) != 1 || string(begun.Event) != "event" {
			t.Errorf("Begin = %+v, %v, want attempt 1", begun, err)
		}

		// Of a claim: whoever asked is given it, and the request counts once.
		if err := b.rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		b.load(t)
		b.endTold(t, invocation.Succeeded)
		armed.Store(true)
		claims, _, err := s.ClaimCallbacks(t.Context(), CallbackRoom{Total: 10}, time.Minute)
		if err != nil || len(claims) != 1 || claims[0].Request != 1 {
			t.Errorf("ClaimCallbacks = %+v, %v, want the first request", claims, err)
		}
	})
}

// Finish with another outcome than the stored one is no repetition.
func TestFinishIsRepeatedWithItsOutcomeOnly(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for first, end := range ends {
			id := b.put(t, invocation.Running)
			b.finish(t, id, 1, end)
			before := b.read(t, id)
			for second, other := range ends {
				err := b.Finish(t.Context(), function.Background, id, 1, other)
				if second == first && err != nil || second != first && !errors.Is(err, ErrFenced) {
					t.Errorf("Finish to %s and then to %s = %v", first, second, err)
				}
			}
			if diff := cmp.Diff(before, b.read(t, id)); diff != "" {
				t.Errorf("the record has changed:\n%s", diff)
			}
		}
	})
}

func TestContextErrorsPassThrough(t *testing.T) {
	t.Parallel()
	// A server that accepts and never answers.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	rdb := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	s := New(rdb, Options{})

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
		_, read := s.Invocation(ctx, newID())
		_, begin := s.Begin(ctx, function.Background, newID(), "w")
		_, catalog := s.Catalog(ctx)
		for i, err := range []error{read, begin, catalog, s.WatchCancels(ctx, func(string) {})} {
			if !errors.Is(err, want) || fault.Is(err, fault.Unavailable) {
				t.Errorf("call %d = %v, want %v", i, err, want)
			}
		}
	}
}

func TestWithoutRedisEverythingIsUnavailable(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{MaxRetries: -1, Dialer: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("nobody listens")
	}, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	s := New(rdb, Options{})
	ctx, id := t.Context(), newID()
	for name, call := range map[string]func() error{
		"Invocation":      func() error { _, err := s.Invocation(ctx, id); return err },
		"CancelRequested": func() error { _, err := s.CancelRequested(ctx, function.Background, []string{id}); return err },
		"Event":           func() error { _, err := s.Event(ctx, id); return err },
		"Invocations":     func() error { _, _, err := s.Invocations(ctx, Filter{Site: "shop"}, "", 1); return err },
		"TrimIndex":       func() error { _, err := s.TrimIndex(ctx); return err },
		"Counts":          func() error { _, err := s.Counts(ctx); return err },
		"SiteCounts":      func() error { _, err := s.SiteCounts(ctx, "shop"); return err },
		"Minutes":         func() error { _, err := s.Minutes(ctx, "shop", time.Now(), 1); return err },
		"OldestQueued":    func() error { _, err := s.OldestQueued(ctx, "shop"); return err },
		"FunctionFigures": func() error { _, err := s.FunctionFigures(ctx, "shop", []string{"f"}, 0); return err },
		"OnceID":          func() error { _, err := s.OnceID(ctx, function.Background, "shop", "f", "k"); return err },
		"Log":             func() error { _, err := s.Log(ctx, id, "", 1); return err },
		"FollowLog":       func() error { return s.FollowLog(ctx, id, "", nil) },
		"AppendLog sync":  func() error { return s.AppendLog(ctx, LogSource{Kind: function.Sync}, numbered(1, 0, 1)) },
		"Deploy":          func() error { _, err := s.Deploy(ctx, "d1"); return err },
		"DeploySummaries": func() error { _, err := s.DeploySummaries(ctx, "shop", 0, 1); return err },
		"Site":            func() error { _, err := s.Site(ctx, "shop"); return err },
		"Sites":           func() error { _, err := s.Sites(ctx); return err },
		"History":         func() error { _, err := s.History(ctx, "shop"); return err },
		"FilesBySHA1":     func() error { _, err := s.FilesBySHA1(ctx, "shop", []string{"a"}); return err },
		"Zips":            func() error { _, err := s.Zips(ctx, "shop", []string{"a"}); return err },
		"Uploaded":        func() error { _, err := s.Uploaded(ctx, "shop", []string{"a"}); return err },
		"Catalog":         func() error { _, err := s.Catalog(ctx); return err },
		"CatalogVersion":  func() error { _, err := s.CatalogVersion(ctx); return err },
		"Workers":         func() error { _, err := s.Workers(ctx); return err },
		"Pinned":          func() error { _, err := s.Pinned(ctx); return err },
		"EachDeploy":      func() error { return s.EachDeploy(ctx, nil, nil) },
		"Doomed":          func() error { _, err := s.Doomed(ctx, []string{"file:a"}); return err },
		"AllDoomed":       func() error { _, err := s.AllDoomed(ctx); return err },
		"MayDelete":       func() error { _, err := s.MayDelete(ctx, 1, "file:a"); return err },
		"Cursors":         func() error { _, err := s.Cursors(ctx); return err },
		"CallbackCounts":  func() error { _, err := s.CallbackCounts(ctx); return err },
		"DeadCallbacks":   func() error { _, _, err := s.DeadCallbacks(ctx, "shop", "", 1); return err },
		"SyncCursors":     func() error { _, err := s.SyncCursors(ctx, 1, nil); return err },
		"Ledger":          func() error { _, _, err := s.Ledger(ctx, "a", "", 1); return err },
		"TickTotals":      func() error { _, err := s.TickTotals(ctx); return err },
		"Token":           func() error { _, err := s.Token(ctx, "0123456789abcdef"); return err },
		"AppendAudit":     func() error { return s.AppendAudit(ctx, AuditEntry{}, time.Hour) },
		"Audit":           func() error { _, _, err := s.Audit(ctx, AuditFilter{}, "", 1); return err },
		"Tokens":          func() error { _, err := s.Tokens(ctx); return err },
		"RevokeToken":     func() error { return s.RevokeToken(ctx, "0123456789abcdef") },
		"Paused":          func() error { _, err := s.Paused(ctx, "shop"); return err },
	} {
		err := call()
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s = %v, want unavailable", name, err)
		}
		if message, after := fault.Public(err); after != retryAfter || bytes.Contains([]byte(message), []byte("nobody")) {
			t.Errorf("%s: the user reads %q and tries again after %v", name, message, after)
		}
	}
}
