package daemon

import (
	"net"
	"net/netip"
	"sync"
)

// gate is a listener that bounds how many connections are open, in all and by
// address. What comes over that is closed at once: left to wait, it would take
// the place of others in the kernel's queue.
type gate struct {
	net.Listener
	limits  Limits
	trusted func(netip.Addr) bool // nil: nobody
	refused func(Refusal)

	mu  sync.Mutex
	all int
	by  map[netip.Prefix]int // those that are counted by address
}

// Accept is part of net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil // the listener is ours, and TCP
		}
		network, counted := g.network(tcp.RemoteAddr())
		if why := g.enter(network, counted); why != "" {
			g.refused(why)
			_ = tcp.Close()
			continue
		}
		return &guest{TCPConn: tcp, leave: sync.OnceFunc(func() { g.leave(network, counted) })}, nil
	}
}

// Network is what a client is counted by: its address, and of IPv6 the network,
// of which everybody has as many addresses as they like.
func Network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	network, err := ip.Prefix(bits)
	if err != nil { // for an address that is none
		return netip.Prefix{}
	}
	return network
}

// network is what an address is counted by. A proxy is not counted.
func (g *gate) network(addr net.Addr) (network netip.Prefix, counted bool) {
	peer, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}, false
	}
	ip := peer.Addr().Unmap().WithZone("")
	if g.trusted != nil && g.trusted(ip) {
		return netip.Prefix{}, false
	}
	network = Network(ip)
	return network, network.IsValid()
}

// enter counts a connection in, or says why not.
func (g *gate) enter(network netip.Prefix, counted bool) Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if most := g.limits.MaxConnections; most > 0 && g.all >= most {
		return RefusedConnection
	}
	if counted {
		if most := g.limits.MaxConnectionsPerAddress; most > 0 && g.by[network] >= most {
			return RefusedAddress
		}
		g.by[network]++
	}
	g.all++
	return ""
}

// leave counts a connection out.
func (g *gate) leave(network netip.Prefix, counted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if !counted {
		return
	}
	if g.by[network]--; g.by[network] == 0 {
		delete(g.by, network)
	}
}

// guest is a connection that is counted until it is closed. It is a TCPConn and
// not just any connection, because net/http asks it to send files and to close
// one direction.
type guest struct {
	*net.TCPConn
	leave func()
}

// Close is part of net.Conn.
func (g *guest) Close() error {
	defer g.leave()
	return g.TCPConn.Close()
}
