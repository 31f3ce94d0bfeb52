package daemon

import (
	"net"
	"net/netip"
	"testing"
)

// Who has an IPv6 network has all of its addresses, and counts as one.
func TestNetworks(t *testing.T) {
	t.Parallel()
	g := &gate{trusted: func(ip netip.Addr) bool { return ip == netip.MustParseAddr("10.0.0.1") }}
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:1": "2001:db8::/64",
		"2001:db8:0:1::1": "2001:db8:0:1::/64", "10.0.0.1": "", "::ffff:10.0.0.1": "",
	} {
		network, counted := g.network(&net.TCPAddr{IP: net.ParseIP(addr), Port: 1})
		if counted != (want != "") || counted && network.String() != want {
			t.Errorf("%s is counted as %v (%v), want %q", addr, network, counted, want)
		}
	}
}
