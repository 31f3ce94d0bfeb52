package abuse

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/dispatch"
)

// climbCode is a function that looks for the canary wherever a function can get
// to, and tells where it found it. It knows what somebody may know who runs an
// installation of their own: where things are.
const climbCode = `import { readdirSync, readFileSync, readlinkSync, openSync, readSync, closeSync, statSync, writeFileSync, symlinkSync, linkSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import net from 'node:net'
import path from 'node:path'
import { tmpdir } from 'node:os'

const canary = ['canary', 'of', 'the', 'victim'].join('-')
const hits = []
const errors = {}
let looked = 0

function attempt(what, fn) {
  try {
    const text = fn()
    looked++
    if (text !== undefined && String(text).includes(canary)) hits.push(what)
  } catch (error) {
    errors[error.code ?? error.name] = (errors[error.code ?? error.name] ?? 0) + 1
  }
}

function head(file, most = 4 << 20) {
  const fd = openSync(file, 'r')
  try {
    const buffer = Buffer.alloc(most)
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, most, null))
  } finally {
    closeSync(fd)
  }
}

// Everything below a folder, but the system's own and what is not a file.
function walk(dir, until, depth = 0) {
  if (depth > 9 || Date.now() > until) return
  let entries = []
  attempt('list ' + dir, () => { entries = readdirSync(dir, { withFileTypes: true }) })
  for (const entry of entries) {
    const file = path.join(dir, entry.name)
    if (entry.isDirectory() && !['node_modules', '.git', 'proc', 'sys', 'usr', 'lib', 'go'].includes(entry.name)) walk(file, until, depth + 1)
    if (entry.isFile()) attempt('read ' + file, () => (statSync(file).size < 8 << 20 ? head(file, 64 << 10) : undefined))
  }
}

function processes() {
  const signalled = []
  let all = []
  attempt('list /proc', () => { all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)) })
  for (const pid of all) {
    if (Number(pid) === process.pid) continue
    for (const name of ['environ', 'cmdline', 'maps', 'auxv', 'stack', 'syscall']) attempt('read /proc/' + pid + '/' + name, () => head('/proc/' + pid + '/' + name, 256 << 10))
    for (const name of ['cwd', 'root', 'exe']) attempt('link /proc/' + pid + '/' + name, () => readlinkSync('/proc/' + pid + '/' + name))
    attempt('list /proc/' + pid + '/cwd', () => readdirSync('/proc/' + pid + '/cwd').map((name) => head('/proc/' + pid + '/cwd/' + name)).join())
    let fds = []
    attempt('list /proc/' + pid + '/fd', () => { fds = readdirSync('/proc/' + pid + '/fd') })
    for (const fd of fds) attempt('link /proc/' + pid + '/fd/' + fd, () => readlinkSync('/proc/' + pid + '/fd/' + fd))
    attempt('open /proc/' + pid + '/mem', () => { closeSync(openSync('/proc/' + pid + '/mem', 'r')); return canary })
    try {
      process.kill(Number(pid), 0)
      signalled.push(pid + ' ' + head('/proc/' + pid + '/comm', 64).trim())
    } catch {}
  }
  return signalled
}

// What a server says to a text, or nothing.
function say(target, text, wait = 700) {
  return new Promise((resolve) => {
    let out = ''
    const socket = net.connect(target)
    const done = () => { socket.destroy(); resolve(out) }
    socket.on('data', (data) => { out += data.toString('latin1') })
    socket.on('error', (error) => { errors[error.code] = (errors[error.code] ?? 0) + 1; done() })
    socket.on('close', done)
    socket.on('connect', () => socket.write(text))
    setTimeout(done, wait)
  })
}

async function talk(what, target, text, is) {
  const out = await say(target, text)
  looked++
  if (out.includes(canary) || is?.(out)) hits.push(what + ': ' + out.slice(0, 200))
}

export default async (request) => {
  const known = await request.json()
  attempt('environment', () => JSON.stringify(process.env))
  const signalled = processes()
  const until = Date.now() + 15_000
  for (const dir of known.folders) walk(dir, until)
  walk(tmpdir(), until)
  walk(path.dirname(path.dirname(process.env.LAMBDA_TASK_ROOT ?? '/nowhere/at/all')), until)
  attempt('link into the temporary folder', () => { symlinkSync(known.folders[0], tmpdir() + '/link'); return readdirSync(tmpdir() + '/link').join() && canary })
  attempt('a shell', () => execFileSync('/bin/sh', ['-c', 'grep -rls "$0" ' + known.folders.join(' ') + ' 2>/dev/null || true', canary], { timeout: 10_000 }).toString() && canary)
  attempt('write beside the code', () => { writeFileSync(path.join(process.env.LAMBDA_TASK_ROOT, 'x'), 'x'); return canary })
  const http = (line, headers = '') => line + ' HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n' + headers + '\r\n'
  await talk('Redis', { path: known.redis }, 'INFO\r\nKEYS *\r\n', (out) => out.includes('redis_version') || out.includes('nightshift:'))
  for (const path of ['/api/v1/invocations', '/api/v1/sites/victim/env', '/api/v1/accounts', '/queues/', '/metrics', '/']) {
    await talk('control plane ' + path, { port: known.control, host: '127.0.0.1' }, http('GET ' + path), (out) => / 200 /.test(out.slice(0, 20)))
  }
  await talk('worker', { port: known.worker, host: '127.0.0.1' }, http('POST ' + known.dispatch, known.headers + 'Content-Length: 2\r\n') + '{}', (out) => out.includes('hello of the victim') || / 200 /.test(out.slice(0, 20)))
  // The runtime API of somebody else's process.
  const own = Number((process.env.AWS_LAMBDA_RUNTIME_API ?? '').match(/:(\d+)/)?.[1])
  for (const port of known.ports) {
    if (port === own) continue
    await talk('runtime API on ' + port, { port, host: '127.0.0.1' }, http('GET /2018-06-01/runtime/invocation/next'), (out) => /lambda-runtime-aws-request-id/i.test(out))
    await talk('initialization error on ' + port, { port, host: '127.0.0.1' }, http('POST /2018-06-01/runtime/init/error', 'Content-Length: 2\r\n') + '{}', (out) => / 202 /.test(out.slice(0, 20)))
  }
  return Response.json({ hits, looked, errors, signalled })
}
export const config = { timeout: 120 }
`

// climbed is what it tells.
type climbed struct {
	Hits      []string
	Looked    int
	Errors    map[string]int
	Signalled []string
}

// From inside a function nothing of another site is found: not in the files of
// the installation, in processes, in Redis, over the control plane, the worker's
// own port, or the runtime API of another process.
func TestAFunctionReachesNothingOfItsNeighbour(t *testing.T) {
	t.Parallel()
	n := startNeighbours(t)
	code := map[string]string{"netlify/functions/climb.mjs": climbCode}
	for name, text := range attacker {
		code[name] = text
	}
	n.installation.deploy("attacker", code)
	n.serves("attacker", "hello", "hello of the attacker")
	for _, way := range []string{"a warm spare", "a process that ran before"} {
		body, err := json.Marshal(n.knowledge())
		n.must(err)
		a := n.ask("POST", "http://attacker.localhost/.netlify/functions/climb", body, "Content-Type: application/json")
		var got climbed
		n.decode(a, http.StatusOK, &got)
		t.Logf("%s looked at %d things; errors %v", way, got.Looked, got.Errors)
		if got.Looked < 20 {
			t.Errorf("%s looked at %d things only: %s", way, got.Looked, a.body)
		}
		for _, hit := range got.Hits {
			t.Errorf("%s: found by: %s", way, hit)
		}
		if len(got.Signalled) > 0 {
			t.Errorf("%s: could signal %v", way, got.Signalled)
		}
	}
	if inv := n.api(root, "GET", "/invocations/"+n.job, nil); !strings.Contains(inv.body, `"running"`) {
		t.Errorf("the victim's job: %s", inv.body)
	}
}

// knowledge is what an attacker may know of an installation.
func (n *neighbours) knowledge() map[string]any {
	n.Helper()
	port := func(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }
	var workers []struct{ Addr string }
	n.decode(n.api(root, "GET", "/workers", nil), http.StatusOK, &workers)
	folders := []string{n.dir, filepath.Dir(n.redis.Dir()), "/tmp", "/var/tmp", "/dev/shm", os.TempDir(), "/root", "/home"}
	slices.Sort(folders)
	return map[string]any{
		"ports":   n.ports("worker1"),
		"folders": slices.Compact(folders), "redis": strings.TrimPrefix(n.redis.URL(), "unix://"), "control": port(n.services.Admin[0]),
		"worker": port("http://" + workers[0].Addr), "dispatch": dispatch.Path,
		"headers": dispatch.HeaderInvocation + ": 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\n" + dispatch.HeaderSite + ": victim\r\n" +
			dispatch.HeaderDeploy + ": " + n.victim + "\r\n" + dispatch.HeaderFunction + ": hello\r\n",
	}
}

// ports are those that a service listens on, over which each of its functions'
// processes has its runtime API.
func (n *neighbours) ports(service string) []int {
	n.Helper()
	p, err := n.fleet.Process(service)
	n.must(err)
	fds := fmt.Sprintf("/proc/%d/fd", p.Pid())
	entries, err := os.ReadDir(fds)
	n.must(err)
	sockets := map[string]bool{}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(fds, e.Name())) // it may be closed by now
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", p.Pid()))
	n.must(err)
	var ports []int
	for line := range strings.Lines(string(table)) {
		const listens = "0A"
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != listens || !sockets[fields[9]] {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		number, err := strconv.ParseUint(port, 16, 16)
		n.must(err)
		ports = append(ports, int(number))
	}
	if len(ports) < 2 {
		n.Fatalf("%s listens on %v; the runtime API of its processes should be among them", service, ports)
	}
	return ports
}
