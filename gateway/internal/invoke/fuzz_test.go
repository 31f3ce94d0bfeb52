package invoke

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzRead: what the headers of a background call ask for is refused as invalid,
// in words without control characters, or stands within its limits.
func FuzzRead(f *testing.F) {
	f.Add("order-1", "90m", "wait=10", "https://example.com/done")
	f.Add(strings.Repeat("k", 256), "2030-01-31T08:00:00Z", `respond-async, Wait="30"; x=1, wait=1`, "")
	f.Add("\x00ours", "-1h", "wait=31", " ")
	f.Add("schlüssel", "9999999h", "wait=9999999999999999999999", "\r\nX: y")
	f.Fuzz(func(t *testing.T, key, notBefore, prefer, callback string) {
		h := http.Header{}
		for name, value := range map[string]string{keyHeader: key, notBeforeHeader: notBefore, preferHeader: prefer, callbackHeader: callback} {
			if value != "" {
				h.Set(name, value)
			}
		}
		a, err := read(h)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("read(%q) = %v, want invalid", h, err)
			}
			return
		}
		if len(a.key) > maxKey || strings.ContainsFunc(a.key, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the key %q is taken", a.key)
		}
		if a.wait < 0 || a.wait > maxWait*time.Second {
			t.Errorf("%q waits for %v", prefer, a.wait)
		}
		if a.delay > maxDelay || time.Until(a.instant) > maxDelay {
			t.Errorf("%q delays by %v, or until %v", notBefore, a.delay, a.instant)
		}
		if a.callback != strings.TrimSpace(callback) {
			t.Errorf("the callback %q is read as %q", callback, a.callback)
		}
	})
}

// FuzzClientContext: whatever stands in a bearer token, functions are told
// nothing, or base64 of one JSON object in ASCII.
func FuzzClientContext(f *testing.F) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"1","name":"Zoë 🌙"}`))
	f.Add("Bearer a." + claims + ".b")
	f.Add("Bearer a." + base64.URLEncoding.EncodeToString([]byte(`1},"custom":{`)) + ".b")
	f.Add("Bearer .ew.")
	f.Fuzz(func(t *testing.T, authorization string) {
		text := clientContext(authorization)
		if text == "" {
			return
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatalf("%q gives %q: %v", authorization, text, err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(data, &got); err != nil || len(got) != 3 {
			t.Errorf("%q gives %s: %v; want identity, user and custom", authorization, data, err)
		}
		if strings.ContainsFunc(string(data), func(r rune) bool { return r >= 0x80 }) {
			t.Errorf("%q gives %q, which is not ASCII", authorization, data)
		}
	})
}
