package redis

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/redisdb/tlstest"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/redis/go-redis/v9"
)

// guarded is a redis-server that speaks TLS alone, asks who calls for a
// certificate, and knows the users of deploy/redis/users.acl, each with the
// password that stands there. A further one, admin, may do everything.
type guarded struct {
	w    *world
	dir  string
	port int
	tls  redisdb.TLS // what a service needs
}

func startGuarded(w *world) *guarded {
	w.Helper()
	g := &guarded{w: w}
	var err error
	g.dir, err = harness.RedisDir()
	w.must(err)
	users, err := os.ReadFile(filepath.Join(harness.Root(), "deploy/redis/users.acl"))
	w.must(err)
	ca := tlstest.NewCA(w)
	cert, key := ca.Issue(w, "127.0.0.1")
	g.tls = redisdb.TLS{CA: ca.PEM()}
	own, ownKey := ca.Issue(w, "nightshift")
	g.tls.Cert, g.tls.Key = own, secret.Text(ownKey)
	for name, text := range map[string]string{
		"users.acl": string(users) + "user admin on >admin-password ~* &* +@all\n",
		"ca.pem":    ca.PEM(), "cert.pem": cert, "key.pem": key, "own.pem": own, "ownkey.pem": ownKey,
	} {
		w.must(os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600))
	}
	g.port, err = harness.FreePort()
	w.must(err)
	g.restart()
	return g
}

func (g *guarded) restart() {
	g.w.Helper()
	path, err := exec.LookPath("redis-server")
	g.w.must(err)
	p, err := g.w.fleet.Start(harness.Spec{Name: "redis", Path: path, Env: harness.Environ(), Dir: g.dir, Args: []string{
		"--port", "0", "--tls-port", fmt.Sprint(g.port), "--bind", "127.0.0.1", "--dir", g.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--aclfile", "users.acl",
		"--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes",
	}})
	g.w.must(err)
	g.w.eventually(30*time.Second, func() error {
		if !p.Running() {
			g.w.Fatalf("redis-server ended:\n%s", p.Log.Tail(20))
		}
		return redisdb.Ping(g.w.Context(), g.client("admin"))
	})
}

// as is the URL for a user.
func (g *guarded) as(user string) string {
	return (&url.URL{Scheme: "rediss", User: url.UserPassword(user, user+"-password"), Host: fmt.Sprintf("127.0.0.1:%d", g.port)}).String()
}

// URL is for whoever has none of its own.
func (g *guarded) URL() string { return g.as("gateway") }

func (g *guarded) Remove() error { return os.RemoveAll(g.dir) }

func (g *guarded) client(user string) redis.UniversalClient {
	g.w.Helper()
	rdb, err := g.tls.Open(g.as(user))
	g.w.must(err)
	g.w.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// denied are the entries of ACL LOG, but for those of one command: services ask
// how Redis is set up, and do with less where they are not told.
func (g *guarded) denied() []string {
	g.w.Helper()
	entries, err := g.client("admin").ACLLog(g.w.Context(), 100).Result()
	g.w.must(err)
	var all []string
	for _, e := range entries {
		if e.Object != "config|get" {
			all = append(all, fmt.Sprintf("%s may not %s %s, in %s", e.Username, e.Reason, e.Object, e.Context))
		}
	}
	return all
}

// TestLeastRights runs all that there is over TLS, each service as a user of its
// own with the rights of deploy/redis/users.acl, through a restart of Redis. None
// of them tries what it may not.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := startGuarded(w)
	env := []string{
		"NIGHTSHIFT_REDIS_CA_FILE=" + filepath.Join(g.dir, "ca.pem"),
		"NIGHTSHIFT_REDIS_CERT_FILE=" + filepath.Join(g.dir, "own.pem"), "NIGHTSHIFT_REDIS_KEY_FILE=" + filepath.Join(g.dir, "ownkey.pem"),
		"NIGHTSHIFT_DEPLOY_RETENTION=1h", secretKey(w),
	}
	w.start(g, harness.Setup{Gateways: 2, Workers: 2, Schedulers: 2, Env: env, RedisURLs: map[string]string{
		"worker1": g.as("worker"), "worker2": g.as("worker"), "scheduler1": g.as("scheduler"), "scheduler2": g.as("scheduler"),
	}})
	_, err := w.services.Nightshift(t.Context(), "env", "set", "GREETING", "hello", "--site", "default")
	w.must(err)
	w.deploy()
	kept := everything(w)

	process, err := w.fleet.Process("redis")
	w.must(err)
	refused := g.denied() // a restart forgets them
	w.must(process.Kill(t.Context()))
	a := w.call(t.Context(), 0, http.MethodGet, "/.netlify/functions/answer")
	if a.body != "answered" {
		t.Errorf("without Redis a sync call is answered %d %s %v", a.status, a.body, a.err)
	}
	g.restart()
	// Over TLS a client finds out that a connection is dead by using it.
	w.eventually(30*time.Second, func() error {
		if err := w.accepts(0); err != nil {
			return err
		}
		_, err := w.services.Nightshift(t.Context(), "deploys")
		return err
	})
	everything(w)

	w.deploy()
	_, err = w.services.Nightshift(t.Context(), "rollback")
	w.must(err)
	if inv, err := w.control.Invocation(t.Context(), kept); err != nil || inv.State != invocation.Succeeded {
		t.Errorf("after the restart of Redis what ran before is %s, %v", inv.State, err)
	}
	refused = append(refused, g.denied()...)
	if len(refused) > 0 {
		t.Errorf("Redis refused:\n%s", strings.Join(refused, "\n"))
	}
}

// secretKey is the setting of a fresh key.
func secretKey(w *world) string {
	key, err := secret.Generate()
	w.must(err)
	return "NIGHTSHIFT_SECRET_KEY=" + string(key)
}

// everything uses what the data plane and the control plane have, and returns the
// ID of an invocation that has succeeded.
func everything(w *world) (ran string) {
	w.Helper()
	ctx := w.Context()
	a := w.call(ctx, 0, http.MethodPost, work)
	done := w.invocation(a.id, 30*time.Second, invocation.Succeeded)
	if lines, err := w.control.Logs(ctx, a.id, ""); err != nil || !slices.ContainsFunc(lines, func(l invocation.LogLine) bool { return strings.Contains(l.Text, "ran "+a.id) }) {
		w.Errorf("the log of %s is %v, %v", a.id, lines, err)
	}
	a = w.call(ctx, 1, http.MethodPost, "/.netlify/functions/wait-background")
	w.invocation(a.id, 30*time.Second, invocation.Running)
	_, err := w.control.Cancel(ctx, a.id)
	w.must(err)
	w.invocation(a.id, 30*time.Second, invocation.Cancelled)
	w.eventually(30*time.Second, func() error {
		if a := w.call(ctx, 1, http.MethodGet, "/.netlify/functions/answer"); a.body != "answered" {
			return fmt.Errorf("a sync call is answered %d %s %v", a.status, a.body, a.err)
		}
		return nil
	})
	if twice := w.checkTicks(); twice > 0 {
		w.Errorf("%d ticks ran twice", twice)
	}
	for _, command := range [][]string{
		{"functions"}, {"deploys"}, {"workers"}, {"invocations"}, {"schedules"}, {"schedules", "pause", "every-second"},
		{"schedules", "ledger", "every-second"}, {"schedules", "resume", "every-second"}, {"lock"}, {"unlock"}, {"env", "list"},
		{"invoke", "work-background", "--wait"}, {"logs", "work-background"}, {"replay", "--function", "work-background", "--dry-run"},
	} {
		if _, err := w.services.Nightshift(ctx, command...); err != nil {
			w.Errorf("nightshift %s: %v", strings.Join(command, " "), err)
		}
	}
	if _, err := w.control.Invocations(ctx, "default", client.InvocationQuery{Function: done.Function}); err != nil {
		w.Error(err)
	}
	for _, path := range []string{"/metrics", "/", "/queues/", "/queues/api/queues", "/queues/api/servers", "/queues/api/redis_info", "/queues/api/queues/background/completed_tasks", "/queues/api/queues/scheduled/pending_tasks", "/queues/api/queue_stats"} {
		if status, err := w.look(ctx, path); err != nil || status != http.StatusOK {
			w.Errorf("GET %s of the control plane: %d, %v", path, status, err)
		}
	}
	return done.ID
}

// look asks the control plane of the first gateway.
func (w *world) look(ctx context.Context, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.services.Admin[0]+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := w.http.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// TestWhatIsForbidden: what a service does not need it may not do, nor read.
func TestWhatIsForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := startGuarded(w)
	t.Cleanup(func() { _ = g.Remove() })
	ctx := t.Context()
	refused := func(user string, args ...any) {
		t.Helper()
		err := g.client(user).Do(ctx, args...).Err()
		// A script's answer has other words.
		if err == nil || !redis.HasErrorPrefix(err, "NOPERM") && !strings.Contains(err.Error(), "executing the script can't") {
			t.Errorf("%s may do %v: %v", user, args, err)
		}
	}
	for _, user := range []string{"gateway", "worker", "scheduler", "asynqmon"} {
		for _, command := range []string{
			"KEYS *", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "CONFIG GET requirepass", "CONFIG SET dir /", "SHUTDOWN NOSAVE",
			"MODULE LIST", "SAVE", "BGSAVE", "REPLICAOF 127.0.0.1 1", "MONITOR", "ACL LIST", "ACL SETUSER x", "CLIENT LIST", "CLIENT KILL 127.0.0.1:1",
			"SCRIPT FLUSH", "FUNCTION LIST", "SLOWLOG GET", "MIGRATE 127.0.0.1 1 k 0 1", "RESTORE k 0 x", "DUMP asynq:x", "SORT asynq:x", "RENAME asynq:x asynq:y",
			"CLUSTER RESET", "FAILOVER", "PSUBSCRIBE *", "GET other", "SET other 1", "PUBLISH other x",
		} {
			var args []any
			for _, arg := range strings.Fields(command) {
				args = append(args, arg)
			}
			refused(user, args...)
		}
		refused(user, "EVAL", "return redis.call('FLUSHALL')", 0)
		refused(user, "EVAL", "return redis.call('GET', 'other')", 0)
	}
	for _, user := range []string{"gateway", "worker", "asynqmon"} {
		refused(user, "SCAN", 0)
	}
	// Beside a worker runs other people's code, and a scheduler needs no more.
	for _, user := range []string{"worker", "scheduler"} {
		refused(user, "HGETALL", "nightshift:{access}:tokens")
		refused(user, "HSET", "nightshift:{access}:tokens", "a", "b")
	}
	refused("worker", "HSET", "nightshift:{catalog}:published", "site", "deploy")
	refused("worker", "SET", "nightshift:scheduler:leader", "me")
	refused("worker", "HGETALL", "nightshift:rate:a:b:c")
	refused("scheduler", "HGETALL", "nightshift:{workers}:keys")
	refused("asynqmon", "HGETALL", "nightshift:{background}:inv:x")
	refused("asynqmon", "HSET", "asynq:{background}:t:x", "state", "completed")
	refused("asynqmon", "EVAL", "return redis.call('DEL', KEYS[1])", 1, "asynq:{background}:pending")
	refused("asynqmon", "SUBSCRIBE", "asynq:cancel")

	// Nobody who has no name and password.
	rdb, err := g.tls.Open(fmt.Sprintf("rediss://127.0.0.1:%d", g.port))
	w.must(err)
	defer rdb.Close()
	if err := redisdb.Ping(ctx, rdb); err == nil || !strings.Contains(err.Error(), "NIGHTSHIFT_REDIS_URL") {
		t.Errorf("without a password Ping = %v, want advice", err)
	}
	wrong, err := g.tls.Open(strings.Replace(g.as("worker"), "worker-password", "guess", 1))
	w.must(err)
	defer wrong.Close()
	if err := redisdb.Ping(ctx, wrong); err == nil || !strings.Contains(err.Error(), "the password in NIGHTSHIFT_REDIS_URL") {
		t.Errorf("with a wrong password Ping = %v, want advice", err)
	}
}
