package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	kept "github.com/nightshift/nightshift/shared/token"
)

var job = function.Function{Name: "job-background", Kind: function.Background}

const jobURL = "/.netlify/functions/job-background"

func TestBackgroundAccepts(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	d := b.deploy("default", job)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		got := b.do(b.request(method, jobURL+"?n=1", strings.NewReader(`{"n":1}`)))
		id := got.header.Get("X-Nf-Request-Id")
		if got.status != http.StatusAccepted || got.body != "" || len(id) != 26 {
			t.Fatalf("%s = %d %q, id %q; want 202 and an empty body", method, got.status, got.body, id)
		}
		if length := got.header.Get("Content-Length"); length != "0" {
			t.Errorf("%s: Content-Length = %q, want 0", method, length)
		}
		if _, ok := got.header["Content-Type"]; ok {
			t.Errorf("%s: there is a Content-Type on an empty answer", method)
		}
		location := got.header.Get("Location")
		if location != "/.nightshift/invocations/"+id {
			t.Fatalf("%s: Location = %q", method, location)
		}
		record := decode[api.Invocation](t, b.get(location).body)
		if record.ID != id || record.State != invocation.Queued || record.Function != "job-background" || record.Site != "default" || record.Deploy != d.ID {
			t.Errorf("%s: record = %+v", method, record)
		}
	}
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != 7 {
		t.Errorf("%d tasks in the queue, want 7", n)
	}
	// What the worker will be given is the request as it came.
	last := b.redis.LIndex(t.Context(), "asynq:{background}:pending", -1).Val()
	begun, err := b.store.Begin(t.Context(), function.Background, last, "w")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"httpMethod":"GET"`, `"queryStringParameters":{"n":"1"}`, `"rawUrl":"http://` + b.gateway.Addr() + jobURL + `?n=1"`, `"x-nf-request-id":"` + last + `"`, `"x-nf-deploy-published":"1"`} {
		if !strings.Contains(string(begun.Event), part) {
			t.Errorf("the event %s does not hold %s", begun.Event, part)
		}
	}
}

func TestBackgroundBodyLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job, function.Function{Name: "hello"})
	tests := []struct {
		name, url string
		body      io.Reader
		status    int
	}{
		{"at the limit", jobURL, strings.NewReader(strings.Repeat("x", 256<<10)), 202},
		{"declared over", jobURL, strings.NewReader(strings.Repeat("x", 256<<10+1)), 413},
		{"chunked over", jobURL, io.MultiReader(strings.NewReader(strings.Repeat("x", 256<<10+1))), 413},
		{"sync declared over", "/.netlify/functions/hello", strings.NewReader(strings.Repeat("x", 6<<20+1)), 413},
		{"far over", jobURL, strings.NewReader(strings.Repeat("x", 20<<20)), 413},
		{"chunked far over", jobURL, io.MultiReader(strings.NewReader(strings.Repeat("x", 20<<20))), 413},
		{"sync chunked over", "/.netlify/functions/hello", io.MultiReader(strings.NewReader(strings.Repeat("x", 6<<20+1))), 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.do(b.request("POST", tt.url, tt.body))
			if got.status != tt.status {
				t.Errorf("status = %d %q, want %d", got.status, got.body, tt.status)
			}
			if tt.status == 413 && (!strings.Contains(got.body, "too large") || got.header.Get("Location") != "") {
				t.Errorf("answer = %q %v", got.body, got.header)
			}
		})
	}
	if n := b.redis.LLen(t.Context(), "asynq:{background}:pending").Val(); n != 1 {
		t.Errorf("%d tasks in the queue, want 1", n)
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	b.server.Stop()
	begun := time.Now()
	for range 3 {
		got := b.do(b.request("POST", jobURL, strings.NewReader("{}")))
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Location") != "" {
			t.Fatalf("without Redis: %d %q %v, want 503 with Retry-After", got.status, got.body, got.header)
		}
		if strings.HasPrefix(got.body, "{") || got.header.Get("Content-Type") != "text/plain; charset=UTF-8" {
			t.Errorf("answer = %q %q, want plain text", got.body, got.header.Get("Content-Type"))
		}
	}
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("three refusals took %v", took)
	}
	if got := b.get("http://" + b.gateway.AdminAddr() + "/readyz"); got.status != http.StatusServiceUnavailable {
		t.Errorf("readyz without Redis = %d %q", got.status, got.body)
	}
	if got := b.get("http://" + b.gateway.AdminAddr() + "/healthz"); got.status != http.StatusOK {
		t.Errorf("healthz without Redis = %d %q", got.status, got.body)
	}
	if got := b.get("/.nightshift/invocations/01M806MVKXM72EWXY9R4RTBS7M"); got.status != http.StatusServiceUnavailable || !strings.HasPrefix(got.body, "{") {
		t.Errorf("a record without Redis = %d %q, want 503 in JSON", got.status, got.body)
	}
	if _, err := b.api.Workers(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("workers without Redis: %v, want unavailable", err)
	}
}

func TestFunctionRouteErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	if got := b.get(jobURL); got.status != 404 || !strings.HasPrefix(got.body, "Site not found...") {
		t.Errorf("before the first deploy: %d %q", got.status, got.body)
	}
	b.deploy("default", job, function.Function{Name: "tick", Kind: function.Scheduled, Schedule: "@hourly"},
		function.Function{Name: "own", Paths: []string{"/own"}})
	tests := []struct {
		path   string
		status int
		text   string
	}{
		{"/.netlify/functions/nope", 404, "Function not found..."},
		{"/.netlify/functions/bad.name", 400, "Function name should consist only of alphanumeric characters, hyphen & underscores."},
		{"/.netlify/functions/tick", 404, "Function not found..."},
		{"/.netlify/functions/own", 404, "404 Not Found"},
		{"/", 404, "404 Not Found"},
		{"/static.txt", 404, "404 Not Found"},
		{"/.nightshift/nope", 404, "{"},
		{"/.nightshift/invocations/nope", 404, "{"},
	}
	for _, tt := range tests {
		got := b.get(tt.path)
		if got.status != tt.status || !strings.HasPrefix(got.body, tt.text) {
			t.Errorf("GET %s = %d %q, want %d %q…", tt.path, got.status, got.body, tt.status, tt.text)
		}
	}
	if got := b.do(b.request("POST", "/.nightshift/invocations/x", nil)); got.status != 404 || !strings.HasPrefix(got.body, "{") {
		t.Errorf("POST of a record = %d %q, want 404 in JSON", got.status, got.body)
	}
	if got := b.do(b.request("PROPFIND", jobURL, nil)); got.status != 202 {
		t.Errorf("an unusual method = %d %q, want 202: sites own every method", got.status, got.body)
	}
}

// TestHosts goes the way of the deploy URLs.
func TestHosts(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	first := b.deploy("shop", job)
	second := b.deploy("shop", function.Function{Name: "other-background", Kind: function.Background})
	call := func(host, path string) int {
		req := b.request("POST", path, nil)
		req.Host = host
		return b.do(req).status
	}
	tests := []struct {
		host, path string
		status     int
	}{
		{"shop.localhost:8888", "/.netlify/functions/other-background", 202},
		{"shop.localhost:8888", jobURL, 404},
		{first.ID + "--shop.localhost", jobURL, 202},
		{second.ID + "--shop.localhost", "/.netlify/functions/other-background", 202},
		{first.ID + "--default.localhost", jobURL, 404},
		{"whatever.example.com", jobURL, 202},
	}
	for _, tt := range tests {
		if got := call(tt.host, tt.path); got != tt.status {
			t.Errorf("POST %s%s = %d, want %d", tt.host, tt.path, got, tt.status)
		}
	}
	if want := fmt.Sprintf("http://%s--shop.localhost:", first.ID); !strings.HasPrefix(first.DeployURL, want) {
		t.Errorf("deploy_url = %q, want %s…", first.DeployURL, want)
	}
}

func TestInvocationRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	accept := func() string {
		return b.do(b.request("POST", jobURL, nil)).header.Get("Location")
	}

	location := accept()
	got := b.do(b.request("DELETE", location, nil))
	if got.status != 200 || decode[api.Invocation](t, got.body).State != invocation.Cancelled {
		t.Errorf("DELETE of a queued invocation = %d %s, want 200 and cancelled", got.status, got.body)
	}
	got = b.do(b.request("DELETE", location, nil))
	if e := decode[api.Error](t, got.body); got.status != 409 || e.Code != 409 || e.Kind != "conflict" || e.Message == "" {
		t.Errorf("DELETE of a cancelled invocation = %d %s, want 409", got.status, got.body)
	}
	if got := b.do(b.request("DELETE", "/.nightshift/invocations/01M806MVKXM72EWXY9R4RTBS7M", nil)); got.status != 404 {
		t.Errorf("DELETE of an unknown invocation = %d %s", got.status, got.body)
	}

	location = accept()
	id := location[strings.LastIndex(location, "/")+1:]
	if _, err := b.store.Begin(t.Context(), function.Background, id, "w1"); err != nil {
		t.Fatal(err)
	}
	got = b.do(b.request("DELETE", location, nil))
	if got.status != 202 || decode[api.Invocation](t, got.body).State != invocation.Running {
		t.Errorf("DELETE of a running invocation = %d %s, want 202 and running", got.status, got.body)
	}
	if got := b.get(location); got.header.Get("Cache-Control") != "no-store" || decode[api.Invocation](t, got.body).Attempts[0].Worker != "w1" {
		t.Errorf("record = %v %s", got.header, got.body)
	}
}

func TestPublicStatusOff(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	closed := setup(t, func(c *gateway.Config) { c.PublicStatus = "off"; c.RedisURL = b.server.URL() })
	id := b.do(b.request("POST", jobURL, nil)).header.Get("X-Nf-Request-Id")
	for _, path := range []string{"", "/logs"} {
		if got := closed.get("/.nightshift/invocations/" + id + path); got.status != 404 {
			t.Errorf("GET %s with the status off = %d %s", path, got.status, got.body)
		}
	}
	if inv, err := closed.api.Invocation(t.Context(), id); err != nil || inv.ID != id {
		t.Errorf("the control plane answers %+v, %v", inv, err)
	}
	if _, err := closed.api.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancel on the control plane: %v", err)
	}
	if _, err := closed.api.Cancel(t.Context(), id); !fault.Is(err, fault.Conflict) {
		t.Errorf("second cancel = %v, want conflict", err)
	}
}

// An invocation is there on the hosts of its own site only.
func TestStatusIsOfOneSite(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	for host, want := range map[string]int{
		"bravo.localhost": 200, "bravo.localhost:8888": 200, n.bravo["id"] + "--bravo.localhost": 200, "BRAVO.localhost.": 200,
		"alpha.localhost": 404, "localhost": 404, "127.0.0.1": 404, "charlie.localhost": 404, n.bravo["id"] + "--alpha.localhost": 404,
	} {
		for method, path := range map[string]string{"GET": "", "HEAD": "/logs", "DELETE": ""} {
			req := n.request(strings.Replace(method, "HEAD", "GET", 1), "/.nightshift/invocations/"+n.bravo["invocation"]+path, nil)
			req.Host = host
			expect := want
			if method == "DELETE" && want == 200 {
				expect = 409 // it is dead
			}
			if got := n.do(req); got.status != expect || want == 404 && tells(got, "") {
				t.Errorf("%s %s on %s = %d %s, want %d", req.Method, path, host, got.status, got.body, expect)
			}
		}
	}
}

func TestPublicStatusWithToken(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *gateway.Config) { c.PublicStatus = "token" })
	b.deploy("default", job)
	secret := func(scope kept.Scope, sites ...string) string {
		return b.token(api.CreateToken{Scopes: []kept.Scope{scope}, Sites: sites}).Secret
	}
	read, invoke, other := secret(kept.Read, "default"), secret(kept.Invoke, "default"), secret(kept.Invoke, "other")
	for _, tt := range []struct {
		name, secret, method, path string
		want                       int
	}{
		{"nobody", "", "GET", "", 401}, {"nobody", "", "GET", "/logs", 401}, {"nobody", "", "DELETE", "", 401}, {"a wrong one", "wrong", "GET", "", 401},
		{"read", read, "GET", "", 200}, {"read", read, "GET", "/logs", 200}, {"read", read, "DELETE", "", 403},
		{"of another site", other, "GET", "", 404}, {"of another site", other, "DELETE", "", 404},
		{"invoke", invoke, "GET", "", 200}, {"root", token, "GET", "", 200}, {"invoke", invoke, "DELETE", "", 200},
	} {
		id := idOf(b.ask())
		req := b.request(tt.method, "/.nightshift/invocations/"+id+tt.path, nil)
		if tt.secret != "" {
			req.Header.Set("Authorization", "Bearer "+tt.secret)
		}
		if got := b.do(req); got.status != tt.want {
			t.Errorf("%s %s by %s = %d %s, want %d", tt.method, tt.path, tt.name, got.status, got.body, tt.want)
		}
	}
}

// lines appends log lines as a worker would.
func (b *bundle) lines(id string, texts ...string) {
	b.t.Helper()
	var lines []invocation.LogLine
	for _, text := range texts {
		lines = append(lines, invocation.LogLine{Time: time.Now(), Attempt: 1, Stream: "stdout", Text: text})
	}
	src := store.LogSource{Site: "default", Function: "job-background", Kind: function.Background, Invocation: id}
	if err := b.store.AppendLog(b.t.Context(), src, lines); err != nil {
		b.t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	id := b.do(b.request("POST", jobURL, nil)).header.Get("X-Nf-Request-Id")
	url := "/.nightshift/invocations/" + id + "/logs"
	if got := b.get(url); got.status != 200 || got.body != "" {
		t.Errorf("an empty log = %d %q", got.status, got.body)
	}
	if _, err := b.store.Begin(t.Context(), function.Background, id, "w1"); err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 600 { // more than a page
		many = append(many, fmt.Sprintf("line %d", i))
	}
	b.lines(id, many...)
	got := b.get(url)
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") || strings.Count(got.body, "\n") != 600 || !strings.HasSuffix(got.body, " line 599\n") {
		t.Errorf("text log = %d %v, %d lines", got.status, got.header, strings.Count(got.body, "\n"))
	}
	req := b.request("GET", url, nil)
	req.Header.Set("Accept", "application/json")
	lines := decode[[]api.LogLine](t, b.do(req).body)
	if len(lines) != 600 || lines[0].Text != "line 0" || lines[0].Stream != "stdout" || lines[0].Attempt != 1 {
		t.Errorf("JSON log has %d lines, first %+v", len(lines), lines[0])
	}
	rest, err := b.api.Logs(t.Context(), id, lines[597].Cursor)
	if err != nil || len(rest) != 2 || rest[0].Text != "line 598" {
		t.Errorf("Logs after a cursor = %v, %v", rest, err)
	}
	if _, err := b.api.Logs(t.Context(), "01M806MVKXM72EWXY9R4RTBS7M", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("Logs of an unknown invocation: %v", err)
	}
	if got := b.get("/.nightshift/invocations/01M806MVKXM72EWXY9R4RTBS7M/logs"); got.status != 404 {
		t.Errorf("log of an unknown invocation = %d", got.status)
	}
}

// events reads server-sent events one at a time.
type events struct {
	t    *testing.T
	resp *http.Response
	buf  string
}

func (b *bundle) follow(url, lastID string) *events {
	b.t.Helper()
	req := b.request("GET", url, nil)
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	return &events{t: b.t, resp: resp}
}

// next is the next event that is not a comment, or "" at the end.
func (e *events) next() string {
	e.t.Helper()
	for {
		if event, rest, ok := strings.Cut(e.buf, "\n\n"); ok {
			e.buf = rest
			if strings.HasPrefix(event, ":") {
				continue
			}
			return event
		}
		var chunk [1024]byte
		n, err := e.resp.Body.Read(chunk[:])
		e.buf += string(chunk[:n])
		if n == 0 && err != nil {
			if !errors.Is(err, io.EOF) {
				e.t.Errorf("stream ended with %v", err)
			}
			return ""
		}
	}
}

func TestFollowLog(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.deploy("default", job)
	id := b.do(b.request("POST", jobURL, nil)).header.Get("X-Nf-Request-Id")
	url := "/.nightshift/invocations/" + id + "/logs"
	begun, err := b.store.Begin(t.Context(), function.Background, id, "w1")
	if err != nil {
		t.Fatal(err)
	}
	b.lines(id, "one")
	stream := b.follow(url, "")
	if got := stream.resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type = %q", got)
	}
	first := stream.next()
	cursor, _, _ := strings.Cut(strings.TrimPrefix(first, "id: "), "\n")
	if !strings.Contains(first, `"text":"one"`) || cursor == "" {
		t.Errorf("first event = %q", first)
	}
	b.lines(id, "two")
	if got := stream.next(); !strings.Contains(got, `"text":"two"`) {
		t.Errorf("second event = %q", got)
	}
	resumed := b.follow(url, cursor)
	if got := resumed.next(); !strings.Contains(got, `"text":"two"`) {
		t.Errorf("first event after a resume = %q, want line two", got)
	}
	end := store.End{Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}}
	if err := b.store.Finish(t.Context(), function.Background, id, begun.Attempt, end); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*events{stream, resumed} {
		if got := s.next(); got != "event: end\ndata: {\"state\":\"succeeded\"}" {
			t.Errorf("last event = %q", got)
		}
		if got := s.next(); got != "" {
			t.Errorf("after the end there is %q", got)
		}
	}
	lines, err := b.api.Logs(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.follow(url, lines[len(lines)-1].Cursor).resp.StatusCode; got != http.StatusNoContent {
		t.Errorf("coming back after the end = %d, want 204", got)
	}
}
