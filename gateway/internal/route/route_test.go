package route_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/store"
)

// deploys is a store of unpublished deploys that counts what it is asked.
type deploys struct {
	mu    sync.Mutex
	all   map[string]deploy.Deploy
	err   error
	asked []string
}

func (d *deploys) Deploy(_ context.Context, id string) (deploy.Deploy, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, id)
	if d.err != nil {
		return deploy.Deploy{}, d.err
	}
	found, ok := d.all[id]
	if !ok {
		return deploy.Deploy{}, fault.New(fault.NotFound, "there is no deploy %s", id)
	}
	return found, nil
}

// The deploys of the tests.
const (
	shopLive   = "aaaaaaaaaaaaaaaaaaaaaaaa"
	shopOld    = "bbbbbbbbbbbbbbbbbbbbbbbb"
	shopBroken = "cccccccccccccccccccccccc"
	mainLive   = "dddddddddddddddddddddddd"
)

func site(name, id string, functions ...function.Function) deploy.Deploy {
	return deploy.Deploy{ID: id, Site: name, State: deploy.Ready, Functions: functions}
}

func newRouter(dev bool) (*route.Router, *deploys) {
	broken := site("shop", shopBroken, function.Function{Name: "hello", Kind: function.Sync})
	broken.State = deploy.Uploading
	others := &deploys{all: map[string]deploy.Deploy{
		shopOld:    site("shop", shopOld, function.Function{Name: "old", Kind: function.Sync}),
		shopBroken: broken,
	}}
	r := route.New(route.Options{BaseDomain: "Example.test", DefaultSite: "main", Dev: dev}, others)
	r.Update(store.Catalog{Version: 1, Published: map[string]deploy.Deploy{
		"shop": site("shop", shopLive, function.Function{Name: "hello", Kind: function.Sync}),
		"main": site("main", mainLive,
			function.Function{Name: "hello", Kind: function.Sync},
			function.Function{Name: "job-background", Kind: function.Background},
			function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@hourly"},
			function.Function{Name: "route-tick", Kind: function.Scheduled, Schedule: "@hourly", Paths: []string{"/api/tick"}},
			function.Function{Name: "rest", Kind: function.Sync, Paths: []string{"/api/:p0+"}},
			function.Function{Name: "items", Kind: function.Sync, Paths: []string{"/items/:id", "/Items/:id/sub/*"}, ExcludedPaths: []string{"/items/secret"}},
			function.Function{Name: "post", Kind: function.Sync, Paths: []string{"/only"}, Methods: []string{"POST"}},
			function.Function{Name: "get", Kind: function.Sync, Paths: []string{"/only"}, Methods: []string{"GET", "HEAD"}},
			function.Function{Name: "get2", Kind: function.Sync, Paths: []string{"/get"}, Methods: []string{"GET"}},
			function.Function{Name: "opt", Kind: function.Sync, Paths: []string{"/opt{/:x}?"}},
			function.Function{Name: "slash", Kind: function.Background, Paths: []string{"/Trailing/"}},
			function.Function{Name: "digits", Kind: function.Sync, Paths: []string{`/n/:n(\d+)`}},
			function.Function{Name: "root", Kind: function.Sync, Paths: []string{"/"}},
			function.Function{Name: "tock", Kind: function.Scheduled, Schedule: "@hourly", Paths: []string{"/tock"}},
			function.Function{Name: "after", Kind: function.Sync, Paths: []string{"/to(ck)"}},
			function.Function{Name: "again", Kind: function.Sync, Paths: []string{"/only"}},
		),
	}})
	return r, others
}

func TestRoute(t *testing.T) {
	t.Parallel()
	const prefix = "/.netlify/functions/"
	tests := []struct {
		name, host, method, path string
		want                     string // site deploy function route published
	}{
		{"default site", "127.0.0.1:8888", "GET", prefix + "hello", "main " + mainLive + " hello  true"},
		{"bare base domain", "example.test", "GET", prefix + "hello", "main " + mainLive + " hello  true"},
		{"site", "shop.example.test", "GET", prefix + "hello", "shop " + shopLive + " hello  true"},
		{"site, port, case, dot", "SHOP.Example.TEST.:8888", "GET", prefix + "hello", "shop " + shopLive + " hello  true"},
		{"published permalink", shopLive + "--shop.example.test", "GET", prefix + "hello", "shop " + shopLive + " hello  true"},
		{"old permalink", shopOld + "--shop.example.test", "GET", prefix + "old", "shop " + shopOld + " old  false"},
		{"two labels", "a.b.example.test", "GET", prefix + "hello", "main " + mainLive + " hello  true"},
		{"IPv6", "[::1]:8888", "GET", prefix + "hello", "main " + mainLive + " hello  true"},
		{"no host", "", "GET", prefix + "hello", "main " + mainLive + " hello  true"},
		{"sub path", "x", "DELETE", prefix + "hello/sub/path", "main " + mainLive + " hello  true"},
		{"trailing slash", "x", "GET", prefix + "hello/", "main " + mainLive + " hello  true"},
		{"background", "x", "POST", prefix + "job-background", "main " + mainLive + " job-background  true"},
		{"pattern", "x", "GET", "/items/42", "main " + mainLive + " items /items/:id true"},
		{"pattern, slash", "x", "GET", "/items/42/", "main " + mainLive + " items /items/:id true"},
		{"pattern, case", "x", "GET", "/ITEMS/AbC", "main " + mainLive + " items /items/:id true"},
		{"second pattern", "x", "GET", "/items/42/sub/x%20y", "main " + mainLive + " items /Items/:id/sub/* true"},
		{"method", "x", "POST", "/only", "main " + mainLive + " post /only true"},
		{"other method", "x", "GET", "/only", "main " + mainLive + " get /only true"},
		{"optional absent", "x", "GET", "/opt", "main " + mainLive + " opt /opt{/:x}? true"},
		{"optional present", "x", "GET", "/opt/z", "main " + mainLive + " opt /opt{/:x}? true"},
		{"literal, case and slash", "x", "GET", "/trailing", "main " + mainLive + " slash /Trailing/ true"},
		{"literal as written", "x", "GET", "/Trailing/", "main " + mainLive + " slash /Trailing/ true"},
		{"regular expression", "x", "GET", "/n/12", "main " + mainLive + ` digits /n/:n(\d+) true`},
		{"third method, third function", "x", "PUT", "/only", "main " + mainLive + " again /only true"},
		{"beside a scheduled path", "x", "GET", "/api/tick/x", "main " + mainLive + " rest /api/:p0+ true"},
		{"root", "x", "GET", "/", "main " + mainLive + " root / true"},
	}
	r, _ := newRouter(false)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, err := r.Route(t.Context(), tt.host, tt.method, tt.path)
			if err != nil {
				t.Fatalf("Route(%q, %q, %q): %v", tt.host, tt.method, tt.path, err)
			}
			got := fmt.Sprintf("%s %s %s %s %v", target.Site, target.Deploy, target.Function.Name, target.Route, target.Published)
			if got != tt.want {
				t.Errorf("Route(%q, %q, %q) = %q, want %q", tt.host, tt.method, tt.path, got, tt.want)
			}
			if want := map[bool]string{true: deploy.Production, false: deploy.DeployPreview}[target.Published]; target.Context != want {
				t.Errorf("Route(%q, %q, %q): context %q, want %q", tt.host, tt.method, tt.path, target.Context, want)
			}
		})
	}
	dev, _ := newRouter(true)
	if target, err := dev.Route(t.Context(), "x", "GET", prefix+"tick"); err != nil || target.Context != deploy.Dev {
		t.Errorf("under dev: context %q, %v, want %q", target.Context, err, deploy.Dev)
	}
}

func TestRouteRefuses(t *testing.T) {
	t.Parallel()
	const prefix = "/.netlify/functions/"
	tests := []struct {
		name, host, method, path string
		kind                     fault.Kind
		text                     string
	}{
		{"unknown function", "x", "GET", prefix + "nope", fault.NotFound, "Function not found..."},
		{"case", "x", "GET", prefix + "HELLO", fault.NotFound, "Function not found..."},
		{"bad name", "x", "GET", prefix + "he%20llo", fault.Invalid, route.InvalidName},
		{"dots", "x", "GET", prefix + "..", fault.Invalid, route.InvalidName},
		{"extension", "x", "GET", prefix + "hello.js", fault.NotFound, "Function not found... Function names have no extension"},
		{"too long", "x", "GET", prefix + strings.Repeat("a", 129), fault.Invalid, route.InvalidName},
		{"scheduled", "x", "POST", prefix + "tick", fault.NotFound, "runs on its schedule"},
		{"scheduled, own path", "x", "GET", "/tock", fault.NotFound, "runs on its schedule"},
		{"scheduled, own path", "x", "POST", "/api/tick", fault.NotFound, "runs on its schedule"},
		{"unknown site", "nope.example.test", "GET", prefix + "hello", fault.NotFound, "Site not found..."},
		{"unknown deploy", "eeeeeeeeeeeeeeeeeeeeeeee--shop.example.test", "GET", prefix + "hello", fault.NotFound, "Deploy not found..."},
		{"incomplete deploy", shopBroken + "--shop.example.test", "GET", prefix + "hello", fault.NotFound, "Deploy not found..."},
		{"deploy of another site", shopOld + "--main.example.test", "GET", prefix + "old", fault.NotFound, "Deploy not found..."},
	}
	r, _ := newRouter(false)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := r.Route(t.Context(), tt.host, tt.method, tt.path)
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Route(%q, %q, %q) = %v, want %s with %q", tt.host, tt.method, tt.path, err, tt.kind, tt.text)
			}
		})
	}
}

func TestScheduledInDev(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(true)
	for _, path := range []string{"/.netlify/functions/tick", "/api/tick"} {
		target, err := r.Route(t.Context(), "localhost", "GET", path)
		if err != nil || target.Function.Kind != function.Scheduled {
			t.Errorf("Route of a scheduled function at %s in dev = %+v, %v", path, target, err)
		}
	}
}

func TestScheduledOnItsOwnPathInDev(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(true)
	target, err := r.Route(t.Context(), "localhost", "GET", "/tock")
	if err != nil || target.Function == nil || target.Function.Name != "tock" {
		t.Errorf("Route of a scheduled function's path in dev = %+v, %v", target, err)
	}
}

// What no function takes is for the static files.
func TestRouteFallsToFiles(t *testing.T) {
	t.Parallel()
	const prefix = "/.netlify/functions/"
	r, _ := newRouter(false)
	for name, request := range map[string][2]string{
		"no name":            {"GET", prefix},
		"no name, no slash":  {"POST", "/.netlify/functions"},
		"empty name":         {"GET", prefix + "/hello"},
		"no function there":  {"GET", "/nothing"},
		"own path only":      {"GET", prefix + "items"},
		"own path only, sub": {"POST", prefix + "items/42"},
		"excluded":           {"GET", "/items/secret"},
		"excluded, case":     {"GET", "/Items/SECRET/"},
		"wrong method":       {"POST", "/get"},
		"two slashes stay":   {"GET", "/items/42//"},
		"regular expression": {"GET", "/n/twelve"},
	} {
		target, err := r.Route(t.Context(), "x", request[0], request[1])
		if err != nil || target.Function != nil || target.File == nil || !target.File.Missing || target.File.Path != "" {
			t.Errorf("%s: Route(%q, %q) = %+v, %v; want no file", name, request[0], request[1], target, err)
		}
	}
}

func TestPermalinksAreCached(t *testing.T) {
	t.Parallel()
	r, others := newRouter(false)
	host := shopOld + "--shop.example.test"
	for range 3 {
		if _, err := r.Route(t.Context(), host, "GET", "/.netlify/functions/old"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{shopOld}; !slices.Equal(others.asked, want) {
		t.Errorf("the store was asked for %v, want %v", others.asked, want)
	}
	others.err = fault.New(fault.Unavailable, "Redis is away")
	if _, err := r.Route(t.Context(), host, "GET", "/.netlify/functions/old"); err != nil {
		t.Errorf("a known permalink without Redis: %v", err)
	}
	_, err := r.Route(t.Context(), "ffffffffffffffffffffffff--shop.example.test", "GET", "/x")
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.Unavailable || e.RetryAfter == 0 {
		t.Errorf("an unknown permalink without Redis: %v, want unavailable with a time", err)
	}
}

// withBranches is a router of one site, where newest deploys of branches are
// published, in the store, and gone.
func withBranches(now func() time.Time) (*route.Router, *deploys) {
	others := &deploys{all: map[string]deploy.Deploy{}}
	for id, branch := range map[string]string{shopOld: "feature/Cart", mainLive: ""} {
		d := site("shop", id, function.Function{Name: "f", Kind: function.Sync, Source: id})
		d.Branch = branch
		others.all[id] = d
	}
	foreign := site("main", shopBroken)
	others.all[shopBroken] = foreign
	live := site("shop", shopLive, function.Function{Name: "f", Kind: function.Sync, Source: shopLive})
	live.Branch = "main"
	r := route.New(route.Options{BaseDomain: "example.test", DefaultSite: "shop", Now: now}, others)
	r.Update(store.Catalog{Version: 7, Published: map[string]deploy.Deploy{"shop": live}, Branches: map[string]map[string]string{
		"shop": {
			"main": shopLive, "feature-cart": shopOld, "gone": strings.Repeat("e", 24), "foreign": shopBroken,
			mainLive: shopOld, // a branch that is called like a deploy
		},
	}})
	return r, others
}

func TestBranches(t *testing.T) {
	t.Parallel()
	r, others := withBranches(nil)
	tests := []struct {
		name, label, want string // want: deploy, branch, context, published; or an error
	}{
		{"the published one", "main", shopLive + " main production true"},
		{"another one", "feature-cart", shopOld + " feature/Cart branch-deploy false"},
		{"in upper case", "Feature-Cart", shopOld + " feature/Cart branch-deploy false"},
		{"its deploy", shopOld, shopOld + " feature/Cart branch-deploy false"},
		{"called like a deploy that is there", mainLive, mainLive + "  deploy-preview false"},
		{"whose deploy is gone", "gone", "Deploy not found..."},
		{"whose deploy is another site's", "foreign", "Deploy not found..."},
		{"that is not there", "nope", "Deploy not found..."},
		{"no name at all", "", shopLive + " main production true"},
		{"bad letters", "feature_cart", "Deploy not found..."},
	}
	for _, tt := range tests {
		host := strings.TrimPrefix(tt.label+"--shop.example.test", "--")
		target, err := r.Route(t.Context(), host, "GET", "/.netlify/functions/f")
		if err != nil {
			if !fault.Is(err, fault.NotFound) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("branch %s: Route(%s) = %v, want %s", tt.name, host, err, tt.want)
			}
			continue
		}
		if got := fmt.Sprint(target.Deploy, " ", target.Branch, " ", target.Context, " ", target.Published); got != tt.want || target.Function.Source != target.Deploy {
			t.Errorf("branch %s: Route(%s) = %s with the function of %s, want %s", tt.name, host, got, target.Function.Source, tt.want)
		}
	}
	if slices.Contains(others.asked, shopLive) || slices.Contains(others.asked, "feature_cart") {
		t.Errorf("the store was asked for %v; the published deploy and bad names are none of its business", others.asked)
	}
	// The next deploy of the branch takes its name over with the next catalog.
	newest := site("shop", shopBroken, function.Function{Name: "f", Kind: function.Sync, Source: shopBroken})
	others.all[shopBroken] = newest
	r.Update(store.Catalog{Version: 8, Branches: map[string]map[string]string{"shop": {"feature-cart": shopBroken}}})
	if target, err := r.Route(t.Context(), "feature-cart--shop.example.test", "GET", "/.netlify/functions/f"); err != nil || target.Deploy != shopBroken {
		t.Errorf("after the branch moved = %+v, %v; want %s", target, err, shopBroken)
	}
}

// A permalink ends within a minute of its deploy, whether the deploy has expired
// or is gone, and does not come back while the store is away.
func TestPermalinksEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(d *deploys){
		"expired": func(d *deploys) {
			expired := d.all[shopOld]
			expired.State = deploy.Expired
			d.all[shopOld] = expired
		},
		"removed": func(d *deploys) { delete(d.all, shopOld) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			r, others := withBranches(func() time.Time { return now })
			ask := func() error {
				_, err := r.Route(t.Context(), shopOld+"--shop.example.test", "GET", "/.netlify/functions/f")
				return err
			}
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			now = now.Add(59 * time.Second)
			if err := ask(); err != nil || len(others.asked) != 1 {
				t.Errorf("after 59 s: %v, and the store was asked %d times; want one", err, len(others.asked))
			}
			now = now.Add(time.Second)
			if err := ask(); err != nil || len(others.asked) != 2 {
				t.Errorf("after a minute: %v, and the store was asked %d times; want two", err, len(others.asked))
			}
			end(others)
			now = now.Add(time.Minute)
			if err := ask(); !fault.Is(err, fault.NotFound) {
				t.Errorf("a minute after its end = %v, want not found", err)
			}
			others.err = fault.New(fault.Unavailable, "Redis is away")
			if err := ask(); !fault.Is(err, fault.Unavailable) {
				t.Errorf("then without Redis = %v, want unavailable", err)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := route.New(route.Options{BaseDomain: "localhost", DefaultSite: "main"}, &deploys{})
		waits := func(version int64) (returned func() bool) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.Await(t.Context(), version)
			}()
			return func() bool {
				synctest.Wait()
				select {
				case <-ended:
					return true
				default:
					return false
				}
			}
		}
		zero, three, five := waits(0), waits(3), waits(5)
		if zero() || three() || five() {
			t.Error("Await returned before the first catalog")
		}
		r.Update(store.Catalog{Version: 2})
		if !zero() || three() || five() {
			t.Errorf("at version 2, Await of 0, 3 and 5 returned: %v, %v, %v; want the first", zero(), three(), five())
		}
		r.Update(store.Catalog{Version: 4}) // 3 was passed over
		if !three() || five() {
			t.Errorf("at version 4, Await of 3 and 5 returned: %v, %v; want the first", three(), five())
		}
		if !waits(4)() {
			t.Error("Await of the version that is there did not return")
		}
		r.Update(store.Catalog{Version: 5})
		if !five() {
			t.Error("Await of 5 did not return at version 5")
		}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r.Await(ctx, 6)
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("Await of a version that never comes returned after %v, want when its context ends", took)
		}
	})
}

func TestUpdateSwapsWhole(t *testing.T) {
	t.Parallel()
	r := route.New(route.Options{BaseDomain: "localhost", DefaultSite: "main"}, &deploys{})
	if _, err := r.Route(t.Context(), "x", "GET", "/.netlify/functions/a"); !fault.Is(err, fault.Unavailable) || r.Ready() {
		t.Fatalf("before the first catalog: %v, ready %v", err, r.Ready())
	}
	ids := []string{shopLive, shopOld}
	// Both deploys have both functions; a request must never see one of each.
	catalogs := make([]store.Catalog, len(ids))
	for i, id := range ids {
		catalogs[i] = store.Catalog{Version: int64(i), Published: map[string]deploy.Deploy{
			"main": site("main", id, function.Function{Name: "a", Kind: function.Sync, Source: id}),
		}}
	}
	r.Update(catalogs[0])
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 1000 {
			r.Update(catalogs[i%2])
		}
	})
	for range 1000 {
		target, err := r.Route(t.Context(), "x", "GET", "/.netlify/functions/a")
		if err != nil || target.Function.Source != target.Deploy {
			t.Fatalf("target %+v (function of %s), %v", target, target.Function.Source, err)
		}
	}
	wg.Wait()
	r.Update(store.Catalog{Version: 3})
	if _, err := r.Route(t.Context(), "x", "GET", "/.netlify/functions/a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("after the site is gone: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := function.Function{Name: "f", Paths: []string{"/a", "/a/:b", "/c/*"}, ExcludedPaths: []string{"/a/{x}?"}}
	if err := route.Check(&good); err != nil {
		t.Errorf("Check of good paths: %v", err)
	}
	for _, path := range []string{"/a/:b(", "/{", "/:x/:x"} {
		f := function.Function{Name: "f", Paths: []string{path}}
		if err := route.Check(&f); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("Check of %q = %v, want invalid with the path", path, err)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	r, _ := newRouter(false)
	for _, path := range []string{"/.netlify/functions/hello", "/items/42"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Route(b.Context(), "localhost", "GET", path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A request that goes on to another path stays with the deploy that it began with.
func TestElsewhereStaysInTheDeploy(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(false)
	target, err := r.Route(t.Context(), "shop.example.test", "GET", "/.netlify/functions/hello")
	if err != nil {
		t.Fatal(err)
	}
	r.Update(store.Catalog{Version: 2, Published: map[string]deploy.Deploy{"shop": site("shop", shopOld, function.Function{Name: "old", Kind: function.Sync})}})
	got, err := target.Elsewhere("GET", "/.netlify/functions/hello")
	if err != nil || got.Deploy != shopLive || got.Function == nil || !got.Published || got.Context != deploy.Production {
		t.Errorf("Elsewhere = %+v, %v; want the function of the deploy that was published when the request came", got, err)
	}
	if _, err := target.Elsewhere("GET", "/.netlify/functions/old"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Elsewhere finds a function of the next deploy: %v", err)
	}
}
