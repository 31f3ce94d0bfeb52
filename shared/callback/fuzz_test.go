package callback

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzCheck: whatever is asked for as a callback is refused as invalid, or is a
// URL that leads to no address that C libraries read out of its host, unless
// that is a public one, and that is allowed where private networks are, too.
func FuzzCheck(f *testing.F) {
	for _, u := range []string{
		"https://example.com/done?x=1", "http://example.com/", "https://127.0.0.1/", "https://[::1]:443/", "https://[::ffff:10.0.0.1]/",
		"https://0177.0.0.1/", "https://0x7f.1/", "https://2130706433/", "https://127.1./", "https://user:pw@example.com/", "https://example.com:0/",
		"https:example.com", "//example.com", "https://[fe80::1%25eth0]/", "https://127。0。0。1/", "https://%31%32%37.0.0.1/", "https://1.1.1.1/", "https://",
	} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		err := Check(raw, false)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("Check(%q) = %v, want invalid", raw, err)
			}
			return
		}
		if err := Check(raw, true); err != nil {
			t.Errorf("%q is allowed, and refused where private networks are allowed too: %v", raw, err)
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || len(raw) > MaxURL {
			t.Fatalf("%q is allowed, which is %+v, %v", raw, u, err)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		addr, isAddr := legacyAddr(host)
		if literal, err := netip.ParseAddr(host); err == nil {
			addr, isAddr = literal.Unmap().WithZone(""), true
		}
		if isAddr && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()) {
			t.Errorf("%q is allowed, and %s may be read as %s", raw, host, addr)
		}
	})
}

// legacyAddr reads an IPv4 address as inet_aton does: one to four numbers,
// decimal, octal or hexadecimal, of which the last one fills what is left.
func legacyAddr(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var all uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || strings.Contains(part, "_") {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			all |= n
		} else {
			all |= (n & 0xff) << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}

// FuzzParseAllow: a list of networks is refused as invalid, or reads the same
// when it is written again.
func FuzzParseAllow(f *testing.F) {
	f.Add("10.1.0.0/16,fd00::/8")
	f.Add(" ::ffff:10.0.0.0/104 ,")
	f.Fuzz(func(t *testing.T, text string) {
		allowed, err := ParseAllow(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("ParseAllow(%q) = %v, want invalid", text, err)
			}
			return
		}
		var written []string
		for _, prefix := range allowed {
			written = append(written, prefix.String())
		}
		again, err := ParseAllow(strings.Join(written, ","))
		if err != nil || len(again) != len(allowed) {
			t.Fatalf("%q is %v, which reads as %v, %v", text, allowed, again, err)
		}
		for i := range again {
			if again[i] != allowed[i] {
				t.Errorf("%q has %v, which reads as %v", text, allowed[i], again[i])
			}
		}
	})
}
