// Package event builds the Lambda-style event that a function is called with.
//
// It is built once, by whoever accepts the call, and travels as bytes from
// there to the function's process: nobody on the way parses or changes it.
//
// The shape is the one that Netlify gives to v1 handlers, with absolute URL and
// flat headers, so that a Fetch-style runtime can make a Request of it too:
//
//	path, httpMethod,
//	queryStringParameters, multiValueQueryStringParameters,
//	headers, multiValueHeaders,
//	body (absent when there is none), isBase64Encoded,
//	rawUrl, rawQuery, route (only on a path of the function's own)
//
// Headers in which the platform speaks to functions (x-nf-…, client-ip) are
// always ours: what an outside caller sends under those names is dropped.
package event

import (
	"bytes"
	"encoding/base64"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Meta is what the platform knows about a call beside the request itself.
type Meta struct {
	RequestID string // ULID, becomes x-nf-request-id
	Site      string
	Deploy    string
	Published bool   // the deploy was the published one
	Context   string // what the deploy is for: deploy.Deploy's Context, or "dev"
	Branch    string // of the deploy; empty if it has none
	ClientIP  string // as resolved by the gateway
	// BaseURL is scheme://host as the caller sees it, without a trailing slash.
	BaseURL string
	// Route is the pattern that matched, when it was one of the function's own paths.
	Route string
}

// UserAgent is the user agent of scheduled calls; functions test for it.
const UserAgent = "Netlify Clockwork"

// unknownGeo is the x-nf-geo header, base64 of JSON, of a caller whose place is
// not known. The fields stand there empty so that geo.country.code is "" and
// not a TypeError.
var unknownGeo = base64.StdEncoding.EncodeToString([]byte(
	`{"city":"","country":{"code":"","name":""},"subdivision":{"code":"","name":""},"longitude":0,"latitude":0,"timezone":"UTC"}`))

// FromRequest builds the event of an HTTP call. body is the whole body; of r
// only method, URL, host, peer and headers are read.
//
// The body is text or base64 by the content type alone, as on Netlify, with one
// exception: a body that claims to be text and is not UTF-8 becomes base64,
// because JSON could not carry it without loss.
func FromRequest(r *http.Request, body []byte, meta Meta) []byte {
	c := call{
		method: r.Method, path: escapedPath(r), rawQuery: r.URL.RawQuery,
		query: parseQuery(r.URL.RawQuery), headers: requestHeaders(r),
		body: body, base64: !isText(r.Header.Get("Content-Type")) || !utf8.Valid(body),
	}
	return c.encode(meta)
}

// ForTick builds the event of a scheduled call: POST to the function's URL with
// the body {"next_run": "<next>"}, user agent "Netlify Clockwork" and header
// "X-NF-Event: schedule".
func ForTick(function string, next time.Time, meta Meta) []byte {
	if meta.BaseURL == "" {
		meta.BaseURL = "http://localhost"
	}
	_, host, _ := strings.Cut(meta.BaseURL, "://")
	body := `{"next_run":"` + next.UTC().Format("2006-01-02T15:04:05.000Z") + `"}`
	c := call{
		method: http.MethodPost, path: "/.netlify/functions/" + function, body: []byte(body),
		headers: fields{
			{"content-length", []string{strconv.Itoa(len(body))}},
			{"content-type", []string{"application/json"}},
			{"host", []string{host}},
			{"user-agent", []string{UserAgent}},
		},
		tick: true,
	}
	return c.encode(meta)
}

// call is what an event is made of, beside Meta.
type call struct {
	method, path, rawQuery string
	query, headers         fields
	body                   []byte
	base64                 bool
	tick                   bool
}

// encode writes the event. The order of the keys is Netlify's.
func (c *call) encode(meta Meta) []byte {
	c.headers = appendPlatformHeaders(c.headers, meta)
	out := make([]byte, 0, c.size(meta))
	out = append(out, `{"path":`...)
	out = appendString(out, c.path)
	out = append(out, `,"httpMethod":`...)
	out = appendString(out, c.method)
	out = append(out, `,"queryStringParameters":`...)
	out = append(c.query.appendJoined(out), '}')
	out = append(out, `,"multiValueQueryStringParameters":`...)
	out = c.query.appendLists(out)
	out = append(out, `,"headers":`...)
	out = c.headers.appendJoined(out)
	if c.tick {
		// Netlify sets it past its own lower-casing, and functions look for it
		// in exactly this case. It is not among the multi-value headers.
		out = append(out, `,"X-NF-Event":"schedule"`...)
	}
	out = append(out, '}')
	out = append(out, `,"multiValueHeaders":`...)
	out = c.headers.appendLists(out)
	if len(c.body) > 0 {
		out = append(out, `,"body":`...)
		if c.base64 {
			out = append(out, '"')
			out = base64.StdEncoding.AppendEncode(out, c.body)
			out = append(out, '"')
		} else {
			out = appendString(out, c.body)
		}
	}
	out = append(out, `,"isBase64Encoded":`...)
	out = strconv.AppendBool(out, c.base64)
	out = append(out, `,"rawUrl":`...)
	rawURL := meta.BaseURL + c.path
	if c.rawQuery != "" {
		rawURL += "?" + c.rawQuery
	}
	out = appendString(out, rawURL)
	out = append(out, `,"rawQuery":`...)
	out = appendString(out, c.rawQuery)
	if meta.Route != "" {
		out = append(out, `,"route":`...)
		out = appendString(out, meta.Route)
	}
	return append(out, '}')
}

// size is about how long the event will be: most of what a call allocates.
func (c *call) size(meta Meta) int {
	body := base64.StdEncoding.EncodedLen(len(c.body))
	if !c.base64 {
		body = len(c.body) + len(c.body)/64 // for what is escaped beside these
		for _, escaped := range []string{`"`, `\`, "\n"} {
			body += bytes.Count(c.body, []byte(escaped))
		}
	}
	const words = 256
	return words + 2*len(c.path) + 4*len(c.rawQuery) + 2*c.headers.size() + body + len(meta.BaseURL) + len(meta.Route)
}

// morePlatform is how many headers appendPlatformHeaders adds at most.
const morePlatform = 10

// appendPlatformHeaders adds the headers by which the platform tells a function
// about the call.
func appendPlatformHeaders(h fields, meta Meta) fields {
	values := make([]string, 0, morePlatform) // of all of them: one is a part of it
	add := func(name, value string) {
		values = append(values, value)
		h = append(h, field{name, values[len(values)-1:]})
	}
	add("x-nf-account-id", "")
	add("x-nf-deploy-id", meta.Deploy)
	add("x-nf-geo", unknownGeo)
	add("x-nf-request-id", meta.RequestID)
	add("x-nf-site-id", meta.Site)
	if meta.Published {
		add("x-nf-deploy-published", "1")
	}
	if meta.Context != "" {
		add("x-nf-deploy-context", meta.Context)
	}
	if meta.Branch != "" {
		add("x-nf-branch", meta.Branch)
	}
	if meta.ClientIP != "" {
		add("client-ip", meta.ClientIP)
		add("x-nf-client-connection-ip", meta.ClientIP)
	}
	return h
}

// escapedPath is the path as it was sent, always with a leading slash, so that
// base URL and path together are a URL.
func escapedPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

// isText reports whether a body of the content type is handed over as text.
// The list is Netlify's; no content type means bytes.
func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		// A wrong parameter does not change what the type is.
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	switch media {
	case "application/csp-report", "application/graphql", "application/json", "application/javascript",
		"application/x-www-form-urlencoded", "application/x-ndjson", "application/xml":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}
