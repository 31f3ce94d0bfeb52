package code

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/worker/internal/bundle"
)

// deploys is a catalog that counts its readers.
type deploys struct {
	known map[string]deploy.Deploy
	err   error
	reads int
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
			s := NewSource(d, &bundles{err: test.bundleErr}, false)
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
		"without URLs":      {func(d *deploy.Deploy) { d.SiteURL, d.URL = "", "" }, false, always + " CONTEXT=production"},
		"dev":               {func(*deploy.Deploy) {}, true, always + urls + " CONTEXT=dev NETLIFY_DEV=true NETLIFY_LOCAL=true"},
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
	s := NewSource(d, &bundles{}, false)
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
