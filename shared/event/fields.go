package event

import (
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is a name with its values, in the order in which they came.
type field struct {
	name   string
	values []string
}

// fields is an ordered set of fields; each name stands in it once.
type fields []field

// size is how many bytes names and values have in an event, in each of the two
// objects that they stand in.
func (f fields) size() int {
	n := 0
	for _, field := range f {
		n += len(field.name) + 6
		for _, v := range field.values {
			n += len(v) + 3
		}
	}
	return n
}

// appendJoined appends a JSON object of strings, repeats joined, without the
// closing brace.
func (f fields) appendJoined(out []byte) []byte {
	out = append(out, '{')
	for i, field := range f {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, field.name)
		out = append(out, ':')
		separator := ", "
		if field.name == "cookie" {
			separator = "; " // RFC 6265: a cookie may hold a comma
		}
		out = appendString(out, strings.Join(field.values, separator))
	}
	return out
}

// appendLists appends a JSON object of arrays.
func (f fields) appendLists(out []byte) []byte {
	out = append(out, '{')
	for i, field := range f {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, field.name)
		out = append(out, ':', '[')
		for j, v := range field.values {
			if j > 0 {
				out = append(out, ',')
			}
			out = appendString(out, v)
		}
		out = append(out, ']')
	}
	return append(out, '}')
}

// parseQuery reads a query as browsers do: nothing in it is an error. What is
// not a percent escape stands for itself, and what is not UTF-8 becomes U+FFFD.
func parseQuery(raw string) fields {
	var out fields
	at := map[string]int{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, field{name: name})
		}
		out[i].values = append(out[i].values, value)
	}
	return out
}

// unescapeQuery decodes one name or value of a query.
func unescapeQuery(s string) string {
	if strings.ContainsAny(s, "%+") {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '+':
				b = append(b, ' ')
			case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
				b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
				i += 2
			default:
				b = append(b, s[i])
			}
		}
		s = string(b)
	}
	// Here and not in the encoder, because two names that differ only in bytes
	// that are not UTF-8 are one name afterwards.
	return strings.ToValidUTF8(s, "\uFFFD")
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// hopByHop are the headers that concern one connection only (RFC 9110, 7.6.1).
var hopByHop = []string{
	"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade",
}

// requestHeaders are the headers of a request that its function gets, sorted by
// name, so that equal requests make equal events.
func requestHeaders(r *http.Request) fields {
	var dropped []string // named by the Connection header
	for _, v := range r.Header["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			dropped = append(dropped, strings.ToLower(textproto.TrimString(name)))
		}
	}
	out := make(fields, 0, len(r.Header)+3+morePlatform)
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if !slices.Contains(dropped, name) && !ours(name) {
			out = append(out, field{name, values})
		}
	}
	out = append(out, field{"host", []string{r.Host}})
	if _, told := r.Header["Content-Length"]; !told && (r.Method == http.MethodDelete || r.Method == http.MethodOptions) && r.ContentLength == 0 {
		out = append(out, field{"content-length", []string{"0"}}) // as Netlify's proxy says for these two
	}
	if hops := forwardedFor(r); hops != "" {
		out = append(out, field{"x-forwarded-for", []string{hops}})
	}
	slices.SortFunc(out, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return out
}

// ours reports whether a header, in lower case, is not the caller's to set: it
// belongs to a connection, or the platform speaks to functions by it.
func ours(name string) bool {
	switch name {
	case "host", "x-forwarded-for", "client-ip", "x-netlify-event":
		return true
	}
	return strings.HasPrefix(name, "x-nf-") || strings.HasPrefix(name, "nightshift-") || slices.Contains(hopByHop, name)
}

// forwardedFor is the X-Forwarded-For of the request with its peer added, as
// every proxy does.
func forwardedFor(r *http.Request) string {
	hops := r.Header["X-Forwarded-For"]
	if peer, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		hops = append(slices.Clone(hops), peer)
	}
	return strings.Join(hops, ", ")
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. It escapes as encoding/json does
// without HTML escaping (U+2028 and U+2029 too, for code that pastes JSON into
// JavaScript), and bytes that are not UTF-8 become U+FFFD.
//
// It is our own because encoding/json has no way to append to a buffer, and the
// body is by far the largest part of an event.
func appendString[S string | []byte](out []byte, s S) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			out = append(out, s[start:i]...)
			switch c {
			case '"', '\\':
				out = append(out, '\\', c)
			case '\n':
				out = append(out, '\\', 'n')
			case '\r':
				out = append(out, '\\', 'r')
			case '\t':
				out = append(out, '\\', 't')
			default:
				out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(append(out, s[start:i]...), `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			out = append(append(out, s[start:i]...), '\\', 'u', '2', '0', '2', hexDigits[r&15])
		default:
			i += size
			continue
		}
		i += size
		start = i
	}
	out = append(out, s[start:]...)
	return append(out, '"')
}
