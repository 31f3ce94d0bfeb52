package httpapi

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
)

// HintHeader carries what helps, beside a text that clients of Netlify know by heart.
const HintHeader = "Nightshift-Hint"

// netlifyText is Netlify's part of a message, which ends with three dots. What
// we have to add to it goes into a header: tools compare the text.
func netlifyText(h http.Header, message string) string {
	text, hint, ok := strings.Cut(message, "... ")
	if !ok {
		return message
	}
	h.Set(HintHeader, hint)
	return text + "..."
}

// pagePolicy lets the page load nothing, run nothing and be framed by nobody.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page shows a failure to somebody who looks at it in a browser.
var page = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>The function failed</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 50rem; padding: 0 1rem } pre { overflow-x: auto }</style>
<h1>The function failed</h1>
<p><strong>{{.Head}}</strong></p>
{{with .Stack}}<pre>{{.}}</pre>{{end}}
`))

// errorPage is the text of a failed function as a page: its first line, and the
// stack below it.
func errorPage(text string) []byte {
	head, stack, _ := strings.Cut(text, "\n")
	var out bytes.Buffer
	_ = page.Execute(&out, struct{ Head, Stack string }{head, stack}) // a buffer takes everything
	return out.Bytes()
}
