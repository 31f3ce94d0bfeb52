package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
)

// FuzzCreateDeploy: whatever our own clients describe is refused as invalid, in
// words that can be shown, or is a valid deploy.
func FuzzCreateDeploy(f *testing.F) {
	digest := strings.Repeat("a", 64)
	for _, seed := range []string{
		`{}`, `{"functions":[null]}`, `{"files":{"a":{"digest":"` + digest + `","size":9223372036854775807},"b":{"digest":"` + digest + `","size":1}}}`,
		`{"functions":[{"name":"send","artifact":"` + digest + `","runtime":"node","api":2,"entry":"a.mjs","kind":"background","timeout_ms":900000,"paths":["/a/:b"],"methods":["GET"]}],"branch":"b"}`,
		`{"functions":[{"name":"t","artifact":"` + digest + `","runtime":"node","api":1,"entry":"../a.js","kind":"scheduled","schedule":"@hourly","timezone":"../../etc/passwd"}]}`,
		`{"redirects":[{"from":"/a","to":"/b","status":301}],"headers":[{"for":"/*","values":{"A":"b\r\nC: d"}}]}`,
		`{"environment":[{"key":"A","value":"1"}]}{}`, `[`, `{"functions":{}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c := echo.New().NewContext(httptest.NewRequest("POST", "/", strings.NewReader(body)), httptest.NewRecorder())
		var in api.CreateDeploy
		err := readJSON(c, maxDeploy, &in)
		if err == nil && !json.Valid([]byte(body)) {
			t.Fatalf("%q is taken for JSON", body)
		}
		var own []environ.Variable
		if err == nil {
			err = (release.Description{Functions: in.Functions, Files: in.Files, Redirects: in.Redirects, Headers: in.Headers}).Check()
			for _, v := range in.Environment {
				own = append(own, v.Domain())
			}
		}
		if err == nil {
			_, _, err = environ.Resolve(nil, own, deploy.Production, in.Branch)
		}
		if err != nil {
			if message, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || message == "" || strings.Contains(message, "Go value") {
				t.Errorf("%q is refused as %v, want invalid", body, err)
			}
			return
		}
		for _, fn := range in.Functions {
			if fn.Runtime != "" && (fn.Kind == "" || fn.Timeout() <= 0 || fn.Timeout() > 15*time.Minute || !function.ValidName(fn.Name)) {
				t.Errorf("%q is taken, with the function %+v", body, fn)
			}
		}
	})
}

// FuzzQuery: whatever a client asks for, pages and instants are within their
// limits, or are refused as invalid.
func FuzzQuery(f *testing.F) {
	f.Add("limit=200&from=2030-01-31T08:00:00Z&page=2&per_page=100&timeout=900")
	f.Add("limit=0&limit=1&page=10001&per_page=-1&timeout=9999999999999999999")
	f.Add("limit=%zz&from=%ff;page=1")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: "/", RawQuery: query}
		c := echo.New().NewContext(r, httptest.NewRecorder())
		limit, err := limitOf(c)
		if err == nil && (limit < 1 || limit > maxPage) {
			t.Errorf("%q: limit %d", query, limit)
		}
		_, instantErr := instantOf(c, "from")
		page, size, pageErr := pageOf(c, defaultDeploys, maxDeploys)
		if pageErr == nil && (page < 1 || size < 1 || size > maxDeploys || (page-1)*size < 0) {
			t.Errorf("%q: page %d of %d", query, page, size)
		}
		info, infoErr := zipInfo(c)
		if infoErr == nil && (info.Timeout < 0 || info.Timeout > 15*time.Minute) {
			t.Errorf("%q: timeout %v", query, info.Timeout)
		}
		for _, err := range []error{err, instantErr, pageErr, infoErr, knownParams(c, "limit")} {
			if err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("%q is refused as %v, want invalid", query, err)
			}
		}
	})
}
