package rule

import (
	"net/url"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// Target is where a rule leads: a path of the same site, or a URL elsewhere,
// with names in it that stand for what was caught.
type Target struct {
	source   string
	origin   []piece // scheme://host; empty for a path of the same site
	path     []piece
	query    []piece
	fragment []piece
	hasQuery bool
}

// piece is text, or a name that something caught takes the place of.
type piece struct{ text, name string }

// ParseTarget reads a target in which those names may stand. A name that is not
// among them is plain text. What cannot be a target is fault.Invalid.
func ParseTarget(source string, names []string) (Target, error) {
	t := Target{source: source}
	rest, fragment, _ := strings.Cut(source, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	origin := ""
	if Elsewhere(source) {
		_, after, _ := strings.Cut(rest, "://")
		host, _, _ := strings.Cut(after, "/")
		if host == "" || strings.ContainsAny(host, " \\") {
			return Target{}, fault.New(fault.Invalid, "%.80q is no URL: it has no host", source)
		}
		origin, rest = rest[:len(rest)-len(after)+len(host)], after[len(host):]
	} else if !strings.HasPrefix(source, "/") {
		return Target{}, fault.New(fault.Invalid, "%.80q must start with \"/\", \"http://\" or \"https://\"", source)
	}
	t.origin, t.path = pieces(origin, names, noChange), pieces(rest, names, spell)
	t.query, t.fragment, t.hasQuery = pieces(query, names, printable), pieces(fragment, names, printable), hasQuery
	return t, nil
}

// Elsewhere reports whether a pattern or target names a host.
func Elsewhere(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// pieces takes a text apart. Of several names that fit the longest counts, so
// that :id does not break :idea.
func pieces(text string, names []string, spelled func(string) string) []piece {
	var out []piece
	begin := 0
	for i := 0; i < len(text); {
		name := ""
		if text[i] == ':' {
			for _, n := range names {
				if len(n) > len(name) && strings.HasPrefix(text[i+1:], n) {
					name = n
				}
			}
		}
		if name == "" {
			i++
			continue
		}
		if i > begin {
			out = append(out, piece{text: spelled(text[begin:i])})
		}
		out = append(out, piece{name: name})
		i += 1 + len(name)
		begin = i
	}
	if begin < len(text) {
		out = append(out, piece{text: spelled(text[begin:])})
	}
	return out
}

func noChange(text string) string { return text }

// printable escapes what cannot stand in a header, and leaves all else as it is.
func printable(text string) string {
	var out strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			out.WriteString(url.PathEscape(text[i : i+1]))
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// String is the target as it was written.
func (t *Target) String() string { return t.source }

// Elsewhere reports whether the target names a host.
func (t *Target) Elsewhere() bool { return len(t.origin) > 0 }

// Place is a target with its names filled in. All of it is escaped.
type Place struct {
	Origin   string // scheme://host, or ""
	Path     string
	Query    string
	HasQuery bool // the target says what the query is; else it is the request's
	Fragment string
}

// Fill puts in what was caught. Values are in canonical spelling.
func (t *Target) Fill(caught map[string]string) Place {
	place := Place{
		Origin: fill(t.origin, caught, noChange), Path: fill(t.path, caught, noChange),
		Query: fill(t.query, caught, inQuery), HasQuery: t.hasQuery, Fragment: fill(t.fragment, caught, noChange),
	}
	if place.Origin == "" {
		// "//host" would be another host: what a star caught must not choose that.
		place.Path = "/" + strings.TrimLeft(place.Path, "/")
	}
	return place
}

func fill(pieces []piece, caught map[string]string, spelled func(string) string) string {
	if len(pieces) == 1 && pieces[0].name == "" {
		return pieces[0].text
	}
	var out strings.Builder
	for _, p := range pieces {
		if p.name == "" {
			out.WriteString(p.text)
		} else {
			out.WriteString(spelled(caught[p.name]))
		}
	}
	return out.String()
}

// inQuery spells a part of a path as a value of a query.
func inQuery(escaped string) string {
	text, err := url.PathUnescape(escaped)
	if err != nil {
		return url.QueryEscape(escaped)
	}
	return url.QueryEscape(text)
}

// URL is the place with the query that goes with it: its own, or that of the
// request, in which nothing is left that cannot stand in a header.
func (p Place) URL(requestQuery string) string {
	query := printable(requestQuery)
	if p.HasQuery {
		query = p.Query
	}
	out := p.Origin + p.Path
	if query != "" {
		out += "?" + query
	}
	if p.Fragment != "" {
		out += "#" + p.Fragment
	}
	return out
}
