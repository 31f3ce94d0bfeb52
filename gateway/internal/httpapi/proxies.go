package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/fault"
)

// Proxies are the peers that are believed when they say for whom they ask. Of nil
// none is.
type Proxies struct {
	networks []netip.Prefix
	clientIP echo.IPExtractor
}

// local are the networks that TRUST_PROXY=true means: those that nobody is in who
// comes from the internet.
var local = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// ParseProxies reads false (nobody), true (whoever is on a private network), or
// networks as CIDRs and addresses, separated by commas. Errors are fault.Invalid.
func ParseProxies(text string) (*Proxies, error) {
	p := &Proxies{}
	if trusted, err := strconv.ParseBool(strings.TrimSpace(text)); err == nil {
		if trusted {
			p.networks = local
		}
	} else {
		for entry := range strings.SplitSeq(text, ",") {
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			network, err := parseNetwork(entry)
			if err != nil {
				return nil, fault.New(fault.Invalid, "NIGHTSHIFT_TRUST_PROXY has %q; it must be false, true, or the networks of the proxies, like 10.0.0.0/8,192.0.2.1", entry)
			}
			p.networks = append(p.networks, network)
		}
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range p.networks {
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen())}))
	}
	p.clientIP = echo.ExtractIPFromXFFHeader(options...)
	return p, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	network, err := netip.ParsePrefix(text)
	return network.Masked(), err
}

// Trusts reports whether an address is that of a proxy.
func (p *Proxies) Trusts(addr netip.Addr) bool {
	if p == nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

func (p *Proxies) trustsPeer(r *http.Request) bool {
	if p == nil || len(p.networks) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.Trusts(peer.Addr())
}

// ClientIP is the address of the caller: the peer, or, of those that proxies say
// they have it from, the last one that is no proxy.
func (p *Proxies) ClientIP(r *http.Request) string {
	if !p.trustsPeer(r) {
		return direct(r)
	}
	return p.clientIP(r)
}

var direct = echo.ExtractIPDirect()

// HTTPS reports whether the caller speaks HTTPS, be it to a proxy.
func (p *Proxies) HTTPS(r *http.Request) bool {
	return r.TLS != nil || p.trustsPeer(r) && strings.EqualFold(r.Header.Get(echo.HeaderXForwardedProto), "https")
}

// believe takes from requests what only a proxy may say, unless one says it. So
// nothing behind it, functions included, has to ask whom a header is from.
func (p *Proxies) believe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); !p.trustsPeer(r) {
			for name := range r.Header {
				if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(ofProxies, name) {
					delete(r.Header, name)
				}
			}
		}
		return next(c)
	}
}

// ofProxies are the headers by which proxies and content delivery networks tell
// who asked them, beside X-Forwarded-….
var ofProxies = []string{
	"Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Envoy-External-Address",
	"True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip", "X-Azure-Clientip", "X-Appengine-User-Ip",
}
