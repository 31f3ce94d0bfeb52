package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/rogpeppe/go-internal/testscript"
)

func verbPorts(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		port, err := harness.FreePort()
		ts.Check(err)
		ts.Setenv(name, strconv.Itoa(port))
	}
}

var placeholder = regexp.MustCompile(`@([A-Z_]+)@`)

func verbFill(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		text := placeholder.ReplaceAllStringFunc(ts.ReadFile(file), func(s string) string {
			value := ts.Getenv(strings.Trim(s, "@"))
			if value == "" {
				ts.Fatalf("%s mentions %s, which is not set", file, s)
			}
			return value
		})
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o644))
	}
}

// mailPort is where the example's functions and its sink meet. Scripts run at
// the same time, so each copy of the site gets a port of its own.
const mailPort = "127.0.0.1:2525"

func verbCopySite(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		usage(ts, "copysite DIR SMTP_ADDR")
	}
	from, err := quickstart()
	ts.Check(err)
	to := ts.MkAbs(args[0])
	for _, part := range []string{"netlify", "lib"} {
		ts.Check(os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join(from, part))))
	}
	for _, file := range []string{"netlify.toml", "package.json", "mail-sink.mjs"} {
		data, err := os.ReadFile(filepath.Join(from, file))
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(to, file), data, 0o644))
	}
	ts.Check(os.Symlink(filepath.Join(from, "node_modules"), filepath.Join(to, "node_modules")))
	file := filepath.Join(to, "lib", "mail.mjs")
	data, err := os.ReadFile(file)
	ts.Check(err)
	if !strings.Contains(string(data), mailPort) {
		ts.Fatalf("%s does not mention %s", file, mailPort)
	}
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(string(data), mailPort, args[1])), 0o644))
}

// goSettings are those of the go command that a script shares with the test: what
// is compiled and fetched once need not be again.
var goSettings = []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS", "GOTOOLCHAIN"}

func verbGoSite(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		usage(ts, "gosite DIR")
	}
	to := ts.MkAbs(args[0])
	ts.Check(os.CopyFS(to, os.DirFS(filepath.Join(harness.Root(), "examples", "go"))))
	values, err := exec.Command("go", append([]string{"env"}, goSettings...)...).Output()
	ts.Check(err)
	for i, value := range strings.Split(strings.TrimSuffix(string(values), "\n"), "\n") {
		ts.Setenv(goSettings[i], value)
	}
}

func verbRedis(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	ctx, cancel := timeout(within)
	defer cancel()
	switch strings.Join(args, " ") {
	case "start":
		redis, err := w.fleet.StartRedis(ctx, harness.BeforeReply)
		ts.Check(err)
		w.redis = redis
		ts.Setenv("NIGHTSHIFT_REDIS_URL", redis.URL())
	case "kill":
		ts.Check(w.redis.Kill(ctx))
	case "restart":
		ts.Check(w.redis.Restart(ctx))
	default:
		usage(ts, "redis start|kill|restart")
	}
}

func verbS3(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch strings.Join(args, " ") {
	case "start":
		s3, err := harness.StartS3()
		ts.Check(err)
		w.s3 = s3
		ts.Setenv("NIGHTSHIFT_BLOB_URL", s3.URL("nightshift/blobs"))
		for _, setting := range harness.S3Env() {
			key, value, _ := strings.Cut(setting, "=")
			ts.Setenv(key, value)
		}
	case "kill":
		ts.Check(w.s3.Kill())
	case "restart":
		ts.Check(w.s3.Restart())
	default:
		usage(ts, "s3 start|kill|restart")
	}
}

func verbUp(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		usage(ts, "up NAME PROGRAM [KEY=VALUE]... [-- ARG...]")
	}
	var programArgs []string
	settings := args[2:]
	if i := slices.Index(settings, "--"); i >= 0 {
		settings, programArgs = settings[:i], settings[i+1:]
	}
	startProgram(ts, args[0], args[1], settings, programArgs)
}

func startProgram(ts *testscript.TestScript, name, program string, settings, args []string) *harness.Process {
	p, err := worldOf(ts).fleet.Start(harness.Spec{
		Name: name, Path: filepath.Join(binDir, program), Args: args,
		Env: programEnv(ts, settings), Dir: ts.MkAbs("."),
	})
	ts.Check(err)
	return p
}

func verbSecretKey(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		usage(ts, "secretkey NAME...")
	}
	for _, name := range args {
		key, err := exec.Command(filepath.Join(binDir, "nightshift"), "secret-key").Output()
		ts.Check(err)
		ts.Setenv(name, strings.TrimSpace(string(key)))
	}
}

func verbServices(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		usage(ts, "services WORKERS SCHEDULERS")
	}
	workers, err := strconv.Atoi(args[0])
	ts.Check(err)
	schedulers, err := strconv.Atoi(args[1])
	ts.Check(err)
	addr := func() string {
		port, err := harness.FreePort()
		ts.Check(err)
		return "127.0.0.1:" + strconv.Itoa(port)
	}
	data, admin := addr(), addr()
	ts.Setenv("DATA_ADDR", data) // to start it again
	ts.Setenv("ADMIN_ADDR", admin)
	ts.Setenv("DATA", "http://"+data)
	ts.Setenv("ADMIN", "http://"+admin)
	ts.Setenv("NIGHTSHIFT_API_URL", "http://"+admin+"/api/v1")
	startProgram(ts, "gateway", "gateway", []string{"NIGHTSHIFT_ADDR=" + data, "NIGHTSHIFT_ADMIN_ADDR=" + admin}, nil)
	ready := []string{admin}
	for i := range workers {
		name, worker := fmt.Sprintf("worker%d", i+1), addr()
		startProgram(ts, name, "worker", []string{"NIGHTSHIFT_WORKER_ADDR=" + worker}, nil)
		ready = append(ready, worker)
	}
	for i := range schedulers {
		name, health := fmt.Sprintf("scheduler%d", i+1), addr()
		startProgram(ts, name, "scheduler", []string{"NIGHTSHIFT_SCHEDULER_ADDR=" + health}, nil)
		ready = append(ready, health)
	}
	for _, health := range ready {
		verbHTTP(ts, false, []string{"-retry", "20s", "-status", "200", "GET", "http://" + health + "/readyz"})
	}
}

func process(ts *testscript.TestScript, name string) *harness.Process {
	p, err := worldOf(ts).fleet.Process(name)
	ts.Check(err)
	return p
}

func verbCrash(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		usage(ts, "crash NAME")
	}
	ctx, cancel := timeout(within)
	defer cancel()
	ts.Check(process(ts, args[0]).Kill(ctx))
}

var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}

func verbFinish(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 || signals[args[1]] == 0 {
		usage(ts, "finish NAME INT|TERM")
	}
	p := process(ts, args[0])
	ctx, cancel := timeout(within)
	defer cancel()
	begun := time.Now()
	ts.Check(p.Signal(signals[args[1]]))
	code, err := p.Wait(ctx)
	ts.Check(err)
	ts.Logf("%s ended with %d after %v", p.Name, code, time.Since(begun).Round(time.Millisecond))
	if code != 0 {
		ts.Fatalf("%s ended with %d after %s, want 0", p.Name, code, args[1])
	}
	verbGone(ts, false, args[:1])
}

func verbGone(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		usage(ts, "gone NAME")
	}
	p := process(ts, args[0])
	ctx, cancel := timeout(10 * time.Second)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		if p.Running() {
			return fmt.Errorf("%s runs", p.Name)
		}
		if pids := p.Survivors(); len(pids) > 0 {
			return fmt.Errorf("%s left the processes %v behind", p.Name, pids)
		}
		return nil
	}))
}

func verbLog(ts *testscript.TestScript, neg bool, args []string) {
	const form = "[!] log [-n N] [-within D] NAME REGEXP"
	flags := newFlags("log")
	n := flags.Int("n", 1, "")
	wait := flags.Duration("within", within, "")
	ts.Check(flags.Parse(args))
	if flags.NArg() != 2 {
		usage(ts, form)
	}
	p := process(ts, flags.Arg(0))
	re, err := regexp.Compile("(?m)" + flags.Arg(1))
	ts.Check(err)
	if neg {
		if p.Log.Count(re) > 0 {
			ts.Fatalf("the log of %s matches %s:\n%s", p.Name, re, p.Log.Tail(40))
		}
		return
	}
	ctx, cancel := timeout(*wait)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		if got := p.Log.Count(re); got < *n {
			return fmt.Errorf("the log of %s matches %s %d times, want %d:\n%s", p.Name, re, got, *n, p.Log.Tail(40))
		}
		return nil
	}))
}

func verbOwner(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		usage(ts, "owner PID")
	}
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, p := range worldOf(ts).fleet.Running() {
		if p.Owns(pid) {
			ts.Setenv("OWNER", p.Name)
			return
		}
	}
	ts.Fatalf("process %d is no descendant of a process of this script", pid)
}

// leading is the message with which a scheduler says that its term begins.
var leading = regexp.MustCompile(`"msg":"leading"`)

func verbLeader(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := timeout(within)
	defer cancel()
	ts.Check(harness.Eventually(ctx, func() error {
		for _, p := range worldOf(ts).fleet.Running() {
			if strings.HasPrefix(p.Name, "scheduler") && p.Log.Count(leading) > 0 {
				ts.Setenv("LEADER", p.Name)
				return nil
			}
		}
		return fmt.Errorf("no running scheduler says that it leads")
	}))
}
