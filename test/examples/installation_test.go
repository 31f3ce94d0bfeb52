package examples

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// within bounds every wait. Nothing takes a tenth of it on a machine that does
// nothing else.
const within = 2 * time.Minute

const token = "examples-0123456789abcdef0123456789abcdef"

// installation is one Nightshift, with all examples on it.
type installation struct {
	services *harness.Services
	data     string // host:port of the data plane
	secret   string // signs callbacks
}

// install starts the services.
func install(t *testing.T) *installation {
	t.Helper()
	dir, err := os.MkdirTemp("", "examples") // the unpacked code is read-only, which is more than t.TempDir can remove
	check(t, err)
	t.Cleanup(func() { check(t, harness.RemoveReadOnly(dir)) })
	var fleet harness.Fleet
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range fleet.All() {
				t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(60))
			}
		}
		check(t, fleet.Close())
	})
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	check(t, err)
	t.Cleanup(func() { check(t, redis.Remove()) })

	key, err := exec.CommandContext(t.Context(), filepath.Join(binDir, "nightshift"), "secret-key").Output()
	check(t, err)
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	in := &installation{secret: "whsec_" + base64.StdEncoding.EncodeToString(random)}
	in.services, err = fleet.StartServices(t.Context(), harness.Setup{
		// No scheduler: schedules are triggered by hand, and no tick of the clock comes between.
		Bin: binDir, Gateways: 1, Workers: 1,
		Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"), "NIGHTSHIFT_TOKEN=" + token,
			"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(dir, "data"), "NIGHTSHIFT_SECRET_KEY=" + strings.TrimSpace(string(key)),
			"NIGHTSHIFT_CALLBACK_SECRET=" + in.secret, "NIGHTSHIFT_CALLBACK_ALLOW=127.0.0.0/8",
			// The one that calls its own site: only the default site's URL is that of
			// a name which resolves everywhere.
			"NIGHTSHIFT_DEFAULT_SITE=invoices",
		},
	})
	check(t, err)
	in.data = strings.TrimPrefix(in.services.Data[0], "http://")
	return in
}

// nightshift runs the command line.
func (in *installation) nightshift(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "nightshift"), args...)
	cmd.Env = in.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nightshift %v: %v\n%s", args, err, out)
	}
}

// environ is the environment of whoever types.
func (in *installation) environ() []string {
	return harness.Environ("NIGHTSHIFT_TOKEN="+token, "NIGHTSHIFT_API_URL="+in.services.Admin[0]+"/api/v1")
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := harness.FreePort()
	check(t, err)
	return "127.0.0.1:" + strconv.Itoa(port)
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// copySite copies a site, but for what npm has installed, which the copy shares.
func copySite(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.Name() == ".nightshift": // of somebody who works with the example
		case entry.Name() == "node_modules":
			err = os.Symlink(source, target)
		case entry.IsDir():
			err = os.CopyFS(target, os.DirFS(source))
		default:
			var data []byte
			if data, err = os.ReadFile(source); err == nil {
				err = os.WriteFile(target, data, 0o644)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eventually waits until try returns nil.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	check(t, harness.Eventually(ctx, try))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatal(err)
	}
}
