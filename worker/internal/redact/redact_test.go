package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/worker/internal/process"
)

const (
	stripe = `sk_live_"4711"/ä+&`
	dsn    = "postgres://shop:p%40ssw0rd@db.internal:5432/shop?sslmode=require"
	pem    = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\r\nEFAASCBKcwggSjAgEAAoIBAQ\n-----END PRIVATE KEY-----\n"
)

func shop() *Redactor {
	return New(environ.Values{"STRIPE_KEY": stripe, "DATABASE_URL": dsn, "SIGNING_KEY": pem, "PIN": "12345", "FLAG": "1", "ON": "true"})
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestText(t *testing.T) {
	t.Parallel()
	unescaped := func(v any) string {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(buf.String())
	}
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":             {"all is well", "all is well"},
		"itself":              {"key " + stripe + ".", "key [secret STRIPE_KEY]."},
		"twice":               {stripe + stripe, "[secret STRIPE_KEY][secret STRIPE_KEY]"},
		"too short":           {"12345 is 1, true", "12345 is 1, true"},
		"as a form":           {"?k=" + url.QueryEscape(stripe), "?k=[secret STRIPE_KEY]"},
		"in a path":           {"/" + url.PathEscape(stripe), "/[secret STRIPE_KEY]"},
		"as JSON":             {unescaped(map[string]string{"k": stripe}), `{"k":"[secret STRIPE_KEY]"}`},
		"as JSON for HTML":    {jsonOf(t, map[string]string{"k": stripe}), `{"k":"[secret STRIPE_KEY]"}`},
		"a URL":               {"connecting to " + dsn, "connecting to [secret DATABASE_URL]"},
		"password of a URL":   {"user shop, password p%40ssw0rd", "user shop, password [secret DATABASE_URL]"},
		"password, decoded":   {"{ password: 'p@ssw0rd' }", "{ password: '[secret DATABASE_URL]' }"},
		"host of a URL":       {"getaddrinfo ENOTFOUND db.internal", "getaddrinfo ENOTFOUND db.internal"},
		"a line of several":   {"MIIEvQIBADANBgkqhkiG9w0BAQ", "[secret SIGNING_KEY]"},
		"all of them":         {pem, "-----BEGIN PRIVATE KEY-----\n[secret SIGNING_KEY]\r\n[secret SIGNING_KEY]\n-----END PRIVATE KEY-----\n"},
		"several, as JSON":    {jsonOf(t, pem), `"[secret SIGNING_KEY]"`},
		"beginning of a line": {"MIIEvQIBADANBg", "MIIEvQIBADANBg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := shop().Text(tt.text); got != tt.want {
				t.Errorf("Text(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

// However far into what is encoded a secret stands, base64 does not show it: of
// what is left, nobody decodes more than the letters beside it.
func TestBase64(t *testing.T) {
	t.Parallel()
	r := New(environ.Values{"API_KEY": "S3cr3t~value~of~a~key"})
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
		for before := range 7 {
			for after := range 4 {
				encoded := alphabet.EncodeToString([]byte(strings.Repeat("u", before) + "S3cr3t~value~of~a~key" + strings.Repeat("x", after)))
				got := r.Text("Authorization: Basic " + encoded)
				if left := len(strings.Replace(got, "[secret API_KEY]", "", 1)) - len("Authorization: Basic "); !strings.Contains(got, "[secret API_KEY]") || left > (before+after)*4/3+6 {
					t.Errorf("%d bytes before and %d after: %s", before, after, got)
				}
			}
		}
	}
}

func TestLongestAndPieces(t *testing.T) {
	t.Parallel()
	long := randomText(maxPattern*5/2 + 1)
	r := New(environ.Values{"A": "abcdef", "B": "abcdefghi", "LONG": secret.Text(long)})
	for text, want := range map[string]string{
		"abcdefghi abcdefg": "[secret B] [secret A]g",
		long:                "[secret LONG][secret LONG][secret LONG]",
	} {
		if got := r.Text(text); got != want {
			t.Errorf("Text(%.40q) = %.80q, want %q", text, got, want)
		}
	}
	if r.longest > maxPattern {
		t.Errorf("a pattern has %d bytes, more than %d", r.longest, maxPattern)
	}
}

func TestNothingToLookFor(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]environ.Values{"none": nil, "short": {"A": "12345", "B": ""}} {
		r := New(values)
		if r != nil {
			t.Errorf("%s: New = %v, want nil", name, r.patterns)
		}
		if got := r.Text("12345"); got != "12345" {
			t.Errorf("%s: Text = %q", name, got)
		}
		if f := (invocation.Failure{Message: "m"}); r.Failure(f) != f {
			t.Errorf("%s: a failure was changed", name)
		}
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	got := shop().Failure(invocation.Failure{
		Type: "Error", Message: "no access with " + stripe, Stack: "at f (" + stripe + ")\nand so on " + stripe[:12] + "…",
	})
	want := invocation.Failure{Type: "Error", Message: "no access with [secret STRIPE_KEY]", Stack: "at f ([secret STRIPE_KEY])\nand so on [part of a secret]…"}
	if got != want {
		t.Errorf("Failure = %+v, want %+v", got, want)
	}
}

// collect is a log that keeps what each stream wrote.
func collect() (log func(stream, text string), texts map[string][]string) {
	texts = map[string][]string{}
	return func(stream, text string) { texts[stream] = append(texts[stream], text) }, texts
}

// A secret at any place of a line that comes in pieces is found.
func TestSecretAcrossPieces(t *testing.T) {
	t.Parallel()
	const piece = process.MaxLine - 28
	r := shop()
	for cut := 0; cut <= len(stripe); cut++ {
		log, texts := collect()
		l := r.Lines(log)
		line := strings.Repeat("x", piece-cut) + stripe + "end"
		for line != "" {
			n := min(piece, len(line))
			l.Line("stdout", line[:n])
			l.Line("stderr", "in between")
			line = line[n:]
		}
		l.Flush()
		if got, want := strings.Join(texts["stdout"], ""), strings.Repeat("x", piece-cut)+"[secret STRIPE_KEY]end"; got != want {
			t.Errorf("cut after %d bytes: …%q", cut, got[piece-cut:])
		}
		if slices.ContainsFunc(texts["stderr"], func(text string) bool { return text != "in between" }) {
			t.Errorf("the other stream says %q", texts["stderr"])
		}
	}
}

func TestEndOfALog(t *testing.T) {
	t.Parallel()
	r := shop()
	for end, want := range map[string]string{"sk_": "sk_", stripe[:10]: "[part of a secret]"} {
		log, texts := collect()
		l := r.Lines(log)
		l.Line("stdout", strings.Repeat("x", process.MaxLine-28)+end)
		l.Flush()
		l.Flush()
		if got := texts["stdout"]; len(got) != 2 || got[1] != want {
			t.Errorf("a log that ends with %q: %d lines, the last one %.40q; want %q", end, len(got), got[len(got)-1], want)
		}
	}
	log, texts := collect()
	l := r.Lines(log)
	l.Line("stdout", "sk_live_")
	l.Line("stdout", "next")
	if got := texts["stdout"]; !slices.Equal(got, []string{"sk_live_", "next"}) {
		t.Errorf("short lines: %q; nothing of them is to be held back", got)
	}
}

func randomText(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)
	for i := range out {
		out[i] = letters[random.IntN(len(letters))]
	}
	return string(out)
}

// BenchmarkLine is what redacting adds to a line of 120 bytes. Compare with
// "none", which functions without secrets have.
func BenchmarkLine(b *testing.B) {
	line := `2026-01-01T00:00:00.000Z	INFO	{"level":"info","msg":"order paid","order":48151623,"customer":"c_4242","took_ms":17,"ok":true}`
	for _, n := range []int{0, 1, 10, 100} {
		values := environ.Values{}
		for i := range n {
			values[fmt.Sprintf("KEY_%d", i)] = secret.Text(randomText(40 + i)[i:])
		}
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			l := New(values).Lines(func(string, string) {})
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				l.Line("stdout", line)
			}
		})
	}
}

// BenchmarkWorst is a text that looks like a secret everywhere, of 64 KiB: time
// must grow with the text alone.
func BenchmarkWorst(b *testing.B) {
	r := New(environ.Values{"A": secret.Text(strings.Repeat("a", 60<<10) + "b")})
	for _, size := range []int{16 << 10, 64 << 10} {
		text := strings.Repeat("a", size)
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r.Text(text)
			}
		})
	}
}
