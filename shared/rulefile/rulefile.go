// Package rulefile reads what the files of a site say about redirects and
// headers: `_redirects` and `_headers`, one rule a line, and [[redirects]] and
// [[headers]] of netlify.toml.
//
// It reads what Netlify reads. What it has to say about a rule is a [Note] with
// the line: an error where the rule cannot be meant, a warning where it has no
// effect here. The builder shows both; the control plane, which gets files of
// other tools, refuses what has errors.
//
// The Go libraries for `_redirects` (tj/go-redirects, ipfs/go-ipfs-redirects-file)
// know neither queries nor conditions nor lines, so this is our own.
package rulefile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rule"
)

// Names of the files.
const (
	RedirectsFile = "_redirects"
	HeadersFile   = "_headers"
)

// Rules are what a file says, in its order.
type Rules struct {
	Redirects []deploy.Redirect
	Headers   []deploy.HeaderRule
	Notes     []Note
}

// Note is something to say about one place of a file.
type Note struct {
	Line    int // from 1; 0 if it is not known
	Column  int // from 1; 0 if it is not known
	Text    string
	Warning bool // else an error: the file cannot be used as it is
}

// at is a place to say something about.
type at struct{ line, column int }

func (r *Rules) errorf(at at, format string, args ...any) {
	r.Notes = append(r.Notes, Note{Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)})
}

func (r *Rules) warnf(at at, format string, args ...any) {
	r.Notes = append(r.Notes, Note{Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...), Warning: true})
}

// add takes a redirect in, and says what it cannot do here.
func (r *Rules) add(at at, redirect deploy.Redirect) {
	redirect.Status = cmp.Or(redirect.Status, 301)
	if redirect.To == "" {
		start, isSplat := strings.CutSuffix(redirect.From, "/*")
		if !isSplat || redirect.Status < 200 || redirect.Status > 299 {
			r.errorf(at, "it is not said where the redirect from %s leads: write a path, or a URL, behind it", redirect.From)
			return
		}
		redirect.To = start + "/:splat"
	}
	_, _, path := redirect.Origin()
	switch {
	case strings.ContainsAny(path, "?#"):
		r.warnf(at, "the redirect from %s has no effect: \"?\" and \"#\" are no part of a path; write parameters behind it, as name=value", redirect.From)
		return
	case strings.HasPrefix(path, "/.netlify/") || strings.HasPrefix(path, "/.nightshift/"):
		r.warnf(at, "the redirect from %s has no effect: what is below /.netlify/ and /.nightshift/ is not the site's", redirect.From)
		return
	}
	if err := redirect.Validate(); err != nil {
		r.errorf(at, "%v", err)
		return
	}
	if redirect.Proxies() {
		r.warnf(at, "the redirect from %s has no effect: Nightshift fetches nothing from other hosts. Send callers there, with status 302, or fetch it in a function", redirect.From)
	}
	if c := redirect.Conditions; c != nil {
		switch {
		case len(c.Country) > 0:
			r.warnf(at, "the redirect from %s never happens: it depends on the caller's country, which is not known", redirect.From)
		case len(c.Other) > 0:
			r.warnf(at, "the redirect from %s never happens: it depends on %s, and the conditions are Language and Cookie", redirect.From, strings.Join(c.Other, ", "))
		case len(c.Role) > 0:
			r.warnf(at, "nobody has the role that the redirect from %s asks for: what it covers is closed", redirect.From)
		}
	}
	r.Redirects = append(r.Redirects, redirect)
}

// condition sets a condition of a redirect by its name.
func (r *Rules) condition(at at, redirect *deploy.Redirect, name string, values []string) (ok bool) {
	if len(values) == 0 {
		r.errorf(at, "the condition %s of the redirect from %s has no value", name, redirect.From)
		return false
	}
	if redirect.Conditions == nil {
		redirect.Conditions = &deploy.Conditions{}
	}
	c := redirect.Conditions
	switch strings.ToLower(name) {
	case "language":
		c.Language = values
	case "country":
		c.Country = values
	case "role":
		c.Role = values
	case "cookie":
		c.Cookie = values
	default:
		c.Other = append(c.Other, name)
	}
	return true
}

// list takes a comma-separated list apart.
func list(text string) []string {
	var out []string
	for value := range strings.SplitSeq(text, ",") {
		if value = strings.TrimSpace(value); value != "" {
			out = append(out, value)
		}
	}
	return out
}

// header is one that a rule sets.
type header struct {
	name, value string
	at          at
}

// addHeaders takes a rule for headers in. Of one name twice, both values count,
// as Netlify has it within one rule.
func (r *Rules) addHeaders(at at, path string, headers []header) {
	if len(headers) == 0 {
		return
	}
	if rule.Elsewhere(path) {
		r.errorf(at, "headers are for a path, which begins with \"/\"; those of one host are not read")
		return
	}
	if _, err := rule.Parse(path); err != nil {
		r.errorf(at, "headers for %.80s: %v", path, err)
		return
	}
	values := map[string]string{}
	for _, h := range headers {
		if deploy.ReservedHeader(h.name) {
			r.warnf(h.at, "the header %s has no effect: it is set by the server alone", h.name)
			continue
		}
		one := deploy.HeaderRule{For: path, Values: map[string]string{h.name: h.value}}
		if err := one.Validate(); err != nil {
			r.errorf(h.at, "%v", err)
			continue
		}
		name := h.name
		for known := range values {
			if strings.EqualFold(known, name) {
				name = known
			}
		}
		if before, twice := values[name]; twice {
			h.value = before + ", " + h.value
		}
		values[name] = h.value
	}
	if len(values) > 0 {
		r.Headers = append(r.Headers, deploy.HeaderRule{For: path, Values: values})
	}
}

// sortedKeys lists the keys of a table in a fixed order.
func sortedKeys(table map[string]any) []string { return slices.Sorted(maps.Keys(table)) }
