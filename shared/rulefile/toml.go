package rulefile

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml" // the reference implementation; its errors carry line and column
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

// FromTOML reads the rules of a netlify.toml, as the netlify CLI sends it with
// those of `_redirects` and `_headers` in it. What is wrong is fault.Invalid,
// with the line.
func FromTOML(data []byte) (redirects []deploy.Redirect, headers []deploy.HeaderRule, err error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	var doc map[string]any
	if _, err := toml.Decode(text, &doc); err != nil {
		if e, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, nil, fault.Wrap(err, fault.Invalid, "netlify.toml:%d: is not valid TOML: %s", e.Position.Line, e.Message)
		}
		return nil, nil, fault.Wrap(err, fault.Invalid, "netlify.toml: is not valid TOML: %v", err)
	}
	r := Tables(doc, text)
	for _, note := range r.Notes {
		switch {
		case note.Warning:
		case note.Line > 0:
			return nil, nil, fault.New(fault.Invalid, "netlify.toml:%d: %s", note.Line, note.Text)
		default:
			return nil, nil, fault.New(fault.Invalid, "netlify.toml: %s", note.Text)
		}
	}
	return r.Redirects, r.Headers, nil
}

// Tables reads the rules of a netlify.toml that is decoded already, out of the
// given text, which is where the lines come from.
func Tables(doc map[string]any, text string) Rules {
	var r Rules
	r.tables(doc, text, "redirects", r.redirect)
	r.tables(doc, text, "headers", r.header)
	return r
}

// tables reads an array of tables.
func (r *Rules) tables(doc map[string]any, text, key string, read func(at at, table map[string]any)) {
	value, there := doc[key]
	if !there {
		return
	}
	var tables []map[string]any
	switch value := value.(type) {
	case []map[string]any:
		tables = value
	case []any: // an array in one line, of inline tables
		for _, v := range value {
			table, ok := v.(map[string]any)
			if !ok {
				r.errorf(at{}, "%s must be tables: write [[%s]] above each", key, key)
				return
			}
			tables = append(tables, table)
		}
	default:
		r.errorf(at{}, "%s must be tables: write [[%s]] above each", key, key)
		return
	}
	places := places(text, key, len(tables))
	for i, table := range tables {
		read(places[i], table)
	}
}

// places are the lines where the tables of an array begin. The decoder tells
// none, so headers are looked for; if they are not as many as there are tables,
// because some stand in a string or in one line, no line is better than a wrong one.
func places(text, key string, n int) []at {
	var found []at
	headline := regexp.MustCompile(`^[ \t]*\[\[[ \t]*["']?` + key + `["']?[ \t]*\]\]`)
	for i, line := range strings.Split(text, "\n") {
		if headline.MatchString(line) {
			found = append(found, at{i + 1, strings.Index(line, "[") + 1})
		}
	}
	if len(found) != n {
		return make([]at, n)
	}
	return found
}

func (r *Rules) redirect(at at, table map[string]any) {
	var redirect deploy.Redirect
	before := len(r.Notes)
	for _, key := range sortedKeys(table) {
		switch value := table[key]; key {
		case "from", "origin":
			redirect.From = r.text(at, key, value)
		case "to", "destination":
			redirect.To = r.text(at, key, value)
			if to := redirect.To; to != "" && to[0] != '/' && !strings.Contains(to, "://") {
				redirect.To = "/" + to // Netlify asks for no slash in this file
			}
		case "status":
			r.status(at, value, &redirect)
		case "force":
			force, isBool := value.(bool)
			if !isBool {
				r.errorf(at, "force of a redirect must be true or false")
			}
			redirect.Force = redirect.Force || force
		case "query", "params", "parameters":
			params, isTable := value.(map[string]any)
			if !isTable {
				r.errorf(at, "%s of a redirect must be a table: {name = \"value\"}", key)
			}
			for _, name := range sortedKeys(params) {
				if redirect.Query == nil {
					redirect.Query = map[string]string{}
				}
				redirect.Query[name] = r.text(at, key+"."+name, params[name])
			}
		}
	}
	r.conditions(at, table["conditions"], &redirect)
	switch {
	case r.errorsSince(before):
		return
	case redirect.From == "":
		r.errorf(at, "the redirect has no from: write the path that it is about")
		return
	}
	r.without(at, table)
	r.add(at, redirect)
}

// errorsSince reports whether an error was noted behind the first n notes.
func (r *Rules) errorsSince(n int) bool {
	return slices.ContainsFunc(r.Notes[n:], func(note Note) bool { return !note.Warning })
}

// text reads a string of a redirect.
func (r *Rules) text(at at, key string, value any) string {
	s, isText := value.(string)
	if !isText {
		r.errorf(at, "%s of a redirect must be a string", key)
	}
	return strings.TrimSpace(s)
}

// status reads a status, a number or text as in `_redirects`.
func (r *Rules) status(at at, value any, redirect *deploy.Redirect) {
	if n, isNumber := value.(int64); isNumber && n > 0 && n < 1000 {
		redirect.Status = int(n)
		return
	}
	s, _ := value.(string)
	match := status.FindStringSubmatch(s)
	if match == nil {
		r.errorf(at, "status of a redirect must be a number such as 301")
		return
	}
	redirect.Status, _ = strconv.Atoi(match[1])
	redirect.Force = redirect.Force || match[2] != ""
}

func (r *Rules) conditions(at at, value any, redirect *deploy.Redirect) {
	table, isTable := value.(map[string]any)
	if value != nil && !isTable {
		r.errorf(at, "conditions of a redirect must be a table: {Language = [\"de\"]}")
	}
	for _, name := range sortedKeys(table) {
		values, areTexts := texts(table[name])
		if !areTexts {
			r.errorf(at, "conditions.%s of a redirect must be a list of strings", name)
			continue
		}
		r.condition(at, redirect, name, list(strings.Join(values, ",")))
	}
}

// without warns about what is said of a redirect and has no effect.
func (r *Rules) without(at at, table map[string]any) {
	for _, key := range sortedKeys(table) {
		switch key {
		case "from", "origin", "to", "destination", "status", "force", "query", "params", "parameters", "conditions":
		case "headers", "sign", "signed", "signing":
			if empty, isTable := table[key].(map[string]any); !isTable || len(empty) > 0 {
				r.warnf(at, "%s of a redirect has no effect: it goes to other hosts, and Nightshift fetches nothing from there", key)
			}
		default:
			r.warnf(at, "%s of a redirect has no effect: it is not known here", key)
		}
	}
}

// texts reads a string, or a list of strings.
func texts(value any) (out []string, ok bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		for _, v := range value {
			s, ok := v.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	return nil, false
}

func (r *Rules) header(at at, table map[string]any) {
	path, isText := table["for"].(string)
	values, isTable := table["values"].(map[string]any)
	switch {
	case !isText:
		r.errorf(at, "the headers have no for: write the path that they are for, such as for = \"/*\"")
		return
	case table["values"] == nil:
		return // Netlify passes over it, too
	case !isTable:
		r.errorf(at, "values of headers must be a table: write [headers.values]")
		return
	}
	var headers []header
	for _, name := range sortedKeys(values) {
		lines, ok := texts(values[name])
		if !ok {
			r.errorf(at, "the header %s must be a string, or a list of strings", name)
			return
		}
		value := strings.Join(lines, ", ")
		if len(lines) == 1 { // one value over several lines
			value = strings.Join(spread.Split(strings.TrimSpace(lines[0]), -1), ", ")
		}
		headers = append(headers, header{strings.TrimSpace(name), strings.TrimSpace(value), at})
	}
	r.addHeaders(at, strings.TrimSpace(path), headers)
}

// spread is what is between the values of a header that is written over lines.
var spread = regexp.MustCompile(`\s*,\s*`)
