package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/command"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

var update = flag.Bool("update", false, "write the golden files anew")

// installation is a control and a data plane in memory, on one address.
type installation struct {
	*httptest.Server
	mu       sync.Mutex
	created  api.CreateDeploy
	uploaded map[string]bool
	states   []invocation.State // that reading an invocation shows, the last one for ever
}

const id = "01KAQ4N2RZ8Y7M5T3V1W0X9C6B"

func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{uploaded: map[string]bool{}, states: []invocation.State{invocation.Queued, invocation.Running, invocation.Succeeded}}
	mux := http.NewServeMux()
	in.Server = httptest.NewServer(mux)
	t.Cleanup(in.Close)
	answer := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(w http.ResponseWriter, status int, kind, message string) {
		answer(w, status, api.Error{Code: status, Kind: kind, Message: message})
	}
	deploy := func() api.Deploy {
		d := api.Deploy{ID: "d1a2b3", Site: "default", State: "uploading", URL: "http://localhost:8888", DeployURL: "http://d1a2b3--default.localhost:8888", Published: !in.created.Draft}
		for _, f := range in.created.Functions {
			shown := api.Function{Name: f.Name, Kind: f.Kind, Schedule: f.Schedule}
			if f.Kind != function.Scheduled {
				shown.URLs = []string{d.URL + function.DefaultPath(f.Name)}
			}
			d.Functions = append(d.Functions, shown)
			if !in.uploaded[f.Name] {
				d.RequiredFunctions = append(d.RequiredFunctions, f.Artifact)
			}
		}
		if len(d.RequiredFunctions) == 0 {
			d.State = "ready"
		}
		return d
	}
	mux.HandleFunc("POST /api/v1/sites/{site}/deploys", func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer secret" {
			refuse(w, 401, "unauthorized", "the token is wrong; set NIGHTSHIFT_TOKEN")
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&in.created)
		answer(w, 201, deploy())
	})
	mux.HandleFunc("PUT /api/v1/deploys/{id}/functions/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.uploaded[r.PathValue("name")] = true
		answer(w, 200, deploy())
	})
	mux.HandleFunc("GET /api/v1/sites/{site}/deploys/{id}", func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		answer(w, 200, deploy())
	})
	mux.HandleFunc("GET /api/v1/sites/{site}/functions", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("site") == "empty" {
			answer(w, 200, []api.Function{})
			return
		}
		url := func(name string) []string { return []string{in.URL + function.DefaultPath(name)} }
		answer(w, 200, []api.Function{
			{Name: "hello", Kind: function.Sync, URLs: url("hello")},
			{Name: "fails", Kind: function.Sync, URLs: url("fails")},
			{Name: "job", Kind: function.Background, URLs: url("job")},
			{Name: "nightly", Kind: function.Scheduled, Schedule: "0 3 * * *"},
		})
	})
	mux.HandleFunc("POST /.netlify/functions/{name}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.PathValue("name") {
		case "job":
			w.Header().Set("Location", "/.nightshift/invocations/"+id)
			w.WriteHeader(202)
		case "fails":
			http.Error(w, "Error: boom", 500)
		default:
			_, _ = io.WriteString(w, "hello "+string(body)+" as "+r.Header.Get("Content-Type")+"\n")
		}
	})
	mux.HandleFunc("GET /api/v1/invocations/{id}", func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		if r.PathValue("id") != id {
			refuse(w, 404, "not_found", "there is no invocation "+r.PathValue("id"))
			return
		}
		inv := api.Invocation{ID: id, Function: "job", State: in.states[0], Attempts: []api.Attempt{}}
		if len(in.states) > 1 {
			in.states = in.states[1:]
		}
		switch inv.State {
		case invocation.Succeeded:
			inv.Result = &invocation.Result{Status: 200, Body: "all done\n"}
		case invocation.Dead:
			inv.Attempts = []api.Attempt{{Number: 3, Outcome: invocation.Error, Error: &invocation.Failure{Type: "Error", Message: "boom"}}}
		}
		answer(w, 200, inv)
	})
	mux.HandleFunc("GET /api/v1/invocations/{id}/logs", func(w http.ResponseWriter, r *http.Request) {
		lines := []api.LogLine{
			{Cursor: "1", Time: time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC), Attempt: 1, Stream: "stdout", Text: "first"},
			{Cursor: "2", Time: time.Date(2026, 11, 23, 12, 0, 2, 0, time.UTC), Attempt: 1, Stream: "stderr", Text: "second"},
		}
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		answer(w, 200, lines[after:])
	})
	mux.HandleFunc("POST /api/v1/invocations/{id}/cancel", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("id") {
		case "waiting":
			answer(w, 200, api.Invocation{ID: "waiting", State: invocation.Cancelled})
		case "running":
			answer(w, 202, api.Invocation{ID: "running", State: invocation.Running})
		default:
			refuse(w, 409, "conflict", "the invocation is finished")
		}
	})
	return in
}

func site(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// volatile is what differs from run to run.
var volatile = regexp.MustCompile(`next .*|(\d+\.){3}\d+:\d+`)

func TestGolden(t *testing.T) {
	t.Parallel()
	good := site(t, map[string]string{
		"netlify.toml":                 "[[plugins]]\npackage = \"a\"\n[[redirects]]\nfrom = \"/a\"\nto = \"/b\"\n[[headers]]\nfor = \"/*\"\nvalues = {A = \"b\"}\n",
		"netlify/functions/hello.mjs":  "export default () => new Response('x')",
		"netlify/functions/job.mjs":    "export default () => {}\nexport const config = { background: true }",
		"netlify/functions/tick.mjs":   "export default () => {}\nexport const config = { schedule: '@daily' }",
		"netlify/functions/routed.mjs": "export default () => {}\nexport const config = { path: ['/a/:id', '/b'], method: 'GET' }",
	})
	bad := site(t, map[string]string{
		"netlify/functions/hello.mjs": "export default () => new Response('x')",
		"netlify/functions/bad.mjs":   "export default () => {\n  oops(\n}",
	})
	payload := filepath.Join(site(t, map[string]string{"p.json": `{"n": 1}`}), "p.json")
	none := site(t, map[string]string{"netlify/functions/readme.txt": ""})
	tests := map[string]struct {
		args   []string
		stdin  string
		states []invocation.State
		env    map[string]string
		exit   int
	}{
		"build":                 {args: []string{"build", good}},
		"build-problems":        {args: []string{"build", bad}, exit: 1},
		"build-nowhere":         {args: []string{"build", "nowhere"}, exit: 2},
		"deploy-draft":          {args: []string{"deploy", good}},
		"deploy-prod":           {args: []string{"deploy", good, "--prod", "--branch", "main"}},
		"deploy-problems":       {args: []string{"deploy", bad, "--prod"}, exit: 1},
		"deploy-none":           {args: []string{"deploy", none}, exit: 1},
		"deploy-unauthorized":   {args: []string{"deploy", good}, env: map[string]string{"NIGHTSHIFT_TOKEN": "wrong"}, exit: 1},
		"functions":             {args: []string{"functions"}},
		"invoke-sync":           {args: []string{"invoke", "hello", "--payload", `{"a":1}`}},
		"invoke-file":           {args: []string{"invoke", "hello", "--payload", "@" + payload}},
		"invoke-stdin":          {args: []string{"invoke", "hello", "--payload", "@-"}, stdin: "raw text"},
		"invoke-fails":          {args: []string{"invoke", "fails"}, exit: 1},
		"invoke-background":     {args: []string{"invoke", "job"}},
		"invoke-wait":           {args: []string{"invoke", "job", "--wait"}},
		"invoke-wait-dead":      {args: []string{"invoke", "job", "--wait"}, states: []invocation.State{invocation.Running, invocation.Dead}, exit: 1},
		"invoke-scheduled":      {args: []string{"invoke", "nightly"}, exit: 1},
		"invoke-unknown":        {args: []string{"invoke", "nope"}, exit: 1},
		"invoke-empty-site":     {args: []string{"invoke", "hello", "--site", "empty"}, exit: 1},
		"invoke-bad-payload":    {args: []string{"invoke", "hello", "--payload", "{a:1}"}, exit: 2},
		"invoke-no-file":        {args: []string{"invoke", "hello", "--payload", "@nowhere.json"}, exit: 2},
		"logs":                  {args: []string{"logs", id}},
		"logs-follow":           {args: []string{"logs", id, "-f"}},
		"logs-unknown":          {args: []string{"logs", "nope"}, exit: 1},
		"cancel-waiting":        {args: []string{"cancel", "waiting"}},
		"cancel-running":        {args: []string{"cancel", "running"}},
		"cancel-finished":       {args: []string{"cancel", "finished"}, exit: 1},
		"unknown-command":       {args: []string{"fly"}, exit: 2},
		"unknown-flag":          {args: []string{"deploy", "--now"}, exit: 2},
		"missing-argument":      {args: []string{"logs"}, exit: 2},
		"argument-too-many":     {args: []string{"build", "a", "b"}, exit: 2},
		"bad-api-url":           {args: []string{"functions"}, env: map[string]string{"NIGHTSHIFT_API_URL": "localhost"}, exit: 2},
		"dev-bad-port":          {args: []string{"dev", "--port", "70000"}, exit: 2},
		"dev-bad-log-level":     {args: []string{"dev"}, env: map[string]string{"NIGHTSHIFT_LOG_LEVEL": "loud"}, exit: 2},
		"help":                  {args: []string{"--help"}},
		"help-deploy":           {args: []string{"deploy", "--help"}},
		"help-dev":              {args: []string{"dev", "--help"}},
		"no-arguments":          {args: nil},
		"server-does-not-reply": {args: []string{"functions"}, env: map[string]string{"NIGHTSHIFT_API_URL": "http://127.0.0.1:1/api/v1"}, exit: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstallation(t)
			if test.states != nil {
				in.states = test.states
			}
			env := map[string]string{"NIGHTSHIFT_API_URL": in.URL + "/api/v1", "NIGHTSHIFT_TOKEN": "secret"}
			for key, value := range test.env {
				env[key] = value
			}
			var stdout, stderr bytes.Buffer
			exit := command.Run(t.Context(), test.args, command.World{
				Stdin: strings.NewReader(test.stdin), Stdout: &stdout, Stderr: &stderr,
				Getenv: func(key string) string { return env[key] }, Version: "v1",
			})
			if exit != test.exit {
				t.Errorf("exit %d, want %d", exit, test.exit)
			}
			got := "-- stdout --\n" + stdout.String() + "-- stderr --\n" + stderr.String()
			for _, dir := range []string{good, bad, none} {
				got = strings.ReplaceAll(got, dir, "SITE")
			}
			got = volatile.ReplaceAllStringFunc(got, func(s string) string {
				if strings.HasPrefix(s, "next ") {
					return "next …"
				}
				return "ADDRESS"
			})
			golden(t, name, got)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("output differs from %s (write it anew with -update)\ngot\n%s\nwant\n%s", path, got, want)
	}
}

func TestDeployAsJSON(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	root := site(t, map[string]string{"netlify/functions/hello.mjs": "export default () => new Response('x')"})
	var stdout, stderr bytes.Buffer
	exit := command.Run(t.Context(), []string{"deploy", root, "--json", "--branch", "next"}, command.World{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(key string) string {
			return map[string]string{"NIGHTSHIFT_API_URL": in.URL + "/api/v1", "NIGHTSHIFT_TOKEN": "secret"}[key]
		},
	})
	var d api.Deploy
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil || exit != 0 || d.ID != "d1a2b3" || d.State != "ready" || d.Published {
		t.Errorf("exit %d, deploy %+v, %v\n%s", exit, d, err, stderr.String())
	}
	if !in.created.Draft || in.created.Branch != "next" || !in.uploaded["hello"] {
		t.Errorf("announced %+v, uploaded %v", in.created, in.uploaded)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.states = []invocation.State{invocation.Running}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exit := command.Run(ctx, []string{"invoke", "job", "--wait"}, command.World{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(key string) string { return map[string]string{"NIGHTSHIFT_API_URL": in.URL + "/api/v1"}[key] },
	})
	if exit != 130 || !strings.HasSuffix(stderr.String(), "interrupted\n") {
		t.Errorf("exit %d, stderr %q; want 130 and the word", exit, stderr.String())
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	exit := command.Run(t.Context(), []string{"version"}, command.World{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: io.Discard, Getenv: os.Getenv, Version: "v1.2.3"})
	if exit != 0 || !strings.HasPrefix(stdout.String(), "nightshift v1.2.3 ") {
		t.Errorf("exit %d, %q", exit, stdout.String())
	}
}
