package golden

import "strings"

// Case is one request that both servers get.
type Case struct {
	Name    string
	Section Section
	Request Request
	// Reports says that the function tells the collector what it saw, because
	// the answer does not.
	Reports bool
}

// Section is the part of the contract that a case belongs to.
type Section string

// The parts of the contract, in the order of docs/compatibility.md.
const (
	Discovery  Section = "Discovery"
	Toml       Section = "netlify.toml"
	InSource   Section = "In-source config"
	Routing    Section = "Routing"
	V1         Section = "v1: event, context, callback"
	V2         Section = "v2: Request, Context"
	Background Section = "Background"
	Scheduled  Section = "Scheduled"
	Limits     Section = "Limits"
	Static     Section = "Static files"
)

// Sections lists them in that order.
var Sections = []Section{Discovery, Toml, InSource, Routing, V1, V2, Background, Scheduled, Limits, Static}

const (
	octets   = "application/octet-stream"
	form     = "application/x-www-form-urlencoded"
	jsonType = "application/json"
	plain    = "text/plain"
	// jwt holds {"sub":"123","email":"a@b.c"}; nobody checks its signature.
	jwt = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjMiLCJlbWFpbCI6ImFAYi5jIn0.x"
)

// fn is the default URL of a function.
func fn(name string) string { return "/.netlify/functions/" + name }

// ask makes a request without a body; headers are name and value in turn.
func ask(method, path string, headers ...string) Request {
	r := Request{Method: method, Path: path}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, Header{headers[i], headers[i+1]})
	}
	return r
}

func get(path string, headers ...string) Request { return ask("GET", path, headers...) }

// send makes a request with a body; an empty type sends no Content-Type.
func send(method, path, contentType, body string, headers ...string) Request {
	r := ask(method, path, headers...)
	if contentType != "" {
		r.Headers = append(r.Headers, Header{"content-type", contentType})
	}
	r.Body = body
	return r
}

func post(path, contentType, body string, headers ...string) Request {
	return send("POST", path, contentType, body, headers...)
}

// each makes a case of every word: the functions that it calls choose what to
// do by the query.
func each(section Section, prefix, function, words string) []Case {
	var out []Case
	for _, word := range strings.Fields(words) {
		out = append(out, Case{Name: prefix + word, Section: section, Request: get(fn(function) + "?case=" + word)})
	}
	return out
}

// paths makes a case of every path, named after its place in the list.
func calls(section Section, list ...string) []Case {
	var out []Case
	for i := 0; i < len(list); i += 2 {
		out = append(out, Case{Name: list[i], Section: section, Request: get(list[i+1])})
	}
	return out
}

// Cases are all of them. The one that ends the recorded server comes last.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{
		discovery(), toml(), inSource(), routing(), v1(), v2(), background(), scheduled(), static(), limits(),
	} {
		all = append(all, part...)
	}
	return all
}

func discovery() []Case {
	return append(calls(Discovery,
		"noop", fn("noop"),
		"dup", fn("dup"),
		"dup-ts", fn("dup-ts"),
		"samename", fn("samename"),
		"dir-without-entry", fn("v1-lib"),
		"dir-named", fn("dir-named"),
		"dir-index", fn("dir-index"),
		"dir-order", fn("dir-order"),
		"dir-ts", fn("dir-ts"),
		"dir-mts", "/dir-mts",
		"dir-helper", fn("dir-helper"),
		"dir-esm", fn("dir-esm"),
		"dir-nested", fn("dir-nested"),
		"dir-nested-inner", fn("dir-nested/inner"),
		"case-fn", fn("NOOP"),
		"ext-fn", fn("noop.js"),
		"no-such-fn", fn("no-such-fn"),
		"bad-name", fn("bad.name"),
		"bad-name-space", fn("bad%20space"),
		"bad-name-unknown", fn("no!such"),
		"bad-name-percent", fn("n%6Fop"),
		"underscore", fn("_under_score-9"),
		"other-extension", fn("notes"),
		"json-extension", fn("data"),
		"jsx-extension", fn("old"),
		"declaration", fn("types.d"),
		"no-name", "/.netlify/functions",
		"no-name-slash", fn(""),
		"empty-file", fn("empty"),
		"no-exports", fn("only-helper"),
		"event-name", fn("deploy-succeeded"),
	),
		Case{Name: "no-such-fn-post", Section: Discovery, Request: post(fn("no-such-fn"), jsonType, "{}")},
		Case{Name: "no-such-fn-html", Section: Discovery, Request: get(fn("no-such-fn"), "accept", "text/html")},
	)
}

func toml() []Case {
	return []Case{
		{Name: "bg-toml", Section: Toml, Request: post(fn("toml-bg"), jsonType, `{"n":1}`), Reports: true},
		{Name: "sched-toml", Section: Toml, Request: post(fn("toml-sched"), "", "")},
		{Name: "sched-toml-glob", Section: Toml, Request: post(fn("glob-sched"), "", "")},
		{Name: "env-toml", Section: Toml, Request: get(fn("v1-env"))},
		{Name: "included-v1", Section: Toml, Request: get(fn("v1-included"))},
		{Name: "included-v2", Section: Toml, Request: get(fn("v2-included"))},
	}
}

func inSource() []Case {
	return append(calls(InSource,
		"v1-default-and-handler", fn("v1-default-and-handler"),
		"v2-tsjson", "/tsjson",
		"v2-tsjson-default-url", fn("v2-json"),
		"v2-ts", "/ts/7",
		"v2-tsx", "/tsx",
		"v2-jsx", "/jsx",
		"v2-jsx-default-url", fn("v2-jsx"),
		"v2-cts", "/cts/1",
		"v2-cjs", "/cjs",
		"v2-module-default", fn("v2-module-default"),
		"v2-default-js", fn("v2-default-js"),
		"v2-default-as", "/default-as",
		"v2-default-fn", fn("v2-default-fn"),
		"v2-satisfies", "/satisfies",
		"v2-satisfies-default-url", fn("v2-satisfies"),
		"v2-as", "/as",
		"v2-as-default-url", fn("v2-as"),
		"v2-template", "/template",
		"v2-template-default-url", fn("v2-template"),
		"v2-variable", "/variable",
		"v2-variable-default-url", fn("v2-variable"),
		"v2-object", "/object/1",
		"v2-object-satisfies", "/object-satisfies",
		"v2-object-plain", fn("v2-object-plain"),
		"v2-object-nofetch", fn("v2-object-nofetch"),
		"v2-object-this", fn("v2-object-this"),
		"v2-name", fn("v2-name"),
		"v2-import", fn("v2-import"),
		"v1-ts", fn("v1-ts"),
		"v1-tsx", fn("v1-tsx"),
		"v1-cts", fn("v1-cts"),
		"v1-cjs", fn("v1-cjs"),
		"v1-esm", fn("v1-esm"),
		"v1-esm-js", fn("v1-esm-js"),
		"v1-require", fn("v1-require"),
		"v1-require-ts", fn("v1-require-ts"),
		"v1-import-await", fn("v1-import-await"),
		"v1-reexport", fn("v1-reexport"),
		"v1-module-fn", fn("v1-module-fn"),
		"v1-syntax", fn("v1-syntax"),
		"v1-no-handler", fn("v1-no-handler"),
		"v1-handler-no-function", fn("v1-handler-no-function"),
		"v1-throws-load", fn("v1-throws-load"),
		"v1-require-missing", fn("v1-require-missing"),
		"v2-throws-load", fn("v2-throws-load"),
	),
		Case{Name: "v2-object-method", Section: InSource, Request: ask("DELETE", "/object/1")},
	)
}

func routing() []Case {
	return append(calls(Routing,
		"v2-path-id", "/items/42?q=1",
		"v2-path-slash", "/items/42/",
		"v2-path-two-slashes", "/items/42//",
		"v2-path-case", "/Items/AbC",
		"v2-path-value-case", "/items/AbC",
		"v2-path-sub", "/items/42/sub/x%20y",
		"v2-path-encoded", "/items/%C3%A9",
		"v2-path-encoded-slash", "/items/a%2Fb",
		"v2-path-unreserved", "/items/a+b~c'(d)",
		"v2-path-excluded", "/items/secret",
		"v2-path-excluded-slash", "/items/secret/",
		"v2-path-excluded-case", "/items/SECRET",
		"v2-path-lit", "/lit",
		"v2-path-lit-slash", "/lit/",
		"v2-path-lit-case", "/LIT",
		"v2-path-lit-longer", "/lit/more",
		"v2-path-wild", "/files/a/b.txt",
		"v2-path-wild-empty", "/files/",
		"v2-path-wild-none", "/files",
		"v2-path-wild-query", "/files/x?y=/z",
		"v2-path-opt1", "/opt",
		"v2-path-opt2", "/opt/z",
		"v2-path-default-url", fn("v2-path"),
		"v2-path-none", "/items",
		"v2-method-bad", "/only-post",
		"pattern-pair", "/p1/x-y",
		"pattern-pair-none", "/p1/x",
		"pattern-digits", "/p2/12",
		"pattern-digits-none", "/p2/ab",
		"pattern-plus", "/p3/a/b/c",
		"pattern-plus-none", "/p3",
		"pattern-star", "/p4/a/b",
		"pattern-star-none", "/p4",
		"pattern-two-wild", "/p5/1/mid/2/3",
		"pattern-optional", "/p6/1",
		"pattern-optional-none", "/p6",
		"pattern-choice", "/p7/foo",
		"pattern-choice-none", "/p7/baz",
		"pattern-case", "/p8/Case/ID",
		"pattern-case-lower", "/p8/case/ID",
		"pattern-dot", "/p9.v1/thing",
		"pattern-dot-any", "/p9xv1/thing",
		"pattern-extension", "/p10/a.txt",
		"pattern-group", "/p11/de/end",
		"pattern-group-none", "/p11/end",
		"pattern-suffix", "/p12/a.txt",
		"pattern-suffix-none", "/p12/a.css",
		"pattern-trailing", "/p13/trail",
		"pattern-trailing-slash", "/p13/trail/",
		"pattern-param-slash", "/p14/v",
		"pattern-param-slash-slash", "/p14/v/",
		"pattern-encoded-literal", "/p15/a%20b",
		"pattern-unicode-literal", "/p16/%C3%A9",
		"pattern-unicode-name", "/p17/v",
		"pattern-colon", "/p18/literal:colon",
		"excluded-wild", "/ex/yes",
		"excluded-pattern", "/ex/not/1",
		"excluded-literal", "/ex/lit",
		"excluded-suffix", "/ex/a.css",
		"excluded-deeper", "/ex/not/1/2",
		"two-first", "/two/b",
		"two-second", "/two-b",
		"path-string", "/path-string",
		"path-string-default-url", fn("v2-path-string"),
		"path-api", "/api/a/b",
		"path-below-prefix", fn("other-name"),
		"prefer-static", "/static.txt",
		"prefer-static-none", "/prefer-none",
		"prefer-static-folder", "/sub",
		"prefer-static-deep", "/deep/file.txt",
		"prefer-static-deep-none", "/deep/other.txt",
		"function-over-static", "/shadow.txt",
		"sub-path", fn("noop/sub/path"),
		"trailing-slash", fn("noop/"),
		"double-slash", "/.netlify/functions//noop",
		"methods-get", "/methods",
	),
		Case{Name: "v2-path-default-url-post", Section: Routing, Request: post(fn("v2-path"), jsonType, "{}")},
		Case{Name: "v2-method", Section: Routing, Request: post("/only-post", "", "")},
		Case{Name: "v2-method-bad-put", Section: Routing, Request: send("PUT", "/only-post", plain, "x")},
		Case{Name: "v2-method-head", Section: Routing, Request: ask("HEAD", "/only-post")},
		Case{Name: "methods-put", Section: Routing, Request: send("PUT", "/methods", plain, "x")},
		Case{Name: "methods-options", Section: Routing, Request: ask("OPTIONS", "/methods")},
		Case{Name: "methods-head", Section: Routing, Request: ask("HEAD", "/methods")},
		Case{Name: "methods-post", Section: Routing, Request: post("/methods", plain, "x")},
		Case{Name: "prefer-static-post", Section: Routing, Request: post("/static.txt", plain, "x")},
		Case{Name: "prefer-static-head", Section: Routing, Request: ask("HEAD", "/static.txt")},
		Case{Name: "no-route-post", Section: Routing, Request: post("/nothing-here", plain, "x")},
	)
}

func v1() []Case {
	echo := fn("v1-echo")
	cases := []Case{
		{Name: "sync-v1-options", Request: ask("OPTIONS", echo)},
		{Name: "v1-echo", Request: get(echo)},
		{Name: "v1-echo-query-multi", Request: get(echo+"?a=1&a=2&b=x%20y&c=&d&e[]=1&e[]=2&%C3%A9=%E2%9C%93", "X-Custom-Header", "MiXed", "Cookie", "a=1; b=2")},
		{Name: "v1-echo-query-plus", Request: get(echo + "?a=x+y&b=%2B&c=a%26b&=empty&&a=%3D")},
		{Name: "v1-echo-query-bad-escape", Request: get(echo + "?a=%zz&b=%&c=%E2%9C")},
		{Name: "v1-echo-query-object", Request: get(echo + "?a[b]=1&a.c=2&__proto__=x")},
		{Name: "v1-echo-query-empty", Request: get(echo + "?")},
		{Name: "v1-echo-query-comma", Request: get(echo + "?a=1,2&a=3")},
		{Name: "v1-echo-subpath", Request: get(echo + "/sub/path?x=1")},
		{Name: "v1-echo-subpath-slash", Request: get(echo + "/")},
		{Name: "v1-echo-subpath-encoded", Request: get(echo + "/a%20b/%C3%A9%2Fc")},
		{Name: "v1-echo-octet-body", Request: post(echo, octets, "\x00\x01\x02\xff")},
		{Name: "v1-echo-json-body", Request: post(echo, jsonType, `{"a":"é"}`)},
		{Name: "v1-echo-json-charset", Request: post(echo, "application/json; charset=utf-8", `{"a":1}`)},
		{Name: "v1-echo-json-invalid", Request: post(echo, jsonType, `{"a":`)},
		{Name: "v1-echo-text-body", Request: post(echo, "text/plain; charset=utf-8", "héllo\n")},
		{Name: "v1-echo-text-upper", Request: post(echo, "TEXT/Plain", "hello")},
		{Name: "v1-echo-form-body", Request: post(echo, form, "a=1&b=x+y&a=2")},
		{Name: "v1-echo-multipart-body", Request: post(echo, "multipart/form-data; boundary=b", "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n")},
		{Name: "v1-echo-xml-body", Request: post(echo, "application/xml", "<a/>")},
		{Name: "v1-echo-svg-body", Request: post(echo, "image/svg+xml", "<svg/>")},
		{Name: "v1-echo-api-json-body", Request: post(echo, "application/vnd.api+json", "{}")},
		{Name: "v1-echo-ndjson-body", Request: post(echo, "application/x-ndjson", "{}\n{}")},
		{Name: "v1-echo-graphql-body", Request: post(echo, "application/graphql", "{x}")},
		{Name: "v1-echo-javascript-body", Request: post(echo, "application/javascript", "1")},
		{Name: "v1-echo-csp-body", Request: post(echo, "application/csp-report", "{}")},
		{Name: "v1-echo-png-body", Request: post(echo, "image/png", "\x89PNG")},
		{Name: "v1-echo-latin1-body", Request: post(echo, "text/plain; charset=iso-8859-1", "caf\xe9")},
		{Name: "v1-echo-noct-body", Request: post(echo, "", "lost")},
		{Name: "v1-echo-empty-body", Request: post(echo, jsonType, "")},
		{Name: "v1-echo-put", Request: send("PUT", echo, jsonType, `{}`)},
		{Name: "v1-echo-patch", Request: send("PATCH", echo, plain, `x`)},
		{Name: "v1-echo-delete", Request: ask("DELETE", echo)},
		{Name: "v1-echo-delete-body", Request: send("DELETE", echo, plain, "x")},
		{Name: "v1-echo-get-body", Request: send("GET", echo, plain, "x")},
		{Name: "v1-echo-head", Request: ask("HEAD", echo)},
		{Name: "v1-echo-headers", Request: get(echo, "X-Multi", "1", "X-Multi", "2", "Accept", "a/b", "Accept", "c/d", "X-Empty", "", "User-Agent", "me")},
		{Name: "v1-echo-cookies", Request: get(echo, "Cookie", "a=1", "Cookie", "b=2,3")},
		{Name: "v1-echo-forwarded", Request: get(echo, "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "example.com")},
		{Name: "v1-echo-forged", Request: get(echo, "client-ip", "192.0.2.7", "x-nf-client-connection-ip", "192.0.2.7", "x-nf-event", "schedule")},
		{Name: "v1-echo-bearer-jwt", Request: get(echo, "authorization", jwt)},
		{Name: "v1-echo-bearer-opaque", Request: get(echo, "authorization", "Bearer opaque")},
		{Name: "v1-echo-basic", Request: get(echo, "authorization", "Basic YTpi")},
		{Name: "v1-nobody", Request: get(fn("v1-nobody"))},
		{Name: "v1-undefined", Request: get(fn("v1-undefined"))},
		{Name: "v1-undefined-html", Request: get(fn("v1-undefined"), "accept", "text/html")},
		{Name: "v1-binary", Request: get(fn("v1-binary"))},
		{Name: "v1-binary-head", Request: ask("HEAD", fn("v1-binary"))},
		{Name: "v1-throw", Request: get(fn("v1-throw"))},
		{Name: "v1-throw-html", Request: get(fn("v1-throw"), "accept", "text/html,*/*")},
		{Name: "v1-throw-json", Request: get(fn("v1-throw"), "accept", jsonType)},
		{Name: "v1-throws-sync", Request: get(fn("v1-throws-sync"))},
		{Name: "v1-callback-later", Request: get(fn("v1-callback") + "?case=ok&later=1")},
		{Name: "v1-callback-async", Request: get(fn("v1-callback-async"))},
		{Name: "v1-state", Request: get(fn("v1-state"))},
		{Name: "v1-stream", Request: get(fn("v1-stream"))},
		{Name: "v1-stream-text", Request: get(fn("v1-stream") + "?text=1")},
		{Name: "v1-stream-status", Request: get(fn("v1-stream") + "?status=418")},
		{Name: "v1-builder", Request: get(fn("v1-builder") + "?a=1")},
		{Name: "v1-builder-post", Request: post(fn("v1-builder"), plain, "x")},
		{Name: "v1-builder-head", Request: ask("HEAD", fn("v1-builder"))},
		{Name: "v1-builder-url", Request: get("/.netlify/builders/v1-builder?a=1")},
		{Name: "v1-builder-url-not", Request: get("/.netlify/builders/noop")},
	}
	for i := range cases {
		cases[i].Section = V1
	}
	cases = append(cases, each(V1, "v1-callback-", "v1-callback", "ok error text both nothing null bad")...)
	cases = append(cases, each(V1, "v1-context-", "v1-context", "succeed done done-error fail fail-text fields")...)
	cases = append(cases, each(V1, "v1-throws-", "v1-throws", "error own unnamed string number null undefined object object-message cause lines empty-message aggregate status no-stack")...)
	return append(cases, each(V1, "v1-returns-", "v1-returns", `
		numeric-string status-float status-bad status-none status-null status-nan status-500 status-404 status-304 status-204-body status-301 status-599
		body-object body-number body-true body-false body-zero body-array body-null body-undefined body-empty body-none body-buffer body-unicode
		body-lone-surrogate body-readable body-web-stream
		base64 base64-text base64-bad base64-url base64-flag-string base64-no-body
		headers-types headers-null headers-null-value headers-undefined-value headers-array headers-bad-name headers-line-break headers-latin1 headers-unicode
		multi-value multi-value-case multi-value-number multi-value-string cookie-array-in-headers content-length content-type-json cache-control
		number text true array null empty-object response-object metadata unknown-keys`)...)
}

func v2() []Case {
	echo, request := fn("v2-echo"), fn("v2-request")
	cases := []Case{
		{Name: "v2-echo", Request: get(echo)},
		{Name: "v2-echo-post", Request: post(echo, jsonType, `{"a":1}`)},
		{Name: "v2-echo-query", Request: get(echo + "?a=1&a=2&b=x%20y&c")},
		{Name: "v2-echo-subpath", Request: get(echo + "/sub/p%20q")},
		{Name: "v2-echo-jwt", Request: get(echo, "authorization", jwt)},
		{Name: "v2-echo-noct-body", Request: post(echo, "", "kept?")},
		{Name: "v2-echo-headers", Request: get(echo, "X-Multi", "1", "X-Multi", "2", "Cookie", "a=1; b=2", "X-Empty", "", "User-Agent", "me")},
		{Name: "v2-echo-head", Request: ask("HEAD", echo)},
		{Name: "v2-request-get", Request: get(request)},
		{Name: "v2-request-put", Request: send("PUT", request, plain, "héllo")},
		{Name: "v2-request-patch", Request: send("PATCH", request, jsonType, "[]")},
		{Name: "v2-request-delete", Request: ask("DELETE", request)},
		{Name: "v2-request-delete-body", Request: send("DELETE", request, plain, "x")},
		{Name: "v2-request-options", Request: ask("OPTIONS", request)},
		{Name: "v2-request-json", Request: post(request+"?case=json", jsonType, `{"a":["é"]}`)},
		{Name: "v2-request-json-bad", Request: post(request+"?case=json", jsonType, `{"a":`)},
		{Name: "v2-request-form", Request: post(request+"?case=form", form, "a=1&b=x+y&a=2")},
		{Name: "v2-request-multipart", Request: post(request+"?case=form", "multipart/form-data; boundary=b", "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\ncontent-type: application/x-f\r\n\r\n\x00\xff\r\n--b--\r\n")},
		{Name: "v2-request-bytes", Request: post(request+"?case=bytes", octets, "\x00\xff\x80é")},
		{Name: "v2-request-bytes-text", Request: post(request+"?case=bytes", plain, "\x00\xff\x80é")},
		{Name: "v2-request-size", Request: Request{Method: "POST", Path: request + "?case=size", Headers: []Header{{"content-type", octets}}, Fill: 1 << 20}},
		{Name: "v2-request-meta-get", Request: get(request + "?case=meta")},
		{Name: "v2-request-meta-post", Request: post(request+"?case=meta", plain, "x")},
		{Name: "v2-request-meta-empty-post", Request: post(request+"?case=meta", plain, "")},
		{Name: "v2-request-clone", Request: post(request+"?case=clone", plain, "x")},
		{Name: "v2-request-twice", Request: post(request+"?case=twice", plain, "x")},
		{Name: "v2-request-headers", Request: get(request+"?case=headers", "x-custom", "Kept As Is")},
		{Name: "v2-undefined", Request: get(fn("v2-undefined"))},
		{Name: "v2-undefined-head", Request: ask("HEAD", fn("v2-undefined"))},
		{Name: "v2-nonresponse", Request: get(fn("v2-nonresponse"))},
		{Name: "v2-nonresponse-html", Request: get(fn("v2-nonresponse"), "accept", "text/html")},
		{Name: "v2-stream", Request: get(fn("v2-stream"))},
		{Name: "v2-stream-head", Request: ask("HEAD", fn("v2-stream"))},
		{Name: "v2-binary", Request: post(fn("v2-binary"), octets, "\x00\x09\xff")},
		{Name: "v2-binary-get", Request: get(fn("v2-binary"))},
		{Name: "v2-cookies", Request: get(fn("v2-cookies"), "cookie", "in=yes")},
		{Name: "v2-context-cookies", Request: get(fn("v2-context")+"?case=cookies", "cookie", `in=yes; quoted="q"; encoded=a%20b`)},
		{Name: "v2-redirect", Request: get(fn("v2-redirect"))},
		{Name: "v2-response-head", Request: ask("HEAD", fn("v2-response")+"?case=created")},
		{Name: "v2-throws-html", Request: get(fn("v2-throws")+"?case=error", "accept", "text/html")},
		{Name: "v2-waituntil", Request: get(fn("v2-waituntil")), Reports: true},
		{Name: "v2-fetch", Request: get(fn("v2-fetch"))},
		{Name: "v2-headers-guard", Request: get(fn("v2-headers-guard"))},
	}
	for i := range cases {
		cases[i].Section = V2
	}
	cases = append(cases, each(V2, "v2-response-", "v2-response", `
		created empty null empty-text 204 304 404 500 599 101 json json-own-type error redirect-301 redirect-307 redirect-relative location cookies
		bytes bytes-no-type blob params html unicode no-type encoded content-length big string number null-value object async-undefined cache-control server used
		stream stream-text subclass`)...)
	cases = append(cases, each(V2, "v2-throws-", "v2-throws", "error own string number null undefined object response cause lines reject")...)
	return append(cases, each(V2, "v2-context-", "v2-context", `
		json json-undefined next rewrite rewrite-url rewrite-return log wait wait-value wait-rejects types url fields same-id same-ip global env
		cookies-and-own cookies-immutable cookie-space cookie-semicolon cookie-unicode cookie-name`)...)
}

func background() []Case {
	job := fn("job-background")
	cases := []Case{
		{Name: "bg-post", Request: post(job, jsonType, `{"n":1}`), Reports: true},
		{Name: "bg-put", Request: send("PUT", job, jsonType, `{"n":1}`), Reports: true},
		{Name: "bg-patch", Request: send("PATCH", job, jsonType, `{"n":1}`), Reports: true},
		{Name: "bg-delete", Request: ask("DELETE", job), Reports: true},
		{Name: "bg-get", Request: get(job + "?a=1&a=2"), Reports: true},
		{Name: "bg-head", Request: ask("HEAD", job), Reports: true},
		{Name: "bg-options", Request: ask("OPTIONS", job), Reports: true},
		{Name: "bg-subpath", Request: post(job+"/sub/path", jsonType, "{}"), Reports: true},
		{Name: "bg-octets", Request: post(job, octets, "\x00\xff"), Reports: true},
		{Name: "bg-noct-body", Request: post(job, "", "lost"), Reports: true},
		{Name: "bg-form", Request: post(job, form, "a=1&b=2"), Reports: true},
		{Name: "bg-jwt", Request: post(job, jsonType, `{}`, "authorization", jwt), Reports: true},
		{Name: "bg-html", Request: post(job, jsonType, `{}`, "accept", "text/html"), Reports: true},
		{Name: "bg-isc-path", Request: post("/isc-bg", "", ""), Reports: true},
		{Name: "bg-isc-path-get", Request: get("/isc-bg?x=1"), Reports: true},
		{Name: "bg-isc-path-body", Request: post("/isc-bg", jsonType, `{"a":1}`), Reports: true},
		{Name: "bg-isc-default", Request: post(fn("iscbg"), jsonType, `{}`)},
		{Name: "bg-isc-default-get", Request: get(fn("iscbg"))},
		{Name: "bg-v2", Request: post(fn("bg-v2-background"), jsonType, `{"a":1}`), Reports: true},
		{Name: "bg-v2-octets", Request: post(fn("bg-v2-background"), octets, "\x00\xff\x80"), Reports: true},
		{Name: "bg-throws", Request: post(fn("bg-throws-background"), "", "")},
		{Name: "bg-path", Request: post("/bg/42", jsonType, `{}`), Reports: true},
		{Name: "bg-path-method", Request: get("/bg/42")},
		{Name: "bg-path-default-url", Request: post(fn("bg-path-background"), jsonType, "{}")},
		{Name: "bg-ts", Request: post(fn("bg-ts-background"), plain, "typed"), Reports: true},
		{Name: "bg-no-suffix", Request: post(fn("job"), jsonType, `{}`)},
	}
	for i := range cases {
		cases[i].Section = Background
	}
	return cases
}

func scheduled() []Case {
	cases := []Case{
		{Name: "sched-v1-get", Request: get(fn("sched-v1")), Reports: true},
		{Name: "sched-v1-post", Request: post(fn("sched-v1"), jsonType, `{"mine":1}`), Reports: true},
		{Name: "sched-v1-html", Request: get(fn("sched-v1"), "accept", "text/html"), Reports: true},
		{Name: "sched-v1-jwt", Request: get(fn("sched-v1"), "authorization", jwt), Reports: true},
		{Name: "sched-v2-post", Request: post(fn("sched-v2"), jsonType, ""), Reports: true},
		{Name: "sched-v2-get", Request: get(fn("sched-v2") + "?q=1"), Reports: true},
		{Name: "sched-v2-subpath", Request: get(fn("sched-v2/sub")), Reports: true},
		{Name: "sched-const", Request: get(fn("sched-const"))},
		{Name: "sched-bg", Request: post(fn("schedbg-background"), "", ""), Reports: true},
		{Name: "sched-bg-get", Request: get(fn("schedbg-background")), Reports: true},
		{Name: "sched-500", Request: get(fn("sched-500"))},
		{Name: "sched-throw", Request: get(fn("sched-throw"))},
		{Name: "sched-throw-html", Request: get(fn("sched-throw"), "accept", "text/html")},
		{Name: "sched-v1-500", Request: get(fn("sched-v1-500"))},
		{Name: "sched-v1-undefined", Request: get(fn("sched-v1-undefined"))},
		{Name: "sched-badcron", Request: get(fn("sched-badcron"))},
	}
	for i := range cases {
		cases[i].Section = Scheduled
	}
	return cases
}

func static() []Case {
	return append(calls(Static,
		"static-root", "/",
		"static-root-query", "/?a=1",
		"static-index", "/index.html",
		"static-file", "/page.html",
		"static-file-query", "/page.html?x=1",
		"static-pretty", "/page",
		"static-pretty-slash", "/page/",
		"static-folder-index", "/sub/index.html",
		"static-folder-slash", "/sub/",
		"static-folder-without-index", "/deep",
		"static-json", "/data.json",
		"static-css", "/style.css",
		"static-js", "/app.js",
		"static-png", "/pixel.png",
		"static-svg", "/icon.svg",
		"static-hidden", "/.hidden",
		"static-space", "/with%20space.txt",
		"static-encoded", "/p%61ge.html",
		"static-case", "/PAGE.HTML",
		"static-missing", "/missing",
		"static-missing-file", "/missing.html",
		"static-missing-deep", "/a/b/c",
		"static-toml", "/netlify.toml",
		"static-dots", "/../netlify.toml",
		"static-dots-encoded", "/%2e%2e/netlify.toml",
		"static-netlify-prefix", "/.netlify/other",
	),
		Case{Name: "static-head", Section: Static, Request: ask("HEAD", "/page.html")},
		Case{Name: "static-post", Section: Static, Request: post("/page.html", plain, "x")},
		Case{Name: "static-put", Section: Static, Request: send("PUT", "/page.html", plain, "x")},
		Case{Name: "static-delete", Section: Static, Request: ask("DELETE", "/page.html")},
		Case{Name: "static-options", Section: Static, Request: ask("OPTIONS", "/page.html")},
		Case{Name: "static-missing-html", Section: Static, Request: get("/missing", "accept", "text/html")},
		Case{Name: "static-missing-head", Section: Static, Request: ask("HEAD", "/missing")},
		Case{Name: "static-missing-post", Section: Static, Request: post("/missing", plain, "x")},
		Case{Name: "static-range", Section: Static, Request: get("/page.html", "range", "bytes=1-3")},
	)
}

func limits() []Case {
	sized := func(path, contentType string, size int) Request {
		return Request{Method: "POST", Path: path, Headers: []Header{{"content-type", contentType}}, Fill: size}
	}
	return []Case{
		{Name: "bg-255kb", Section: Limits, Request: sized(fn("bg-v2-background"), plain, 255<<10), Reports: true},
		{Name: "bg-256kb", Section: Limits, Request: sized(fn("bg-v2-background"), octets, 256<<10), Reports: true},
		{Name: "bg-300kb", Section: Limits, Request: sized(fn("bg-v2-background"), plain, 300<<10)},
		{Name: "sync-5mb", Section: Limits, Request: sized(fn("v2-request?case=size"), octets, 5<<20)},
		{Name: "sync-5mb-v1", Section: Limits, Request: sized(fn("noop"), plain, 5<<20)},
		{Name: "long-query", Section: Limits, Request: get(fn("v2-request") + "?case=meta&q=" + strings.Repeat("q", 6000))},
		{Name: "many-query", Section: Limits, Request: get(fn("v1-returns") + "?case=body-none" + strings.Repeat("&a=1", 1500))},
		{Name: "long-header", Section: Limits, Request: get(fn("noop"), "x-long", strings.Repeat("h", 8000))},
		{Name: "sync-7mb", Section: Limits, Request: sized(fn("noop"), plain, 7<<20)},
	}
}
