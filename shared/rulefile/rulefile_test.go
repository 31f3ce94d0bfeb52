package rulefile_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/rulefile"
)

// shown is a redirect on one line.
func shown(redirects []deploy.Redirect) (out []string) {
	for _, r := range redirects {
		line := fmt.Sprintf("%s %s %d", r.From, r.To, r.Status)
		if r.Force {
			line += "!"
		}
		if len(r.Query) > 0 {
			line += fmt.Sprintf(" %v", r.Query)
		}
		if r.Conditions != nil {
			line += fmt.Sprintf(" %+v", *r.Conditions)
		}
		out = append(out, line)
	}
	return out
}

// said are notes, one a line.
func said(notes []rulefile.Note) (out []string) {
	for _, n := range notes {
		word := "error"
		if n.Warning {
			word = "warning"
		}
		out = append(out, fmt.Sprintf("%s %d:%d %s", word, n.Line, n.Column, n.Text))
	}
	return out
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text  string
		want  []string
		notes []string
	}{
		"nothing":            {"\n  \n# a comment\n\t# another\n", nil, nil},
		"two words":          {"/home /", []string{"/home / 301"}, nil},
		"mark at the start":  {"\ufeff/home /", []string{"/home / 301"}, nil},
		"line ends":          {"/a /b\r\n/c /d\r\n", []string{"/a /b 301", "/c /d 301"}, nil},
		"tabs and comment":   {"\t/a\t\t/b  302 # why", []string{"/a /b 302"}, nil},
		"comment at the to":  {"/a /b#part 302", []string{"/a /b#part 302"}, nil},
		"force":              {"/a /b 200!", []string{"/a /b 200!"}, nil},
		"elsewhere":          {"/a https://e.example/:splat", []string{"/a https://e.example/:splat 301"}, nil},
		"of a host":          {"http://old.example/* https://new.example/:splat 301!", []string{"http://old.example/* https://new.example/:splat 301!"}, nil},
		"query":              {"/store id=:id tag=x /blog/:id 301", []string{"/store /blog/:id 301 map[id::id tag:x]"}, nil},
		"query, empty value": {"/store id= /blog", []string{"/store /blog 301 map[id:]"}, nil},
		"conditions":         {"/ /de 302! Language=de,de-at Cookie=a", []string{"/ /de 302! {Language:[de de-at] Cookie:[a] Country:[] Role:[] Other:[]}"}, nil},
		"no target":          {"/api/* 200", []string{"/api/* /api/:splat 200"}, nil},
		"order":              {"/a /1\n/a /2", []string{"/a /1 301", "/a /2 301"}, nil},
		"page":               {"/gone/* /gone.html 410", []string{"/gone/* /gone.html 410"}, nil},

		"proxy": {"/api/* https://e.example/:splat 200", []string{"/api/* https://e.example/:splat 200"},
			[]string{"warning 1:1 the redirect from /api/* has no effect: Nightshift fetches nothing from other hosts. Send callers there, with status 302, or fetch it in a function"}},
		"country": {"/ /de 302 Country=de", []string{"/ /de 302 {Language:[] Cookie:[] Country:[de] Role:[] Other:[]}"},
			[]string{"warning 1:1 the redirect from / never happens: it depends on the caller's country, which is not known"}},
		"role": {"/admin/* 200! Role=admin", []string{"/admin/* /admin/:splat 200! {Language:[] Cookie:[] Country:[] Role:[admin] Other:[]}"},
			[]string{"warning 1:1 nobody has the role that the redirect from /admin/* asks for: what it covers is closed"}},
		"unknown condition": {"/ /de 302 Moon=full", []string{"/ /de 302 {Language:[] Cookie:[] Country:[] Role:[] Other:[Moon]}"},
			[]string{"warning 1:1 the redirect from / never happens: it depends on Moon, and the conditions are Language and Cookie"}},
		"signed":            {"/a /b 200 Sign=KEY", []string{"/a /b 200"}, []string{"warning 1:11 Sign has no effect: it signs what is fetched from other hosts, and Nightshift fetches nothing from there"}},
		"query in the path": {"/a?x=1 /b", nil, []string{`warning 1:1 the redirect from /a?x=1 has no effect: "?" and "#" are no part of a path; write parameters behind it, as name=value`}},
		"of the platform":   {"/.netlify/functions/* /b", nil, []string{"warning 1:1 the redirect from /.netlify/functions/* has no effect: what is below /.netlify/ and /.nightshift/ is not the site's"}},

		"one word":       {"\n  /a", nil, []string{"error 2:3 it is not said where the redirect from /a leads: write a path, or a URL, behind it"}},
		"only a query":   {"/a x=1", nil, []string{"error 1:1 it is not said where the redirect from /a leads: write a path, or a URL, behind it"}},
		"only a status":  {"/a/* 301", nil, []string{"error 1:1 it is not said where the redirect from /a/* leads: write a path, or a URL, behind it"}},
		"bad target":     {"/a b 301", nil, []string{`error 1:4 "b" is neither a parameter, name=value, nor a target, which begins with "/", "http://" or "https://"`}},
		"bad status":     {"/a /b 3011", nil, []string{`error 1:7 "3011" is neither a status, such as 301 or 200!, nor a condition, such as Language=de`}},
		"wrong status":   {"/a /b 304", nil, []string{"error 1:1 redirect /a: 304 is not a status for it; use 200, 301, 302, 303, 307, 308, or one from 400 to 599"}},
		"no value":       {"/a /b 301 Language=", nil, []string{"error 1:11 the condition Language of the redirect from /a has no value"}},
		"one bad of two": {"/a\n/b /c", []string{"/b /c 301"}, []string{"error 1:1 it is not said where the redirect from /a leads: write a path, or a URL, behind it"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rulefile.Redirects(tt.text)
			if !slices.Equal(shown(got.Redirects), tt.want) {
				t.Errorf("Redirects(%q) = %q, want %q", tt.text, shown(got.Redirects), tt.want)
			}
			if !slices.Equal(said(got.Notes), tt.notes) {
				t.Errorf("Redirects(%q) says %q, want %q", tt.text, said(got.Notes), tt.notes)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	type values = map[string]string
	tests := map[string]struct {
		text  string
		want  []deploy.HeaderRule
		notes []string
	}{
		"nothing":          {"\n# a comment\n", nil, nil},
		"path alone":       {"/a\n", nil, nil},
		"one":              {"/*\n  X-Frame-Options: DENY\n", []deploy.HeaderRule{{For: "/*", Values: values{"X-Frame-Options": "DENY"}}}, nil},
		"two paths":        {"/a\n  A: 1\n\n/b\n  # why\n  B: 2\r\n", []deploy.HeaderRule{{For: "/a", Values: values{"A": "1"}}, {For: "/b", Values: values{"B": "2"}}}, nil},
		"without indent":   {"/a\nA:1", []deploy.HeaderRule{{For: "/a", Values: values{"A": "1"}}}, nil},
		"colons":           {"/a\n  Link: <https://e.example/#x>; rel=preload", []deploy.HeaderRule{{For: "/a", Values: values{"Link": "<https://e.example/#x>; rel=preload"}}}, nil},
		"one twice":        {"/a\n  cache-control: max-age=0\n  Cache-Control: no-cache\n", []deploy.HeaderRule{{For: "/a", Values: values{"cache-control": "max-age=0, no-cache"}}}, nil},
		"one path twice":   {"/a\n  A: 1\n/a\n  A: 2\n", []deploy.HeaderRule{{For: "/a", Values: values{"A": "1"}}, {For: "/a", Values: values{"A": "2"}}}, nil},
		"reserved":         {"/a\n  A: 1\n  Content-Length: 3\n", []deploy.HeaderRule{{For: "/a", Values: values{"A": "1"}}}, []string{"warning 3:3 the header Content-Length has no effect: it is set by the server alone"}},
		"only reserved":    {"/a\n  Date: now\n", nil, []string{"warning 2:3 the header Date has no effect: it is set by the server alone"}},
		"password":         {"/a\n  Basic-Auth: me:secret\n", nil, []string{"error 2:3 headers for /a: Basic-Auth is not supported: the pages would be public, so nothing is deployed; ask for the password in a function"}},
		"above all paths":  {"A: 1\n/a\n", nil, []string{"error 1:1 the header A stands above the first path; write a path such as /* above it"}},
		"no value":         {"/a\n  A:\n", nil, []string{`error 2:3 "A:" is neither a path, which begins with "/", nor a header, Name: value`}},
		"no name":          {"/a\n  : 1\n", nil, []string{`error 2:3 ": 1" is neither a path, which begins with "/", nor a header, Name: value`}},
		"no colon":         {"/a\n  A 1\n", nil, []string{`error 2:3 "A 1" is neither a path, which begins with "/", nor a header, Name: value`}},
		"bad name":         {"/a\n  A B: 1\n", nil, []string{`error 2:3 headers for /a: "A B" is not the name of a header`}},
		"of a host":        {"https://e.example/a\n", nil, []string{`error 1:1 headers are for a path, which begins with "/"; those of one host are not read`}},
		"path with query":  {"/a?b\n  A: 1\n", nil, []string{`error 1:1 headers for /a?b: "/a?b" is no path: it has no text, or a "?" or "#", which is never part of a path`}},
		"star in the name": {"/*.js\n  A: 1\n", []deploy.HeaderRule{{For: "/*.js", Values: values{"A": "1"}}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rulefile.Headers(tt.text)
			if !reflect.DeepEqual(got.Headers, tt.want) {
				t.Errorf("Headers(%q) = %v, want %v", tt.text, got.Headers, tt.want)
			}
			if !slices.Equal(said(got.Notes), tt.notes) {
				t.Errorf("Headers(%q) says %q, want %q", tt.text, said(got.Notes), tt.notes)
			}
		})
	}
}

// TestFromTOML reads what the netlify CLI makes of a site's files, and what
// people write.
func TestFromTOML(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text    string
		want    []string
		headers map[string]map[string]string
		err     string // part of it
	}{
		"nothing": {"", nil, nil, ""},
		"of the netlify CLI": {`
[build]
publish = "/site/public"

[[redirects]]
from = "/a/*"
to = "/b/:splat"
status = 302
force = true

  [redirects.query]
  id = ":id"

  [redirects.conditions]
  Language = [ "de", "fr" ]

  [redirects.headers]

[[redirects]]
from = "/*"
to = "/index.html"
status = 200
force = false

[[headers]]
for = "/*"

  [headers.values]
  X-Frame-Options = "DENY"
`, []string{"/a/* /b/:splat 302! map[id::id] {Language:[de fr] Cookie:[] Country:[] Role:[] Other:[]}", "/* /index.html 200"}, map[string]map[string]string{"/*": {"X-Frame-Options": "DENY"}}, ""},
		"old names":        {"[[redirects]]\norigin = '/a'\ndestination = '/b'\nparameters = {x = 'y'}\n", []string{"/a /b 301 map[x:y]"}, nil, ""},
		"status as text":   {"[[redirects]]\nfrom = '/a'\nto = '/b'\nstatus = '302!'\n", []string{"/a /b 302!"}, nil, ""},
		"small conditions": {"[[redirects]]\nfrom = '/a'\nto = '/b'\nconditions = {language = 'de, fr', cookie = ['c']}\n", []string{"/a /b 301 {Language:[de fr] Cookie:[c] Country:[] Role:[] Other:[]}"}, nil, ""},
		"no target":        {"[[redirects]]\nfrom = '/a/*'\nstatus = 200\n", []string{"/a/* /a/:splat 200"}, nil, ""},
		"without slashes":  {"[[redirects]]\nfrom = 'a/*'\nto = 'index.html'\nstatus = 200\n[[headers]]\nfor = '*.js'\nvalues = {A = 'b'}\n", []string{"a/* /index.html 200"}, map[string]map[string]string{"*.js": {"A": "b"}}, ""},
		"inline":           {"redirects = [{from = '/a', to = '/b'}, {from = '/c', to = '/d'}]\n", []string{"/a /b 301", "/c /d 301"}, nil, ""},
		"only warnings":    {"[[redirects]]\nfrom = '/a/*'\nto = 'https://e.example/:splat'\nstatus = 200\nsigned = 'KEY'\n", []string{"/a/* https://e.example/:splat 200"}, nil, ""},
		"values over lines": {"[[headers]]\nfor = '/a'\n[headers.values]\ncache-control = '''\n\tmax-age=0,\n\tno-cache'''\nLink = ['<a>', '<b>']\n", nil,
			map[string]map[string]string{"/a": {"cache-control": "max-age=0, no-cache", "Link": "<a>, <b>"}}, ""},
		"no values": {"[[headers]]\nfor = '/a'\n", nil, nil, ""},

		"no TOML":         {"[build]\n\nx = = 1\n", nil, nil, "netlify.toml:3: is not valid TOML"},
		"no from":         {"\n[[redirects]]\nto = '/b'\n", nil, nil, "netlify.toml:2: the redirect has no from"},
		"the second":      {"[[redirects]]\nfrom = '/a'\nto = '/b'\n\n  [[ redirects ]]\nfrom = '/a'\n", nil, nil, "netlify.toml:5: it is not said where the redirect from /a leads"},
		"types":           {"[[redirects]]\nfrom = 1\nto = '/b'\n", nil, nil, "netlify.toml:1: from of a redirect must be a string"},
		"force":           {"[[redirects]]\nfrom = '/a'\nto = '/b'\nforce = 1\n", nil, nil, "force of a redirect must be true or false"},
		"status":          {"[[redirects]]\nfrom = '/a'\nto = '/b'\nstatus = 'no'\n", nil, nil, "status of a redirect must be a number"},
		"query":           {"[[redirects]]\nfrom = '/a'\nto = '/b'\nquery = 'x'\n", nil, nil, "query of a redirect must be a table"},
		"conditions":      {"[[redirects]]\nfrom = '/a'\nto = '/b'\nconditions = {Language = 1}\n", nil, nil, "conditions.Language of a redirect must be a list of strings"},
		"one table":       {"[redirects]\nfrom = '/a'\n", nil, nil, "redirects must be tables: write [[redirects]] above each"},
		"list of strings": {"redirects = ['/a']\n", nil, nil, "redirects must be tables"},
		"other scheme":    {"[[redirects]]\nfrom = '/a'\nto = 'ftp://e.example/'\n", nil, nil, "must start with"},
		"headers of host": {"[[headers]]\nfor = 'https://e.example/*'\nvalues = {A = 'b'}\n", nil, nil, "those of one host are not read"},
		"password":        {"[[headers]]\nfor = '/a'\n[headers.values]\nBasic-Auth = 'me:x'\n", nil, nil, "netlify.toml:1: headers for /a: Basic-Auth is not supported"},
		"number":          {"[[headers]]\nfor = '/a'\n[headers.values]\nA = 1\n", nil, nil, "the header A must be a string"},
		"no for":          {"[[headers]]\n[headers.values]\nA = 'b'\n", nil, nil, "the headers have no for"},
		"lines in a text": {"x = '''\n[[redirects]]\n'''\n[[redirects]]\nto = '/b'\n", nil, nil, "netlify.toml: the redirect has no from"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redirects, headers, err := rulefile.FromTOML([]byte(tt.text))
			if tt.err != "" {
				if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("FromTOML = %v, want invalid with %q", err, tt.err)
				}
				return
			}
			got := map[string]map[string]string{}
			for _, h := range headers {
				got[h.For] = h.Values
			}
			if err != nil || !slices.Equal(shown(redirects), tt.want) || len(got)+len(tt.headers) > 0 && !reflect.DeepEqual(got, tt.headers) {
				t.Errorf("FromTOML = %q, %v, %v; want %q, %v", shown(redirects), got, err, tt.want, tt.headers)
			}
		})
	}
}

// FuzzRules: nothing that somebody writes makes a reader panic, what is read can
// be deployed, and every note has its place.
func FuzzRules(f *testing.F) {
	f.Add("/a id=:id /b/:id 302! Language=de,fr # why")
	f.Add("/* https://e.example/:splat 200\n/a\n")
	f.Add("/*\n  Cache-Control: max-age=1\n  Link: <a>\n")
	f.Add("[[redirects]]\nfrom = '/a'\nto = '/b'\nquery = {a = 'b'}\n[[headers]]\nfor = '/*'\nvalues = {A = ['b', 'c']}\n")
	f.Fuzz(func(t *testing.T, text string) {
		check := func(r rulefile.Rules) {
			for _, redirect := range r.Redirects {
				if err := redirect.Validate(); err != nil {
					t.Fatalf("%q gives a redirect that is not valid: %v", text, err)
				}
			}
			for _, h := range r.Headers {
				if err := h.Validate(); err != nil && !strings.Contains(err.Error(), "the value of") { // joined it may be too long
					t.Fatalf("%q gives headers that are not valid: %v", text, err)
				}
			}
			for _, n := range r.Notes {
				if n.Line < 1 || n.Line > strings.Count(text, "\n")+1 || n.Column < 1 {
					t.Fatalf("%q: the note %+v has no place", text, n)
				}
			}
		}
		check(rulefile.Redirects(text))
		check(rulefile.Headers(text))
		redirects, headers, err := rulefile.FromTOML([]byte(text))
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("FromTOML(%q) = %v, want an invalid fault", text, err)
		}
		check(rulefile.Rules{Redirects: redirects, Headers: headers})
	})
}
