package contract

import (
	"fmt"
	"strings"

	"github.com/nightshift/nightshift/test/contract/golden"
)

// difference is a chosen difference of whole answers.
type difference struct {
	id    string // its row in docs/compatibility.md
	cases map[string]own
}

// own is what we answer instead.
type own struct {
	status int
	has    string // contained in the body; empty: the body is empty, anything: any body
	lacks  string // not contained in the body
	report string // contained in what the function reports
}

const anything = "*"

func (o own) complaints(got golden.Answer) []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if got.Status != o.status {
		complain("status %d, want our own %d", got.Status, o.status)
	}
	body := got.Body + got.Hex
	if o.has == "" && body != "" || o.has != anything && !strings.Contains(body, o.has) {
		complain("body %q, want %q in it", got.Body, o.has)
	}
	if o.lacks != "" && strings.Contains(got.Body, o.lacks) {
		complain("body %q, want no %q in it", got.Body, o.lacks)
	}
	if !strings.Contains(got.Report, o.report) {
		complain("report %q, want %q in it", got.Report, o.report)
	}
	return out
}

// chosenFor finds the difference that a case stands for.
func chosenFor(name string) (id string, o own, ok bool) {
	for _, d := range differences {
		if o, ok := d.cases[name]; ok {
			return d.id, o, true
		}
	}
	return "", own{}, false
}

// differences are the chosen differences, in the order of docs/compatibility.md.
var differences = []difference{
	{"build-errors", map[string]own{
		"v1-syntax":          {status: 500, has: "v1-syntax could not be built."},
		"v1-module-fn":       {status: 500, has: "v1-module-fn could not be built."},
		"v1-require-missing": {status: 500, has: "v1-require-missing could not be built."},
		"v2-object-nofetch":  {status: 500, has: "v2-object-nofetch could not be built."},
		"sched-badcron":      {status: 500, has: "sched-badcron could not be built."},
	}},
	{"not-a-function", map[string]own{
		"empty-file": {status: 404, has: "Function not found..."},
		"no-exports": {status: 404, has: "Function not found..."},
	}},
	{"bad-name", map[string]own{
		"bad-name-space":   {status: 400, has: "Function name should consist only of"},
		"bad-name-unknown": {status: 400, has: "Function name should consist only of"},
		"bad-name-percent": {status: 400, has: "Function name should consist only of"},
	}},
	{"config-read", map[string]own{
		"v2-satisfies":             {status: 200, has: "at /satisfies"},
		"v2-satisfies-default-url": {status: 404, has: "404 Not Found"},
		"v2-as":                    {status: 200, has: "at /as"},
		"v2-as-default-url":        {status: 404, has: "404 Not Found"},
		"v2-template":              {status: 200, has: "at /template"},
		"v2-template-default-url":  {status: 404, has: "404 Not Found"},
		"v2-variable":              {status: 200, has: "at /variable"},
		"v2-variable-default-url":  {status: 404, has: "404 Not Found"},
		"v2-object-satisfies":      {status: 200, has: "object satisfies /object-satisfies"},
		"v2-jsx":                   {status: 200, has: "<p>jsx</p>"},
		"v2-jsx-default-url":       {status: 404, has: "404 Not Found"},
	}},
	{"bundled-always", map[string]own{
		"v1-esm":        {status: 200, has: `"meta":"string"`},
		"v1-tsx":        {status: 200, has: "tsx v1"},
		"v1-require-ts": {status: 200, has: "typed 1 red"},
	}},
	{"object-this", map[string]own{"v2-object-this": {status: 200, has: "this is own"}}},
	{"path-as-written", map[string]own{
		"pattern-case":              {status: 200, has: `"params":{"Id":"ID"}`},
		"pattern-case-lower":        {status: 200, has: `"params":{}`},
		"pattern-trailing":          {status: 200, has: "/p13/trail"},
		"pattern-trailing-slash":    {status: 200, has: "/p13/trail/"},
		"pattern-param-slash":       {status: 200, has: "/p14/v"},
		"pattern-param-slash-slash": {status: 200, has: "/p14/v/"},
		"path-below-prefix":         {status: 200, has: "own path below the default prefix"},
	}},
	{"double-slash", map[string]own{"v2-path-two-slashes": {status: 404, has: "404 Not Found"}}},
	{"several-match", map[string]own{"two-first": {status: 200, has: "a"}}},
	{"body-without-type", map[string]own{
		"v1-echo-noct-body": {status: 200, has: `"body": "bG9zdA=="`},
		"v2-echo-noct-body": {status: 200, has: `"body":"kept?"`},
		"bg-noct-body":      {status: 202, report: `"body":"bG9zdA=="`},
	}},
	{"empty-body", map[string]own{"v1-echo-empty-body": {status: 200, has: anything, lacks: `"body"`}}},
	{"bytes-kept", map[string]own{
		"v2-request-bytes-text": {status: 200, has: `{"hex":"00ff80c3a9"}`},
		"v1-echo-latin1-body":   {status: 200, has: `"body": "Y2Fm6Q=="`},
	}},
	{"forwarded-for", map[string]own{"v1-echo-forwarded": {status: 200, has: `"x-forwarded-for": "127.0.0.1"`, lacks: "x-forwarded-host"}}},
	{"forged-headers", map[string]own{"v1-echo-forged": {status: 200, has: `"client-ip": "127.0.0.1"`, lacks: "x-nf-event"}}},
	{"repeated-headers", map[string]own{
		"v1-echo-cookies": {status: 200, has: `"b=2,3"`},
		"v1-echo-headers": {status: 200, has: `"c/d"`},
	}},
	{"thrown-values", map[string]own{
		"v1-throws-string":         {status: 500, has: "string: only text"},
		"v1-throws-number":         {status: 500, has: "number: 42"},
		"v1-throws-object":         {status: 500, has: `object: {"a":1}`},
		"v1-throws-object-message": {status: 500, has: "from an object"},
		"v1-throws-null":           {status: 500, has: "null"},
		"v1-throws-undefined":      {status: 500, has: "undefined"},
		"v1-throws-no-stack":       {status: 500, has: "Error: without stack"},
		"v1-callback-text":         {status: 500, has: "string: only text"},
		"v1-context-fail-text":     {status: 500, has: "string: failed by text"},
		"v2-throws-string":         {status: 500, has: "string: only text"},
		"v2-throws-number":         {status: 500, has: "number: 42"},
		"v2-throws-object":         {status: 500, has: `object: {"a":1}`},
		"v2-throws-response":       {status: 500, has: "object: {}"},
		"v2-throws-null":           {status: 500, has: "null: null"},
		"v2-throws-undefined":      {status: 500, has: "undefined: undefined"},
	}},
	{"better-errors", map[string]own{
		"v1-no-handler":               {status: 500, has: `must export a function named "handler"`},
		"v1-handler-no-function":      {status: 500, has: `must export a function named "handler"`},
		"v2-context-cookie-space":     {status: 500, has: "the value of the cookie c has characters that a cookie cannot hold"},
		"v2-context-cookie-semicolon": {status: 500, has: "the value of the cookie c has characters that a cookie cannot hold"},
		"v2-context-cookie-unicode":   {status: 500, has: "the value of the cookie c has characters that a cookie cannot hold"},
		"v2-context-cookie-name":      {status: 500, has: "cookie"},
	}},
	{"header-values", map[string]own{
		"v1-returns-headers-latin1": {status: 200, has: "ok"},
	}},
	{"v1-web-values", map[string]own{
		"v1-returns-body-web-stream": {status: 200, has: "web"},
	}},
	{"builders-url", map[string]own{
		"v1-builder-url":     {status: 404, has: "404 Not Found"},
		"v1-builder-url-not": {status: 404, has: "404 Not Found"},
	}},
	{"static-range", map[string]own{"static-range": {status: 206, has: "h1>"}}},
	{"static-hidden", map[string]own{"static-hidden": {status: 404, has: "404 Not Found", lacks: "hidden"}}},
	{"background-size", map[string]own{"bg-300kb": {status: 413, has: "Request body too large: the limit is 256 KiB."}}},
	{"sync-size", map[string]own{"sync-7mb": {status: 413, has: "Request body too large: the limit is 6144 KiB."}}},
	{"scheduled-answer", map[string]own{
		"sched-v1-get":       {status: 200, has: `"body":"{\"next_run\":\"TIME\"}","isBase64Encoded":false,"queryStringParameters":{},"clientContext":{},"event":"schedule","agent":"Netlify Clockwork","multi":false`},
		"sched-v1-post":      {status: 200, has: `"httpMethod":"POST","body":"{\"next_run\":\"TIME\"}"`},
		"sched-v1-html":      {status: 200, has: `"path":"/.netlify/functions/sched-v1","httpMethod":"POST"`},
		"sched-v1-jwt":       {status: 200, has: `"clientContext":{}`},
		"sched-v2-post":      {status: 200, has: `"method":"POST","url":"http://HOST/.netlify/functions/sched-v2","body":"{\"next_run\":\"TIME\"}","event":"schedule","agent":"Netlify Clockwork"`},
		"sched-v2-get":       {status: 200, has: `"method":"POST","url":"http://HOST/.netlify/functions/sched-v2","body":"{\"next_run\":\"TIME\"}"`},
		"sched-v2-subpath":   {status: 200, has: `"method":"POST","url":"http://HOST/.netlify/functions/sched-v2"`},
		"sched-500":          {status: 500, has: "broken"},
		"sched-throw":        {status: 500, has: "Error: thrown on schedule"},
		"sched-throw-html":   {status: 500, has: "<!doctype html>"},
		"sched-v1-500":       {status: 500, has: "broken"},
		"sched-v1-undefined": {status: 204},
		"sched-const":        {status: 200},
		"sched-toml":         {status: 200, has: "toml-sched"},
		"sched-toml-glob":    {status: 200, has: "glob-sched"},
	}},
	{"scheduled-background", map[string]own{
		"sched-bg":     {status: 200, has: "x"},
		"sched-bg-get": {status: 200, has: "x"},
	}},
}
