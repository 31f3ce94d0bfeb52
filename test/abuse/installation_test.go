package abuse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/test/harness"
)

// root is the token of the installation.
const root = "abuse-0123456789abcdef0123456789abcdef"

// installation is one gateway, one worker and one scheduler, with sites on them.
type installation struct {
	*testing.T
	fleet    *harness.Fleet
	redis    *harness.Redis
	services *harness.Services
	dir      string
	client   *http.Client
}

// install starts one, with further settings of all services.
func install(t *testing.T, settings ...string) *installation {
	t.Helper()
	in := &installation{T: t, fleet: &harness.Fleet{}}
	var err error
	in.dir, err = os.MkdirTemp("", "abuse") // the unpacked code is read-only, which is more than t.TempDir can remove
	in.must(err)
	in.must(os.Chmod(in.dir, 0o755)) // functions may have a user of their own
	t.Cleanup(in.close)
	in.redis, err = in.fleet.StartRedis(t.Context(), harness.EverySecond)
	in.must(err)
	key, err := secret.Generate()
	in.must(err)
	in.services, err = in.fleet.StartServices(t.Context(), harness.Setup{
		Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1,
		Env: append([]string{
			"NIGHTSHIFT_REDIS_URL=" + in.redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(in.dir, "blobs"),
			"NIGHTSHIFT_TOKEN=" + root, "NIGHTSHIFT_SECRET_KEY=" + string(key), "NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(in.dir, "data"),
		}, settings...),
	})
	in.must(err)
	// One connection to the gateway, whatever the host is called.
	gateway := strings.TrimPrefix(in.services.Data[0], "http://")
	in.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ".localhost:80") || addr == "localhost:80" {
				addr = gateway
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return in
}

func (in *installation) close() {
	err := in.fleet.Close()
	if in.Failed() {
		for _, p := range in.fleet.All() {
			in.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(40))
		}
	}
	if in.redis != nil {
		err = errors.Join(err, in.redis.Remove())
	}
	if in.client != nil {
		in.client.CloseIdleConnections()
	}
	if err := errors.Join(err, harness.RemoveReadOnly(in.dir)); err != nil {
		in.Errorf("closing: %v", err)
	}
}

func (in *installation) must(err error) {
	in.Helper()
	if err != nil {
		in.Fatal(err)
	}
}

func (in *installation) eventually(within time.Duration, try func() error) {
	in.Helper()
	ctx, cancel := context.WithTimeout(in.Context(), within)
	defer cancel()
	in.must(harness.Eventually(ctx, try))
}

// nightshift runs the command line with the root token.
func (in *installation) nightshift(args ...string) string {
	in.Helper()
	ctx, cancel := context.WithTimeout(in.Context(), 2*time.Minute)
	defer cancel()
	out, err := in.services.Nightshift(ctx, args...)
	in.must(err)
	return out
}

// deploy publishes files on a site and returns the ID of the deploy.
func (in *installation) deploy(site string, files map[string]string) string {
	in.Helper()
	folder := filepath.Join(in.dir, "sites", site)
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		in.must(os.MkdirAll(filepath.Dir(file), 0o755))
		in.must(os.WriteFile(file, []byte(text), 0o644))
	}
	out := in.nightshift("deploy", folder, "--prod", "--site", site, "--json")
	var d struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &d); err != nil || d.ID == "" {
		in.Fatalf("deploying %s: %v\n%s", site, err, out)
	}
	return d.ID
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. headers are "Name: value"; Host counts.
func (in *installation) ask(method, url string, body []byte, headers ...string) answer {
	in.Helper()
	req, err := http.NewRequestWithContext(in.Context(), method, url, bytes.NewReader(body))
	in.must(err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	res, err := in.client.Do(req)
	in.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	in.must(err)
	return answer{res.StatusCode, res.Header, string(text)}
}

// api asks the control plane with a token.
func (in *installation) api(token, method, path string, body any) answer {
	in.Helper()
	var data []byte
	switch body := body.(type) {
	case nil:
	case []byte:
		data = body
	default:
		var err error
		data, err = json.Marshal(body)
		in.must(err)
	}
	return in.ask(method, in.services.Admin[0]+"/api/v1"+path, data, "Authorization: Bearer "+token, "Content-Type: application/json")
}

// decode reads the body of an answer that must have a status.
func (in *installation) decode(a answer, status int, into any) {
	in.Helper()
	if a.status != status {
		in.Fatalf("answered %d, want %d: %.500s", a.status, status, a.body)
	}
	if into != nil {
		in.must(json.Unmarshal([]byte(a.body), into))
	}
}

// resident is the memory that a service holds, in MiB.
func (in *installation) resident(name string) int64 {
	in.Helper()
	p, err := in.fleet.Process(name)
	in.must(err)
	kb, err := harness.ResidentKB(p.Pid())
	in.must(err)
	return kb >> 10
}

// serves fails unless a function of a site answers.
func (in *installation) serves(site, name, want string) {
	in.Helper()
	in.eventually(20*time.Second, func() error {
		if got := in.ask("GET", "http://"+site+".localhost/.netlify/functions/"+name, nil); got.status != 200 || got.body != want {
			return fmt.Errorf("%s of %s answers %d %.200q, want %q", name, site, got.status, got.body, want)
		}
		return nil
	})
}
