package pool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of what is shown of a value.
const (
	maxDepth = 2
	maxItems = 50
)

var identifier = regexp.MustCompile(`^[A-Za-z_$][\w$]*$`)

// inspect shows a JSON value as Node's util.inspect shows it, on one line, so
// that messages about it read as they do on Netlify's own server.
func inspect(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "undefined"
	}
	if shown, ok := inspectBuffer(raw); ok {
		return shown
	}
	shown, err := inspectNext(json.NewDecoder(bytes.NewReader(raw)), 0)
	if err != nil {
		return string(raw)
	}
	return shown
}

// inspectBuffer shows what JSON makes of a Buffer.
func inspectBuffer(raw json.RawMessage) (string, bool) {
	var buffer struct {
		Type string `json:"type"`
		Data []int  `json:"data"`
	}
	if raw[0] != '{' || json.Unmarshal(raw, &buffer) != nil || buffer.Type != "Buffer" || buffer.Data == nil {
		return "", false
	}
	var text strings.Builder
	text.WriteString("<Buffer")
	for _, b := range buffer.Data[:min(len(buffer.Data), maxItems)] {
		fmt.Fprintf(&text, " %02x", b)
	}
	if more := len(buffer.Data) - maxItems; more > 0 {
		fmt.Fprintf(&text, " ... %d more bytes", more)
	}
	return text.String() + ">", true
}

// inspectNext shows the next value, whose members are depth levels down.
func inspectNext(dec *json.Decoder, depth int) (string, error) {
	dec.UseNumber()
	token, err := dec.Token()
	if err != nil {
		return "", err
	}
	switch token {
	case json.Delim('['):
		return inspectMembers(dec, "[", "]", "[Array]", depth)
	case json.Delim('{'):
		return inspectMembers(dec, "{", "}", "[Object]", depth)
	case nil:
		return "null", nil
	}
	if text, ok := token.(string); ok {
		return quote(text), nil
	}
	return fmt.Sprint(token), nil
}

func inspectMembers(dec *json.Decoder, opening, closing, short string, depth int) (string, error) {
	var members []string
	for dec.More() {
		key := ""
		if opening == "{" {
			name, err := dec.Token()
			if err != nil {
				return "", err
			}
			key = fmt.Sprint(name)
			if !identifier.MatchString(key) {
				key = quote(key)
			}
			key += ": "
		}
		value, err := inspectNext(dec, depth+1)
		if err != nil {
			return "", err
		}
		members = append(members, key+value)
	}
	if _, err := dec.Token(); err != nil {
		return "", err
	}
	switch {
	case len(members) == 0:
		return opening + closing, nil
	case depth > maxDepth:
		return short, nil
	case len(members) > maxItems:
		more := len(members) - maxItems
		members = append(members[:maxItems], "... "+strconv.Itoa(more)+" more items")
	}
	return opening + " " + strings.Join(members, ", ") + " " + closing, nil
}

// quote puts a text into the first quotes that do not stand in it.
func quote(text string) string {
	for _, mark := range []string{"'", `"`, "`"} {
		if !strings.Contains(text, mark) {
			return mark + strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text) + mark
		}
	}
	return "'" + strings.NewReplacer("\\", `\\`, "'", `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text) + "'"
}
