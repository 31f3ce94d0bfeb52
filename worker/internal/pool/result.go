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
		return nil, "no lambda response. check your function code again. make sure to return a promise or use the callback."
	}
	var raw struct {
		StatusCode        json.RawMessage `json:"statusCode"`
		Headers           json.RawMessage `json:"headers"`
		MultiValueHeaders json.RawMessage `json:"multiValueHeaders"`
		Body              json.RawMessage `json:"body"`
		Base64            json.RawMessage `json:"isBase64Encoded"`
	}
	if payload[0] == '{' {
		if err := json.Unmarshal(payload, &raw); err != nil {
			return nil, "Your function response is not valid JSON"
		}
	}
	status, ok := runtimeapi.Status(unquote(raw.StatusCode))
	if !ok {
		return nil, "Your function response must have a numerical statusCode. You gave: " + inspect(raw.StatusCode)
	}
	header, err := runtimeapi.HeaderOf(raw.Headers, raw.MultiValueHeaders)
	if err != nil {
		return nil, err.Error()
	}
	r := &result{status: status, header: header}
	switch {
	case !truthy(raw.Body):
		return r, ""
	case raw.Body[0] != '"':
		return nil, "Your function response must have a string or a stream body. You gave: " + inspect(raw.Body)
	}
	var body string
	if err := json.Unmarshal(raw.Body, &body); err != nil {
		return nil, "Your function response is not valid: " + err.Error()
	}
	r.body = []byte(body)
	if truthy(raw.Base64) {
		r.body = decodeBase64(body)
	}
	return r, ""
}

// truthy is what JavaScript takes for true.
func truthy(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "0", `""`:
		return false
	default:
		return true
	}
}

// decodeBase64 takes what Node's decoder takes, which is anything: either
// alphabet, up to the padding; other characters do not count.
func decodeBase64(text string) []byte {
	text, _, _ = strings.Cut(text, "=")
	text = strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '+', r == '/':
			return r
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		default:
			return -1
		}
	}, text)
	if len(text)%4 == 1 { // six bits make no byte
		text = text[:len(text)-1]
	}
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		panic(err) // nothing else is left in it
	}
	return decoded
}

func unquote(raw json.RawMessage) string {
	var s string
	if bytes.HasPrefix(raw, []byte{'"'}) && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
