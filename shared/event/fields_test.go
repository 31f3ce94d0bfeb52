package event

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAppendString holds the encoder against encoding/json.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\/", "é\u2028\u2029\U0001F600", "\xff\xc3", "<script>&amp;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("appendString(%q) is not JSON: %v", s, err)
		}
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("appendString(%q) decodes to %q, encoding/json to %q", s, got, want)
		}
		if fromBytes := appendString(nil, []byte(s)); string(fromBytes) != string(appendString(nil, s)) {
			t.Errorf("appendString of bytes %q differs from that of the string", s)
		}
		if strings.ContainsAny(string(appendString(nil, s)), "\u2028\u2029\n") {
			t.Errorf("appendString(%q) holds a bare line separator", s)
		}
	})
}
