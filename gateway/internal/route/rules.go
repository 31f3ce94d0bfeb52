package route

import (
	"cmp"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rule"
)

// Redirect sends the caller elsewhere.
type Redirect struct {
	Status   int // 3xx
	Location string
}

// Field is a header of an answer.
type Field struct{ Name, Value string }

// redirects are those of a deploy, compiled. Most are about one path alone, so
// those are found by it; the others are tried one by one.
type redirects struct {
	all     []redirect
	literal map[string][]int // indices of all, in order
	others  []int
}

type redirect struct {
	scheme, host string // empty: any
	pattern      rule.Pattern
	query        []parameter
	conditions   deploy.Conditions
	to           rule.Target
	status       int
	force        bool
}

// parameter is one that the query must have.
type parameter struct{ key, value, catch string }

// compileRedirects prepares redirects; nil if there are none. One that can never
// happen here is left out, and so is one that cannot be read, which the control
// plane has refused.
func compileRedirects(rules []deploy.Redirect) *redirects {
	out := &redirects{literal: map[string][]int{}}
	for i := range rules {
		r := &rules[i]
		c := redirect{status: r.Status, force: r.Force}
		if r.Conditions != nil {
			c.conditions = *r.Conditions
		}
		if r.Proxies() || len(c.conditions.Country) > 0 || len(c.conditions.Other) > 0 {
			continue
		}
		var path string
		var err error
		c.scheme, c.host, path = r.Origin()
		if c.pattern, err = rule.Parse(path); err != nil {
			continue
		}
		if c.to, err = rule.ParseTarget(r.To, r.Names(&c.pattern)); err != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(r.Query)) {
			p := parameter{key: key, value: r.Query[key]}
			p.catch, _ = deploy.Caught(p.value)
			c.query = append(c.query, p)
		}
		out.add(c)
	}
	if len(out.all) == 0 {
		return nil
	}
	return out
}

func (s *redirects) add(r redirect) {
	at := len(s.all)
	s.all = append(s.all, r)
	if path, ok := r.pattern.Literal(); ok {
		s.literal[path] = append(s.literal[path], at)
		return
	}
	s.others = append(s.others, at)
}

// candidates are the redirects that may be about a canonical path, in order.
func (s *redirects) candidates(path string) iter.Seq[*redirect] {
	return func(yield func(*redirect) bool) {
		exact, others := s.literal[rule.TrimSlash(path)], s.others
		for len(exact)+len(others) > 0 {
			next := &others
			if len(others) == 0 || len(exact) > 0 && exact[0] < others[0] {
				next = &exact
			}
			if !yield(&s.all[(*next)[0]]) {
				return
			}
			*next = (*next)[1:]
		}
	}
}

// Follow applies the redirects of the deploy to a request that Route found no
// function for, as the caller's scheme, host and headers have it. The first
// redirect that matches counts:
//
//   - without force, it is for paths with no file;
//   - with a status of 3xx, the caller is sent away: Redirect;
//   - with 200, another path of the same deploy is served, once: what is found
//     there is final. A function sees the path that was asked for, see Query;
//   - with another status, a file is served with it.
//
// A redirect that asks for a role never matches, because nobody has one. What it
// covers is closed: no file is served there that no later redirect leads to.
//
// All of it happens within one deploy, whatever is published meanwhile.
func (target Target) Follow(r *http.Request, scheme string) (Target, error) {
	if target.File == nil || target.table == nil || target.table.redirects == nil {
		return target, nil
	}
	path, ok := rule.Canonical(r.URL.EscapedPath())
	if !ok || strings.HasPrefix(path, "/.netlify/") || strings.HasPrefix(path, "/.nightshift/") {
		return target, nil
	}
	c := caller{request: r, scheme: scheme}
	closed := false
	for candidate := range target.table.redirects.candidates(path) {
		caught, matches := candidate.match(path, &c)
		switch {
		case !matches:
			continue
		case len(candidate.conditions.Role) > 0:
			closed = true
			continue
		case !target.File.Missing && !candidate.force && !closed:
			return target, nil
		}
		place := candidate.to.Fill(caught)
		if candidate.status < 300 || candidate.status > 399 {
			return target.rewrite(r, place, candidate.status)
		}
		if c.isAt(path, place) {
			continue // the caller would come back for ever
		}
		target.File, target.Redirect = nil, &Redirect{Status: candidate.status, Location: place.URL(r.URL.RawQuery)}
		return target, nil
	}
	if closed {
		target.File = target.table.files.missing()
	}
	return target, nil
}

// rewrite serves what is at a place of the same deploy.
func (target Target) rewrite(r *http.Request, place rule.Place, status int) (Target, error) {
	t := target.table
	if status != http.StatusOK {
		file := &File{Missing: true}
		if found, ok := t.files.find(place.Path); ok {
			file = &found
		} else if status == http.StatusNotFound {
			file = t.files.missing()
		}
		file.Status, file.Headers = status, t.fields(place.Path)
		target.File = file
		return target, nil
	}
	found, err := t.find(r.Method, place.Path, target.dev)
	target.Function, target.Route, target.File = found.Function, found.Route, found.File
	if place.HasQuery && target.Function != nil {
		target.Query = joinQueries(place.Query, r.URL.RawQuery)
	}
	return target, err
}

// joinQueries puts the caller's parameters behind those of a target that has the
// same ones not.
func joinQueries(own, callers string) string {
	has, _ := url.ParseQuery(own) // what cannot be read names nothing
	out := own
	for part := range strings.SplitSeq(callers, "&") {
		key, _, _ := strings.Cut(part, "=")
		if name, err := url.QueryUnescape(key); part == "" || err == nil && has.Has(name) {
			continue
		}
		out += "&" + part
	}
	return strings.TrimPrefix(out, "&")
}

// match reports whether a redirect is about a request, and what it caught.
func (r *redirect) match(path string, c *caller) (caught map[string]string, ok bool) {
	if r.host != "" && (r.scheme != c.scheme || !c.isHost(r.host)) {
		return nil, false
	}
	if caught, ok = r.pattern.Match(path); !ok {
		return nil, false
	}
	for _, p := range r.query {
		values := c.query()[p.key]
		if len(values) == 0 {
			return nil, false
		}
		value := values[len(values)-1] // the last one counts, as at Netlify
		switch {
		case p.catch == "":
			if value != p.value {
				return nil, false
			}
		default:
			if caught == nil {
				caught = map[string]string{}
			}
			if _, twice := caught[p.catch]; !twice {
				caught[p.catch] = url.PathEscape(value)
			}
		}
	}
	if l := r.conditions.Language; len(l) > 0 && !slices.ContainsFunc(l, c.speaks) {
		return nil, false
	}
	if l := r.conditions.Cookie; len(l) > 0 && !slices.ContainsFunc(l, func(name string) bool { return c.cookie(name) != "" }) {
		return nil, false
	}
	return caught, true
}

// caller is a request as redirects look at it.
type caller struct {
	request *http.Request
	scheme  string
	params  url.Values
}

func (c *caller) query() url.Values {
	if c.params == nil {
		c.params = c.request.URL.Query()
	}
	return c.params
}

func (c *caller) cookie(name string) string {
	cookie, err := c.request.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// isHost reports whether a request is for a host, for which the port counts only
// if it is said.
func (c *caller) isHost(host string) bool {
	own := strings.ToLower(c.request.Host)
	if own == host {
		return true
	}
	name, _, err := net.SplitHostPort(own)
	return err == nil && name == host
}

// isAt reports whether a redirect would lead to where the request is already.
func (c *caller) isAt(path string, place rule.Place) bool {
	here := rule.Place{Origin: place.Origin, Path: rule.TrimSlash(path), Fragment: place.Fragment}
	there := place
	there.Path = rule.TrimSlash(cmp.Or(place.Path, "/"))
	if place.Origin != "" && !strings.EqualFold(place.Origin, c.scheme+"://"+c.request.Host) {
		return false
	}
	query := c.request.URL.RawQuery
	return here.URL(query) == there.URL(query)
}

// speaks reports whether the caller's preferred language is one, or a kind of
// it: "de-AT" is "de", and not the other way round.
func (c *caller) speaks(language string) bool {
	own := strings.ToLower(cmp.Or(c.cookie("nf_lang"), preferred(c.request.Header.Get("Accept-Language"))))
	language = strings.ToLower(language)
	return own == language || strings.HasPrefix(own, language+"-")
}

// preferred is the language that an Accept-Language header likes best.
func preferred(header string) string {
	best, most := "", 0.0
	for entry := range strings.SplitSeq(header, ",") {
		tag, parameter, _ := strings.Cut(entry, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		if tag = strings.TrimSpace(tag); tag != "" && tag != "*" && weight > most {
			best, most = tag, weight
		}
	}
	return best
}

// headerRule is one, compiled.
type headerRule struct {
	pattern rule.Pattern
	fields  []Field
}

func compileHeaders(rules []deploy.HeaderRule) []headerRule {
	var out []headerRule
	for _, r := range rules {
		pattern, err := rule.Parse(r.For)
		if err != nil {
			continue
		}
		c := headerRule{pattern: pattern}
		for _, name := range slices.Sorted(maps.Keys(r.Values)) {
			if !deploy.ReservedHeader(name) {
				c.fields = append(c.fields, Field{textproto.CanonicalMIMEHeaderKey(name), r.Values[name]})
			}
		}
		out = append(out, c)
	}
	return out
}

// Headers are those that the deploy has for an escaped path, whatever is at it.
func (target Target) Headers(escaped string) []Field {
	if target.table == nil {
		return nil
	}
	return target.table.fields(escaped)
}

// fields are the headers for the file at an escaped path. Of one name in several
// rules the last one counts.
func (t *table) fields(escaped string) []Field {
	if len(t.headers) == 0 {
		return nil
	}
	path, ok := rule.Canonical(escaped)
	if !ok {
		return nil
	}
	var out []Field
	for i := range t.headers {
		h := &t.headers[i]
		if _, ok := h.pattern.Match(path); !ok {
			continue
		}
		for _, f := range h.fields {
			if at := slices.IndexFunc(out, func(g Field) bool { return g.Name == f.Name }); at >= 0 {
				out[at] = f
				continue
			}
			out = append(out, f)
		}
	}
	return out
}
