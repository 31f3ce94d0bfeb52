// Package secrecy looks for secrets where they must not be. It runs the real
// system with a canary in each place that takes a secret, lets functions and
// people make the mistakes that spill them, and then searches all that was
// written: logs, Redis and its files, traces, metrics, the console, answers,
// callbacks, the disk, and what /proc shows of the processes.
//
// What may stand where is a list with reasons. It counts both ways: what is
// found and is not on the list is a leak, what is on the list and is not found
// says that the search does not see what it should.
package secrecy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nightshift/nightshift/test/harness"
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

// spill is what functions do that were written in a hurry.
const spill = `
import { inspect } from 'node:util';
function spill(what) {
  const { env } = process;
  console.log(env);
  console.error(inspect(env, { depth: null }), JSON.stringify(env));
  console.log('key ' + env.API_KEY + ', url ' + encodeURIComponent(env.MARKED) + ', basic ' + btoa('user:' + env.MARKED));
  console.log('x'.repeat(65500) + env.API_KEY + env.MARKED);
  throw new Error(what + ' with ' + env.MARKED + ' and ' + JSON.stringify({ url: env.DATABASE_URL, key: env.API_KEY }));
}
`

var site = map[string]string{
	"spill-background.mjs": spill + `
export default async () => spill('cannot connect');
export const config = { retries: 1, retryDelays: [0] };
`,
	"spill-now.mjs": spill + `
export default async () => spill('cannot answer');
`,
	"crash-background.mjs": `
export default async () => { console.log(process.env); process.stdout.write(process.env.MARKED, () => process.exit(3)); await new Promise(() => {}); };
export const config = { retries: 0 };
`,
	"load-background.mjs": `
console.log('loading with', process.env.API_KEY);
throw new Error('cannot be loaded with ' + process.env.MARKED);
export default async () => {};
export const config = { retries: 0 };
`,
	"answer-background.mjs": `
export default async () => new Response('the answer is ' + process.env.ANSWERED_KEY);
`,
	"wait-background.mjs": `
export default async () => { await new Promise(() => {}); };
`,
	"tick.mjs": `
export default async () => { console.log('tick', process.env.API_KEY); };
export const config = { schedule: '* * * * * *' };
`,
}

func TestSecretsStayWhereTheyBelong(t *testing.T) {
	w := start(t)
	w.variable("MARKED", w.secrets["a secret variable"], true)
	w.variable("API_KEY", w.secrets["a variable called a key"], false)
	w.variable("DATABASE_URL", "postgres://shop:"+w.secrets["a password in a URL"]+"@db.internal/shop", false)
	w.variable("MOTTO", w.secrets["a harmless variable"], false)
	w.variable("ANSWERED_KEY", w.secrets["a secret that is answered"], true)
	w.deploy()
	w.callAll()
	pids := w.keepProcesses()
	w.look()
	w.mistakes()
	w.keepRedis()
	w.noOtherUser(pids)
	w.withoutRedis()
	w.keepFolder("files of the worker", filepath.Join(w.dir, "data"))
	w.must(w.fleet.Close())
	for _, p := range w.fleet.All() {
		if !strings.HasPrefix(p.Name, "the ") { // whose printing is kept already
			w.keep("the log of "+p.Name, []byte(p.Log.String()))
		}
	}
	w.keep("traces", w.traces.bytes())
	for _, hit := range w.receiver.Hits() {
		w.keep("a callback", fmt.Appendf(nil, "%v %s", hit.Header, hit.Body))
	}
	for _, place := range []string{"traces", "a callback", "metrics", "the console", "the log of worker1", "the log of gateway1", "/proc"} {
		if len(w.places[place]) == 0 {
			w.Errorf("nothing was written to %s, so the search says nothing", place)
		}
	}
	check(t, w.places, w.secrets, []allowed{
		{"a harmless variable", "the API: the variables", "it is no secret, and whoever has the token may read it"},
		{"a harmless variable", "the API: setting MOTTO", "the same"},
		{"a harmless variable", "the command line: env list", "the same"},
		{"a harmless variable", "the command line: logs", "it is no secret, so a function may log it"},
		{"a harmless variable", "the API: a log", "the same"},
		{"a harmless variable", "the console", "the same"},
		{"a harmless variable", "Redis", "the same; in logs only, since variables are sealed"},
		{"a harmless variable", "files of Redis", "the same"},
		{"a variable called a key", "the API: the variables", "nobody made it a secret, so whoever has the token may read it"},
		{"a variable called a key", "the API: setting API_KEY", "the same"},
		{"a variable called a key", "the command line: env list", "the same"},
		{"a password in a URL", "the API: the variables", "the same"},
		{"a password in a URL", "the API: setting DATABASE_URL", "the same"},
		{"a password in a URL", "the command line: env list", "the same"},
		{"a secret that is answered", "the API: an invocation", "a function may answer what it likes, and its answer is kept"},
		{"a secret that is answered", "the console", "the same"},
		{"a secret that is answered", "a callback", "the same: the receiver is told the answer"},
		{"a secret that is answered", "Redis", "the same"},
		{"a secret that is answered", "files of Redis", "the same"},
		{"a caller's Authorization", "Redis", "the function is called with it later, so it stands in the event"},
		{"a caller's Authorization", "files of Redis", "the same"},
		{"a caller's cookie", "Redis", "the same"},
		{"a caller's cookie", "files of Redis", "the same"},
		{"a caller's query", "Redis", "the same"},
		{"a caller's query", "files of Redis", "the same"},
		{"a caller's query", "the console", "the page of an invocation shows what it was called with, but for headers that are secret"},
		{"a caller's body", "Redis", "the same"},
		{"a caller's body", "files of Redis", "the same"},
		{"a caller's body", "the console", "the same"},
	})
}

// deploy makes a site of the functions.
func (w *world) deploy() {
	w.Helper()
	functions := filepath.Join(w.dir, "site", "netlify", "functions")
	w.must(os.MkdirAll(functions, 0o755))
	for name, code := range site {
		w.must(os.WriteFile(filepath.Join(functions, name), []byte(code), 0o644))
	}
	if printed := w.nightshift("deploy", filepath.Join(w.dir, "site"), "--prod"); !strings.Contains(printed, "http") {
		w.Fatalf("deploy: %s", printed)
	}
}

// callAll lets each function do what it does.
func (w *world) callAll() {
	w.Helper()
	if status, _ := w.call("spill-now"); status != http.StatusInternalServerError {
		w.Errorf("spill-now answers %d, want 500", status)
	}
	_, waits := w.call("wait-background")
	for _, name := range []string{"spill-background", "crash-background", "load-background"} {
		_, id := w.call(name, "Nightshift-Callback", w.receiver.URL()+"/done")
		w.ended(id, "dead")
		_, log := w.control("the API: a log", http.MethodGet, "/api/v1/invocations/"+id+"/logs", w.secrets["the token"], nil)
		if !strings.Contains(string(log), "[secret MARKED]") && !strings.Contains(string(log), "[secret API_KEY]") {
			w.Errorf("the log of %s does not say where secrets stood: %.2000s", name, log)
		}
		w.control("the console", http.MethodGet, "/sites/default/invocations/"+id, w.secrets["the token"], nil)
		w.nightshift("logs", id)
	}
	_, id := w.call("answer-background", "Nightshift-Callback", w.receiver.URL()+"/done")
	w.ended(id, "succeeded")
	w.control("the console", http.MethodGet, "/sites/default/invocations/"+id, w.secrets["the token"], nil)
	w.eventually(func() error {
		if n := len(w.receiver.Hits()); n < 4 {
			return fmt.Errorf("%d callbacks have come", n)
		}
		return nil
	})
	w.eventually(func() error {
		if !strings.Contains(string(w.traces.bytes()), "spill-background") {
			return fmt.Errorf("no trace of spill-background has come")
		}
		return nil
	})
	w.nightshift("cancel", waits)
}

// look looks at everything as people, tools and monitoring do.
func (w *world) look() {
	w.Helper()
	token := w.secrets["the token"]
	for place, path := range map[string]string{
		"the API: the variables": "/api/v1/accounts/nightshift/env?site_id=default", "the API: keys": "/api/v1/secrets/keys",
		"the API: sites": "/api/v1/sites", "the API: deploys": "/api/v1/sites/default/deploys", "the API: functions": "/api/v1/sites/default/functions",
		"the API: invocations": "/api/v1/sites/default/invocations", "the API: schedules": "/api/v1/sites/default/schedules", "the API: workers": "/api/v1/workers",
		"the API: callbacks": "/api/v1/sites/default/callbacks", "the API: user": "/api/v1/user", "readiness": "/readyz", "metrics": "/metrics",
	} {
		if status, answer := w.control(place, http.MethodGet, path, token, nil); status != http.StatusOK {
			w.Errorf("%s answers %d %s", path, status, answer)
		}
	}
	for _, path := range []string{
		"/", "/workers", "/sites/default", "/sites/default/functions", "/sites/default/invocations", "/sites/default/dead", "/sites/default/callbacks",
		"/sites/default/schedules", "/sites/default/schedules/tick", "/sites/default/deploys", "/queues/", "/queues/api/queues", "/queues/api/queues/background/archived_tasks",
		"/queues/api/queues/background/completed_tasks", "/queues/api/queues/scheduled/active_tasks",
	} {
		if status, _ := w.control("the console", http.MethodGet, path, token, nil); status != http.StatusOK {
			w.Errorf("the console answers %d to %s", status, path)
		}
	}
	for _, addr := range w.metrics {
		w.exchange("metrics", http.MethodGet, "http://"+addr+"/metrics", http.Header{}, nil)
	}
	for _, line := range []string{
		"env list", "env get MARKED", "functions", "invocations", "schedules", "deploys", "sites list", "workers", "callbacks", "secret-key status", "logs spill-now",
	} {
		w.nightshift(strings.Fields(line)...)
	}
}

// mistakes makes those that operators and clients make.
func (w *world) mistakes() {
	w.Helper()
	wrong := w.secrets["a wrong token"]
	for _, path := range []string{"/api/v1/sites", "/metrics", "/", "/queues/"} {
		w.control("a refusal", http.MethodGet, path, wrong, nil)
	}
	w.control("a refusal", http.MethodPost, "/api/v1/accounts/nightshift/env?site_id=default", w.secrets["the token"], []byte(`[{"key":"X","values":"`+w.secrets["a setting that is wrong"]+`"}]`))
	w.control("a refusal", http.MethodPost, "/api/v1/accounts/nightshift/env?site_id=default", w.secrets["the token"], []byte(`[{"key":"1X","values":[{"context":"all","value":"`+w.secrets["a setting that is wrong"]+`"}]}]`))
	w.program("the command line with a wrong token", "nightshift", []string{"NIGHTSHIFT_API_URL=" + w.services.Admin[0] + "/api/v1", "NIGHTSHIFT_TOKEN=" + wrong}, "sites", "list")
	for _, url := range []string{"http://user:" + wrong + "@127.0.0.1:1/api/v1", "ftp://user:" + wrong + "@127.0.0.1/api/v1", "http://user:" + wrong + "@host:no-port/"} {
		w.program("the command line with a wrong address", "nightshift", []string{"NIGHTSHIFT_API_URL=" + url, "NIGHTSHIFT_TOKEN=" + wrong}, "sites", "list")
	}

	bad := w.secrets["a setting that is wrong"]
	for _, program := range []string{"gateway", "worker", "scheduler"} {
		for _, setting := range []string{
			"NIGHTSHIFT_REDIS_URL=redis://:" + bad + "@host:no-port/0", "NIGHTSHIFT_REDIS_URL=http://:" + bad + "@host", "NIGHTSHIFT_SECRET_KEY=" + bad,
			"NIGHTSHIFT_CALLBACK_SECRET=whsec_" + bad, "NIGHTSHIFT_BLOB_URL=ftp://user:" + bad + "@host/x", "NIGHTSHIFT_BLOB_URL=s3://user:" + bad + "@host:x/%zz",
		} {
			if program == "scheduler" && !strings.Contains(setting, "REDIS") && !strings.Contains(setting, "BLOB") {
				continue // it has no use for the others
			}
			if printed, code := w.program("the "+program+" with a wrong setting", program, append(w.env[:len(w.env):len(w.env)], setting)); code == 0 {
				w.Errorf("the %s starts with a wrong %s: %s", program, strings.SplitN(setting, "=", 2)[0], printed)
			}
		}
	}
	// A wrong password is noticed once Redis is asked.
	p, err := w.fleet.Start(harness.Spec{Name: "worker with a wrong password", Path: filepath.Join(binDir, "worker"), Env: harness.Environ(append(w.env[:len(w.env):len(w.env)],
		"NIGHTSHIFT_REDIS_URL="+strings.Replace(w.redis.URL(), "unix://", "unix://:"+w.secrets["a wrong password of Redis"]+"@", 1))...)})
	w.must(err)
	w.eventually(func() error {
		if !strings.Contains(p.Log.String(), "WRONGPASS") {
			return fmt.Errorf("the worker does not say that the password is wrong: %s", p.Log.Tail(5))
		}
		return nil
	})
	w.must(p.Kill(w.Context()))
}

// noOtherUser tries to read the environments of the processes as somebody else.
// Only root can become somebody else; for others, that they are not root is the proof.
func (w *world) noOtherUser(pids []int) {
	w.Helper()
	if len(pids) < 5 {
		w.Errorf("%d processes were looked at; there must be Redis, three services and functions", len(pids))
	}
	if os.Getuid() != 0 {
		return
	}
	for _, pid := range pids {
		cmd := exec.CommandContext(w.Context(), "cat", fmt.Sprintf("/proc/%d/environ", pid))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
		printed, err := cmd.Output()
		if err == nil {
			w.Errorf("another user reads the environment of process %d: %d bytes", pid, len(printed))
		}
	}
}

// withoutRedis lets all services complain about Redis.
func (w *world) withoutRedis() {
	w.Helper()
	w.must(w.redis.Kill(w.Context()))
	if status, _ := w.call("spill-background"); status != http.StatusServiceUnavailable {
		w.Errorf("without Redis, a background call is answered %d", status)
	}
	w.control("a refusal", http.MethodGet, "/api/v1/sites", w.secrets["the token"], nil)
	w.control("a refusal", http.MethodGet, "/readyz", w.secrets["the token"], nil)
	for _, name := range []string{"worker1", "gateway1", "scheduler1"} {
		p, err := w.fleet.Process(name)
		w.must(err)
		before := strings.Count(p.Log.String(), "level=WARN")
		w.eventually(func() error {
			if strings.Count(p.Log.String(), "level=WARN")+strings.Count(p.Log.String(), `"level":"WARN"`) <= before && !strings.Contains(p.Log.String(), "ERROR") {
				return fmt.Errorf("%s does not complain: %s", name, p.Log.Tail(3))
			}
			return nil
		})
	}
}
