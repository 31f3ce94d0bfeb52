package pool

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/runtimeapi"
)

// internalHeaders are what Netlify's own bootstrap, inside of function bundles
// that were made for Netlify, tells the platform and not the caller.
var internalHeaders = []string{
	"x-nf-fetch-timing", "x-nf-invocation-metadata", "x-nf-request-flags", "x-nf-start-timestamp",
}

// result is a buffered Lambda result as an HTTP response.
type result struct {
	status int
	header map[string][]string
	body   []byte
}

func (r *result) reader() io.Reader { return bytes.NewReader(r.body) }

// parseResult reads {statusCode, headers, multiValueHeaders, body,
// isBase64Encoded}. The texts for what is wrong are those of Netlify's own
// server. Nobody waits for the result of a background or scheduled call, so
// there is nothing that it has to look like: what is not a response is kept as
// JSON, and nothing at all is status 204.
func parseResult(payload []byte, kind function.Kind) (*result, *Failed) {
	r, message := parseResponse(payload)
	if message == "" {
		return r, nil
	}
	if kind == function.Sync || kind == "" {
		return nil, failed(invocation.BadResponse, "Function.InvalidResponse", message)
	}
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || string(payload) == "null" {
		return &result{status: http.StatusNoContent}, nil
	}
	return &result{
		status: http.StatusOK,
		header: map[string][]string{"content-type": {"application/json"}},
		body:   payload,
	}, nil
}

func parseResponse(payload []byte) (*result, string) {
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 {
		return nil, "lambda response was undefined. check your function code again"
	}
	if string(payload) == "null" {
		return nil, "no lambda response. check your function code again"
	}
	var raw struct {
		StatusCode        json.RawMessage            `json:"statusCode"`
		Headers           map[string]json.RawMessage `json:"headers"`
		MultiValueHeaders map[string]json.RawMessage `json:"multiValueHeaders"`
		Body              json.RawMessage            `json:"body"`
		Base64            bool                       `json:"isBase64Encoded"`
	}
	if payload[0] == '{' {
		if err := json.Unmarshal(payload, &raw); err != nil {
			return nil, "Your function response is not valid: " + err.Error()
		}
	}
	status, ok := runtimeapi.Status(unquote(raw.StatusCode))
	if !ok {
		return nil, "Your function response must have a numerical statusCode. You gave: " + show(raw.StatusCode)
	}
	r := &result{status: status, header: runtimeapi.HeaderOf(raw.Headers, raw.MultiValueHeaders)}
	switch text := string(raw.Body); {
	case text == "" || text == "null" || text == "false" || text == "0":
		return r, ""
	case text[0] != '"':
		return nil, "Your function response must have a string or a stream body. You gave: " + show(raw.Body)
	}
	var body string
	if err := json.Unmarshal(raw.Body, &body); err != nil {
		return nil, "Your function response is not valid: " + err.Error()
	}
	r.body = []byte(body)
	if raw.Base64 {
		decoded, err := decodeBase64(body)
		if err != nil {
			return nil, "Your function response says isBase64Encoded, but its body is not base64: " + err.Error()
		}
		r.body = decoded
	}
	return r, ""
}

// decodeBase64 takes what Node's decoder takes: either alphabet, with or
// without padding and line breaks.
func decodeBase64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

func unquote(raw json.RawMessage) string {
	var s string
	if bytes.HasPrefix(raw, []byte{'"'}) && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// show is what JavaScript makes of a value in a text.
func show(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return "undefined"
	case raw[0] == '{':
		return "[object Object]"
	case raw[0] == '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return string(raw)
		}
		texts := make([]string, len(items))
		for n, item := range items {
			if string(item) != "null" {
				texts[n] = show(item)
			}
		}
		return strings.Join(texts, ",")
	default:
		return unquote(raw)
	}
}
