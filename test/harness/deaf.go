package harness

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Deaf stands between a service and Redis and loses every message of pub/sub,
// without a word: the connection stays, as it does when a firewall forgets it.
// All else passes.
type Deaf struct {
	listener net.Listener
	dir      string
	redis    string // its socket
	lost     atomic.Int64

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	wait   sync.WaitGroup
}

// StartDeaf listens in front of a server.
func (r *Redis) StartDeaf() (*Deaf, error) {
	dir, err := os.MkdirTemp("", "deaf")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	d := &Deaf{listener: l, dir: dir, redis: r.socket()}
	d.wait.Go(d.serve)
	return d, nil
}

// URL is what NIGHTSHIFT_REDIS_URL takes.
func (d *Deaf) URL() string { return "unix://" + d.listener.Addr().String() }

// Lost is how many messages did not arrive.
func (d *Deaf) Lost() int64 { return d.lost.Load() }

func (d *Deaf) serve() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", d.redis)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !d.keep(client, server) {
			return
		}
		var deaf atomic.Bool
		d.wait.Go(func() {
			defer server.Close()
			relay(server, client, func(b []byte) bool {
				if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) { // as the driver writes it
					deaf.Store(true)
				}
				return true
			})
		})
		d.wait.Go(func() {
			defer client.Close()
			relay(client, server, func(b []byte) bool {
				if !deaf.Load() {
					return true
				}
				d.lost.Add(int64(bytes.Count(b, []byte("\r\nmessage\r\n"))))
				return false
			})
		})
	}
}

// keep notes connections for Close, or closes them if it has come.
func (d *Deaf) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conns...)
	if d.closed {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	return !d.closed
}

// relay copies what pass agrees to, until one of the two ends.
func relay(to io.Writer, from io.Reader, pass func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && pass(buf[:n]) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Close ends all connections.
func (d *Deaf) Close() error {
	err := d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wait.Wait()
	return joinRemove(err, d.dir)
}

func joinRemove(err error, dir string) error {
	if removed := os.RemoveAll(dir); err == nil {
		err = removed
	}
	return err
}
