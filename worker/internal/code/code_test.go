package code

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/worker/internal/bundle"
)

// deploys is a catalog that counts its readers.
type deploys struct {
	known map[string]deploy.Deploy
	err   error
	reads int
	env   map[string][]byte // sealed, by deploy
	// envErr is what reading an environment fails with.
	envErr error
	// published is the deploy that is published on every site.
	published    string
	publishedErr error
}

func (d *deploys) Published(context.Context, string) (string, error) {
	return d.published, d.publishedErr
}

func (d *deploys) DeployEnvironment(_ context.Context, id string) ([]byte, error) {
	return d.env[id], d.envErr
}

func (d *deploys) Deploy(_ context.Context, id string) (deploy.Deploy, error) {
	d.reads++
	if d.err != nil {
		return deploy.Deploy{}, d.err
	}
	found, ok := d.known[id]
	if !ok {
		return deploy.Deploy{}, fault.New(fault.NotFound, "no such deploy")
	}
	return found, nil
}

type bundles struct{ err error }

func (b *bundles) Acquire(_ context.Context, digest string) (*bundle.Handle, error) {
	if b.err != nil {
		return nil, b.err
	}
	return &bundle.Handle{Dir: "/cache/" + digest}, nil
}

func TestLoad(t *testing.T) {
	t.Parallel()
	f := function.Function{Name: "f", Kind: function.Sync, Artifact: strings.Repeat("a", 64)}
	g := function.Function{Name: "g", Kind: function.Sync, Artifact: strings.Repeat("b", 64)}
	ready := deploy.Deploy{ID: "d1", Site: "shop", State: deploy.Ready, Functions: []function.Function{f, g}}
	early := deploy.Deploy{ID: "d2", Site: "shop", State: deploy.Uploading, Functions: []function.Function{f}}
	unavailable := fault.New(fault.Unavailable, "away")
	tests := map[string]struct {
		target    queue.Target
		storeErr  error
		bundleErr error
		want      fault.Kind
		message   string
	}{
		"there":                 {target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}},
		"no such deploy":        {target: queue.Target{Site: "shop", Deploy: "d9", Function: "f"}, want: fault.NotFound, message: "deploy d9"},
		"another site's":        {target: queue.Target{Site: "blog", Deploy: "d1", Function: "f"}, want: fault.NotFound, message: "site blog"},
		"no such function":      {target: queue.Target{Site: "shop", Deploy: "d1", Function: "x"}, want: fault.NotFound, message: "function x"},
		"not ready":             {target: queue.Target{Site: "shop", Deploy: "d2", Function: "f"}, want: fault.Conflict, message: "not ready"},
		"store unavailable":     {target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}, storeErr: unavailable, want: fault.Unavailable},
		"artifact missing":      {target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}, bundleErr: fault.New(fault.NotFound, "no blob"), want: fault.NotFound, message: "deploy again"},
		"artifacts unavailable": {target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}, bundleErr: unavailable, want: fault.Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &deploys{known: map[string]deploy.Deploy{"d1": ready, "d2": early}, err: test.storeErr}
			s := NewSource(d, &bundles{err: test.bundleErr}, nil, false)
			got, err := s.Load(t.Context(), test.target)
			if test.want != "" {
				if !fault.Is(err, test.want) || !strings.Contains(err.Error(), test.message) {
					t.Errorf("Load = %v, want %s about %q", err, test.want, test.message)
				}
				return
			}
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if got.Key != "d1/f" || got.Dir != "/cache/"+f.Artifact || got.Function.Name != "f" || !slices.Contains(got.Env, "DEPLOY_ID=d1") {
				t.Errorf("Load = %+v", got.Code)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	d := deploy.Deploy{ID: "d1", Site: "shop", SiteURL: "http://shop.test", URL: "http://d1--shop.test"}
	const always = "SITE_NAME=shop SITE_ID=shop DEPLOY_ID=d1 NIGHTSHIFT=true"
	const urls = " URL=http://shop.test DEPLOY_URL=http://d1--shop.test DEPLOY_PRIME_URL=http://d1--shop.test"
	for name, tt := range map[string]struct {
		change func(*deploy.Deploy)
		dev    bool
		want   string
	}{
		"published":         {func(*deploy.Deploy) {}, false, always + urls + " CONTEXT=production"},
		"draft":             {func(d *deploy.Deploy) { d.Draft = true }, false, always + urls + " CONTEXT=deploy-preview"},
		"draft of a branch": {func(d *deploy.Deploy) { d.Draft, d.Branch = true, "x" }, false, always + urls + " BRANCH=x CONTEXT=branch-deploy"},
		"published branch":  {func(d *deploy.Deploy) { d.Branch = "main" }, false, always + urls + " BRANCH=main CONTEXT=production"},
		"at its branch": {func(d *deploy.Deploy) { d.Draft, d.Branch, d.PrimeURL = true, "x", "http://x--shop.test" }, false,
			always + " URL=http://shop.test DEPLOY_URL=http://d1--shop.test DEPLOY_PRIME_URL=http://x--shop.test BRANCH=x CONTEXT=branch-deploy"},
		"without URLs": {func(d *deploy.Deploy) { d.SiteURL, d.URL = "", "" }, false, always + " CONTEXT=production"},
		"dev":          {func(*deploy.Deploy) {}, true, always + urls + " CONTEXT=dev NETLIFY_DEV=true NETLIFY_LOCAL=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := d
			tt.change(&d)
			if got := strings.Join(environment(&d, tt.dev), " "); got != tt.want {
				t.Errorf("environment\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOnlyFinalDeploysAreRemembered(t *testing.T) {
	t.Parallel()
	f := function.Function{Name: "f", Artifact: strings.Repeat("a", 64)}
	d := &deploys{known: map[string]deploy.Deploy{"d1": {ID: "d1", Site: "shop", State: deploy.Uploading, Functions: []function.Function{f}}}}
	s := NewSource(d, &bundles{}, nil, false)
	target := queue.Target{Site: "shop", Deploy: "d1", Function: "f"}
	if _, err := s.Load(t.Context(), target); err == nil {
		t.Fatal("Load of a deploy that is not ready succeeded")
	}
	if got := s.Keys(f.Artifact); len(got) != 0 {
		t.Errorf("Keys = %v before the deploy is ready", got)
	}
	final := d.known["d1"]
	final.State = deploy.Ready
	d.known["d1"] = final
	for range 3 {
		if _, err := s.Load(t.Context(), target); err != nil {
			t.Fatalf("Load: %v", err)
		}
	}
	if d.reads != 2 {
		t.Errorf("the deploy was read %d times, want once while uploading and once when ready", d.reads)
	}
	if got := s.Keys(f.Artifact); !slices.Equal(got, []string{"d1/f"}) {
		t.Errorf("Keys = %v, want d1/f", got)
	}
}

func newBox(t *testing.T) *secret.Box {
	t.Helper()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// Functions run with the environment that was frozen into their deploy, or not
// at all.
func TestFrozenEnvironment(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	right := newBox(t)
	seal := func(site string) []byte {
		t.Helper()
		plain, err := json.Marshal(environ.Frozen{Site: site, Values: environ.Values{"B": canary, "A": "a=b\n", "SITE_ID": "forged", "AWS_REGION": "eu-1"}, Secrets: []string{"B"}})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := right.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	f := function.Function{Name: "f", Artifact: strings.Repeat("a", 64)}
	for name, tt := range map[string]struct {
		box    *secret.Box
		sealed []byte
		err    error
		want   fault.Kind
		says   string
	}{
		"right key":      {box: right, sealed: seal("shop")},
		"no variables":   {},
		"no key":         {sealed: seal("shop"), want: fault.Unavailable, says: "deploy d1 of site shop is not run on this worker: environment variables cannot be read, because NIGHTSHIFT_SECRET_KEY is not set here"},
		"another key":    {box: newBox(t), sealed: seal("shop"), want: fault.Unavailable, says: "sealed with a key that is not in NIGHTSHIFT_SECRET_KEY here"},
		"another site's": {box: right, sealed: seal("blog"), want: fault.Conflict, says: "deploy again"},
		"cut off":        {box: right, sealed: seal("shop")[:200], want: fault.Unavailable, says: "were changed since"},
		"Redis is away":  {box: right, err: fault.New(fault.Unavailable, "away"), want: fault.Unavailable, says: "away"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &deploys{
				known: map[string]deploy.Deploy{"d1": {ID: "d1", Site: "shop", State: deploy.Ready, Functions: []function.Function{f}}},
				env:   map[string][]byte{"d1": tt.sealed}, envErr: tt.err,
			}
			s := NewSource(d, &bundles{}, tt.box, false)
			target := queue.Target{Site: "shop", Deploy: "d1", Function: "f"}
			for try := range 2 {
				got, err := s.Load(t.Context(), target)
				if tt.want != "" {
					if !fault.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), canary) {
						t.Errorf("Load = %v, want %s with %q", err, tt.want, tt.says)
					}
					if d.reads != try+1 {
						t.Errorf("%d reads: a deploy that could not be opened was remembered", d.reads)
					}
					continue
				}
				if err != nil {
					t.Fatalf("Load: %v", err)
				}
				wantText := "[secret B] forged"
				if tt.sealed == nil {
					wantText = canary + " forged"
				}
				if text := got.Redactor.Text(canary + " forged"); text != wantText {
					t.Errorf("the redactor writes %q, want %q", text, wantText)
				}
				own := []string{"A=a=b\n", "AWS_REGION=eu-1", "B=" + canary, "SITE_ID=forged"}
				if tt.sealed == nil {
					own = nil
				}
				if !slices.Equal(got.Env[:len(own)], own) || slices.Index(got.Env, "SITE_ID=shop") < len(own) {
					t.Errorf("Env = %q, want %q and then what the system sets", got.Env, own)
				}
				if d.reads != 1 {
					t.Errorf("%d reads, want one", d.reads)
				}
			}
		})
	}
}

// What was accepted before the site went to another deploy runs the code that
// accepted it, or that of the published deploy if the function says so.
func TestLoadOfTheLatest(t *testing.T) {
	t.Parallel()
	fn := func(name string, kind function.Kind, digit, onRollback string) function.Function {
		f := function.Function{Name: name, Kind: kind, Artifact: strings.Repeat(digit, 64), OnRollback: onRollback}
		if digit == "a" { // those of the old deploy
			f.TimeoutMS = time.Minute.Milliseconds()
		}
		return f
	}
	old := deploy.Deploy{ID: "old", Site: "shop", State: deploy.Expired, Functions: []function.Function{
		fn("stays", function.Background, "a", ""), fn("pinned", function.Background, "a", "pinned"), fn("goes", function.Background, "a", "latest"),
		fn("gone", function.Background, "a", "latest"), fn("other", function.Background, "a", "latest"),
	}}
	now := deploy.Deploy{ID: "now", Site: "shop", State: deploy.Ready, Functions: []function.Function{
		fn("stays", function.Background, "b", ""), fn("pinned", function.Background, "b", "latest"), fn("goes", function.Background, "b", ""), fn("other", function.Sync, "b", ""),
	}}
	away := fault.New(fault.Unavailable, "away")
	for name, test := range map[string]struct {
		function, published string
		err                 error
		want                string
		preview             bool // the call was for this very deploy
	}{
		"not said":               {"stays", "now", nil, "old", false},
		"pinned":                 {"pinned", "now", nil, "old", false},
		"latest":                 {"goes", "now", nil, "now", false},
		"latest is itself":       {"goes", "old", nil, "old", false},
		"nothing is published":   {"goes", "", nil, "old", false},
		"no such function there": {"gone", "now", nil, "old", false},
		"another kind there":     {"other", "now", nil, "old", false},
		"not known":              {"goes", "", away, "", false},
		"of a preview":           {"goes", "now", nil, "old", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &deploys{known: map[string]deploy.Deploy{"old": old, "now": now}, published: test.published, publishedErr: test.err}
			s := NewSource(d, &bundles{}, nil, false)
			got, err := s.Load(t.Context(), queue.Target{Site: "shop", Deploy: "old", Function: test.function, Published: !test.preview})
			if test.err != nil {
				if !fault.Is(err, fault.Unavailable) {
					t.Errorf("Load = %v, want unavailable", err)
				}
				return
			}
			if err == nil && got.Function.Timeout() > time.Minute {
				t.Errorf("the attempt may take %v, more than the minute that the queue was told", got.Function.Timeout())
			}
			if err != nil || got.Deploy != test.want || !slices.Contains(got.Env, "DEPLOY_ID="+test.want) {
				t.Errorf("Load = %+v, %v; want the code and the environment of deploy %s", got, err, test.want)
			}
		})
	}
}
