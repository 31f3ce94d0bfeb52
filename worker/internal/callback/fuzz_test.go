package callback

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/nightshift/nightshift/shared/callback"
)

// FuzzRedirect: a receiver that leads on leads to https, with the request as it
// was, three times at most, and the next host is not told where it came from.
func FuzzRedirect(f *testing.F) {
	f.Add("https://other.example/x", 307, uint8(1))
	f.Add("http://169.254.169.254/latest/meta-data", 308, uint8(1))
	f.Add("//other.example", 302, uint8(2))
	f.Add("https://user:pw@other.example", 307, uint8(3))
	f.Add("file:///etc/passwd", 307, uint8(4))
	f.Add("\\\\other.example\\x", 307, uint8(1))
	base, err := url.Parse("https://receiver.example/a?token=canary")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string, status int, hops uint8) {
		to, err := base.Parse(location) // as net/http does
		if err != nil {
			return
		}
		method := http.MethodGet
		if status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect {
			method = http.MethodPost
		}
		r := &http.Request{Method: method, URL: to, Header: http.Header{"Referer": {base.String()}}, Response: &http.Response{StatusCode: status}}
		via := make([]*http.Request, int(hops)%6+1)
		if checkRedirect(r, via) != nil {
			return
		}
		if to.Scheme != "https" || method != http.MethodPost || len(via) > maxRedirects || to.User != nil || r.Header.Get("Referer") != "" {
			t.Errorf("hop %d, %d to %s is followed with %v", len(via), status, to, r.Header)
		}
		if err := callback.Check(to.String(), true); err != nil {
			t.Errorf("%s is followed, which nobody may ask for: %v", to, err)
		}
	})
}
