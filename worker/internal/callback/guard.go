package callback

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"code.dny.dev/ssrf"
	"github.com/nightshift/nightshift/shared/callback"
)

const (
	maxRedirects    = 3
	maxHeader       = 16 << 10 // bytes of the answer's header
	idleConnections = 2        // per receiver
	maxIdle         = 16       // of all
	idleTimeout     = 30 * time.Second
)

// errRedirect is what a redirect is not followed for.
var errRedirect = errors.New("redirect refused")

// newClient makes the client that callbacks are sent with. Where it may connect
// to is decided for each connection when the address is known, after the name
// was looked up, so neither a name that changes nor a redirect leads around it:
// https goes to public addresses and to allowed networks, http to allowed
// networks only.
func newClient(allowed []netip.Prefix, resolver *net.Resolver, trust *tls.Config) *http.Client {
	var v4, v6 []netip.Prefix
	for _, prefix := range allowed {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	// Hosts of Azure ask this address for what is theirs; it is public by its form.
	azure := netip.MustParsePrefix("168.63.129.16/32")
	options := []ssrf.Option{ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azure), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)}
	public := ssrf.New(options...)
	private := ssrf.New(append(options,
		ssrf.WithDeniedV4Prefixes(azure, netip.MustParsePrefix("0.0.0.0/0")),
		ssrf.WithDeniedV6Prefixes(netip.MustParsePrefix("::/0")))...)
	return &http.Client{
		Transport:     byScheme{https: transport(public, resolver, trust), http: transport(private, resolver, nil)},
		CheckRedirect: checkRedirect,
		Timeout:       requestTimeout,
	}
}

func transport(guard *ssrf.Guardian, resolver *net.Resolver, trust *tls.Config) *http.Transport {
	dialer := &net.Dialer{Control: guard.Safe, Resolver: resolver}
	return &http.Transport{
		Proxy:                  nil, // a proxy would connect on our behalf, unguarded
		DialContext:            dialer.DialContext,
		TLSClientConfig:        trust.Clone(), // the transport writes to its own
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// byScheme sends each request on the transport of its scheme.
type byScheme struct{ https, http *http.Transport }

// RoundTrip is http.RoundTripper.
func (t byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return t.https.RoundTrip(r)
	}
	return t.http.RoundTrip(r)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t byScheme) CloseIdleConnections() {
	t.https.CloseIdleConnections()
	t.http.CloseIdleConnections()
}

// checkRedirect follows up to 3 redirects that keep the request as it is (307
// and 308), to https. The others would make it a GET without its body, which
// tells nobody anything.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d", errRedirect, maxRedirects)
	case r.Method != http.MethodPost:
		return fmt.Errorf("%w: the receiver answered %d, which drops the body; it must be 307 or 308", errRedirect, r.Response.StatusCode)
	}
	// A literal address is let through here, because it may be an allowed one.
	if err := callback.Check(r.URL.String(), true); err != nil {
		return fmt.Errorf("%w: %w", errRedirect, err)
	}
	if r.URL.Scheme != "https" {
		return fmt.Errorf("%w: it does not lead to https", errRedirect)
	}
	r.Header.Del("Referer") // the URL before may hold a token
	return nil
}
