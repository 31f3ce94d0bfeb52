package manual

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
)

// shaky is the site of operations.md, with a variable and a schedule of which a
// backup must have all.
var shaky = map[string]string{
	"netlify/functions/shaky-background.mjs":  "export default async () => { throw new Error('no stock'); };\nexport const config = { retries: 0 };",
	"netlify/functions/steady-background.mjs": "export default async () => new Response(process.env.GREETING);",
	"netlify/functions/yearly.mjs":            "export default async () => new Response('happy new year');\nexport const config = { schedule: '@yearly' };",
}

func (in *installation) deploy(t *testing.T, files map[string]string) {
	t.Helper()
	site := t.TempDir()
	for name, text := range files {
		path := filepath.Join(site, filepath.FromSlash(name))
		in.must(os.MkdirAll(filepath.Dir(path), 0o755))
		in.must(os.WriteFile(path, []byte(text), 0o644))
	}
	_, err := in.services.Nightshift(t.Context(), "deploy", site, "--prod")
	in.must(err)
}

// The commands of operations.md print what it says.
func TestOperations(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.deploy(t, shaky)
	in.run(t, "docs/operations.md", in.read("operations.md"))
}

// greeted calls the function that answers with a variable, and returns the ID.
func greeted(t *testing.T, in *installation, services *harness.Services) (id string) {
	t.Helper()
	in.eventually(func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, services.Data[0]+"/.netlify/functions/steady-background", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Prefer", "wait=20")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body := make([]byte, 5)
		n, _ := res.Body.Read(body)
		if id = res.Header.Get("X-Nf-Request-Id"); res.StatusCode != http.StatusOK || string(body[:n]) != "hello" {
			return unexpected("the answer", res.Status)
		}
		return nil
	})
	return id
}

// Recovery as operations.md has it: what a snapshot and a copy of the blobs have
// is all there again, on another Redis and from another folder.
func TestRecovery(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, err := in.services.Nightshift(t.Context(), "env", "set", "GREETING", "hello")
	in.must(err)
	in.deploy(t, shaky)
	before := greeted(t, in, in.services)

	// The commands of the page, with the addresses of the test.
	manual := in.read("operations.md")
	for _, command := range []string{
		`redis-cli -u "$NIGHTSHIFT_REDIS_URL" --rdb backup.rdb`,
		`redis-server --dir "$PWD" --dbfilename backup.rdb --appendonly no --maxmemory-policy noeviction`,
		`redis-cli config set appendonly yes`,
	} {
		if !strings.Contains(manual, command) {
			t.Fatalf("operations.md does not say %s any more; this test is about that", command)
		}
	}
	backup, err := os.MkdirTemp("", "backup") // short: a socket is in it
	in.must(err)
	t.Cleanup(func() { in.must(os.RemoveAll(backup)) })
	cli := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	cli("-s", strings.TrimPrefix(in.redis.URL(), "unix://"), "--rdb", filepath.Join(backup, "backup.rdb"))
	in.must(os.CopyFS(filepath.Join(backup, "blobs"), os.DirFS(filepath.Join(in.dir, "blobs"))))
	after := greeted(t, in, in.services) // which the backup does not know

	socket := filepath.Join(backup, "s")
	_, err = in.fleet.Start(harness.Spec{Name: "restored", Path: "redis-server", Env: harness.Environ(), Args: []string{
		"--dir", backup, "--dbfilename", "backup.rdb", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--port", "0", "--unixsocket", socket}})
	in.must(err)
	in.eventually(func() error {
		out, err := exec.CommandContext(t.Context(), "redis-cli", "-s", socket, "ping").CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "PONG" {
			return joined(err, unexpected("the answer of Redis", string(out)))
		}
		return nil
	})
	if got := cli("-s", socket, "config", "set", "appendonly", "yes"); got != "OK" {
		t.Fatalf("appendonly cannot be turned on: %s", got)
	}
	restored := &harness.Fleet{}
	t.Cleanup(func() { in.must(restored.Close()) })
	services, err := restored.StartServices(t.Context(), harness.Setup{Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1, Env: []string{
		"NIGHTSHIFT_REDIS_URL=unix://" + socket, "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(backup, "blobs"), "NIGHTSHIFT_TOKEN=" + token,
		"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(in.dir, "data2"), "NIGHTSHIFT_SECRET_KEY=" + in.key,
	}})
	in.must(err)

	greeted(t, in, services) // the function, its code and its variable
	out, err := services.Nightshift(t.Context(), "invocations", "show", before, "--json")
	in.must(err)
	var inv api.Invocation
	if err := json.Unmarshal([]byte(out), &inv); err != nil || inv.Result == nil || inv.Result.Body != "hello" {
		t.Errorf("the record of before is %s (%v)", out, err)
	}
	if out, err := services.Nightshift(t.Context(), "logs", before); err != nil || !strings.Contains(out, "attempt 1 ended") {
		t.Errorf("the log of before is %q (%v)", out, err)
	}
	if out, err := services.Nightshift(t.Context(), "invocations", "show", after); err == nil {
		t.Errorf("what came after the backup is known: %s", out)
	}
	if out, err := services.Nightshift(t.Context(), "schedules"); err != nil || !strings.Contains(out, "yearly") {
		t.Errorf("the schedules are %q (%v)", out, err)
	}
}

// Redis that is full refuses, and callers are told so; nothing that was
// accepted is lost, and with room again everything goes on.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.deploy(t, map[string]string{"netlify/functions/steady-background.mjs": "export default async () => new Response('hello');"})
	greeted(t, in, in.services)
	limit := func(bytes string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "redis-cli", "-s", strings.TrimPrefix(in.redis.URL(), "unix://"), "config", "set", "maxmemory", bytes).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "OK" {
			t.Fatalf("config set maxmemory: %v\n%s", err, out)
		}
	}
	limit("1mb") // less than there is
	res, err := http.Post(in.services.Data[0]+"/.netlify/functions/steady-background", "text/plain", strings.NewReader("x"))
	in.must(err)
	in.must(res.Body.Close())
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("a call is answered %s with Retry-After %q while Redis is full, want 503 with one", res.Status, res.Header.Get("Retry-After"))
	}
	limit("0")
	greeted(t, in, in.services)
	in.eventually(func() error { // nothing was lost
		if metrics := in.metrics(); !strings.Contains(metrics, "\nnightshift_conservation_drift 0\n") {
			return unexpected("the drift", metrics)
		}
		return nil
	})
}
