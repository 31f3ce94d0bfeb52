package httpapi

import (
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/fault"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, trust, peer string
		forwardedFor      []string
		want              string // the caller
		believed          bool
	}{
		{"nobody", "false", "10.0.0.1:1", []string{"192.0.2.1"}, "10.0.0.1", false},
		{"nobody, not set", "", "10.0.0.1:1", []string{"192.0.2.1"}, "10.0.0.1", false},
		{"private peer", "true", "10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1", true},
		{"public peer", "true", "203.0.113.9:1", []string{"192.0.2.1"}, "203.0.113.9", false},
		{"loopback", "true", "127.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1", true},
		{"IPv6", "true", "[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7", true},
		{"IPv4 as IPv6", "true", "[::ffff:10.0.0.1]:1", []string{"192.0.2.1"}, "192.0.2.1", true},
		{"listed", "198.51.100.0/24, 203.0.113.9", "203.0.113.9:1", []string{"192.0.2.1"}, "192.0.2.1", true},
		{"not listed", "198.51.100.0/24", "203.0.113.9:1", []string{"192.0.2.1"}, "203.0.113.9", false},
		{"private, not listed", "198.51.100.0/24", "10.0.0.1:1", []string{"192.0.2.1"}, "10.0.0.1", false},
		// What the caller itself sent stands before what the proxy has added.
		{"forged", "10.0.0.0/8", "10.0.0.1:1", []string{"198.51.100.66, 192.0.2.1"}, "192.0.2.1", true},
		{"forged, in a line of its own", "10.0.0.0/8", "10.0.0.1:1", []string{"198.51.100.66", "192.0.2.1"}, "192.0.2.1", true},
		{"forged as a proxy", "10.0.0.0/8", "10.0.0.1:1", []string{"10.0.0.7, 192.0.2.1"}, "192.0.2.1", true},
		{"two proxies", "10.0.0.0/8", "10.0.0.1:1", []string{"198.51.100.66, 192.0.2.1, 10.0.0.2"}, "192.0.2.1", true},
		{"no address", "10.0.0.0/8", "10.0.0.1:1", []string{"192.0.2.1, unknown"}, "10.0.0.1", true},
		{"only proxies", "10.0.0.0/8", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3", true},
		{"nothing said", "10.0.0.0/8", "10.0.0.1:1", nil, "10.0.0.1", true},
	}
	for _, tt := range tests {
		p, err := ParseProxies(tt.trust)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.forwardedFor != nil {
			r.Header["X-Forwarded-For"] = tt.forwardedFor
		}
		only := []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Anything", "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"}
		for _, name := range only {
			r.Header.Set(name, "https")
		}
		r.Header.Set("X-Own", "1")
		handled := p.believe(func(c echo.Context) error {
			r := c.Request()
			if got := p.ClientIP(r); got != tt.want {
				t.Errorf("%s: the caller is %s, want %s", tt.name, got, tt.want)
			}
			if got := p.HTTPS(r); got != tt.believed {
				t.Errorf("%s: HTTPS is %v, want %v", tt.name, got, tt.believed)
			}
			for _, name := range append(only, "X-Forwarded-For") {
				if had := name != "X-Forwarded-For" || tt.forwardedFor != nil; r.Header.Get(name) != "" != (tt.believed && had) {
					t.Errorf("%s: %s is %q", tt.name, name, r.Header.Get(name))
				}
			}
			if r.Header.Get("X-Own") != "1" {
				t.Errorf("%s: a header of the caller's own is lost", tt.name)
			}
			return nil
		})
		if err := handled(echo.New().NewContext(r, httptest.NewRecorder())); err != nil {
			t.Error(err)
		}
	}
}

func TestProxiesRefuse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"yes", "10.0.0.0/33", "example.com", "10.0.0.0/8,x", "10.0.0.1:80"} {
		if _, err := ParseProxies(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseProxies(%q) = %v, want invalid", text, err)
		}
	}
}
