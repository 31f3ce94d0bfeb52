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
	sites    map[string]*siteState
	onUpload func(name string, try int) int // status to fail with, or 0
	tries    map[string]int
	withheld string
	states   []invocation.State // that reading an invocation shows, the last one for ever
}

const id = "01KAQ4N2RZ8Y7M5T3V1W0X9C6B"

func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{uploaded: map[string]bool{}, tries: map[string]int{}, sites: seeded(), states: []invocation.State{invocation.Queued, invocation.Running, invocation.Succeeded}}
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
	in.release(mux, answer, refuse)
	mux.HandleFunc("GET /api/v1/sites/{site}/functions", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("site") == "shop" {
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
	mux.HandleFunc("GET /api/v1/workers", func(w http.ResponseWriter, r *http.Request) {
		started := time.Now().Add(-3*time.Hour - time.Minute).UTC()
		answer(w, 200, []api.Worker{
			{ID: "vm-1", Addr: "10.0.0.1:8890", StartedAt: started, Concurrency: 10, Capacity: 40, Busy: 3, Warm: 7},
			{ID: "vm-2", Addr: "10.0.0.2:8890", StartedAt: started, Concurrency: 10, Capacity: 40, Draining: true},
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
var volatile = regexp.MustCompile(`next .*|(\d+\.){3}\d+:\d+|\w{3} \d+ \w{3} .*|[\d.]+ [KM]?i?B\b|"(created|updated|started)_at": .*|"Date": \[\n.*\n +\],?`)

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
	files := site(t, map[string]string{"netlify.toml": "[build]\npublish = \"public\"\n", "public/index.html": "<h1>home</h1>", "public/empty.txt": ""})
	tests := map[string]struct {
		args   []string
		stdin  string
		states []invocation.State
		env    map[string]string
		exit   int
	}{
		"build":                 {args: []string{"build", good}},
		"build-problems":        {args: []string{"build", bad}, exit: 2},
		"build-nowhere":         {args: []string{"build", "nowhere"}, exit: 2},
		"deploy-draft":          {args: []string{"deploy", good}},
		"deploy-prod":           {args: []string{"deploy", good, "--prod", "--branch", "main"}},
		"deploy-problems":       {args: []string{"deploy", bad, "--prod"}, exit: 2},
		"deploy-none":           {args: []string{"deploy", none}, exit: 1},
		"deploy-unauthorized":   {args: []string{"deploy", good}, env: map[string]string{"NIGHTSHIFT_TOKEN": "wrong"}, exit: 1},
		"deploy-branch":         {args: []string{"deploy", good, "--branch", "Feature/One", "--title", "try it"}},
		"deploy-static":         {args: []string{"deploy", files, "--prod", "--site", "shop"}},
		"deploy-locked":         {args: []string{"deploy", bad, "--prod", "--site", "kept"}, exit: 3}, // before the build
		"deploy-locked-draft":   {args: []string{"deploy", files, "--site", "kept"}},
		"deploy-no-site":        {args: []string{"deploy", good, "--site", "nope"}, exit: 1},
		"deploy-json-problems":  {args: []string{"deploy", bad, "--json"}, exit: 2},
		"deploy-json-locked":    {args: []string{"deploy", good, "--prod", "--json", "--site", "kept"}, exit: 3},
		"deploy-json-usage":     {args: []string{"deploy", "--now", "--json"}, exit: 2},
		"publish":               {args: []string{"publish", older}},
		"publish-prefix":        {args: []string{"publish", "0011"}},
		"publish-short":         {args: []string{"publish", "001"}, exit: 2},
		"publish-ambiguous":     {args: []string{"publish", "a1b2"}, exit: 2},
		"publish-unknown":       {args: []string{"publish", "ffff"}, exit: 1},
		"publish-failed":        {args: []string{"publish", "deadbeef"}, exit: 3},
		"publish-locked":        {args: []string{"publish", "bbbb", "--site", "kept"}, exit: 3},
		"publish-json":          {args: []string{"publish", "0011", "--json"}},
		"publish-json-locked":   {args: []string{"publish", "bbbb", "--site", "kept", "--json"}, exit: 3},
		"rollback":              {args: []string{"rollback"}},
		"rollback-to":           {args: []string{"rollback", "0011"}},
		"rollback-nothing":      {args: []string{"rollback", "--site", "shop"}, exit: 3},
		"unpublish":             {args: []string{"unpublish"}},
		"unpublish-nothing":     {args: []string{"unpublish", "--site", "shop"}},
		"deploys":               {args: []string{"deploys"}},
		"deploys-locked":        {args: []string{"deploys", "--site", "kept", "--limit", "1"}},
		"deploys-none":          {args: []string{"deploys", "--site", "shop"}},
		"deploys-none-json":     {args: []string{"deploys", "--site", "shop", "--json"}},
		"deploys-limit":         {args: []string{"deploys", "--limit", "0"}, exit: 2},
		"deploys-no-site":       {args: []string{"deploys", "--site", "nope"}, exit: 1},
		"lock":                  {args: []string{"lock"}},
		"lock-json":             {args: []string{"lock", "--json"}},
		"lock-nothing":          {args: []string{"lock", "--site", "shop"}, exit: 3},
		"unlock":                {args: []string{"unlock", "--site", "kept"}},
		"unlock-unlocked":       {args: []string{"unlock"}},
		"sites":                 {args: []string{"sites"}},
		"sites-list":            {args: []string{"sites", "list"}},
		"sites-create":          {args: []string{"sites", "create", "docs"}},
		"sites-create-json":     {args: []string{"sites", "create", "docs", "--json"}},
		"sites-create-taken":    {args: []string{"sites", "create", "shop"}, exit: 3},
		"help-deploys":          {args: []string{"deploys", "--help"}},
		"help-rollback":         {args: []string{"rollback", "--help"}},
		"help-sites":            {args: []string{"sites", "--help"}},
		"functions":             {args: []string{"functions"}},
		"functions-json":        {args: []string{"functions", "--json"}},
		"deploys-near-site":     {args: []string{"deploys", "--site", "shpo"}, exit: 1},
		"build-json":            {args: []string{"build", good, "--json"}},
		"build-json-problems":   {args: []string{"build", bad, "--json"}, exit: 2},
		"workers":               {args: []string{"workers"}},
		"workers-json":          {args: []string{"workers", "--json"}},
		"show-json":             {args: []string{"invocations", "show", id, "--json"}, states: []invocation.State{invocation.Dead}},
		"invoke-sync":           {args: []string{"invoke", "hello", "--payload", `{"a":1}`}},
		"invoke-file":           {args: []string{"invoke", "hello", "--payload", "@" + payload}},
		"invoke-stdin":          {args: []string{"invoke", "hello", "--payload", "@-"}, stdin: "raw text"},
		"invoke-fails":          {args: []string{"invoke", "fails"}, exit: 1},
		"invoke-background":     {args: []string{"invoke", "job"}},
		"invoke-wait":           {args: []string{"invoke", "job", "--wait"}},
		"invoke-json":           {args: []string{"invoke", "hello", "--payload", `{"a":1}`, "--json"}},
		"invoke-fails-json":     {args: []string{"invoke", "fails", "--json"}, exit: 1},
		"invoke-id-json":        {args: []string{"invoke", "job", "--json"}},
		"invoke-wait-json":      {args: []string{"invoke", "job", "--wait", "--json"}},
		"invoke-near":           {args: []string{"invoke", "helo"}, exit: 1},
		"invoke-wait-dead":      {args: []string{"invoke", "job", "--wait"}, states: []invocation.State{invocation.Running, invocation.Dead}, exit: 1},
		"invoke-scheduled":      {args: []string{"invoke", "nightly"}, exit: 3},
		"invoke-unknown":        {args: []string{"invoke", "nope"}, exit: 1},
		"invoke-empty-site":     {args: []string{"invoke", "hello", "--site", "shop"}, exit: 1},
		"invoke-bad-payload":    {args: []string{"invoke", "hello", "--payload", "{a:1}"}, exit: 2},
		"invoke-no-file":        {args: []string{"invoke", "hello", "--payload", "@nowhere.json"}, exit: 2},
		"logs":                  {args: []string{"logs", id}},
		"logs-follow":           {args: []string{"logs", id, "-f"}},
		"logs-json":             {args: []string{"logs", id, "--json"}},
		"logs-unknown":          {args: []string{"logs", "01KAQ4N2RZ8Y7M5T3V1W0X9C60"}, exit: 1},
		"logs-last":             {args: []string{"logs", "job", "--last", "201"}, exit: 2},
		"cancel-waiting":        {args: []string{"cancel", "waiting"}},
		"cancel-running":        {args: []string{"cancel", "running"}},
		"cancel-json":           {args: []string{"cancel", "waiting", "--json"}},
		"cancel-finished":       {args: []string{"cancel", "finished"}, exit: 3},
		"unknown-command":       {args: []string{"fly"}, exit: 2},
		"near-command":          {args: []string{"deply"}, exit: 2},
		"no-token":              {args: []string{"deploy", good}, env: map[string]string{"NIGHTSHIFT_TOKEN": ""}, exit: 1},
		"unknown-flag":          {args: []string{"deploy", "--now"}, exit: 2},
		"missing-argument":      {args: []string{"cancel"}, exit: 2},
		"argument-too-many":     {args: []string{"build", "a", "b"}, exit: 2},
		"bad-api-url":           {args: []string{"functions"}, env: map[string]string{"NIGHTSHIFT_API_URL": "localhost"}, exit: 2},
		"dev-bad-port":          {args: []string{"dev", "--port", "70000"}, exit: 2},
		"dev-bad-log-level":     {args: []string{"dev"}, env: map[string]string{"NIGHTSHIFT_LOG_LEVEL": "loud"}, exit: 2},
		"help":                  {args: []string{"--help"}},
		"help-deploy":           {args: []string{"deploy", "--help"}},
		"help-dev":              {args: []string{"dev", "--help"}},
		"no-arguments":          {args: nil},
		"server-does-not-reply": {args: []string{"functions"}, env: map[string]string{"NIGHTSHIFT_API_URL": "http://127.0.0.1:1/api/v1"}, exit: 4},
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
			for _, dir := range []string{good, bad, none, files} {
				got = strings.ReplaceAll(got, dir, "SITE")
			}
			got = volatile.ReplaceAllStringFunc(got, func(s string) string {
				switch {
				case strings.HasPrefix(s, "next "):
					return "next …"
				case strings.HasSuffix(s, "B"):
					return "SIZE"
				case strings.HasPrefix(s, `"`):
					return strings.SplitAfter(s, ": ")[0] + "TIME,"
				case strings.Contains(s, " "):
					return "TIMES"
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
