package command_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/command"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
)

// siteState is a site of the installation in memory.
type siteState struct {
	published string
	locked    bool
	history   []string // what was published before, newest last
	deploys   []api.Deploy
}

const (
	newest = "a1b2c3d4e5f60718293a4b5c"
	older  = "00112233445566778899aabb"
	made   = "d1a2b3c4d5e6f70819203142" // by the command under test
)

// seeded are a site with a past, one that is locked, and one without anything.
func seeded() map[string]*siteState {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d).UTC() }
	return map[string]*siteState{
		"default": {published: newest, history: []string{older}, deploys: []api.Deploy{
			{ID: newest, State: "ready", Context: deploy.Production, Branch: "main", Title: "The second one", CreatedAt: ago(5*time.Minute + time.Second)},
			{ID: "a1b2ffffe5f60718293a4b5c", State: "ready", Context: deploy.BranchDeploy, Branch: "feature", CreatedAt: ago(3*time.Hour + time.Minute), Title: strings.Repeat("long ", 20)},
			{ID: older, State: "ready", Context: deploy.Production, CreatedAt: ago(72*time.Hour + time.Minute), Title: "The \x1b[2Jfirst one", Withheld: "locked"},
			{ID: "deadbeef0000000000000000", State: "error", Context: deploy.DeployPreview, CreatedAt: ago(90*time.Hour + time.Minute), Title: "never seen", ErrorMessage: "given up by its maker"},
		}},
		"kept": {published: "cccc00000000000000000000", locked: true, deploys: []api.Deploy{
			{ID: "cccc00000000000000000000", State: "ready", Context: deploy.Production, CreatedAt: ago(time.Minute + 5*time.Second)},
			{ID: "bbbb00000000000000000000", State: "ready", Context: deploy.DeployPreview, CreatedAt: ago(time.Hour + time.Minute)},
		}},
		"shop": {},
	}
}

type (
	answering func(w http.ResponseWriter, status int, body any)
	refusing  func(w http.ResponseWriter, status int, kind, message string)
)

// release serves sites and deploys.
func (in *installation) release(mux *http.ServeMux, answer answering, refuse refusing) {
	// on serves a path of a site that is there.
	on := func(pattern string, serve func(w http.ResponseWriter, r *http.Request, name string, s *siteState)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			in.mu.Lock()
			defer in.mu.Unlock()
			name := r.PathValue("site")
			s := in.sites[name]
			switch {
			case r.Header.Get("Authorization") != "Bearer secret":
				refuse(w, 401, "unauthorized", "the token is wrong; set NIGHTSHIFT_TOKEN")
			case s == nil:
				refuse(w, 404, "not_found", "there is no site \""+name+"\"; make it with: nightshift sites create NAME")
			default:
				serve(w, r, name, s)
			}
		})
	}
	locked := func(w http.ResponseWriter, name string) {
		refuse(w, 409, "conflict", "site "+name+" is locked to its published deploy; unlock it first: nightshift unlock --site "+name)
	}
	// owner finds the site of a deploy.
	owner := func(id string) (string, *siteState) {
		for name, s := range in.sites {
			if s.find(id) != nil {
				return name, s
			}
		}
		return "", nil
	}
	mux.HandleFunc("GET /api/v1/sites", func(w http.ResponseWriter, _ *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		list := []api.Site{}
		for name, s := range in.sites {
			list = append(list, s.site(name))
		}
		slices.SortFunc(list, func(a, b api.Site) int { return cmp.Compare(a.Name, b.Name) })
		answer(w, 200, list)
	})
	mux.HandleFunc("POST /api/v1/sites", func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		var body api.CreateSite
		_ = json.NewDecoder(r.Body).Decode(&body)
		if in.sites[body.Name] != nil {
			refuse(w, 409, "conflict", "there is a site "+body.Name+" already; choose another name")
			return
		}
		in.sites[body.Name] = &siteState{}
		answer(w, 201, in.sites[body.Name].site(body.Name))
	})
	on("GET /api/v1/sites/{site}", func(w http.ResponseWriter, _ *http.Request, name string, s *siteState) {
		answer(w, 200, s.site(name))
	})
	on("GET /api/v1/sites/{site}/deploys", func(w http.ResponseWriter, r *http.Request, name string, s *siteState) {
		list := []api.Deploy{}
		for _, d := range s.deploys {
			list = append(list, s.shown(name, d))
		}
		if r.URL.Query().Get("per_page") == "1" {
			list = list[:1]
		}
		answer(w, 200, list)
	})
	on("POST /api/v1/sites/{site}/deploys", func(w http.ResponseWriter, r *http.Request, name string, s *siteState) {
		_ = json.NewDecoder(r.Body).Decode(&in.created)
		d := api.Deploy{ID: made, Site: name, State: "uploading", Branch: in.created.Branch, Title: in.created.Title, CreatedAt: time.Now().UTC()}
		for _, f := range in.created.Functions {
			shown := api.FromFunction(&f, nil)
			if f.Kind != function.Scheduled {
				shown.URLs = []string{siteURL(name) + function.DefaultPath(f.Name)}
			}
			d.Functions = append(d.Functions, shown)
		}
		s.deploys = append([]api.Deploy{d}, s.deploys...)
		answer(w, 201, in.progress(name, s))
	})
	on("GET /api/v1/sites/{site}/deploys/{id}", func(w http.ResponseWriter, _ *http.Request, name string, s *siteState) {
		answer(w, 200, in.progress(name, s))
	})
	on("POST /api/v1/sites/{site}/deploys/{id}/restore", func(w http.ResponseWriter, r *http.Request, name string, s *siteState) {
		d := s.find(r.PathValue("id"))
		switch {
		case d == nil:
			refuse(w, 404, "not_found", "there is no deploy \""+r.PathValue("id")+"\"")
		case s.locked:
			locked(w, name)
		case d.State != "ready":
			refuse(w, 409, "conflict", "deploy "+d.ID+" is not complete, or has expired, and cannot be published; deploy again")
		default:
			s.history, s.published = append(s.history, s.published), d.ID
			answer(w, 200, s.shown(name, *d))
		}
	})
	on("PUT /api/v1/sites/{site}/rollback", func(w http.ResponseWriter, _ *http.Request, name string, s *siteState) {
		switch {
		case s.locked:
			locked(w, name)
		case len(s.history) == 0:
			refuse(w, 409, "conflict", "nothing was published on site "+name+" before; choose a deploy: nightshift publish ID")
		default:
			last := len(s.history) - 1
			s.history, s.published = s.history[:last], s.history[last]
			answer(w, 200, s.shown(name, *s.find(s.published)))
		}
	})
	on("PUT /api/v1/sites/{site}/unpublish", func(w http.ResponseWriter, _ *http.Request, name string, s *siteState) {
		if s.locked {
			locked(w, name)
			return
		}
		s.published = ""
		answer(w, 200, s.site(name))
	})
	for verb, set := range map[string]bool{"lock": true, "unlock": false} {
		mux.HandleFunc("POST /api/v1/deploys/{id}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			in.mu.Lock()
			defer in.mu.Unlock()
			name, s := owner(r.PathValue("id"))
			if s == nil {
				refuse(w, 404, "not_found", "there is no such deploy")
				return
			}
			s.locked = set
			answer(w, 200, s.shown(name, *s.find(r.PathValue("id"))))
		})
	}
	mux.HandleFunc("POST /api/v1/deploys/{id}/cancel", func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		name, s := owner(r.PathValue("id"))
		if s == nil {
			refuse(w, 404, "not_found", "there is no such deploy")
			return
		}
		d := s.find(r.PathValue("id"))
		d.State, d.ErrorMessage = "error", "given up by its maker"
		answer(w, 200, s.shown(name, *d))
	})
	upload := func(w http.ResponseWriter, r *http.Request, name string) bool {
		size, _ := io.Copy(io.Discard, r.Body)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.tries[name]++
		if in.onUpload != nil {
			if status := in.onUpload(name, in.tries[name]); status != 0 {
				refuse(w, status, "", http.StatusText(status))
				return false
			}
		}
		if size != r.ContentLength {
			refuse(w, 400, "invalid", "the length was not sent ahead")
			return false
		}
		in.uploaded[name] = true
		return true
	}
	mux.HandleFunc("PUT /api/v1/deploys/{id}/functions/{name}", func(w http.ResponseWriter, r *http.Request) {
		if upload(w, r, r.PathValue("name")) {
			answer(w, 200, api.Deploy{ID: r.PathValue("id")})
		}
	})
	mux.HandleFunc("PUT /api/v1/deploys/{id}/files/{path...}", func(w http.ResponseWriter, r *http.Request) {
		if upload(w, r, r.PathValue("path")) {
			answer(w, 200, api.File{Path: r.PathValue("path")})
		}
	})
}

// progress is the deploy that the command under test has made, ready once
// everything is there.
func (in *installation) progress(name string, s *siteState) api.Deploy {
	d := s.find(made)
	if d == nil || d.State != "uploading" {
		return s.shown(name, *d)
	}
	for _, f := range in.created.Functions {
		if !in.uploaded[f.Name] {
			d.RequiredFunctions = append(d.RequiredFunctions, f.Artifact)
		}
	}
	for path, f := range in.created.Files {
		if !in.uploaded[path] {
			d.Required = append(d.Required, f.Digest)
		}
	}
	shown := s.shown(name, *d)
	d.Required, d.RequiredFunctions = nil, nil
	if len(shown.Required)+len(shown.RequiredFunctions) > 0 {
		return shown
	}
	d.State, d.Withheld = "ready", in.withheld
	if in.created.Production && in.withheld == "" {
		s.published = made
	}
	return s.shown(name, *d)
}

func (s *siteState) find(id string) *api.Deploy {
	i := slices.IndexFunc(s.deploys, func(d api.Deploy) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return &s.deploys[i]
}

func siteURL(name string) string { return "http://" + name + ".localhost:8888" }

func (s *siteState) site(name string) api.Site {
	return api.Site{ID: name, Name: name, State: "current", URL: siteURL(name), DeployID: s.published, Locked: s.locked}
}

func (s *siteState) shown(name string, d api.Deploy) api.Deploy {
	d.Site, d.SiteID, d.URL = name, name, siteURL(name)
	d.Links.Permalink = "http://" + d.ID + "--" + name + ".localhost:8888"
	d.Links.Alias = d.Links.Permalink
	if label := deploy.BranchLabel(d.Branch, name); label != "" {
		d.Links.Alias = "http://" + label + "--" + name + ".localhost:8888"
	}
	d.DeployURL = d.Links.Alias
	d.Published = d.ID == s.published
	d.Locked = d.Published && s.locked
	return d
}

// run runs a command line against an installation.
func (in *installation) run(ctx context.Context, args ...string) (exit int, stdout, stderr string) {
	env := map[string]string{"NIGHTSHIFT_API_URL": in.URL + "/api/v1", "NIGHTSHIFT_TOKEN": "secret"}
	var out, err bytes.Buffer
	exit = command.Run(ctx, args, command.World{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err, Getenv: func(key string) string { return env[key] },
	})
	return exit, out.String(), err.String()
}

func smallSite(t *testing.T) string {
	return site(t, map[string]string{
		"netlify.toml": "[build]\npublish = \"public\"\n[[plugins]]\npackage = \"a\"\n", "public/index.html": "<h1>home</h1>",
		"netlify/functions/hello.mjs": "export default () => new Response('x')",
	})
}

func TestDeployAsJSON(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	exit, stdout, stderr := in.run(t.Context(), "deploy", smallSite(t), "--json", "--branch", "next", "--title", "try it")
	var d struct {
		api.Deploy
		Warnings []struct{ Message string } `json:"warnings"`
	}
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || exit != 0 || d.ID != made || d.State != "ready" || d.Published || len(d.Warnings) != 1 {
		t.Errorf("exit %d, deploy %+v, %v\n%s", exit, d, err, stderr)
	}
	if c := in.created; !c.Draft || c.Production || c.Branch != "next" || c.Title != "try it" || !in.uploaded["hello"] || !in.uploaded["index.html"] {
		t.Errorf("announced %+v, uploaded %v", in.created, in.uploaded)
	}
}

// TestUploadsThatFail breaks the uploads of a deploy and looks at what is left.
func TestUploadsThatFail(t *testing.T) {
	t.Parallel()
	always := func(status int) func(string, int) int { return func(string, int) int { return status } }
	first := func(status int) func(string, int) int {
		return func(_ string, try int) int {
			if try == 1 {
				return status
			}
			return 0
		}
	}
	tests := map[string]struct {
		onUpload func(string, int) int
		exit     int
		kind     string
		state    string // of the deploy in the end
	}{
		"503, then fine": {first(503), 0, "", "ready"},
		"429, then fine": {first(429), 0, "", "ready"},
		"503 for good":   {always(503), 4, "unavailable", "error"},
		"refused":        {always(403), 1, "forbidden", "error"},
		"broken":         {always(500), 1, "internal", "error"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstallation(t)
			in.onUpload = test.onUpload
			exit, stdout, stderr := in.run(t.Context(), "deploy", smallSite(t), "--prod", "--json")
			var got struct {
				Error struct {
					Kind, Message string
					Deploy        struct{ ID, State string }
				}
			}
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatalf("stdout is no JSON document: %v\n%s", err, stdout)
			}
			d := in.sites["default"].find(made)
			if exit != test.exit || got.Error.Kind != test.kind || d.State != test.state {
				t.Errorf("exit %d, kind %q, deploy in state %q; want %d, %q, %q\n%s", exit, got.Error.Kind, d.State, test.exit, test.kind, test.state, stderr)
			}
			if test.kind != "" && (got.Error.Message == "" || got.Error.Deploy.ID != made || got.Error.Deploy.State != "error" || in.sites["default"].published != newest) {
				t.Errorf("error %+v, published %s; want it about %s, and nothing moved", got.Error, in.sites["default"].published, made)
			}
		})
	}
}

// TestInterruptedDeploy ends a deploy while its uploads are under way.
func TestInterruptedDeploy(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"text": nil, "JSON": {"--json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstallation(t)
			ctx, interrupt := context.WithCancel(t.Context())
			in.onUpload = func(string, int) int { interrupt(); return 503 }
			exit, stdout, stderr := in.run(ctx, append([]string{"deploy", smallSite(t), "--prod"}, flags...)...)
			if s := in.sites["default"]; exit != 130 || s.published != newest || s.find(made).State != "error" {
				t.Errorf("exit %d, published %s, state %q; want 130, and the deploy given up", exit, s.published, s.find(made).State)
			}
			if want := "deploy " + made + " was given up; nothing of it is visible\ninterrupted\n"; !strings.HasSuffix(stderr, want) {
				t.Errorf("stderr ends %q, want %q", stderr, want)
			}
			var got struct{ Error struct{ Kind string } }
			if flags != nil && (json.Unmarshal([]byte(stdout), &got) != nil || got.Error.Kind != "interrupted") {
				t.Errorf("stdout %q, want a document of the kind interrupted", stdout)
			}
		})
	}
}

func TestWithheld(t *testing.T) {
	t.Parallel()
	for why, want := range map[string]string{
		"locked": "is ready, and NOT published: site default was locked meanwhile. Unlock it (nightshift unlock) and publish the deploy\n",
		"older":  "is ready, and NOT published: a deploy that was begun later is published already.",
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			in := newInstallation(t)
			in.withheld = why
			exit, stdout, _ := in.run(t.Context(), "deploy", smallSite(t), "--prod")
			if exit != 0 || !strings.Contains(stdout, want) || !strings.Contains(stdout, "nightshift publish "+made) {
				t.Errorf("exit %d, %s\nwant %q and how to publish it", exit, stdout, want)
			}
		})
	}
}

// TestPointer follows a site through publications: what each command leaves.
func TestPointer(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	for _, step := range []struct {
		args      string
		exit      int
		published string
		locked    bool
	}{
		{"publish 0011", 0, older, false},
		{"rollback", 0, newest, false},
		{"lock", 0, newest, true},
		{"publish 0011", 3, newest, true},
		{"rollback", 3, newest, true},
		{"unpublish", 3, newest, true},
		{"unlock", 0, newest, false},
		{"unlock", 0, newest, false},
		{"unpublish", 0, "", false},
		{"lock", 3, "", false},
		{"rollback 0011", 0, older, false},
	} {
		exit, stdout, stderr := in.run(t.Context(), strings.Fields(step.args)...)
		if s := in.sites["default"]; exit != step.exit || s.published != step.published || s.locked != step.locked {
			t.Fatalf("%s: exit %d, published %q, locked %t; want %d, %q, %t\n%s%s", step.args, exit, s.published, s.locked, step.exit, step.published, step.locked, stdout, stderr)
		}
	}
}
