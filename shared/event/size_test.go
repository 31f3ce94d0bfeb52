package event

import (
	"net/http"
	"strings"
	"testing"
)

// An event that grows while it is made is copied, and what it was is garbage.
func TestSizeIsEnough(t *testing.T) {
	t.Parallel()
	meta := Meta{RequestID: strings.Repeat("0", 26), Site: "shop", Deploy: strings.Repeat("a", 24), Context: "production", ClientIP: "192.0.2.1", BaseURL: "https://example.com"}
	for name, body := range map[string]string{
		"nothing": "", "JSON": strings.Repeat(`{"to":"a@example.com"}`, 500), "JSON in JSON": strings.Repeat(`{\"to\":\"a@example.com\"}`, 500),
		"JSON to read": strings.Repeat("{\n  \"to\": \"a@example.com\"\n}\n", 500), "text": strings.Repeat("one line\n", 500),
	} {
		for _, encoded := range []bool{false, true} {
			c := call{
				method: http.MethodPost, path: "/.netlify/functions/send", rawQuery: "a=1&b=2", body: []byte(body), base64: encoded,
				query:   fields{{"a", []string{"1"}}, {"b", []string{"2"}}},
				headers: fields{{"content-type", []string{"application/json"}}, {"host", []string{"example.com"}}},
			}
			event := c.encode(meta) // which adds headers, as size is asked for
			if size := c.size(meta); size < len(event) || size > len(event)*5/4+512 {
				t.Errorf("%s, as base64 %v: the size is %d, of an event of %d bytes", name, encoded, size, len(event))
			}
		}
	}
}
