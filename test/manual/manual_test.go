// Package manual runs the documentation: the commands of its pages on real
// processes, and what the API answers against its description.
package manual

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/manual/page"
)

// binDir holds the programs.
var binDir string

func TestMain(m *testing.M) { os.Exit(harness.RunBuilt(m, &binDir)) }

const token = "manual-0123456789abcdef0123456789abcdef"

// installation is a gateway, a worker and a scheduler on a Redis of their own.
type installation struct {
	*testing.T
	fleet    *harness.Fleet
	services *harness.Services
	redis    *harness.Redis
	dir      string
	key      string
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{T: t, fleet: &harness.Fleet{}}
	dir, err := os.MkdirTemp("", "manual") // the unpacked code is read-only, which is more than t.TempDir can remove
	in.must(err)
	in.dir = dir
	t.Cleanup(func() {
		err := in.fleet.Close()
		if t.Failed() {
			for _, p := range in.fleet.All() {
				t.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(30))
			}
		}
		if in.redis != nil {
			err = joined(err, in.redis.Remove())
		}
		if err = joined(err, harness.RemoveReadOnly(dir)); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	in.redis, err = in.fleet.StartRedis(t.Context(), harness.BeforeReply)
	in.must(err)
	keygen, err := in.fleet.Start(harness.Spec{Name: "secret-key", Path: filepath.Join(binDir, "nightshift"), Args: []string{"secret-key"}, Env: harness.Environ()})
	in.must(err)
	_, err = keygen.Wait(t.Context())
	in.must(err)
	in.key = strings.TrimSpace(keygen.Log.String())
	in.services, err = in.fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: []string{
			"NIGHTSHIFT_REDIS_URL=" + in.redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"),
			"NIGHTSHIFT_TOKEN=" + token, "NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(dir, "data"), "NIGHTSHIFT_SECRET_KEY=" + in.key,
		},
	})
	in.must(err)
	return in
}

func joined(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (in *installation) must(err error) {
	in.Helper()
	if err != nil {
		in.Fatal(err)
	}
}

// call asks the control plane.
func (in *installation) call(method, path string, body any) (status int, header http.Header, answer []byte) {
	in.Helper()
	data, err := json.Marshal(body)
	in.must(err)
	if body == nil {
		data = nil
	}
	return in.ask(method, "/api/v1"+path, data)
}

// metrics are what Prometheus is told.
func (in *installation) metrics() string {
	in.Helper()
	_, _, answer := in.ask(http.MethodGet, "/metrics", nil)
	return string(answer)
}

func (in *installation) ask(method, path string, data []byte) (status int, header http.Header, answer []byte) {
	in.Helper()
	req, err := http.NewRequestWithContext(in.Context(), method, in.services.Admin[0]+path, bytes.NewReader(data))
	in.must(err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	in.must(err)
	defer res.Body.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(res.Body)
	in.must(err)
	return res.StatusCode, res.Header, out.Bytes()
}

// read reads a page of the documentation.
func (in *installation) read(name string) string {
	in.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", name))
	in.must(err)
	return string(text)
}

// run runs a page, or a part of one, on the installation.
func (in *installation) run(t *testing.T, name, text string) *page.Page {
	t.Helper()
	p, err := page.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	work := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	data, admin := strings.TrimPrefix(in.services.Data[0], "http://127.0.0.1"), strings.TrimPrefix(in.services.Admin[0], "http://127.0.0.1")
	err = p.Run(ctx, page.World{
		Dir: work,
		Env: []string{
			"PATH=" + binDir + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + in.dir, "TMPDIR=" + os.TempDir(), "NO_COLOR=1",
			"NIGHTSHIFT_API_URL=" + in.services.Admin[0] + "/api/v1", "NIGHTSHIFT_TOKEN=" + token,
		},
		Replace: strings.NewReplacer("127.0.0.1:8888", "127.0.0.1"+data, "localhost:8888", "localhost"+data, "127.0.0.1:8889", "127.0.0.1"+admin),
	})
	if err != nil {
		t.Fatalf("%s, %v", name, err)
	}
	return p
}

// eventually waits until try returns nil.
func (in *installation) eventually(try func() error) {
	in.Helper()
	ctx, cancel := context.WithTimeout(in.Context(), time.Minute)
	defer cancel()
	in.must(harness.Eventually(ctx, try))
}

func unexpected(what string, got any) error { return fmt.Errorf("%s is %v", what, got) }
