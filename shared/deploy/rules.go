package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/rule"
)

// Redirect is one rule about where a path leads. The first one that matches
// counts; without Force only if there is no static file at the path. Functions
// go before redirects.
type Redirect struct {
	// From is the pattern of the path; see package rule. With http://host or
	// https://host in front it is about that host only.
	From string `json:"from"`
	// To is a path of the same deploy, or a URL. What From and Query caught may
	// stand in it by name.
	To string `json:"to"`
	// Status is one of 3xx: the caller is sent to To; 200: To is served in place;
	// another one: the file at To is served with it.
	Status int  `json:"status"`
	Force  bool `json:"force,omitempty"`
	// Query names parameters that must be there, each with its value, or with
	// :name, which catches the value.
	Query      map[string]string `json:"query,omitempty"`
	Conditions *Conditions       `json:"conditions,omitempty"`
}

// Conditions are what must be true of the caller beside the path: one of each
// list that is not empty.
type Conditions struct {
	Language []string `json:"language,omitempty"` // preferred by the browser
	Cookie   []string `json:"cookie,omitempty"`   // names of cookies that are set
	// Country is never true: it is not known where callers are.
	Country []string `json:"country,omitempty"`
	// Role is never true, as nobody here has a role; what such a rule covers is
	// closed.
	Role []string `json:"role,omitempty"`
	// Other are conditions by names that are not known here; never true.
	Other []string `json:"other,omitempty"`
}

// HeaderRule adds headers to the static files whose path matches. Of several
// rules that set one header the last one counts.
type HeaderRule struct {
	For    string            `json:"for"` // a pattern; see package rule
	Values map[string]string `json:"values"`
}

// Limits of the rules of one deploy.
const (
	MaxRedirects   = 10_000
	MaxHeaderRules = 1_000
	MaxRulesSize   = 2 << 20 // all text together, in bytes

	maxRulePath    = 2048
	maxConditions  = 64 // values of one condition, and parameters of a query
	maxHeaderValue = 8 << 10
)

// Rewrites reports whether a redirect serves something in place of what was
// asked for, instead of sending the caller there.
func (r *Redirect) Rewrites() bool { return r.Status < 300 || r.Status > 399 }

// Proxies reports whether a redirect would serve what another host has, which
// is not done: such a rule is left out of account.
func (r *Redirect) Proxies() bool { return r.Rewrites() && rule.Elsewhere(r.To) }

// Origin takes scheme and host off the pattern of a redirect, if it has them.
func (r *Redirect) Origin() (scheme, host, path string) {
	if !rule.Elsewhere(r.From) {
		return "", "", r.From
	}
	scheme, rest, _ := strings.Cut(r.From, "://")
	host, path, _ = strings.Cut(rest, "/")
	return scheme, strings.ToLower(host), "/" + path
}

// Validate says what is wrong with a redirect, or nil.
func (r *Redirect) Validate() error {
	_, host, path := r.Origin()
	switch {
	case len(r.From) > maxRulePath || len(r.To) > maxRulePath:
		return fmt.Errorf("redirect %.80q: %d bytes are allowed for where it comes from and where it leads", r.From, maxRulePath)
	case !printable(r.From) || !printable(r.To):
		return fmt.Errorf("redirect %.80q: control characters are not allowed", r.From)
	case rule.Elsewhere(r.From) && host == "":
		return fmt.Errorf("redirect %.80q: the URL has no host", r.From)
	case !validStatus(r.Status):
		return fmt.Errorf("redirect %s: %d is not a status for it; use 200, 301, 302, 303, 307, 308, or one from 400 to 599", r.From, r.Status)
	case len(r.Query) > maxConditions:
		return fmt.Errorf("redirect %s: %d parameters are too many; %d are allowed", r.From, len(r.Query), maxConditions)
	}
	pattern, err := rule.Parse(path)
	if err != nil {
		return fmt.Errorf("redirect %s: %v", r.From, err)
	}
	if _, err := rule.ParseTarget(r.To, r.Names(&pattern)); err != nil {
		return fmt.Errorf("redirect %s: where it leads: %v", r.From, err)
	}
	if r.Conditions == nil {
		return nil
	}
	for _, values := range [][]string{r.Conditions.Language, r.Conditions.Cookie, r.Conditions.Country, r.Conditions.Role, r.Conditions.Other} {
		if len(values) > maxConditions {
			return fmt.Errorf("redirect %s: %d values of a condition are too many; %d are allowed", r.From, len(values), maxConditions)
		}
	}
	return nil
}

// Names are what may stand in To: what the pattern of the path and the query
// catch.
func (r *Redirect) Names(pattern *rule.Pattern) []string {
	names := slices.Clone(pattern.Names())
	for _, key := range slices.Sorted(maps.Keys(r.Query)) {
		if name, ok := Caught(r.Query[key]); ok {
			names = append(names, name)
		}
	}
	return names
}

// Caught is the name by which the value of a parameter is caught, if it is.
func Caught(value string) (name string, ok bool) {
	if len(value) < 2 || value[0] != ':' {
		return "", false
	}
	return value[1:], true
}

func validStatus(status int) bool {
	return slices.Contains([]int{200, 301, 302, 303, 307, 308}, status) || status >= 400 && status <= 599
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Validate says what is wrong with a rule for headers, or nil.
func (r *HeaderRule) Validate() error {
	if len(r.For) > maxRulePath || !printable(r.For) {
		return fmt.Errorf("headers for %.80q: %d bytes without control characters are allowed for the path", r.For, maxRulePath)
	}
	if _, err := rule.Parse(r.For); err != nil {
		return fmt.Errorf("headers for %.80q: %v", r.For, err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		switch value := r.Values[name]; {
		case !validHeader(name):
			return fmt.Errorf("headers for %s: %.80q is not the name of a header", r.For, name)
		case strings.EqualFold(name, BasicAuth):
			return fmt.Errorf("headers for %s: %s is not supported: the pages would be public, so nothing is deployed; ask for the password in a function", r.For, BasicAuth)
		case ReservedHeader(name):
			return fmt.Errorf("headers for %s: %s is set by the server alone", r.For, name)
		case len(value) > maxHeaderValue || !printable(strings.ReplaceAll(value, "\t", " ")):
			return fmt.Errorf("headers for %s: the value of %s must be %d bytes at most, without control characters", r.For, name, maxHeaderValue)
		}
	}
	return nil
}

// BasicAuth is the name under which Netlify protects pages with a password. It
// is no header, and is refused, because pages that should be protected would be
// public.
const BasicAuth = "Basic-Auth"

// reserved are headers that belong to the connection, or that the server must
// state truly. The list is Netlify's, with the rest of those of one connection,
// and with ETag, which is the file's digest.
var reserved = []string{
	"accept-ranges", "age", "allow", "alt-svc", "connection", "content-encoding", "content-length", "content-range", "date",
	"etag", "keep-alive", "location", "proxy-authenticate", "proxy-authorization", "proxy-connection", "server",
	"set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
}

// ReservedHeader reports whether a header cannot be set by a rule.
func ReservedHeader(name string) bool { return slices.Contains(reserved, strings.ToLower(name)) }

// validHeader reports whether a name is a token, as RFC 9110 has it.
func validHeader(name string) bool {
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// ValidateRules says what is wrong with the redirects and headers of a deploy, or
// nil.
func ValidateRules(redirects []Redirect, headers []HeaderRule) error {
	switch {
	case len(redirects) > MaxRedirects:
		return fmt.Errorf("%d redirects are too many; %d are allowed. Use placeholders and * to say it in fewer", len(redirects), MaxRedirects)
	case len(headers) > MaxHeaderRules:
		return fmt.Errorf("%d rules for headers are too many; %d are allowed", len(headers), MaxHeaderRules)
	}
	size := 0
	for i := range redirects {
		if err := redirects[i].Validate(); err != nil {
			return err
		}
		size += redirects[i].size()
	}
	for i := range headers {
		if err := headers[i].Validate(); err != nil {
			return err
		}
		size += len(headers[i].For)
		for name, value := range headers[i].Values {
			size += len(name) + len(value)
		}
	}
	if size > MaxRulesSize {
		return fmt.Errorf("redirects and headers are too large together; %d MiB are allowed", MaxRulesSize>>20)
	}
	return nil
}

func (r *Redirect) size() int {
	n := len(r.From) + len(r.To)
	for key, value := range r.Query {
		n += len(key) + len(value)
	}
	if c := r.Conditions; c != nil {
		for _, values := range [][]string{c.Language, c.Cookie, c.Country, c.Role, c.Other} {
			n += len(strings.Join(values, ","))
		}
	}
	return n
}
