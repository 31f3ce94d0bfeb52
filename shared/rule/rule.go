// Package rule reads what redirects and headers are written in: the pattern
// that a request's path is held against, and the target that is made of what
// the pattern caught.
//
//	/news/:year/:month/*  →  /blog/:year-:month/:splat
//
// A pattern has literal parts, :placeholders, each of which is one part between
// slashes, and stars, which match anything. A star between slashes also matches
// nothing at all, slash included: /news/* means /news too. What the first star
// matched is :splat. Case counts; one slash at the end does not.
//
// No pattern is turned into a regular expression: matching takes time in
// proportion to pattern and path, whatever people write.
//
// Paths are compared in one spelling, see [Canonical]. So a rule may have its
// letters escaped or not, and what was caught can stand in a URL as it is: an
// escaped slash in a request never becomes one that counts.
package rule

import (
	"net/url"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// maxCaptures bounds the placeholders and stars of one pattern.
const maxCaptures = 16

// splat is the name of what the first star matched.
const splat = "splat"

// Pattern is a path that may catch parts of what it matches. It is safe for
// concurrent use.
type Pattern struct {
	source string
	parts  []part
	names  []string // of what is caught, in the order of the parts that catch
}

type kind uint8

const (
	literal     kind = iota
	placeholder      // one part between slashes, not empty
	star             // anything
	segments         // a star between slashes: nothing, or a slash and anything
)

type part struct {
	kind kind
	text string // of a literal, canonical
}

// Parse reads a pattern. What cannot be one is fault.Invalid.
func Parse(source string) (Pattern, error) {
	if source == "" || strings.ContainsAny(source, "?#") {
		return Pattern{}, fault.New(fault.Invalid, "%q is no path: it has no text, or a \"?\" or \"#\", which is never part of a path", source)
	}
	p := Pattern{source: source}
	path := strings.TrimPrefix(source, "/")
	if path != "" && !strings.HasSuffix(path, "*") {
		path = strings.TrimSuffix(path, "/")
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "*":
			p.catch(segments, splat)
		case len(segment) > 1 && segment[0] == ':':
			p.literal("/")
			p.catch(placeholder, segment[1:])
		default:
			p.literal("/")
			for i, text := range strings.Split(segment, "*") {
				if i > 0 {
					p.catch(star, splat)
				}
				p.literal(spell(text))
			}
		}
	}
	if len(p.names) > maxCaptures {
		return Pattern{}, fault.New(fault.Invalid, "%.80q has %d placeholders and stars; %d are allowed", source, len(p.names), maxCaptures)
	}
	return p, nil
}

func (p *Pattern) catch(k kind, name string) {
	p.parts = append(p.parts, part{kind: k})
	p.names = append(p.names, name)
}

// literal adds text to the literal at the end, if there is one.
func (p *Pattern) literal(text string) {
	if n := len(p.parts); n > 0 && p.parts[n-1].kind == literal {
		p.parts[n-1].text += text
	} else if text != "" {
		p.parts = append(p.parts, part{text: text})
	}
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.source }

// Names are those of what the pattern catches.
func (p *Pattern) Names() []string { return p.names }

// Literal is the only path that matches, without a slash at its end, if there is
// only one.
func (p *Pattern) Literal() (path string, ok bool) {
	if len(p.parts) == 1 && p.parts[0].kind == literal {
		return p.parts[0].text, true
	}
	return "", false
}

// Match holds a canonical path against the pattern. What was caught has its
// canonical spelling; of two of one name the first counts.
func (p *Pattern) Match(path string) (caught map[string]string, ok bool) {
	var spans [maxCaptures][2]int
	if !p.match(path, &spans) {
		return nil, false
	}
	for i, name := range slices.Backward(p.names) {
		if caught == nil {
			caught = make(map[string]string, len(p.names))
		}
		caught[name] = path[spans[i][0]:spans[i][1]]
	}
	return caught, true
}

// match is the usual walk along pattern and text that goes back to the last
// star only: what is between two stars is best matched as early as possible,
// because the later star takes whatever is left. Only a star between slashes
// that no slash follows cannot take anything; then it is the turn of the star
// before it.
func (p *Pattern) match(path string, spans *[maxCaptures][2]int) bool {
	if n := len(p.parts); n > 0 && p.parts[n-1].kind < star {
		path = TrimSlash(path)
	}
	type point struct{ part, catches, from, at int } // a star: where it begins and ends
	var stars [maxCaptures]point
	at, i, catches, depth := 0, 0, 0, 0
	for {
		if i == len(p.parts) && at == len(path) {
			return true
		}
		if i < len(p.parts) {
			switch q := p.parts[i]; q.kind {
			case literal:
				if strings.HasPrefix(path[at:], q.text) {
					at, i = at+len(q.text), i+1
					continue
				}
			case placeholder:
				if end := endOfSegment(path, at); end > at {
					spans[catches] = [2]int{at, end}
					at, i, catches = end, i+1, catches+1
					continue
				}
			default:
				stars[depth] = point{i, catches, at, at}
				spans[catches] = [2]int{at, at}
				i, catches, depth = i+1, catches+1, depth+1
				continue
			}
		}
		// A mismatch: the last star takes one byte more.
		for depth > 0 && p.parts[stars[depth-1].part].kind == segments && !strings.HasPrefix(path[stars[depth-1].from:], "/") {
			depth--
		}
		if depth == 0 || stars[depth-1].at == len(path) {
			return false
		}
		last := &stars[depth-1]
		last.at++
		if last.part == len(p.parts)-1 {
			last.at = len(path)
		}
		begin := last.from
		if p.parts[last.part].kind == segments {
			begin++
		}
		spans[last.catches] = [2]int{begin, last.at}
		at, i, catches = last.at, last.part+1, last.catches+1
	}
}

func endOfSegment(path string, at int) int {
	if n := strings.IndexByte(path[at:], '/'); n >= 0 {
		return at + n
	}
	return len(path)
}

// TrimSlash takes one slash off the end, but not off the root.
func TrimSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

// Canonical is the one spelling of an escaped path in which paths are compared:
// everything is escaped that has to be, and nothing else. A path that is not
// well escaped has none.
func Canonical(escaped string) (path string, ok bool) {
	if plain(escaped) {
		return escaped, true
	}
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		segments[i] = url.PathEscape(text)
	}
	return strings.Join(segments, "/"), true
}

// plain reports whether a path is spelled canonically without a closer look,
// as nearly all are.
func plain(path string) bool {
	for i := range len(path) {
		c := path[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-._~$&+=:@", c) >= 0) {
			return false
		}
	}
	return true
}

// spell is the canonical spelling of a path that a person wrote, for whom a
// percent sign that begins no escape is one.
func spell(text string) string {
	if path, ok := Canonical(text); ok {
		return path
	}
	segments := strings.Split(text, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}
