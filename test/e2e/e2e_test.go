// Package e2e runs the product as its users do, by scripts: each file in
// scripts starts the processes that it needs, calls them, breaks them, and says
// what must come back. The verbs that the scripts use beside testscript's own
// are listed in verbs, below.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/rogpeppe/go-internal/testscript" // scripts with files inside, as the go command's own tests use
)

// binDir holds the binaries under test.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

// verbs are what the scripts can say, with their own usage lines.
var verbs = map[string]func(*testscript.TestScript, bool, []string){
	"ports":     verbPorts,     // ports NAME...               set each NAME to a free port
	"fill":      verbFill,      // fill FILE...                replace @NAME@ by the variable NAME in files
	"copysite":  verbCopySite,  // copysite DIR                copy examples/quickstart, with what npm installed
	"gosite":    verbGoSite,    // gosite DIR                  copy examples/go, for use with the go command of the test
	"zips":      verbZips,      // zips FROM TO                bundle the functions in FROM with Netlify's own bundler
	"sameblob":  verbSameBlob,  // sameblob FILE...            each file is an artifact in the store, byte for byte
	"netlify":   verbNetlify,   // netlify                     make `exec netlify` the netlify CLI, pointed at the services
	"capture":   verbCapture,   // capture NAME REGEXP         set NAME to what the group in REGEXP matches in the last output
	"redis":     verbRedis,     // redis start|kill|restart    a private server; sets NIGHTSHIFT_REDIS_URL
	"s3":        verbS3,        // s3 start|kill|restart       an object store; sets NIGHTSHIFT_BLOB_URL and its credentials
	"up":        verbUp,        // up NAME PROGRAM [KEY=VALUE]... [-- ARG...]
	"secretkey": verbSecretKey, // secretkey NAME...           set each NAME to a key of nightshift secret-key
	"services":  verbServices,  // services W S                a gateway, W workers, S schedulers; sets DATA and ADMIN, DATA_ADDR and ADMIN_ADDR
	"crash":     verbCrash,     // crash NAME                  kill -9
	"finish":    verbFinish,    // finish NAME INT|TERM        signal; must end with 0, and no child left
	"gone":      verbGone,      // gone NAME                   nothing that NAME had started is alive
	"log":       verbLog,       // [!] log [-n N] [-within D] NAME REGEXP
	"owner":     verbOwner,     // owner PID                   set OWNER to the process whose descendant PID is
	"leader":    verbLeader,    // leader                      set LEADER to the scheduler that leads
	"http":      verbHTTP,      // http [-H H] [-d BODY] [-status N] [-retry D] METHOD URL
	"await":     verbAwait,     // await [-within D] URL STATE poll a record; prints it
	"collector": verbCollector, // collector                   set COLLECTOR, to which functions report
	"hits":      verbHits,      // hits [-within D] N          wait for N reports; sets HIT_… from the newest
	"ticks":     verbTicks,     // ticks [NAME]                each reported tick once, without a gap
	"fires":     verbFires,     // fires [-within D] NAME      a tick from now on is reported by NAME
	"silent":    verbSilent,    // silent [-for D] NAME...     no tick of a second from now on is reported by NAME
	"receiver":  verbReceiver,  // receiver                    set RECEIVER and RECEIVER_PORT, where callbacks are taken
	"told":      verbTold,      // told [-within D] NAME N     wait for N callbacks to RECEIVER/NAME, each of them signed
	"callback":  verbCallback,  // callback [-within D] URL REGEXP what a record says of its callback
	"hurry":     verbHurry,     // hurry ID                    make the waiting callback of an invocation due now
	"mails":     verbMails,     // mails [-within D] N [REGEXP] of the SMTP sink at SMTP_ADDR
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "scripts",
		Setup:               setup,
		Cmds:                verbs,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// world is what one script has started.
type world struct {
	fleet     harness.Fleet
	redis     *harness.Redis
	mail      *harness.MailSink
	collector *harness.Collector
	s3        *harness.S3
	receiver  *receiver
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// token is accepted by the control plane of every script's services.
const token = "e2e-0123456789abcdef0123456789abcdef"

func setup(env *testscript.Env) error {
	mail, err := harness.StartMailSink()
	if err != nil {
		return err
	}
	w := &world{mail: mail}
	env.Values[worldKey{}] = w
	tmp := filepath.Join(env.WorkDir, "tmp")
	env.Vars = append(env.Vars,
		"PATH="+binDir+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"BIN="+binDir,
		"HOME="+env.WorkDir,
		"TMPDIR="+tmp,
		"NIGHTSHIFT_TOKEN="+token,
		"NIGHTSHIFT_BLOB_URL=file://"+filepath.ToSlash(filepath.Join(env.WorkDir, "blobs")),
		"SMTP_ADDR="+mail.Addr(),
	)
	env.Defer(func() { w.close(env.T()) })
	return os.MkdirAll(tmp, 0o755)
}

func (w *world) close(t testscript.T) {
	err := w.fleet.Close()
	if failed, ok := t.(interface{ Failed() bool }); ok && failed.Failed() {
		for _, p := range w.fleet.All() {
			t.Log(fmt.Sprintf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(60)))
		}
	}
	if w.redis != nil {
		err = joinErr(err, w.redis.Remove())
	}
	if w.s3 != nil {
		err = joinErr(err, w.s3.Kill())
	}
	if w.collector != nil {
		err = joinErr(err, w.collector.Close())
	}
	if w.receiver != nil {
		w.receiver.server.Close()
	}
	if err = joinErr(err, w.mail.Close()); err != nil {
		t.Log("closing:", err)
		t.FailNow()
	}
}

func joinErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// within is how long verbs wait unless told otherwise.
const within = 30 * time.Second

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// quickstart is the example site; its packages are installed once, by whoever
// comes first.
var quickstart = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(harness.Root(), "examples", "quickstart")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		return "", fmt.Errorf("examples/quickstart has no installed packages; run `npm ci --prefix examples/quickstart`, or `make e2e`, which does: %w", err)
	}
	return dir, nil
})

// programEnv is the environment of a process of the script: what the script
// set, by name, and nothing of the test's own.
func programEnv(ts *testscript.TestScript, extra []string) []string {
	var env []string
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "NIGHTSHIFT_TOKEN", "NIGHTSHIFT_BLOB_URL", "NIGHTSHIFT_REDIS_URL", "NIGHTSHIFT_SECRET_KEY", "NIGHTSHIFT_CALLBACK_SECRET", "NIGHTSHIFT_CALLBACK_ALLOW", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NODE_EXTRA_CA_CERTS"} {
		if value := ts.Getenv(key); value != "" {
			env = append(env, key+"="+value)
		}
	}
	return append(env, extra...)
}

// usage ends the script with the right form of a verb.
func usage(ts *testscript.TestScript, form string) { ts.Fatalf("usage: %s", strings.TrimSpace(form)) }
