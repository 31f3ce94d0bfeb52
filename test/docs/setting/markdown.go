package setting

import (
	"fmt"
	"regexp"
	"strings"
)

// Table is a table of settings in Markdown: who reads each, and its default.
func Table(settings []Setting) string {
	var b strings.Builder
	b.WriteString("| setting | type | default | read by |\n|---|---|---|---|\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s |\n", s.Name, strings.ToLower(s.Name), s.Type, defaultIn(s), readers(s))
	}
	return b.String()
}

// Sections describe each setting in Markdown. links are what stands in comments
// for programmers, with what to say to operators instead.
func Sections(settings []Setting, links *strings.Replacer) string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "### %s\n\n%s · read by %s\n\n%s\n\n", s.Name, s.Type, readers(s), wrapped(links.Replace(s.Reads[0].Text)))
		for _, r := range s.Reads[1:] {
			if r.Required != s.Reads[0].Required { // it means something else there
				fmt.Fprintf(&b, "%s\n\n", wrapped("On the "+r.Service+": "+links.Replace(r.Text)))
			}
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// defaultIn words the default in a table.
func defaultIn(s Setting) string {
	first := s.Reads[0]
	if first.Required {
		for _, r := range s.Reads {
			if !r.Required {
				return "required, but not by the " + r.Service
			}
		}
		return "required"
	}
	switch text := strings.Trim(first.Default, `"`); {
	case number.MatchString(text): // as it is written in the environment
		return "`" + strings.ReplaceAll(text, ",", "") + "`"
	case strings.ContainsAny(text, " `<") || text == "none":
		return strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text)
	default:
		return "`" + text + "`"
	}
}

var number = regexp.MustCompile(`^\d[\d,]*$`)

// wrapped breaks a text into lines of about 140 characters.
func wrapped(text string) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+len(word) > 140:
			b.WriteByte('\n')
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

func readers(s Setting) string {
	var names []string
	for _, r := range s.Reads {
		names = append(names, r.Service)
	}
	return strings.Join(names, ", ")
}
