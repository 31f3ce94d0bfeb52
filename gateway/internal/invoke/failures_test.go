package invoke_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/fleet"
	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/redis/go-redis/v9"
)

// lossy is a go-redis hook that loses the reply to one script call, on the
// wire: the server has run it, and the connection is gone.
type lossy struct {
	armed atomic.Bool
	lost  atomic.Int32
}

func (l *lossy) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lossyConn{Conn: conn, l: l}, nil
	}
}

func (l *lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (l *lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type lossyConn struct {
	net.Conn
	l    *lossy
	lose atomic.Bool // the next reply is lost
	gone atomic.Bool // and with it the connection
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(p), []byte("evalsha")) && c.l.armed.CompareAndSwap(true, false) {
		c.lose.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	if c.gone.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if err == nil && c.lose.Load() {
		c.gone.Store(true)
		c.l.lost.Add(1)
		return 0, io.EOF
	}
	return n, err
}

// TestAcceptFaults breaks the one write that accepting is, on the real store
// and queue. A 202 must mean exactly one record and one task.
func TestAcceptFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		damage  func(*redistest.Breaker, *lossy)
		status  int
		records int
	}{
		{"works", func(*redistest.Breaker, *lossy) {}, 202, 1},
		{"failed", func(b *redistest.Breaker, _ *lossy) { b.Break(100, redistest.Failed, nil) }, 503, 0},
		{"failed but persisted, reply lost", func(_ *redistest.Breaker, l *lossy) { l.armed.Store(true) }, 202, 1},
		// Where no try gets a reply nobody can say what happened, and 503 is honest.
		{"failed but persisted, no reply at all", func(b *redistest.Breaker, _ *lossy) { b.Break(100, redistest.FailedButDone, nil) }, 503, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			rdb, look := server.Client(), server.Client()
			breaker, wire := &redistest.Breaker{}, &lossy{}
			rdb.AddHook(breaker)
			rdb.AddHook(wire)
			q, err := queue.NewClient(rdb, true)
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			log := slog.New(slog.DiscardHandler)
			records := store.New(rdb, store.Options{})
			inv := invoke.New(invoke.Config{Intake: intake.New(intake.Config{Queue: q, Records: records}), Fleet: fleet.New(fleet.Config{Workers: records, Logger: log}), Logger: log})
			f := function.Function{Name: "job", Kind: function.Background}
			call := func() (int, string) {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("POST", "/.netlify/functions/job", strings.NewReader("x"))
				if err := inv.Serve(w, r, route.Target{Site: "main", Deploy: "d1", Function: &f}, invoke.Origin{BaseURL: "http://x"}); err != nil {
					return fault.KindOf(err).HTTPStatus(), ""
				}
				return w.Code, w.Header().Get(invoke.RequestIDHeader)
			}
			// The first call loads the script, so that the second is one command.
			if status, _ := call(); status != http.StatusAccepted {
				t.Fatalf("the call before = %d", status)
			}
			tt.damage(breaker, wire)
			status, id := call()
			breaker.Break(0, 0, nil)
			if status != tt.status {
				t.Errorf("status = %d, want %d", status, tt.status)
			}
			if status == http.StatusAccepted {
				if _, err := records.Invocation(t.Context(), id); err != nil {
					t.Errorf("accepted, but the record: %v", err)
				}
			}
			if strings.Contains(tt.name, "reply lost") != (wire.lost.Load() == 1) {
				t.Errorf("%d replies were lost", wire.lost.Load())
			}
			made := len(look.Keys(t.Context(), "nightshift:{background}:inv:*").Val()) - 1
			tasks := int(look.LLen(t.Context(), "asynq:{background}:pending").Val()) - 1
			if made != tt.records || tasks != tt.records {
				t.Errorf("%d records and %d tasks, want %d of each", made, tasks, tt.records)
			}
		})
	}
}
