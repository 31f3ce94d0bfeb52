package jail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/runtime/node"
)

// handler runs the script that a call brings. t is what the script aims at.
const handler = `
import fs from 'node:fs'; import path from 'node:path'; import os from 'node:os'; import net from 'node:net'; import cp from 'node:child_process'
const Script = Object.getPrototypeOf(async () => {}).constructor
const modules = { fs, path, os, net, cp, tmp: process.env.TMPDIR, code: process.env.LAMBDA_TASK_ROOT, require: process.getBuiltinModule }
export const handler = async (event) => {
  const { script, target } = JSON.parse(event.body)
  modules.code = process.env.LAMBDA_TASK_ROOT
  try {
    const got = await new Script('t', ...Object.keys(modules), script)(target, ...Object.values(modules))
    return { statusCode: 200, body: 'in: ' + JSON.stringify(got ?? null) }
  } catch (error) {
    return { statusCode: 200, body: 'out: ' + (error.code ?? '') + ' ' + error.message }
  }
}
`

// target is what is not a function's own.
type target struct {
	Worker   int    `json:"worker"`   // the process that runs the pool
	Other    int    `json:"other"`    // another function's process
	OtherTmp string `json:"otherTmp"` // its temporary folder
	Secret   string `json:"secret"`   // a file that its owner alone may read
	Public   string `json:"public"`   // a file of the same owner that all may read
	Cells    string `json:"cells"`    // the folder of the cells
	Socket   string `json:"socket"`   // a socket that all may connect to
	SetUser  string `json:"setUser"`  // a program that shows its user, which is root's by a set-user-ID bit
}

// climbs are what a function must not be able to do. Each is stopped by the
// walls named, and by nothing else.
var climbs = []struct {
	name   string
	script string
	walls  string // taken down together, they let it in
	root   bool   // only for a worker that is root
}{
	{"read a file of the worker's", `return fs.readFileSync(t.secret, 'utf8')`, "files user", false},
	{"read a file of others", `return fs.readFileSync(t.public, 'utf8')`, "files", false},
	{"list the machine's temporary folder", `return fs.readdirSync('/tmp').length`, "files", false},
	{"write to the machine's temporary folder", `fs.writeFileSync('/tmp/' + process.pid, ''); fs.unlinkSync('/tmp/' + process.pid)`, "files", false},
	{"write to shared memory", `fs.writeFileSync('/dev/shm/' + process.pid, ''); fs.unlinkSync('/dev/shm/' + process.pid)`, "files", false},
	{"list the cells", `return fs.readdirSync(t.cells).length`, "files user", false},
	{"read the worker's environment", `return fs.readFileSync('/proc/' + t.worker + '/environ').length`, "files user privileges calls", false},
	{"read the worker's memory", `fs.closeSync(fs.openSync('/proc/' + t.worker + '/mem'))`, "files user privileges calls", false},
	{"see what the worker has open", `return fs.readlinkSync('/proc/' + t.worker + '/fd/1')`, "files user privileges calls", false},
	{"enter the worker's folder", `return fs.readdirSync('/proc/' + t.worker + '/cwd').length`, "files user privileges calls", false},
	{"read another function's environment", `return fs.readFileSync('/proc/' + t.other + '/environ').length`, "files user", false},
	{"read another function's memory", `fs.closeSync(fs.openSync('/proc/' + t.other + '/mem'))`, "files user", false},
	{"see another function's memory map", `return fs.readFileSync('/proc/' + t.other + '/maps').length`, "files user", false},
	{"see what another function has open", `return fs.readlinkSync('/proc/' + t.other + '/fd/1')`, "files user", false},
	{"write into another function's log", `fs.writeFileSync('/proc/' + t.other + '/fd/1', 'planted\n')`, "files user", false},
	{"enter another function's folder", `return fs.readdirSync('/proc/' + t.other + '/root/').length`, "files user", false},
	{"read another function's temporary files", `return fs.readFileSync(t.otherTmp + '/note', 'utf8')`, "files user", false},
	{"write another function's temporary files", `fs.writeFileSync(t.otherTmp + '/planted', '')`, "files user", false},
	{"add to the code", `fs.writeFileSync(code + '/planted', ''); fs.unlinkSync(code + '/planted')`, "files user", false},
	{"change the code", `
		const file = code + '/data.txt'
		try { fs.chmodSync(file, 0o644) } catch {}
		fs.appendFileSync(file, 'x')`, "files user", false},
	{"follow a link out of the temporary folder", `
		fs.rmSync(tmp + '/link', { force: true }); fs.symlinkSync(t.secret, tmp + '/link')
		return fs.readFileSync(tmp + '/link', 'utf8')`, "files user", false},
	{"take a file into the temporary folder", `
		fs.rmSync(tmp + '/hard', { force: true }); fs.linkSync(t.public, tmp + '/hard')
		return fs.readFileSync(tmp + '/hard', 'utf8')`, "files user", false},
	{"end the worker", `process.kill(t.worker, 0)`, "files user", false},
	{"end another function", `process.kill(t.other, 0)`, "files user", false},
	{"end all processes", `process.kill(-1, 0); if (!fs.existsSync('/proc/' + t.other)) throw new Error('nobody')
		process.kill(t.other, 0)`, "files user", false},
	{"limit another function", `cp.execFileSync('prlimit', ['--pid', t.other, '--msgqueue=4096:4096'])`, "calls user", false},
	{"slow another function down", `cp.execFileSync('renice', ['-n', '19', '-p', t.other])`, "calls user", false},
	{"watch a folder that may not be listed", `fs.watch('/tmp').close()`, "calls", false},
	{"cut off a file of the worker's", `cp.execFileSync('/usr/bin/perl', ['-e', 'truncate($ARGV[0], 1) or die $!', t.secret])`, "files calls user", false},
	{"connect to a socket in the file system", `
		return new Promise((ok, no) => net.connect(t.socket, () => ok('connected')).on('error', no))`, "calls", false},
	{"become root by a program", `
		const id = cp.execFileSync(t.setUser, ['-u'], { encoding: 'utf8' }).trim()
		if (id !== '0' || process.getuid() === 0) throw new Error('still ' + id)`, "privileges files calls", true},
	{"open more files than the limit", `
		const open = []
		try { for (let n = 0; n < 2000; n++) open.push(fs.openSync('/dev/null')) } finally { for (const fd of open) fs.closeSync(fd) }`, "limits", false},
	{"raise the limit of open files", `return cp.execFileSync('/bin/sh', ['-c', 'ulimit -n 2000 2>&1 && ulimit -n'], { encoding: 'utf8' })`, "limits", false},
	// Without blocks, as a whole one may be counted before it is gone.
	{"make a file larger than the limit", `
		try { fs.writeFileSync(tmp + '/large', ''); fs.truncateSync(tmp + '/large', 20 << 20) } finally { fs.rmSync(tmp + '/large', { force: true }) }`, "limits", false},
	{"dump core", `
		const limit = cp.execFileSync('/bin/sh', ['-c', 'ulimit -Hc'], { encoding: 'utf8' }).trim()
		if (limit === '0') throw new Error('no core')`, "limits", false},
}

// works are what functions do all the time.
var works = []struct{ name, script string }{
	{"programs", `return cp.execFileSync('/bin/sh', ['-c', 'echo $((6*7)) | cat'], { encoding: 'utf8' }) === '42\n'`},
	{"programs of its own", `
		fs.writeFileSync(tmp + '/own.sh', '#!/bin/sh\necho mine', { mode: 0o755 })
		return cp.execFileSync(tmp + '/own.sh', { encoding: 'utf8' }) === 'mine\n'`},
	{"a child process with messages", `
		fs.writeFileSync(tmp + '/child.cjs', "process.on('message', (m) => { process.send(m * 2); process.disconnect() })")
		const child = require('node:child_process').fork(tmp + '/child.cjs')
		return new Promise((ok, no) => { child.on('message', (m) => ok(m === 42)).on('error', no); child.send(21) })`},
	{"worker threads", `
		const { Worker } = require('node:worker_threads')
		return new Promise((ok, no) => new Worker("require('node:worker_threads').parentPort.postMessage(42)", { eval: true }).on('message', (m) => ok(m === 42)).on('error', no))`},
	{"WebAssembly", `
		const bytes = new Uint8Array([0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,7,5,1,1,102,0,0,10,6,1,4,0,65,42,11])
		return (await WebAssembly.instantiate(bytes)).instance.exports.f() === 42`},
	{"a server and fetch", `
		const server = require('node:http').createServer((q, r) => r.end('hello')).listen(0, '127.0.0.1')
		await require('node:events').once(server, 'listening')
		const text = await (await fetch('http://localhost:' + server.address().port)).text()
		server.close(); server.closeAllConnections()
		return text === 'hello'`},
	{"TLS", `require('node:tls').createSecureContext(); return require('node:tls').rootCertificates.length > 50`},
	{"names", `return (await require('node:dns').promises.lookup('localhost')).address.length > 0`},
	{"network interfaces", `return Object.keys(os.networkInterfaces()).length > 0`},
	{"randomness and hashes", `
		const crypto = require('node:crypto')
		return crypto.randomBytes(8).length === 8 && (await new Promise((ok) => crypto.scrypt('a', 'b', 8, (e, k) => ok(k)))).length === 8`},
	{"a pool of threads", `return (await Promise.all(Array.from({ length: 32 }, () => new Promise((ok) => require('node:zlib').gzip('x'.repeat(1e5), (e, z) => ok(z)))))).length === 32`},
	{"temporary files", `
		const dir = fs.mkdtempSync(os.tmpdir() + '/own-')
		fs.mkdirSync(dir + '/a/b', { recursive: true }); fs.writeFileSync(dir + '/a/one', '1'); fs.renameSync(dir + '/a/one', dir + '/a/b/two')
		fs.symlinkSync('b/two', dir + '/a/link'); fs.linkSync(dir + '/a/b/two', dir + '/hard'); fs.truncateSync(dir + '/hard', 0); fs.chmodSync(dir + '/hard', 0o600)
		const ok = fs.readFileSync(dir + '/a/link', 'utf8') === '' && fs.realpathSync(dir + '/a/link').endsWith('/a/b/two')
		fs.rmSync(dir, { recursive: true })
		return ok`},
	{"its code", `return fs.readFileSync(code + '/data.txt', 'utf8') === 'data\n' && fs.readdirSync(code).length >= 2`},
	{"its output as files", `fs.writeFileSync('/dev/stderr', 'to stderr\n'); cp.execFileSync('/bin/sh', ['-c', 'echo hello >/dev/null; echo out >/dev/stdout'], { stdio: 'inherit' }); return true`},
	{"its own process", `return fs.readFileSync('/proc/self/environ').length > 0 && fs.readlinkSync('/proc/self/exe').includes('node') && process.memoryUsage().rss > 0`},
	{"the machine", `return os.cpus().length > 0 && os.totalmem() > 0 && os.homedir() === tmp && os.hostname() !== ''`},
	{"time zones and languages", `return new Date(0).toLocaleString('de-DE', { timeZone: 'Europe/Berlin' }).includes('1970')`},
	{"signals of its own", `
		const child = cp.spawn('/bin/sleep', ['60']); child.kill('SIGKILL')
		const [, signal] = await require('node:events').once(child, 'exit')
		return signal === 'SIGKILL'`},
	{"the time that programs take", `return cp.spawnSync('/bin/sleep', ['60'], { timeout: 50 }).error.code === 'ETIMEDOUT'`},
}

// course is a pool behind walls with something to climb for.
type course struct {
	pool   *pool.Pool
	code   string
	target target
	// signals is why that wall is missing, as on kernels before Linux 6.12 without root.
	signals string
	// spare is whether functions get processes that were started before.
	spare bool
	calls int
}

// limits are small ones, where they are tested.
var limits = jail.Limits{Memory: 1 << 30, Tmp: 16 << 20, Processes: 256, Files: 256}

func setup(t *testing.T, spare bool, down ...string) *course {
	t.Helper()
	path, _, err := node.FindNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	j := jailtest.New(t, func(c *jail.Config) {
		c.Node, c.Limits = path, limits
		if slices.Contains(down, "limits") {
			c.Open = true
		}
	})
	j.TakeDown(slices.DeleteFunc(slices.Clone(down), func(name string) bool { return name == "limits" })...)
	cfg := pool.Config{Max: 8, Jail: j, Node: path, Grace: 300 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if spare {
		cfg.Spares = 2
	}
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stopping the pool: %v", err)
		}
	})
	dir := jailtest.Dir(t)
	signals := ""
	for _, w := range j.Report() {
		if w.Name == "signals" {
			signals = w.Why
		}
	}
	c := &course{pool: p, spare: spare, signals: signals, code: filepath.Join(dir, "code"), target: target{
		Worker: os.Getpid(), Cells: j.Dir(), Secret: filepath.Join(dir, "secret"), Public: filepath.Join(dir, "public"),
		Socket: filepath.Join(dir, "socket"), SetUser: filepath.Join(dir, "code", "id"),
	}}
	must(t, os.Mkdir(c.code, 0o755))
	must(t, os.WriteFile(filepath.Join(c.code, "climb.mjs"), []byte(handler), 0o644))
	must(t, os.WriteFile(filepath.Join(c.code, "data.txt"), []byte("data\n"), 0o644))
	must(t, os.WriteFile(c.target.Secret, []byte("secret"), 0o600))
	must(t, os.WriteFile(c.target.Public, []byte("public"), 0o644))
	id, err := os.ReadFile("/usr/bin/id")
	must(t, err)
	must(t, os.WriteFile(c.target.SetUser, id, 0o755))
	must(t, os.Chmod(c.target.SetUser, 0o755|os.ModeSetuid))
	listener, err := net.Listen("unix", c.target.Socket)
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	must(t, os.Chmod(c.target.Socket, 0o777))

	var other struct {
		PID int
		Tmp string
	}
	text, ok := strings.CutPrefix(c.run(t, "other", `fs.writeFileSync(tmp + '/note', 'private'); return { pid: process.pid, tmp }`), "in: ")
	if err := json.Unmarshal([]byte(text), &other); err != nil || !ok {
		t.Fatalf("the other function: %s", text)
	}
	c.target.Other, c.target.OtherTmp = other.PID, other.Tmp
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a script in the process of a function with the key.
func (c *course) run(t *testing.T, key, script string) string {
	t.Helper()
	if c.spare && c.pool.Stats().Warm[key] == 0 {
		deadline := time.Now().Add(30 * time.Second)
		for c.pool.Stats().Spares == 0 && time.Now().Before(deadline) {
			waitABit()
		}
	}
	body, err := json.Marshal(map[string]any{"script": script, "target": c.target})
	must(t, err)
	event, err := json.Marshal(map[string]any{"body": string(body)})
	must(t, err)
	var mu sync.Mutex
	var log []string
	c.calls++
	response, err := c.pool.Invoke(t.Context(), pool.Code{Key: key, Dir: c.code, Function: function.Function{
		Name: key, Kind: function.Sync, API: function.APIv1, Runtime: "node", Entry: "climb.mjs",
	}}, pool.Call{ID: fmt.Sprint("id", c.calls), Attempt: 1, Event: event, Deadline: time.Now().Add(time.Minute), Log: func(_, text string) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, text)
	}}, true)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(response.Body)
	}
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
	}
	return string(text)
}

// waitABit is for what has no channel to wait on.
func waitABit() {
	timer := time.NewTimer(2 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

func eachStart(t *testing.T, f func(t *testing.T, spare bool)) {
	for name, spare := range map[string]bool{"started for it": false, "spare": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, spare)
		})
	}
}

var refused = regexp.MustCompile(`^out: (EACCES|EPERM|EXDEV|EAFNOSUPPORT|EMFILE|EFBIG|ESRCH|ENOSYS)? `)

func TestNoClimbGetsIn(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, spare bool) {
		c := setup(t, spare)
		for _, climb := range climbs {
			if c.signals != "" && strings.HasPrefix(climb.name, "end ") {
				continue // the report says so, which is the promise there
			}
			if got := c.run(t, "climber", climb.script); !refused.MatchString(got) {
				t.Errorf("%s: %s, want it refused", climb.name, got)
			}
		}
		if text, err := os.ReadFile(filepath.Join(c.code, "data.txt")); err != nil || string(text) != "data\n" {
			t.Errorf("the code is changed: %q, %v", text, err)
		}
	})
}

// The walls are what stops the climbs: without them, each gets in.
func TestClimbsGetInWithoutWalls(t *testing.T) {
	t.Parallel()
	courses := map[string]*course{} // by what is taken down
	for _, climb := range climbs {
		if climb.root && os.Getuid() != 0 {
			continue
		}
		c, ok := courses[climb.walls]
		if !ok {
			c = setup(t, false, strings.Fields(climb.walls)...)
			courses[climb.walls] = c
		}
		if got := c.run(t, "climber", climb.script); !strings.HasPrefix(got, "in: ") {
			t.Errorf("%s, without the walls %s: %s, want it to get in", climb.name, climb.walls, got)
		}
	}
}

func TestFunctionsWork(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, spare bool) {
		c := setup(t, spare)
		for _, work := range works {
			if got := c.run(t, "worker", work.script); got != "in: true" {
				t.Errorf("%s: %s", work.name, got)
			}
		}
	})
}

// As root, workers have more walls; without it, they must hold too.
func TestAsAnotherUser(t *testing.T) {
	t.Parallel()
	const nobody = 61234
	if os.Getuid() != 0 {
		return // all other tests of this package do it
	}
	// By this name, because its folder is closed to others.
	cmd := exec.Command("/proc/self/exe", "-test.run=^(TestNoClimbGetsIn|TestClimbsGetInWithoutWalls|TestFunctionsWork|TestReport)$", "-test.v=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=/"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		var exit *exec.ExitError
		t.Errorf("as user %d: %v (an exit: %v)\n%s", nobody, err, errors.As(err, &exit), out)
	}
}
