package session

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
)

// FuzzVerify: nothing is a session but what was given out, as it was given out.
func FuzzVerify(f *testing.F) {
	// A token of each process: those that fuzz have the sessions of another one as seeds.
	log, roots := slog.New(slog.DiscardHandler), access.Roots(rand.Text())
	g := New(Config{
		Access: access.New(access.Config{Roots: roots, Logger: log}), Roots: roots, Logger: log,
		ClientIP: func(*http.Request) string { return "" }, HTTPS: func(*http.Request) bool { return false },
	})
	now := time.Unix(1_900_000_000, 0)
	good, err := g.mint(access.Root(0), now.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint16(0), byte(0))
	f.Add(good[:20], uint16(5), byte(1))
	f.Add(good+"=", uint16(70), byte(0x20))
	f.Fuzz(func(t *testing.T, text string, at uint16, flip byte) {
		if _, _, ok := g.verify(text, now); ok && text != good {
			t.Errorf("%q is taken for a session", text)
		}
		changed := []byte(good)
		changed[int(at)%len(changed)] ^= flip
		if _, _, ok := g.verify(string(changed), now); ok != (flip == 0) {
			t.Errorf("the session changed at %d by %x is valid: %t", int(at)%len(good), flip, ok)
		}
	})
}

// FuzzSafeNext: whatever a sign-in is asked to lead to, a browser stays with us.
func FuzzSafeNext(f *testing.F) {
	for _, next := range []string{"/deploys?site=a", "//evil.example", `/\evil.example`, "/\t/evil.example", "/%2f/evil.example", "https://evil.example", "/a/..//evil.example", "/.//evil.example", "/sign-in"} {
		f.Add(next)
	}
	own, err := url.Parse("https://console.example/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := safeNext(next)
		// What browsers make of it: tabs and line ends are dropped, \ is /, and dots are resolved.
		read := strings.ReplaceAll(strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(got), `\`, "/")
		to, err := own.Parse(read)
		if err != nil || to.Host != own.Host || to.Scheme != own.Scheme {
			t.Errorf("safeNext(%q) = %q, which leads to %v, %v", next, got, to, err)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("safeNext(%q) = %q, which cannot stand in a header", next, got)
		}
		if again := safeNext(got); again != got {
			t.Errorf("safeNext(%q) = %q, which is not safe: %q", next, got, again)
		}
	})
}

// FuzzHide: functions see no session, and every other cookie as it was sent.
func FuzzHide(f *testing.F) {
	f.Add("a=1; nightshift_session=x; b=2")
	f.Add("__Host-nightshift_session=x")
	f.Add("nightshift_session=x;nightshift_session =y; nightshift_sessions=z")
	f.Add(`a="; nightshift_session=x; "; b`)
	f.Add("nightshift_session;\v0")
	f.Fuzz(func(t *testing.T, line string) {
		before := (&http.Request{Header: http.Header{"Cookie": {line}}}).Cookies()
		h := http.Header{"Cookie": {line}}
		Hide(h)
		var left []string
		for _, c := range before {
			if c.Name != plainCookie && c.Name != secureCookie {
				left = append(left, c.Name+"="+c.Value)
			}
		}
		var got []string
		for _, c := range (&http.Request{Header: h}).Cookies() {
			got = append(got, c.Name+"="+c.Value)
		}
		if strings.Join(got, ";") != strings.Join(left, ";") {
			t.Errorf("of %q are left %q, want %q", line, got, left)
		}
	})
}
