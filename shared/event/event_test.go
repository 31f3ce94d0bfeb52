package event_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/event"
)

// decoded is an event as a function sees it.
type decoded struct {
	Path              string              `json:"path"`
	HTTPMethod        string              `json:"httpMethod"`
	Query             map[string]string   `json:"queryStringParameters"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              *string             `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
	RawURL            string              `json:"rawUrl"`
	RawQuery          string              `json:"rawQuery"`
	Route             *string             `json:"route"`
}

// payload is the body as bytes, or nil if there is none.
func (d decoded) payload(t testing.TB) []byte {
	t.Helper()
	if d.Body == nil {
		return nil
	}
	if !d.IsBase64Encoded {
		return []byte(*d.Body)
	}
	raw, err := base64.StdEncoding.DecodeString(*d.Body)
	if err != nil {
		t.Fatalf("body is not base64: %v", err)
	}
	return raw
}

func decode(t testing.TB, raw []byte) decoded {
	t.Helper()
	var d decoded
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("event is not JSON: %v\n%s", err, raw)
	}
	return d
}

var meta = event.Meta{
	RequestID: "01M806MVMKT0J5BYFM7KEAVBDK", Site: "shop", Deploy: "0123456789abcdef01234567",
	Published: true, Context: "production", Branch: "main", ClientIP: "192.0.2.1", BaseURL: "http://shop.localhost:8888",
}

func TestGolden(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/.netlify/functions/echo?a=1&a=2&b=x%20y", nil)
	r.Host = "shop.localhost:8888"
	r.Header.Set("X-Custom-Header", "MiXed")
	r.Header.Add("Accept", "a/b")
	r.Header.Add("Accept", "c/d")
	got := string(event.FromRequest(r, nil, meta))
	const geo = `eyJjaXR5IjoiIiwiY291bnRyeSI6eyJjb2RlIjoiIiwibmFtZSI6IiJ9LCJzdWJkaXZpc2lvbiI6eyJjb2RlIjoiIiwibmFtZSI6IiJ9LCJsb25naXR1ZGUiOjAsImxhdGl0dWRlIjowLCJ0aW1lem9uZSI6IlVUQyJ9`
	want := `{"path":"/.netlify/functions/echo","httpMethod":"GET",` +
		`"queryStringParameters":{"a":"1, 2","b":"x y"},"multiValueQueryStringParameters":{"a":["1","2"],"b":["x y"]},` +
		`"headers":{"accept":"a/b, c/d","host":"shop.localhost:8888","x-custom-header":"MiXed","x-forwarded-for":"192.0.2.1",` +
		`"x-nf-account-id":"","x-nf-deploy-id":"0123456789abcdef01234567","x-nf-geo":"` + geo + `","x-nf-request-id":"01M806MVMKT0J5BYFM7KEAVBDK",` +
		`"x-nf-site-id":"shop","x-nf-deploy-published":"1","x-nf-deploy-context":"production","x-nf-branch":"main","client-ip":"192.0.2.1","x-nf-client-connection-ip":"192.0.2.1"},` +
		`"multiValueHeaders":{"accept":["a/b","c/d"],"host":["shop.localhost:8888"],"x-custom-header":["MiXed"],"x-forwarded-for":["192.0.2.1"],` +
		`"x-nf-account-id":[""],"x-nf-deploy-id":["0123456789abcdef01234567"],"x-nf-geo":["` + geo + `"],"x-nf-request-id":["01M806MVMKT0J5BYFM7KEAVBDK"],` +
		`"x-nf-site-id":["shop"],"x-nf-deploy-published":["1"],"x-nf-deploy-context":["production"],"x-nf-branch":["main"],"client-ip":["192.0.2.1"],"x-nf-client-connection-ip":["192.0.2.1"]},` +
		`"isBase64Encoded":true,"rawUrl":"http://shop.localhost:8888/.netlify/functions/echo?a=1&a=2&b=x%20y","rawQuery":"a=1&a=2&b=x%20y"}`
	if got != want {
		t.Errorf("FromRequest\n got %s\nwant %s", got, want)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		raw   string
		flat  map[string]string
		lists map[string][]string
	}{
		{"", map[string]string{}, map[string][]string{}},
		{
			"a=1&a=2&b=x%20y&c=&d&e[]=1&e[]=2&%C3%A9=%E2%9C%93",
			map[string]string{"a": "1, 2", "b": "x y", "c": "", "d": "", "e[]": "1, 2", "é": "✓"},
			map[string][]string{"a": {"1", "2"}, "b": {"x y"}, "c": {""}, "d": {""}, "e[]": {"1", "2"}, "é": {"✓"}},
		},
		{"a+b=c+d", map[string]string{"a b": "c d"}, map[string][]string{"a b": {"c d"}}},
		{"&&a=1&", map[string]string{"a": "1"}, map[string][]string{"a": {"1"}}},
		{"=x", map[string]string{"": "x"}, map[string][]string{"": {"x"}}},
		{"a=1=2", map[string]string{"a": "1=2"}, map[string][]string{"a": {"1=2"}}},
		{"a=1;b=2", map[string]string{"a": "1;b=2"}, map[string][]string{"a": {"1;b=2"}}},
		{"p=100%&q=%zz&r=%4", map[string]string{"p": "100%", "q": "%zz", "r": "%4"}, map[string][]string{"p": {"100%"}, "q": {"%zz"}, "r": {"%4"}}},
		{"a=%ff&%fe=1&%fd=2", map[string]string{"a": "\uFFFD", "\uFFFD": "1, 2"}, map[string][]string{"a": {"\uFFFD"}, "\uFFFD": {"1", "2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/x", nil)
			r.URL.RawQuery = tt.raw
			d := decode(t, event.FromRequest(r, nil, meta))
			if !reflect.DeepEqual(d.Query, tt.flat) {
				t.Errorf("queryStringParameters of %q = %v, want %v", tt.raw, d.Query, tt.flat)
			}
			if !reflect.DeepEqual(d.MultiValueQuery, tt.lists) {
				t.Errorf("multiValueQueryStringParameters of %q = %v, want %v", tt.raw, d.MultiValueQuery, tt.lists)
			}
			if d.RawQuery != tt.raw {
				t.Errorf("rawQuery = %q, want %q", d.RawQuery, tt.raw)
			}
		})
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		contentType, body string
		base64            bool
	}{
		{"", "x=1", true},
		{"text/plain", "héllo \"quoted\" \x00\u2028", false},
		{"TEXT/Plain; charset=utf-8", "hello", false},
		{"application/json", `{"a":1}`, false},
		{"application/json; charset", `{"a":1}`, false},
		{"application/vnd.api+json", `{}`, false},
		{"image/svg+xml", `<svg/>`, false},
		{"application/x-www-form-urlencoded", "a=1", false},
		{"application/x-ndjson", "{}\n{}", false},
		{"application/graphql", "{x}", false},
		{"application/javascript", "1", false},
		{"application/csp-report", "{}", false},
		{"application/xml", "<a/>", false},
		{"application/octet-stream", "\x00\x01\x02\xff", true},
		{"multipart/form-data; boundary=x", "--x--", true},
		{"text/plain; charset=iso-8859-1", "caf\xe9", true}, // text in JSON would lose the byte
	}
	for _, tt := range tests {
		t.Run(tt.contentType, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/x", nil)
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			d := decode(t, event.FromRequest(r, []byte(tt.body), meta))
			if d.IsBase64Encoded != tt.base64 {
				t.Errorf("isBase64Encoded = %v, want %v", d.IsBase64Encoded, tt.base64)
			}
			if got := string(d.payload(t)); got != tt.body {
				t.Errorf("body = %q, want %q", got, tt.body)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		d := decode(t, event.FromRequest(httptest.NewRequest("GET", "/x", nil), nil, meta))
		if d.Body != nil || !d.IsBase64Encoded {
			t.Errorf("body = %v, isBase64Encoded = %v; want none and true", d.Body, d.IsBase64Encoded)
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/x", nil)
	r.Header = http.Header{
		"Connection":                {"close, X-Private"},
		"X-Private":                 {"1"},
		"Transfer-Encoding":         {"chunked"},
		"Proxy-Authorization":       {"secret"},
		"Upgrade":                   {"websocket"},
		"X-Nf-Deploy-Id":            {"forged"},
		"X-Nf-Enable-Otel":          {"1"},
		"X-Nf-Event":                {"schedule"},
		"X-Netlify-Event":           {"deploy-succeeded"},
		"Nightshift-Outcome":        {"succeeded"},
		"Client-Ip":                 {"203.0.113.9"},
		"X-Nf-Client-Connection-Ip": {"203.0.113.9"},
		"X-Forwarded-For":           {"198.51.100.7"},
		"Cookie":                    {"a=1", "b=2"},
		"Accept":                    {"text/html", "*/*"},
		"Authorization":             {"Bearer x"},
	}
	d := decode(t, event.FromRequest(r, nil, meta))
	want := map[string]string{
		"host": "example.com", "x-forwarded-for": "198.51.100.7, 192.0.2.1", "cookie": "a=1; b=2",
		"accept": "text/html, */*", "authorization": "Bearer x",
		"client-ip": "192.0.2.1", "x-nf-client-connection-ip": "192.0.2.1", "x-nf-request-id": meta.RequestID,
		"x-nf-site-id": "shop", "x-nf-deploy-id": meta.Deploy, "x-nf-deploy-published": "1", "x-nf-account-id": "",
		"x-nf-deploy-context": "production", "x-nf-branch": "main",
		"x-nf-geo": d.Headers["x-nf-geo"],
	}
	if !reflect.DeepEqual(d.Headers, want) {
		t.Errorf("headers\n got %v\nwant %v", d.Headers, want)
	}
	if got := d.MultiValueHeaders["accept"]; !reflect.DeepEqual(got, []string{"text/html", "*/*"}) {
		t.Errorf("multiValueHeaders.accept = %v", got)
	}
	var geo struct {
		Country struct{ Code *string } `json:"country"`
	}
	raw, err := base64.StdEncoding.DecodeString(d.Headers["x-nf-geo"])
	if err != nil || json.Unmarshal(raw, &geo) != nil || geo.Country.Code == nil {
		t.Errorf("x-nf-geo = %q, which is not base64 of JSON with a country code", d.Headers["x-nf-geo"])
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, path, rawURL string }{
		{"/.netlify/functions/x/sub/path", "/.netlify/functions/x/sub/path", "http://shop.localhost:8888/.netlify/functions/x/sub/path"},
		{"/items/42/sub/x%20y?q=1", "/items/42/sub/x%20y", "http://shop.localhost:8888/items/42/sub/x%20y?q=1"},
		{"/a%2Fb/", "/a%2Fb/", "http://shop.localhost:8888/a%2Fb/"},
		{"http://other.example/abs?x", "/abs", "http://shop.localhost:8888/abs?x"},
	}
	for _, tt := range tests {
		m := meta
		m.Route = "/items/:id"
		d := decode(t, event.FromRequest(httptest.NewRequest("GET", tt.target, nil), nil, m))
		if d.Path != tt.path || d.RawURL != tt.rawURL {
			t.Errorf("%s: path %q rawUrl %q, want %q and %q", tt.target, d.Path, d.RawURL, tt.path, tt.rawURL)
		}
		if d.Route == nil || *d.Route != "/items/:id" {
			t.Errorf("%s: route %v, want /items/:id", tt.target, d.Route)
		}
	}
}

func TestForTick(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 3, 29, 3, 0, 0, 0, time.FixedZone("CEST", 2*3600))
	m := meta
	m.ClientIP = ""
	d := decode(t, event.ForTick("nightly", next, m))
	if d.Path != "/.netlify/functions/nightly" || d.HTTPMethod != "POST" || d.RawURL != "http://shop.localhost:8888/.netlify/functions/nightly" {
		t.Errorf("path %q method %q rawUrl %q", d.Path, d.HTTPMethod, d.RawURL)
	}
	if d.IsBase64Encoded || d.Body == nil || *d.Body != `{"next_run":"2026-03-29T01:00:00.000Z"}` {
		t.Errorf("body = %v, base64 %v", *d.Body, d.IsBase64Encoded)
	}
	for name, want := range map[string]string{
		"X-NF-Event": "schedule", "user-agent": "Netlify Clockwork", "host": "shop.localhost:8888",
		"content-length": "39", "content-type": "application/json", "x-nf-site-id": "shop",
	} {
		if got := d.Headers[name]; got != want {
			t.Errorf("headers[%q] = %q, want %q", name, got, want)
		}
	}
	if _, ok := d.MultiValueHeaders["X-NF-Event"]; ok {
		t.Error("X-NF-Event stands among the multi-value headers")
	}
	if _, ok := d.Headers["client-ip"]; ok {
		t.Error("a tick has a client address")
	}
	m.BaseURL = ""
	if d := decode(t, event.ForTick("nightly", next, m)); !strings.HasPrefix(d.RawURL, "http://localhost/") {
		t.Errorf("rawUrl without a base = %q, which is not absolute", d.RawURL)
	}
}

func FuzzFromRequest(f *testing.F) {
	f.Add("POST", "/.netlify/functions/x", "a=1&a=2&%ff", "X-Test", "välue\x01", "text/plain", []byte("héllo\xff\u2028\"\\\x00"))
	f.Add("GET", "/%zz", "%", "Cookie", "", "", []byte{})
	f.Fuzz(func(t *testing.T, method, path, query, name, value, contentType string, body []byte) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, query
		r.Header[http.CanonicalHeaderKey(name)] = []string{value, value}
		r.Header.Set("Content-Type", contentType)
		raw := event.FromRequest(r, body, meta)
		d := decode(t, raw)
		if got := d.payload(t); !bytes.Equal(got, body) {
			t.Errorf("body came back as %q, want %q", got, body)
		}
	})
}

func BenchmarkFromRequest(b *testing.B) {
	r := httptest.NewRequest("POST", "/.netlify/functions/send-email-background?a=1&b=2", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "curl/8")
	r.Header.Set("Accept", "*/*")
	body := bytes.Repeat([]byte(`{"to":"a@example.com"}`), 20)
	b.ReportAllocs()
	for b.Loop() {
		event.FromRequest(r, body, meta)
	}
}
