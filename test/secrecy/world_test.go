package secrecy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/test/harness"
	"github.com/redis/go-redis/v9"
)

// world is an installation all of whose secrets are known, and what it has written.
type world struct {
	*testing.T
	dir      string
	fleet    *harness.Fleet
	redis    *harness.Redis
	rdb      redis.UniversalClient
	s3       *harness.S3
	receiver *harness.Collector // of callbacks
	traces   *recorder
	env      []string // of the services
	services *harness.Services
	http     *http.Client
	metrics  map[string]string // addresses, by service

	secrets map[string]string // by what they are
	places  places
}

// recorder keeps the bodies of all that is sent to it, unpacked.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	body bytes.Buffer
}

func newRecorder() *recorder {
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body := io.Reader(req.Body)
		if req.Header.Get("Content-Encoding") == "gzip" {
			if unzipped, err := gzip.NewReader(req.Body); err == nil {
				body = unzipped
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		_, _ = r.body.ReadFrom(body)
	}))
	return r
}

func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.body.Bytes())
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// eventually waits until try returns nil.
func (w *world) eventually(try func() error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 40*time.Second)
	defer cancel()
	w.must(harness.Eventually(ctx, try))
}

// start starts the services, with a secret in each setting that takes one.
func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, fleet: &harness.Fleet{}, traces: newRecorder(), http: &http.Client{Transport: &http.Transport{}}, metrics: map[string]string{}, places: places{}}
	t.Cleanup(w.close)
	var err error
	w.dir, err = os.MkdirTemp("", "secrecy") // the unpacked code is read-only, which is more than t.TempDir can remove
	w.must(err)
	key, err := secret.Generate()
	w.must(err)
	signing, err := callback.NewSecret()
	w.must(err)
	w.secrets = map[string]string{
		"the token":                      "canary-token-«/+&»-1",
		"the password of Redis":          "canary-redis-password-2",
		"the key that seals":             string(key),
		"the secret of callbacks":        strings.TrimPrefix(string(signing), "whsec_"),
		"the secret of the blob store":   "canary/blob+secret/3",
		"the ID of the blob store's key": "CANARYBLOBKEY4",
		"a secret variable":              `canary-variable-"quoted"&more-5`,
		"a variable called a key":        "canary-api-key-6",
		"a password in a URL":            "canary-dsn-password-7",
		"a harmless variable":            "canary-harmless-8",
		"a secret that is answered":      "canary-answered-9",
		"a caller's Authorization":       "canary-authorization-10",
		"a caller's cookie":              "canary-cookie-11",
		"a caller's query":               "canary-query-12",
		"a caller's body":                "canary-body-13",
		"a wrong token":                  "canary-wrong-token-14",
		"a wrong password of Redis":      "canary-wrong-password-15",
		"a setting that is wrong":        "canary-wrong-setting-16",
	}
	w.redis, err = w.fleet.StartRedis(t.Context(), harness.EverySecond)
	w.must(err)
	w.rdb, err = redisdb.Open(w.redis.URL())
	w.must(err)
	w.must(w.rdb.ConfigSet(t.Context(), "rdbcompression", "no").Err()) // so that its file can be searched
	w.must(w.rdb.ConfigSet(t.Context(), "requirepass", w.secrets["the password of Redis"]).Err())
	w.must(w.rdb.Close())
	url := strings.Replace(w.redis.URL(), "unix://", "unix://:"+w.secrets["the password of Redis"]+"@", 1)
	w.rdb, err = redisdb.Open(url)
	w.must(err)
	w.s3, err = harness.StartS3()
	w.must(err)
	w.receiver, err = harness.StartCollector()
	w.must(err)
	w.env = []string{
		"NIGHTSHIFT_REDIS_URL=" + url, "NIGHTSHIFT_BLOB_URL=" + w.s3.URL("blobs"), "NIGHTSHIFT_TOKEN=" + w.secrets["the token"],
		"NIGHTSHIFT_SECRET_KEY=" + string(key), "NIGHTSHIFT_CALLBACK_SECRET=" + string(signing), "NIGHTSHIFT_CALLBACK_ALLOW=127.0.0.0/8",
		"AWS_ACCESS_KEY_ID=" + w.secrets["the ID of the blob store's key"], "AWS_SECRET_ACCESS_KEY=" + w.secrets["the secret of the blob store"],
		"NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(w.dir, "data"), "NIGHTSHIFT_LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + w.traces.URL, "OTEL_BSP_SCHEDULE_DELAY=50",
	}
	own := map[string][]string{}
	for _, name := range []string{"gateway1", "worker1", "scheduler1"} {
		port, err := harness.FreePort()
		w.must(err)
		w.metrics[name] = fmt.Sprintf("127.0.0.1:%d", port)
		own[name] = []string{"NIGHTSHIFT_METRICS_ADDR=" + w.metrics[name]}
	}
	w.services, err = w.fleet.StartServices(t.Context(), harness.Setup{Bin: binDir, Gateways: 1, Workers: 1, Schedulers: 1, Env: w.env, Own: own})
	w.must(err)
	return w
}

func (w *world) close() {
	w.http.CloseIdleConnections()
	errs := []error{w.fleet.Close()}
	if w.Failed() {
		for _, p := range w.fleet.All() {
			w.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(15))
		}
	}
	w.traces.Close()
	if w.rdb != nil {
		errs = append(errs, w.rdb.Close())
	}
	if w.redis != nil {
		errs = append(errs, w.redis.Remove())
	}
	if w.receiver != nil {
		errs = append(errs, w.receiver.Close())
	}
	if w.s3 != nil {
		errs = append(errs, w.s3.Kill())
	}
	if w.dir != "" {
		errs = append(errs, harness.RemoveReadOnly(w.dir))
	}
	if err := errors.Join(errs...); err != nil {
		w.Errorf("closing: %v", err)
	}
}

// keep notes what was written somewhere.
func (w *world) keep(place string, text []byte) { w.places[place] = append(w.places[place], text...) }

// program runs a program to its end and keeps what it printed.
func (w *world) program(place, program string, env []string, args ...string) (printed string, code int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	p, err := w.fleet.Start(harness.Spec{Name: place, Path: filepath.Join(binDir, program), Args: args, Env: harness.Environ(env...)})
	w.must(err)
	code, err = p.Wait(ctx)
	w.must(err)
	w.keep(place, []byte(p.Log.String()))
	return p.Log.String(), code
}

// nightshift runs a command.
func (w *world) nightshift(args ...string) string {
	w.Helper()
	printed, code := w.program("the command line: "+strings.Join(args[:min(2, len(args))], " "), "nightshift",
		[]string{"NIGHTSHIFT_API_URL=" + w.services.Admin[0] + "/api/v1", "NIGHTSHIFT_TOKEN=" + w.secrets["the token"]}, args...)
	if code != 0 {
		w.Logf("nightshift %s ended with %d: %s", args[0], code, printed)
	}
	return printed
}

// variable sets a variable through the API, as netlify's command line does.
func (w *world) variable(key, value string, isSecret bool) {
	w.Helper()
	body, err := json.Marshal([]map[string]any{{"key": key, "is_secret": isSecret, "values": []map[string]string{{"context": "all", "value": value}}}})
	w.must(err)
	if status, answer := w.control("the API: setting "+key, http.MethodPost, "/api/v1/accounts/nightshift/env?site_id=default", w.secrets["the token"], body); status != http.StatusCreated {
		w.Fatalf("setting %s: %d %s", key, status, answer)
	}
}

// control calls the control plane and keeps the answer.
func (w *world) control(place, method, path, token string, body []byte) (int, []byte) {
	w.Helper()
	return w.exchange(place, method, w.services.Admin[0]+path, http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}, body)
}

// exchange makes a request and keeps the answer, with its head.
func (w *world) exchange(place, method, url string, header http.Header, body []byte) (int, []byte) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	w.must(err)
	req.Header = header
	res, err := w.http.Do(req)
	w.must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	w.must(err)
	var head bytes.Buffer
	w.must(res.Header.Write(&head))
	w.keep(place, append(head.Bytes(), answer...))
	return res.StatusCode, answer
}

// call calls a function with all that a caller may have to hide.
func (w *world) call(function string, extra ...string) (status int, id string) {
	w.Helper()
	w.eventually(func() error { // the gateway may not route by the deploy yet
		header := http.Header{
			"Authorization": {"Bearer " + w.secrets["a caller's Authorization"]}, "Cookie": {"session=" + w.secrets["a caller's cookie"]}, "Content-Type": {"text/plain"},
		}
		for i := 0; i < len(extra); i += 2 {
			header.Set(extra[i], extra[i+1])
		}
		ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.services.Data[0]+"/.netlify/functions/"+function+"?key="+w.secrets["a caller's query"], strings.NewReader(w.secrets["a caller's body"]))
		w.must(err)
		req.Header = header
		res, err := w.http.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		w.must(err)
		if status = res.StatusCode; status == http.StatusNotFound {
			return fmt.Errorf("%s: %s", function, answer)
		}
		w.keep("the answer of "+function, answer)
		id = res.Header.Get("X-Nf-Request-Id")
		return nil
	})
	return status, id
}

// ended waits for the end of an invocation.
func (w *world) ended(id, state string) {
	w.Helper()
	w.eventually(func() error {
		_, answer := w.control("the API: an invocation", http.MethodGet, "/api/v1/invocations/"+id, w.secrets["the token"], nil)
		if !bytes.Contains(answer, []byte(`"state":"`+state+`"`)) {
			return fmt.Errorf("%s is not %s: %s", id, state, answer)
		}
		return nil
	})
}

// keepRedis reads all that Redis holds, by type, and its files.
func (w *world) keepRedis() {
	w.Helper()
	ctx := w.Context()
	w.must(w.rdb.Save(ctx).Err())
	keys := w.rdb.Scan(ctx, 0, "*", 1000).Iterator()
	n := 0
	for keys.Next(ctx) {
		key := keys.Val()
		n++
		kind, err := w.rdb.Type(ctx, key).Result()
		w.must(err)
		var value any
		switch kind {
		case "string":
			value, err = w.rdb.Get(ctx, key).Result()
		case "hash":
			value, err = w.rdb.HGetAll(ctx, key).Result()
		case "list":
			value, err = w.rdb.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = w.rdb.SMembers(ctx, key).Result()
		case "zset":
			value, err = w.rdb.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			value, err = w.rdb.XRange(ctx, key, "-", "+").Result()
		case "none": // expired meanwhile
		default:
			w.Fatalf("the key %s has the type %s, which nothing here reads", key, kind)
		}
		w.must(err)
		w.keep("Redis", fmt.Appendf(nil, "%s %v\n", key, value))
	}
	w.must(keys.Err())
	if n < 20 {
		w.Errorf("Redis has %d keys; the search sees too few", n)
	}
	w.keepFolder("files of Redis", w.redis.Dir())
}

// keepFolder reads all files below a folder.
func (w *world) keepFolder(place, dir string) {
	w.Helper()
	w.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		w.keep(place, data)
		return err
	}))
}

// keepProcesses reads what everybody can read of the processes of the fleet, and
// of what they have started.
func (w *world) keepProcesses() (pids []int) {
	w.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	w.must(err)
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		w.must(err)
		mine := false
		for _, p := range w.fleet.Running() {
			mine = mine || p.Pid() == pid || p.Owns(pid)
		}
		if !mine {
			continue
		}
		pids = append(pids, pid)
		for _, file := range []string{"cmdline", "comm", "status"} {
			if data, err := os.ReadFile(filepath.Join(proc, file)); err == nil { // it may have ended
				w.keep("/proc", data)
			}
		}
	}
	return pids
}
