package queues

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/gorilla/mux" // to list the routes of asynqmon
	"github.com/hibiken/asynqmon"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// bundle is a handler on a Redis, with a further client of that.
type bundle struct {
	*Handler
	t   *testing.T
	rdb redis.UniversalClient
}

// shown is the asynqmon behind the handler.
func (b *bundle) shown() *monitor {
	m, err := b.monitor()
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// everywhere runs a test on a Redis, and on a Redis Cluster if there can be one.
func everywhere(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Parallel()
	start := func(client func(testing.TB) redis.UniversalClient) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			if client == nil {
				server := redistest.Start(t)
				client = func(testing.TB) redis.UniversalClient { return server.Client() }
			}
			h := New(client(t))
			test(t, &bundle{Handler: h, t: t, rdb: client(t)})
		}
	}
	t.Run("redis", start(nil))
	if redistest.Real() { // miniredis knows no slots
		t.Run("cluster", func(t *testing.T) { start(redistest.StartCluster(t))(t) })
	}
}

// ask asks the handler.
func (b *bundle) ask(method, path string) *http.Response {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

// api asks for JSON that must come.
func (b *bundle) api(path string, into any) {
	b.t.Helper()
	res := b.ask("GET", Path+"/api/"+path)
	if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || kind != "application/json" {
		b.t.Fatalf("GET %s = %s, %s", path, res.Status, kind)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
}

// fill puts a task into each state that asynq has, as asynq stores it. Nobody
// works on them, so nothing moves by itself.
func (b *bundle) fill() {
	b.t.Helper()
	ctx := b.t.Context()
	client, err := queue.NewClient(b.rdb, false)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, state := range []string{"pending", "scheduled", "active", "retry", "archived", "completed"} {
		task := queue.Task{
			ID: "task-" + state, Queue: function.Background, Target: queue.Target{Site: "shop", Deploy: "d1", Function: "f"}, Timeout: time.Minute,
		}
		if state == "scheduled" {
			task.NotBefore = time.Now().Add(time.Hour)
		}
		if _, err := client.Enqueue(ctx, task); err != nil {
			b.t.Fatal(err)
		}
		const keys, due = "asynq:{background}:", 4e9 // Unix s
		_, err := b.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
			switch state {
			case "pending", "scheduled":
				return nil
			case "active":
				p.LPush(ctx, keys+state, task.ID)
				p.ZAdd(ctx, keys+"lease", redis.Z{Score: due, Member: task.ID})
			default:
				p.ZAdd(ctx, keys+state, redis.Z{Score: due, Member: task.ID})
			}
			p.LRem(ctx, keys+"pending", 0, task.ID)
			p.HSet(ctx, keys+"t:"+task.ID, "state", state)
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// everything is all that Redis holds, by key.
func (b *bundle) everything() map[string]string {
	b.t.Helper()
	all := map[string]string{}
	for _, key := range b.rdb.Keys(b.t.Context(), "*").Val() {
		dump, err := b.rdb.Dump(b.t.Context(), key).Result()
		if err != nil {
			b.t.Fatal(err)
		}
		all[key] = dump
	}
	return all
}

// route is one of asynqmon's, for the tasks that fill makes.
type route struct {
	path    string
	methods []string
}

var (
	variable  = regexp.MustCompile(`\{([a-z_]+)\}`)
	stateName = regexp.MustCompile(`/([a-z]+)_tasks`)
)

// routes lists the routes of asynqmon's API. It shows its router to nobody.
func routes(t *testing.T, mon http.Handler) []route {
	t.Helper()
	field := reflect.ValueOf(mon.(*asynqmon.HTTPHandler)).Elem().FieldByName("router")
	router := *(**mux.Router)(unsafe.Pointer(field.UnsafeAddr()))
	var all []route
	err := router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		methods, err := r.GetMethods()
		if err != nil {
			return nil // a subrouter
		}
		template, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		state := "pending"
		if found := stateName.FindStringSubmatch(template); found != nil {
			state = found[1]
		}
		values := map[string]string{"qname": "background", "task_id": "task-" + state, "gname": "group", "entry_id": "entry"}
		path := variable.ReplaceAllStringFunc(template, func(name string) string { return values[strings.Trim(name, "{}")] })
		if strings.ContainsAny(path, "{}") || strings.Contains(path, "//") {
			t.Errorf("there is no value for a part of %s", template)
		}
		all = append(all, route{path, methods})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever is asked for, in whatever way: nothing changes.
func TestNothingCanBeChanged(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bundle) {
		b.fill()
		before := b.everything()
		changing := 0
		for _, r := range routes(t, b.shown().Handler) {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				res := b.ask(method, r.path)
				reads := method == "GET" || method == "HEAD"
				switch {
				case !reads && (res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD"):
					t.Errorf("%s %s = %s, want 405", method, r.path, res.Status)
				case reads && slices.Contains(r.methods, "GET") && res.StatusCode != 200 && r.path != Path+"/api/metrics":
					t.Errorf("%s %s = %s, want 200", method, r.path, res.Status)
				}
			}
			if !slices.Contains(r.methods, "GET") {
				changing++
				for _, method := range r.methods { // asynqmon's own guard, behind ours
					w := httptest.NewRecorder()
					b.shown().ServeHTTP(w, httptest.NewRequest(method, r.path, strings.NewReader(`{"task_ids":["task-pending"]}`)))
					if w.Code != 405 {
						t.Errorf("asynqmon's %s %s = %d, want 405", method, r.path, w.Code)
					}
				}
			}
			if after := b.everything(); !maps.Equal(before, after) {
				t.Fatalf("%v %s changed what Redis holds", r.methods, r.path)
			}
		}
		if changing < 40 {
			t.Errorf("only %d routes change something; asynqmon has more than 40", changing)
		}

		// What the comparison is worth: without the guards, most of them do.
		open, changed := asynqmon.New(asynqmon.Options{RootPath: Path, RedisConnOpt: connection{b.rdb}}), 0
		for _, r := range routes(t, open) {
			if slices.Contains(r.methods, "GET") {
				continue
			}
			if err := b.clear(); err != nil {
				t.Fatal(err)
			}
			b.fill()
			before := b.everything()
			body := fmt.Sprintf(`{"task_ids":[%q]}`, "task-"+strings.TrimSuffix(strings.Trim(stateName.FindString(r.path), "/"), "_tasks"))
			open.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.methods[0], r.path, strings.NewReader(body)))
			if !maps.Equal(before, b.everything()) {
				changed++
			}
		}
		if changed < 30 {
			t.Errorf("without the guards %d routes change something, want 30 and more", changed)
		}
	})
}

// clear deletes all keys.
func (b *bundle) clear() error {
	if cluster, ok := b.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(b.t.Context(), func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
	}
	return b.rdb.FlushAll(b.t.Context()).Err()
}

// The page works under its policy, and fetches nothing from elsewhere.
func TestPage(t *testing.T) {
	t.Parallel()
	h := New(redistest.New(t))
	b := &bundle{Handler: h, t: t}
	var page string
	for _, path := range []string{"", "/", "/queues/background", "/queues/background?status=archived", "/servers", "/redis"} {
		res := b.ask("GET", Path+path)
		text := read(t, res)
		if page == "" {
			page = text
		}
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || text != page {
			t.Errorf("GET %s = %s, %s, want the page", path, res.Status, res.Header.Get("Content-Type"))
		}
		if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s has the headers %v", path, res.Header)
		}
	}
	if !strings.Contains(page, `window.FLAG_READ_ONLY="true"`) {
		t.Error("the page does not know that it may only read")
	}
	if strings.Contains(string(b.shown().index), "https://fonts.") == strings.Contains(page, "https://fonts.") {
		t.Error("no style sheets of another host were taken out")
	}
	policy := b.ask("GET", Path).Header.Get("Content-Security-Policy")
	inline := 0
	for _, script := range regexp.MustCompile(`(?s)<script([^>]*)>(.*?)</script>`).FindAllStringSubmatch(page, -1) {
		if src := regexp.MustCompile(`src="([^"]*)"`).FindStringSubmatch(script[1]); src != nil {
			res := b.ask("GET", src[1])
			if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || !strings.HasPrefix(kind, "application/javascript") || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("GET %s = %s, %s, %s", src[1], res.Status, kind, res.Header.Get("Cache-Control"))
			}
			continue
		}
		inline++
		digest := sha256.Sum256([]byte(script[2]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy %q does not allow the script %.60q, %s", policy, script[2], want)
		}
	}
	scripts, _, _ := strings.Cut(policy[strings.Index(policy, "script-src"):], ";")
	if inline == 0 || strings.Count(policy, "sha256-") != inline || strings.Contains(scripts, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy %q for %d inline scripts", policy, inline)
	}
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(link[1], Path+"/") {
			t.Errorf("the page refers to %s, outside %s", link[1], Path)
		}
	}
	for _, path := range []string{"/static/js/none.js", "/api/none", "/api/queues/background/none"} {
		if res := b.ask("GET", Path+path); res.StatusCode != 404 || strings.Contains(read(t, res), "<html") {
			t.Errorf("GET %s = %s, want 404", path, res.Status)
		}
	}
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A page that a later asynqmon makes in another way is refused at the start, not
// in the browser.
func TestAnotherPageIsRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := harden([]byte(`<html><script src="/other/app.js"></script></html>`)); err == nil {
		t.Error("a page without its scripts is taken")
	}
}

// Of a task it shows what is ours: no words of callers, and of others nothing.
func TestWhatIsShownOfATask(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"site":"shop","deploy":"d1","function":"f"}`:                        `{"site":"shop","deploy":"d1","function":"f"}`,
		`{"site":"shop","deploy":"d1","function":"f","published":true}`:       `{"site":"shop","deploy":"d1","function":"f","published":true}`,
		`{"site":"shop","deploy":"d1","function":"f","event":{"to":"a@b.c"}}`: `{"site":"shop","deploy":"d1","function":"f"}`,
		`{"to":"a@b.c"}`: "14 bytes that are no task of ours",
		"secret":         "6 bytes that are no task of ours",
		"":               "0 bytes that are no task of ours",
	} {
		if got := formatPayload("invoke", []byte(payload)); got != want {
			t.Errorf("of %s it shows %s, want %s", payload, got, want)
		}
	}
	if got := formatResult("invoke", []byte("secret")); got != "6 bytes" {
		t.Errorf("of a result it shows %s", got)
	}
	if got := formatResult("invoke", nil); got != "" {
		t.Errorf("of no result it shows %s", got)
	}
}

// It answers what is in Redis, in every place where a task can be.
func TestTasks(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bundle) {
		b.fill()
		for _, state := range []string{"pending", "scheduled", "active", "retry", "archived", "completed"} {
			var list struct {
				Tasks []struct{ ID, Payload string }
			}
			b.api("queues/background/"+state+"_tasks", &list)
			if len(list.Tasks) != 1 || list.Tasks[0].ID != "task-"+state || list.Tasks[0].Payload != `{"site":"shop","deploy":"d1","function":"f"}` {
				t.Errorf("%s tasks = %+v, want the one", state, list.Tasks)
			}
		}
		var info struct {
			Cluster bool
			Info    map[string]string
		}
		b.api("redis_info", &info)
		if _, cluster := b.rdb.(*redis.ClusterClient); info.Cluster != cluster || len(info.Info) < 5 {
			t.Errorf("redis_info = %+v", info)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	h := New(redistest.New(t))
	b := &bundle{Handler: h, t: t}
	if res := b.ask("GET", Path+"/api/queues"); res.StatusCode != 200 {
		t.Errorf("GET queues = %s", res.Status)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if res := b.ask("GET", Path+"/api/queues"); res.StatusCode != 500 {
		t.Errorf("GET queues after Close = %s, want 500", res.Status)
	}
}
