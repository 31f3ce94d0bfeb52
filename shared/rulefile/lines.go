package rulefile

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/rule"
)

// word is a word of a line.
type word struct {
	text string
	at   at
}

// words takes a line apart, up to a word that begins a comment.
func words(line string, number int) []word {
	var out []word
	for i := 0; i < len(line); {
		begin := strings.IndexFunc(line[i:], func(r rune) bool { return !unicode.IsSpace(r) })
		if begin < 0 {
			break
		}
		begin += i
		if i = len(line); strings.ContainsFunc(line[begin:], unicode.IsSpace) {
			i = begin + strings.IndexFunc(line[begin:], unicode.IsSpace)
		}
		if line[begin] == '#' {
			break
		}
		out = append(out, word{line[begin:i], at{number, begin + 1}})
	}
	return out
}

func lines(text string) []string {
	return strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
}

// Redirects reads a `_redirects` file. A line is
//
//	from [name=value …] to [status[!]] [Condition=value,…]
//
// where to may be missing if from ends with /* and the status is 200.
func Redirects(text string) Rules {
	var r Rules
	for i, line := range lines(text) {
		if words := words(line, i+1); len(words) > 0 {
			r.line(words)
		}
	}
	return r
}

var status = regexp.MustCompile(`^([0-9]{3})(!?)$`)

func (r *Rules) line(words []word) {
	from, rest := words[0], words[1:]
	redirect := deploy.Redirect{From: from.text}
	if len(rest) == 0 {
		r.errorf(from.at, "it is not said where the redirect from %s leads: write a path, or a URL, behind it", from.text)
		return
	}
	if !status.MatchString(rest[0].text) { // else the target is meant by the star
		for len(rest) > 0 && !strings.HasPrefix(rest[0].text, "/") && !rule.Elsewhere(rest[0].text) {
			key, value, isPair := strings.Cut(rest[0].text, "=")
			if !isPair || key == "" {
				r.errorf(rest[0].at, "%q is neither a parameter, name=value, nor a target, which begins with \"/\", \"http://\" or \"https://\"", rest[0].text)
				return
			}
			if redirect.Query == nil {
				redirect.Query = map[string]string{}
			}
			redirect.Query[key] = value
			rest = rest[1:]
		}
		if len(rest) == 0 {
			r.errorf(from.at, "it is not said where the redirect from %s leads: write a path, or a URL, behind it", from.text)
			return
		}
		redirect.To, rest = rest[0].text, rest[1:]
	}
	for _, word := range rest {
		if s := status.FindStringSubmatch(word.text); s != nil && redirect.Status == 0 {
			redirect.Status, _ = strconv.Atoi(s[1])
			redirect.Force = s[2] != ""
			continue
		}
		name, value, isPair := strings.Cut(word.text, "=")
		switch {
		case !isPair || name == "":
			r.errorf(word.at, "%q is neither a status, such as 301 or 200!, nor a condition, such as Language=de", word.text)
			return
		case strings.EqualFold(name, "sign") || strings.EqualFold(name, "signed"):
			r.warnf(word.at, "%s has no effect: it signs what is fetched from other hosts, and Nightshift fetches nothing from there", name)
		case !r.condition(word.at, &redirect, name, list(value)):
			return
		}
	}
	r.add(from.at, redirect)
}

// Headers reads a `_headers` file: paths, and below each its headers.
func Headers(text string) Rules {
	var r Rules
	var path word
	var headers []header
	for i, line := range lines(text) {
		trimmed := strings.TrimSpace(line)
		at := at{i + 1, len(line) - len(strings.TrimLeftFunc(line, unicode.IsSpace)) + 1}
		name, value, isHeader := strings.Cut(trimmed, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case trimmed[0] == '/' || trimmed == "*":
			r.addHeaders(path.at, path.text, headers)
			path, headers = word{trimmed, at}, nil
		case rule.Elsewhere(trimmed):
			r.errorf(at, "headers are for a path, which begins with \"/\"; those of one host are not read")
		case !isHeader || name == "" || value == "":
			r.errorf(at, "%.80q is neither a path, which begins with \"/\", nor a header, Name: value", trimmed)
		case path.text == "":
			r.errorf(at, "the header %s stands above the first path; write a path such as /* above it", name)
		default:
			headers = append(headers, header{name, value, at})
		}
	}
	r.addHeaders(path.at, path.text, headers)
	return r
}
