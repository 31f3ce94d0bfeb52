package pool

import (
	"testing"

	"github.com/nightshift/nightshift/shared/function"
)

func TestParseResult(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		payload string
		status  int
		body    string
		problem string
	}{
		{payload: `{"statusCode":200,"body":"x"}`, status: 200, body: "x"},
		{payload: `{"statusCode":"203"}`, status: 203},
		{payload: `{"statusCode":200,"body":null}`, status: 200},
		{payload: `{"statusCode":200,"body":false}`, status: 200},
		{payload: `{"statusCode":200,"body":"aGk","isBase64Encoded":true}`, status: 200, body: "hi"},
		{payload: `{"statusCode":200,"body":"_-8=","isBase64Encoded":true}`, status: 200, body: "\xff\xef"},
		{payload: ``, problem: "lambda response was undefined. check your function code again"},
		{payload: `null`, problem: "no lambda response. check your function code again"},
		{payload: `"text"`, problem: "Your function response must have a numerical statusCode. You gave: undefined"},
		{payload: `{"statusCode":null}`, problem: "Your function response must have a numerical statusCode. You gave: null"},
		{payload: `{"statusCode":0}`, problem: "Your function response must have a numerical statusCode. You gave: 0"},
		{payload: `{"statusCode":20.5}`, problem: "Your function response must have a numerical statusCode. You gave: 20.5"},
		{payload: `{"statusCode":[1,null,"a",{}]}`, problem: "Your function response must have a numerical statusCode. You gave: 1,,a,[object Object]"},
		{payload: `{"statusCode":200,"body":[1]}`, problem: "Your function response must have a string or a stream body. You gave: 1"},
		{payload: `{"statusCode":200,"body":true}`, problem: "Your function response must have a string or a stream body. You gave: true"},
	} {
		got, failure := parseResult([]byte(tc.payload), function.Sync)
		if tc.problem != "" {
			if failure == nil || failure.Failure.Message != tc.problem {
				t.Errorf("%s: %v, want %q", tc.payload, failure, tc.problem)
			}
			if _, failure := parseResult([]byte(tc.payload), function.Background); failure != nil {
				t.Errorf("%s in the background: %v, want no failure", tc.payload, failure)
			}
			continue
		}
		if failure != nil || got.status != tc.status || string(got.body) != tc.body {
			t.Errorf("%s: %+v %v, want %d %q", tc.payload, got, failure, tc.status, tc.body)
		}
	}
}

func FuzzParseResult(f *testing.F) {
	for _, seed := range []string{``, `null`, `{"statusCode":200,"body":"x","headers":{"a":["b"]}}`, `{"statusCode":[{}]}`, `{"body":1e9}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, failure := parseResult(payload, function.Sync)
		if (got == nil) == (failure == nil) {
			t.Fatalf("%q: %+v and %v, want exactly one", payload, got, failure)
		}
		if got != nil && (got.status < 100 || got.status > 999) {
			t.Errorf("%q: status %d", payload, got.status)
		}
	})
}
