package dispatch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"
)

var (
	key  = Key{ID: "K1", Secret: "one secret"}
	noon = time.UnixMilli(1_700_000_000_123)
)

// newCall is a signed call, as the worker gets it.
func newCall(t testing.TB, event string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://worker:8890"+Path, strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		HeaderWorker: "w1", HeaderInvocation: "01JD0000000000000000000000", HeaderSite: "shop", HeaderDeploy: "d1", HeaderFunction: "hello",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		r.Header.Set(name, value)
	}
	key.Sign(r, noon, []byte(event))
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func read(t testing.TB, r *http.Request) Signature {
	t.Helper()
	s, ok, err := ReadSignature(r.Header)
	if err != nil || !ok {
		t.Fatalf("ReadSignature(%q) = %v, %v", r.Header.Get(HeaderSignature), ok, err)
	}
	return s
}

func TestSignedCallsAreVerified(t *testing.T) {
	t.Parallel()
	r := newCall(t, "event")
	s := read(t, r)
	if s.Key != "K1" || !s.At.Equal(noon) || s.Event != sha256.Sum256([]byte("event")) {
		t.Errorf("ReadSignature = key %s at %v", s.Key, s.At)
	}
	if !s.Verify(key, r) {
		t.Error("Verify = false for what was signed")
	}
	for _, wrong := range []Key{{ID: "K1", Secret: "another secret"}, {ID: "K2", Secret: key.Secret}, {}} {
		if s.Verify(wrong, r) {
			t.Errorf("Verify = true with the key %q", wrong.ID)
		}
	}
	for off, want := range map[time.Duration]bool{0: true, Window: true, -Window: true, Window + 1: false, -Window - 1: false} {
		if got := s.Fresh(noon.Add(off)); got != want {
			t.Errorf("Fresh(%v later) = %v, want %v", off, got, want)
		}
	}
	if other := read(t, newCall(t, "event")); other.Nonce() != s.Nonce() {
		t.Error("the same call has another nonce")
	}
	if other := read(t, newCall(t, "other")); other.Nonce() == s.Nonce() {
		t.Error("another call has the same nonce")
	}
}

// TestWhatIsSignedCannotBeChanged: nothing that a worker goes by can be taken
// out, put in, changed or moved.
func TestWhatIsSignedCannotBeChanged(t *testing.T) {
	t.Parallel()
	changes := map[string]func(r *http.Request){
		"method":             func(r *http.Request) { r.Method = http.MethodPut },
		"path":               func(r *http.Request) { r.URL.Path = Path + "/x" },
		"query":              func(r *http.Request) { r.URL.RawQuery = "x=1" },
		"no trace":           func(r *http.Request) { r.Header.Del("Traceparent") },
		"a state of a trace": func(r *http.Request) { r.Header.Set("Tracestate", "a=1") },
		"a client context":   func(r *http.Request) { r.Header.Set(HeaderClientContext, "e30=") },
		"an empty context":   func(r *http.Request) { r.Header.Set(HeaderClientContext, "") },
		"a second site":      func(r *http.Request) { r.Header.Add(HeaderSite, "other") },
		"moved": func(r *http.Request) {
			r.Header.Set(HeaderSite, "shopd1")
			r.Header.Set(HeaderDeploy, "")
		},
		"time": func(r *http.Request) {
			r.Header.Set(HeaderSignature, strings.Replace(r.Header.Get(HeaderSignature), "1700000000123", "1700000000124", 1))
		},
		"spelling of the time": func(r *http.Request) {
			r.Header.Set(HeaderSignature, strings.Replace(r.Header.Get(HeaderSignature), "1700000000123", "01700000000123", 1))
		},
		"event": func(r *http.Request) {
			parts := strings.Split(r.Header.Get(HeaderSignature), " ")
			parts[3] = strings.Split(newCall(t, "other").Header.Get(HeaderSignature), " ")[3]
			r.Header.Set(HeaderSignature, strings.Join(parts, " "))
		},
	}
	for _, name := range []string{HeaderWorker, HeaderInvocation, HeaderSite, HeaderDeploy, HeaderFunction} {
		changes[name] = func(r *http.Request) { r.Header.Set(name, r.Header.Get(name)+"x") }
		changes["no "+name] = func(r *http.Request) { r.Header.Del(name) }
	}
	for name, change := range changes {
		r := newCall(t, "event")
		change(r)
		if read(t, r).Verify(key, r) {
			t.Errorf("%s: Verify = true", name)
		}
	}
}

func TestReadSignature(t *testing.T) {
	t.Parallel()
	good := newCall(t, "event").Header.Get(HeaderSignature)
	parts := strings.Split(good, " ")
	if s, ok, err := ReadSignature(http.Header{}); ok || err != nil || s != (Signature{}) {
		t.Errorf("ReadSignature without one = %v, %v", ok, err)
	}
	tests := map[string][]string{
		"empty":            {""},
		"two":              {good, good},
		"another version":  {"v2" + strings.TrimPrefix(good, "v1")},
		"no key":           {strings.Replace(good, "K1", "", 1)},
		"four parts":       {strings.Join(parts[:4], " ")},
		"six parts":        {good + " x"},
		"no time":          {strings.Replace(good, parts[2], "noon", 1)},
		"before all time":  {strings.Replace(good, parts[2], "-1", 1)},
		"long time":        {strings.Replace(good, parts[2], strings.Repeat("9", 30), 1)},
		"short digest":     {strings.Replace(good, parts[3], parts[3][1:], 1)},
		"short MAC":        {good[:len(good)-1]},
		"long MAC":         {good + "AA"},
		"padded MAC":       {good + "="},
		"MAC in hex":       {strings.Replace(good, parts[4], strings.Repeat("ab", 32), 1)},
		"MAC spelled anew": {good[:len(good)-1] + "_"},
		"long":             {good + strings.Repeat(" ", maxSignature)},
		"line feeds":       {strings.ReplaceAll(good, " ", "\n")},
	}
	for name, values := range tests {
		if _, ok, err := ReadSignature(http.Header{HeaderSignature: values}); !ok || err == nil {
			t.Errorf("%s: ReadSignature = %v, %v; want an error", name, ok, err)
		}
	}
}

// FuzzSignature: whatever stands in a header, only what the key's owner wrote is
// verified.
func FuzzSignature(f *testing.F) {
	good := newCall(f, "event").Header.Get(HeaderSignature)
	f.Add(good)
	f.Add("")
	f.Add(strings.Replace(good, "K1", "K2", 1))
	f.Add(strings.Replace(good, "1700000000123", "+1700000000123", 1))
	f.Fuzz(func(t *testing.T, text string) {
		r := newCall(t, "event")
		r.Header[HeaderSignature] = []string{text}
		s, ok, err := ReadSignature(r.Header)
		if err != nil || !ok {
			return
		}
		if s.Verify(key, r) && text != good {
			t.Errorf("%q is verified", text)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	event := bytes.Repeat([]byte("x"), 1024)
	r := newCall(b, "")
	b.ReportAllocs()
	for b.Loop() {
		key.Sign(r, noon, event)
	}
}

func BenchmarkVerify(b *testing.B) {
	event := strings.Repeat("x", 1024)
	r := newCall(b, event)
	b.ReportAllocs()
	for b.Loop() {
		s, _, err := ReadSignature(r.Header)
		if err != nil || !s.Verify(key, r) || sha256.Sum256([]byte(event)) != s.Event {
			b.Fatal("not verified")
		}
	}
}

// BenchmarkStranger is a call whose signature was made up.
func BenchmarkStranger(b *testing.B) {
	r := newCall(b, "event")
	wrong := Key{ID: "K1", Secret: "another secret"}
	b.ReportAllocs()
	for b.Loop() {
		if s, _, err := ReadSignature(r.Header); err != nil || s.Verify(wrong, r) {
			b.Fatal("verified")
		}
	}
}
