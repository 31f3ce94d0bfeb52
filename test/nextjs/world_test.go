package nextjs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
)

// within bounds every wait but that for npm and next build.
const within = 60 * time.Second

const token = "nextjs-0123456789abcdef0123456789abcdef"

// world is the site of one version, deployed to services of its own.
type world struct {
	version   version
	base      string // URL of the data plane
	host      string // as the routes see it
	collector *harness.Collector
}

// start installs, builds and deploys the site.
func start(t *testing.T, v version) *world {
	t.Helper()
	bin := programs(t)
	collector, err := harness.StartCollector()
	check(t, err)
	t.Cleanup(func() { check(t, collector.Close()) })
	w := &world{version: v, collector: collector}
	site := w.site(t)

	var fleet harness.Fleet
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range fleet.All() {
				t.Logf("---- the last lines of %s\n%s", p.Name, p.Log.Tail(40))
			}
		}
		check(t, fleet.Close())
	})
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	check(t, err)
	t.Cleanup(func() { check(t, redis.Remove()) })
	data, admin, worker, scheduler := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	w.base, w.host = "http://"+data, strings.Replace(data, "127.0.0.1", "localhost", 1)
	tmp := t.TempDir()
	env := harness.Environ("NIGHTSHIFT_TOKEN="+token, "NIGHTSHIFT_REDIS_URL="+redis.URL(), "NIGHTSHIFT_BLOB_URL=file://"+filepath.Join(tmp, "blobs"))
	for name, settings := range map[string][]string{
		"gateway":   {"NIGHTSHIFT_ADDR=" + data, "NIGHTSHIFT_ADMIN_ADDR=" + admin},
		"worker":    {"NIGHTSHIFT_WORKER_ADDR=" + worker},
		"scheduler": {"NIGHTSHIFT_SCHEDULER_ADDR=" + scheduler},
	} {
		_, err := fleet.Start(harness.Spec{Name: name, Path: filepath.Join(bin, name), Env: append(env, settings...), Dir: tmp})
		check(t, err)
	}
	for _, health := range []string{admin, worker, scheduler} {
		w.eventually(t, func() error {
			resp, err := http.Get("http://" + health + "/readyz")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				return errors.New(resp.Status)
			}
			return nil
		})
	}

	begun := time.Now()
	deploy := exec.CommandContext(t.Context(), filepath.Join(bin, "nightshift"), "deploy", "--prod", site)
	deploy.Env = append(env, "NIGHTSHIFT_API_URL=http://"+admin+"/api/v1", "TEST_BASE_PATH="+v.basePath, "TEST_DIST_DIR="+v.distDir)
	out, err := deploy.CombinedOutput()
	t.Logf("nightshift deploy took %v\n%s", time.Since(begun).Round(100*time.Millisecond), out)
	check(t, err)
	if !bytes.Contains(out, []byte(".env.local: is for this machine only and is left out of deploys")) {
		t.Error("nightshift deploy does not say that it left .env.local out")
	}
	return w
}

// programs is the folder with the binaries under test. NIGHTSHIFT_TEST_BIN
// names one where they are built already.
func programs(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("NIGHTSHIFT_TEST_BIN"); bin != "" {
		return bin
	}
	bin := t.TempDir()
	check(t, harness.Build(t.Context(), bin))
	return bin
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := harness.FreePort()
	check(t, err)
	return "127.0.0.1:" + strconv.Itoa(port)
}

// site makes a copy of the site with the packages of the version.
func (w *world) site(t *testing.T) string {
	t.Helper()
	packages := install(t, w.version)
	// Beside the packages, so that they can be linked instead of copied.
	dir, err := os.MkdirTemp(filepath.Dir(packages), "site-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, linkTree(packages, dir))
	check(t, os.CopyFS(dir, os.DirFS("site")))
	if w.version.src {
		check(t, os.Mkdir(filepath.Join(dir, "src"), 0o755))
		for _, name := range []string{"app", "pages", "instrumentation.ts"} {
			check(t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, "src", name)))
		}
	}
	check(t, os.WriteFile(filepath.Join(dir, ".env.production"), []byte("FROM_FILE='production file'\nCOLLECTOR="+w.collector.URL()+"\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, ".env.local"), []byte("FROM_LOCAL='local file'\n"), 0o600))
	return dir
}

// install installs the packages of a version, unless that has been done, and
// returns the folder.
func install(t *testing.T, v version) string {
	t.Helper()
	from := filepath.Join("versions", v.name)
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	check(t, err)
	cache, err := os.UserCacheDir()
	check(t, err)
	key := sha256.Sum256(fmt.Appendf(lock, "linked %v", v.linked))
	dir := filepath.Join(cache, "nightshift-test", "nextjs", hex.EncodeToString(key[:])[:16], "packages")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	check(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	temp, err := os.MkdirTemp(filepath.Dir(dir), "install-")
	check(t, err)
	defer os.RemoveAll(temp)
	check(t, os.CopyFS(temp, os.DirFS(from)))
	npmrc, err := os.ReadFile(filepath.Join("versions", ".npmrc"))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(temp, ".npmrc"), npmrc, 0o644))
	args := []string{"ci", "--ignore-scripts", "--loglevel=error"}
	if v.linked {
		args = append(args, "--install-strategy=linked")
	}
	begun := time.Now()
	npm := exec.CommandContext(t.Context(), "npm", args...)
	npm.Dir = temp
	out, err := npm.CombinedOutput()
	t.Logf("npm ci took %v\n%s", time.Since(begun).Round(100*time.Millisecond), out)
	check(t, err)
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, fs.ErrExist) { // or another test was quicker
		t.Fatal(err)
	}
	return dir
}

// linkTree makes a copy whose files are hard links.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !strings.Contains(rel, "node_modules"): // Next may write to it
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, data, 0o644)
		default:
			return os.Link(path, target)
		}
	})
}

// request is one call. path is without the base path.
type request struct {
	method, path, body string
	header             http.Header
}

type response struct {
	header http.Header
	body   string
}

func (r response) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
}

var client = &http.Client{
	Timeout:       within,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (w *world) open(t *testing.T, r request) *http.Response {
	t.Helper()
	path := r.path
	if !strings.HasPrefix(path, "/.") {
		path = w.version.basePath + path
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, r.method, w.base+path, strings.NewReader(r.body))
	check(t, err)
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, path, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// do calls, and stops the test if the status is another one.
func (w *world) do(t *testing.T, r request, status int) response {
	t.Helper()
	resp := w.open(t, r)
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != status {
		t.Fatalf("%s %s = %d, want %d\n%s", r.method, r.path, resp.StatusCode, status, body)
	}
	return response{resp.Header, string(body)}
}

// stream returns the first part of a body, what followed, and the time between.
func (w *world) stream(t *testing.T, path string) (first, rest string, gap time.Duration) {
	t.Helper()
	resp := w.open(t, request{path: path})
	buffer := make([]byte, 1024)
	n, err := resp.Body.Read(buffer)
	check(t, err)
	begun := time.Now()
	after, err := io.ReadAll(resp.Body)
	check(t, err)
	return string(buffer[:n]), string(after), time.Since(begun)
}

// background calls and follows the invocation to its end.
func (w *world) background(t *testing.T, r request) (inv api.Invocation) {
	t.Helper()
	accepted := w.do(t, r, 202)
	location := accepted.header.Get("Location")
	if accepted.body != "" || location == "" {
		t.Fatalf("%s %s: 202 with the body %q and the location %q", r.method, r.path, accepted.body, location)
	}
	w.eventually(t, func() error {
		w.do(t, request{path: location}, 200).decode(t, &inv)
		if inv.FinishedAt == nil {
			return fmt.Errorf("%s is %s", inv.ID, inv.State)
		}
		return nil
	})
	return inv
}

// fired waits until a route has reported a tick.
func (w *world) fired(t *testing.T, route string) (query url.Values) {
	t.Helper()
	w.eventually(t, func() error {
		for _, hit := range w.collector.Hits() {
			if hit.Query.Get("route") == route {
				query = hit.Query
				return nil
			}
		}
		return fmt.Errorf("no tick of %s", route)
	})
	return query
}

func (w *world) eventually(t *testing.T, try func() error) {
	t.Helper()
	w.wait(t, within, try)
}

// building waits for what a build makes.
func (w *world) building(t *testing.T, try func() error) {
	t.Helper()
	w.wait(t, 5*time.Minute, try)
}

func (w *world) wait(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	check(t, harness.Eventually(ctx, try))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
