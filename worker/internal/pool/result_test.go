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
		{payload: `{"statusCode":200.5}`, status: 200},
		{payload: `{"statusCode":200,"body":"aGk=aGk=","isBase64Encoded":"true"}`, status: 200, body: "hi"},
		{payload: `{"statusCode":200,"body":"a G\nk!","isBase64Encoded":1}`, status: 200, body: "hi"},
		{payload: `{"statusCode":200,"body":"aGkaG","isBase64Encoded":true}`, status: 200, body: "hi\x1a"},
		{payload: `{"statusCode":200,"body":"aGk=","isBase64Encoded":0}`, status: 200, body: "aGk="},
		{payload: `{"statusCode":200,"isBase64Encoded":true}`, status: 200},
		{payload: `{"statusCode":200,"headers":{"x-a":"caf\u00e9","x-b":null},"body":"x"}`, status: 200, body: "x"},
		{payload: `null`, problem: "no lambda response. check your function code again. make sure to return a promise or use the callback."},
		{payload: `{"statusCode":200,"headers":"text"}`, problem: `Your function response must have an object as headers. You gave: "text"`},
		{payload: `{"statusCode":200,"multiValueHeaders":[1]}`, problem: `Your function response must have an object as multiValueHeaders. You gave: [1]`},
		{payload: `{"statusCode":200,"headers":null}`, status: 200},
		{payload: `{"statusCode":200`, problem: "Your function response is not valid JSON"},
		{payload: `{"statusCode":"abc"}`, problem: "Your function response must have a numerical statusCode. You gave: 'abc'"},
		{payload: `{"statusCode":200,"headers":{"bad name":"a"}}`, problem: `TypeError: Header name must be a valid HTTP token ["bad name"]`},
		{payload: `{"statusCode":200,"headers":{"x-a":"a\r\nx-b: b"}}`, problem: `TypeError: Invalid character in header content ["x-a"]`},
		{payload: `{"statusCode":200,"multiValueHeaders":{"X-A":["a","✓"]}}`, problem: `TypeError: Invalid character in header content ["X-A"]`},
		{payload: `"text"`, problem: "Your function response must have a numerical statusCode. You gave: undefined"},
		{payload: `{"statusCode":null}`, problem: "Your function response must have a numerical statusCode. You gave: null"},
		{payload: `{"statusCode":0}`, problem: "Your function response must have a numerical statusCode. You gave: 0"},
		{payload: `{"statusCode":20.5}`, problem: "Your function response must have a numerical statusCode. You gave: 20.5"},
		{payload: `{"statusCode":1000}`, problem: "Your function response must have a numerical statusCode. You gave: 1000"},
		{payload: `{"statusCode":[1,null,"a",{}]}`, problem: "Your function response must have a numerical statusCode. You gave: [ 1, null, 'a', {} ]"},
		{payload: `{"statusCode":200,"body":{"a":1,"b c":"it's"}}`, problem: `Your function response must have a string or a stream body. You gave: { a: 1, 'b c': "it's" }`},
		{payload: `{"statusCode":200,"body":{"a":{"b":{"c":{"d":1},"e":[[]],"f":[{}]}}}}`, problem: `Your function response must have a string or a stream body. You gave: { a: { b: { c: [Object], e: [Array], f: [Array] } } }`},
		{payload: `{"statusCode":200,"body":{"type":"Buffer","data":[98,255]}}`, problem: "Your function response must have a string or a stream body. You gave: <Buffer 62 ff>"},
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
