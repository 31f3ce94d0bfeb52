package runtimeapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts" // what a header's name may be, as net/http itself sees it
)

// maxPrelude bounds the JSON before a streamed body, in bytes.
const maxPrelude = 256 << 10

// preludeEnd stands between the JSON and the body.
var preludeEnd = make([]byte, 8)

var (
	errNoEnd  = errors.New("the streamed response ended inside its metadata")
	errBadEnd = errors.New("the streamed response's metadata does not end with eight NUL bytes")
)

// Head is the status and the headers of a streamed response.
type Head struct {
	Status int
	Header map[string][]string // names in lower case
}

// readPrelude reads the JSON and the eight NUL bytes that a streamed HTTP
// response begins with, and returns how many bytes that was. JSON has no NUL
// byte, so the first one ends it.
func readPrelude(r *bufio.Reader) (*Head, int, error) {
	var raw []byte
	for {
		part, err := r.ReadSlice(0)
		raw = append(raw, part...)
		if len(raw) > maxPrelude {
			return nil, 0, fmt.Errorf("the streamed response's metadata is larger than %d KiB", maxPrelude>>10)
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			return nil, 0, errNoEnd
		}
	}
	end := make([]byte, len(preludeEnd)-1)
	if _, err := io.ReadFull(r, end); err != nil || !bytes.Equal(end, preludeEnd[1:]) {
		return nil, 0, errBadEnd
	}
	head, err := parsePrelude(raw[:len(raw)-1])
	if err != nil {
		return nil, 0, err
	}
	return head, len(raw) + len(end), nil
}

// cutPrelude is readPrelude for a response that is there already.
func cutPrelude(whole []byte) (*Head, int, error) {
	end := bytes.IndexByte(whole, 0)
	switch {
	case end < 0:
		return nil, 0, errNoEnd
	case !bytes.HasPrefix(whole[end:], preludeEnd):
		return nil, 0, errBadEnd
	}
	head, err := parsePrelude(whole[:end])
	if err != nil {
		return nil, 0, err
	}
	return head, end + len(preludeEnd), nil
}

// parsePrelude reads {statusCode, headers, multiValueHeaders, cookies}, all optional.
func parsePrelude(raw []byte) (*Head, error) {
	var prelude struct {
		StatusCode        json.RawMessage `json:"statusCode"`
		Headers           json.RawMessage `json:"headers"`
		MultiValueHeaders json.RawMessage `json:"multiValueHeaders"`
		Cookies           json.RawMessage `json:"cookies"`
	}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &prelude); err != nil {
			return nil, errors.New("the streamed response's metadata is not valid JSON")
		}
	}
	header, err := HeaderOf(prelude.Headers, prelude.MultiValueHeaders)
	if err != nil {
		return nil, err
	}
	head := &Head{Status: 200, Header: header}
	if status := strings.Trim(string(prelude.StatusCode), `" `); status != "" && status != "null" {
		n, ok := Status(status)
		if !ok {
			//lint:ignore ST1005 the text is that of Netlify's own server, and reaches the caller as it is
			return nil, fmt.Errorf("Your function response must have a numerical statusCode. You gave: %s", status)
		}
		head.Status = n
	}
	if cookies := headerValues(prelude.Cookies); len(cookies) > 0 && string(prelude.Cookies) != "null" {
		if slices.ContainsFunc(cookies, func(value string) bool { return strings.ContainsFunc(value, unfit) }) {
			return nil, fmt.Errorf("TypeError: Invalid character in header content [%q]", "set-cookie")
		}
		head.Header["set-cookie"] = append(head.Header["set-cookie"], cookies...)
	}
	return head, nil
}

// Status reads a status code, 100 to 999, as a number is written in JSON. What
// stands behind the point does not count, as in Node.
func Status(text string) (int, bool) {
	var n float64
	if json.Unmarshal([]byte(strings.TrimSpace(text)), &n) != nil || n < 100 || n >= 1000 {
		return 0, false
	}
	return int(n), true
}

// HeaderOf joins the two forms in which a Lambda result has headers. A name in
// multi wins over the same name in single. Values that are not strings are
// written as they stand in JSON, and several in one line. A header that HTTP
// cannot carry is an error, in the words of Node.
func HeaderOf(single, multi json.RawMessage) (map[string][]string, error) {
	header := map[string][]string{}
	for _, form := range []struct {
		key string
		raw json.RawMessage
	}{{"headers", single}, {"multiValueHeaders", multi}} {
		var fields map[string]json.RawMessage
		if len(form.raw) > 0 && json.Unmarshal(form.raw, &fields) != nil {
			//lint:ignore ST1005 the text reaches the caller as it is
			return nil, fmt.Errorf("Your function response must have an object as %s. You gave: %.100s", form.key, form.raw)
		}
		for name, raw := range fields {
			if !httpguts.ValidHeaderFieldName(name) {
				return nil, fmt.Errorf("TypeError: Header name must be a valid HTTP token [%q]", name)
			}
			values := headerValues(raw)
			if slices.ContainsFunc(values, func(value string) bool { return strings.ContainsFunc(value, unfit) }) {
				return nil, fmt.Errorf("TypeError: Invalid character in header content [%q]", name)
			}
			name = strings.ToLower(name)
			if len(values) > 1 && name != "set-cookie" { // which alone cannot be joined
				values = []string{strings.Join(values, ", ")}
			}
			if len(values) > 0 {
				header[name] = values
			}
		}
	}
	return header, nil
}

// unfit reports whether a character cannot stand in a header: control
// characters, and what is not in Latin-1.
func unfit(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r > 0xff }

func headerValues(raw json.RawMessage) []string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return nil
		}
		var values []string
		for _, item := range items {
			if len(item) > 0 && item[0] != '[' { // a list in a list means nothing
				values = append(values, headerValues(item)...)
			}
		}
		return values
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil
		}
		return []string{s}
	default:
		return []string{string(raw)}
	}
}
