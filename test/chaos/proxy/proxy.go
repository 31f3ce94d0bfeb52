// Package proxy stands between a service and Redis and makes the network bad:
// it cuts, freezes and slows connections, and loses replies.
//
// A lost reply is the case that the store's scripts are made for: Redis has done
// what it was told, and nobody hears of it. So the proxy reads enough of the
// protocol to know which reply belongs to which command, and loses whole replies
// of the commands that it is asked for. After a lost reply a connection carries
// nothing more, as in life: what follows would be taken for it.
package proxy

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Fate is what becomes of a reply.
type Fate int

// The fates.
const (
	Pass    Fate = iota
	Break        // it is lost, and the connection breaks
	Silence      // it is lost, and the connection carries nothing more, without a word
)

// Proxy is safe for concurrent use.
type Proxy struct {
	upstream string // the socket of Redis
	dir      string
	listener net.Listener
	lost     atomic.Int64
	cut      atomic.Int64
	wait     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	refuse bool
	slow   time.Duration
	fate   func(command string) Fate
	frozen chan struct{} // closed when it thaws; nil: not frozen
	links  map[*link]struct{}
}

// Start listens in front of the Redis on a unix socket. It need not run yet.
func Start(upstream string) (*Proxy, error) {
	// Paths of sockets are short, which folders of tests exceed.
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := &Proxy{upstream: upstream, dir: dir, listener: l, links: map[*link]struct{}{}}
	p.wait.Go(p.serve)
	return p, nil
}

// URL is what NIGHTSHIFT_REDIS_URL takes.
func (p *Proxy) URL() string { return "unix://" + p.listener.Addr().String() }

// Lost is how many replies were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// Cuts is how many connections were cut.
func (p *Proxy) Cuts() int64 { return p.cut.Load() }

// Cut ends all connections and refuses new ones, until [Proxy.Heal].
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
	p.cut.Add(int64(len(p.links)))
	for l := range p.links {
		l.close()
	}
}

// Freeze keeps all connections and lets nothing through, until [Proxy.Heal].
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Slow holds back each piece of what is sent to Redis, until [Proxy.Heal].
func (p *Proxy) Slow(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = by
}

// Drop asks for the fate of each reply, by the command in lower case, until
// [Proxy.Heal]. It is called for one reply at a time.
func (p *Proxy) Drop(fate func(command string) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = fate
}

// Heal ends whatever is wrong. Connections that went silent end, too.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.slow, p.fate = false, 0, nil
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
	for l := range p.links {
		if l.silent.Load() {
			l.close()
		}
	}
}

// Close ends the proxy.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.Heal()
	p.wait.Wait()
	return errors.Join(err, os.RemoveAll(p.dir))
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	p.mu.Lock()
	refuse := p.refuse || p.closed
	p.mu.Unlock()
	if refuse {
		_ = client.Close()
		return
	}
	server, err := net.Dial("unix", p.upstream)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	if p.closed || p.refuse {
		l.close()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(l.requests)
	both.Go(l.replies)
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// link is one connection and its other side.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	ended          chan struct{}
	once           sync.Once
	silent         atomic.Bool

	mu      sync.Mutex
	pending []string // commands that wait for their replies
	pubsub  bool     // then messages come unasked
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// hold waits while the network is frozen or slow.
func (l *link) hold(slow bool) {
	p := l.proxy
	p.mu.Lock()
	frozen, by := p.frozen, p.slow
	p.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-l.ended:
		}
	}
	if slow && by > 0 {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.ended:
		}
	}
}

func (l *link) requests() {
	defer l.close()
	from, to := bufio.NewReaderSize(l.client, 64<<10), bufio.NewWriterSize(l.server, 64<<10)
	var buf []byte
	for {
		raw, name, err := readCommand(from, buf[:0])
		if err != nil {
			return
		}
		buf = raw
		l.asked(name)
		if _, err := to.Write(raw); err != nil {
			return
		}
		if from.Buffered() > 0 {
			continue // a pipeline goes on as one piece
		}
		l.hold(true)
		if to.Flush() != nil {
			return
		}
	}
}

func (l *link) asked(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == "subscribe" || name == "psubscribe" {
		l.pubsub = true
	}
	if !l.pubsub {
		l.pending = append(l.pending, name)
	}
}

func (l *link) replies() {
	defer l.close()
	from, to := bufio.NewReaderSize(l.server, 64<<10), bufio.NewWriterSize(l.client, 64<<10)
	var buf []byte
	for {
		raw, err := readReply(from, buf[:0])
		if err != nil {
			return
		}
		buf = raw
		switch l.fateOf(raw[0]) {
		case Break:
			l.proxy.lost.Add(1)
			_ = to.Flush()
			return
		case Silence:
			l.proxy.lost.Add(1)
			_ = to.Flush()
			l.silent.Store(true)
			<-l.ended // the other side gives up, or the network heals
			return
		case Pass:
		}
		if _, err := to.Write(raw); err != nil {
			return
		}
		if from.Buffered() > 0 {
			continue
		}
		l.hold(false)
		if to.Flush() != nil {
			return
		}
	}
}

// fateOf decides about the next reply, of which the type is known.
func (l *link) fateOf(kind byte) Fate {
	l.mu.Lock()
	if l.pubsub || kind == '>' || len(l.pending) == 0 {
		l.mu.Unlock()
		return Pass
	}
	name := l.pending[0]
	l.pending = l.pending[1:]
	l.mu.Unlock()
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fate == nil {
		return Pass
	}
	return p.fate(name)
}
