// Package callback is what gateways, workers and receivers agree on about
// callbacks: which URLs may be called, what is sent, and how it is signed. The
// form is that of Standard Webhooks (https://www.standardwebhooks.com), so that
// a receiver verifies it with a library that is there already.
//
// It does no I/O and reads no clock. What [Check] lets pass may still lead to an
// address that must not be called: that is known only when its name has been
// looked up, and is decided when the connection is made.
package callback

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf" // IANA's registries of special addresses, kept up to date
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// Header is the request header that asks for a callback.
const Header = "Nightshift-Callback"

// MaxURL is how long the URL of a callback may be, in bytes.
const MaxURL = 2048

// public knows the addresses that anybody may be sent to.
var public = ssrf.New(ssrf.WithAnyPort())

// Check says what is wrong with the URL of a callback, as fault.Invalid, or
// nil. It is an absolute https URL of at most [MaxURL] bytes, without user name
// and password, and if its host is an address, that is a public one. private
// says that the installation allows some private networks (see [ParseAllow]):
// then it may also be http, and any address.
func Check(rawURL string, private bool) error {
	if len(rawURL) > MaxURL {
		return fault.New(fault.Invalid, "the callback URL is %d bytes long; it may have %d", len(rawURL), MaxURL)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// Its text repeats the URL, which may hold a password.
		return fault.New(fault.Invalid, "the callback URL cannot be read; it looks like https://host/path")
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	switch {
	case u.Scheme == "http" && !private:
		return fault.New(fault.Invalid, "the callback URL must be https; http is for private networks that the installation allows")
	case u.Scheme != "https" && u.Scheme != "http", host == "", u.Opaque != "":
		return fault.New(fault.Invalid, "the callback URL must be absolute, like https://host/path")
	case u.User != nil:
		return fault.New(fault.Invalid, "the callback URL must have no user name and no password; the receiver knows us by the signature")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fault.New(fault.Invalid, "the port of the callback URL must be 1 to 65535")
		}
	}
	return checkHost(host, private)
}

// checkHost refuses addresses that are not public, and names that some
// resolvers take for addresses: 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1.
func checkHost(host string, private bool) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if !private && public.SafeAddr(ip) != nil {
			return fault.New(fault.Invalid, "the host of the callback URL is %s, which is not a public address", ip)
		}
		return nil
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || isDigits(last) {
		return fault.New(fault.Invalid, "the host of the callback URL looks like an address and is none; write an IPv4 address as four decimal numbers")
	}
	return nil
}

func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// ParseAllow reads the private networks that callbacks may reach: a list of
// CIDRs, separated by commas, such as "10.1.0.0/16,fd00::/8". No text at all is
// none. Errors are fault.Invalid.
func ParseAllow(text string) ([]netip.Prefix, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var allowed []netip.Prefix
	for entry := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(entry))
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fault.New(fault.Invalid, "NIGHTSHIFT_CALLBACK_ALLOW has %q in it; it must be a list of networks like 10.1.0.0/16,fd00::/8", strings.TrimSpace(entry))
		}
		allowed = append(allowed, prefix.Masked())
	}
	return allowed, nil
}

// TypeFinished is the type of every payload so far.
const TypeFinished = "invocation.finished"

// Payload is the body of a callback.
type Payload struct {
	Type      string         `json:"type"`      // TypeFinished
	Timestamp time.Time      `json:"timestamp"` // when the invocation finished
	Data      api.Invocation `json:"data"`      // as GET /.nightshift/invocations/<id> has it, without the callback
}

// Body is the body of the callback of a finished invocation. It is the same for
// every request that is made about the same end.
func Body(inv invocation.Invocation) ([]byte, error) {
	inv.Callback = nil // it changes with every request
	body, err := json.Marshal(Payload{Type: TypeFinished, Timestamp: inv.FinishedAt.UTC(), Data: api.FromInvocation(inv)})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "writing the callback of invocation %s", inv.ID)
	}
	return body, nil
}

// ID is the webhook-id of an invocation's end: the same whenever that end is
// told, so that a receiver can drop what it has seen, and another one when the
// invocation was retried and ended again.
func ID(inv invocation.Invocation) string {
	return inv.ID + "-" + strconv.FormatInt(inv.FinishedAt.UnixMilli(), 10)
}
