package drive

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sink hears from functions that they have started: each sends one datagram,
// "<number of the call> <anything>".
type Sink struct {
	socket  *net.UDPConn
	reading sync.WaitGroup

	begun   time.Time
	started []atomic.Int64 // nanoseconds after begun, by call; 0: not yet
	heard   atomic.Int64   // calls that have started
	again   atomic.Int64   // datagrams of calls that had
	last    atomic.Int64   // when the newest start was, after begun
}

// NewSink listens for the starts of so many calls, on a port of its own: what
// comes late from an earlier run reaches nobody.
func NewSink(calls int) (*Sink, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	widen(socket)
	s := &Sink{socket: socket, begun: time.Now(), started: make([]atomic.Int64, calls)}
	s.reading.Go(s.read)
	return s, nil
}

// widen lets datagrams wait while we have no turn on a busy machine: those that find
// no room are gone, and their calls would count as lost. As root there is no limit.
func widen(socket *net.UDPConn) {
	const size = 8 << 20
	_ = socket.SetReadBuffer(size)
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) })
	}
}

// Close stops listening.
func (s *Sink) Close() {
	_ = s.socket.Close()
	s.reading.Wait()
}

// Addr is what functions send to.
func (s *Sink) Addr() string { return s.socket.LocalAddr().String() }

// Heard is how many calls have started.
func (s *Sink) Heard() int { return int(s.heard.Load()) }

func (s *Sink) read() {
	buf := make([]byte, 64)
	for {
		n, err := s.socket.Read(buf)
		if err != nil {
			return // closed
		}
		now := int64(time.Since(s.begun))
		number, _, _ := bytes.Cut(buf[:n], []byte(" "))
		call, err := strconv.Atoi(string(number))
		if err != nil || call < 0 || call >= len(s.started) {
			continue
		}
		if !s.started[call].CompareAndSwap(0, now) {
			s.again.Add(1)
			continue
		}
		s.last.Store(now)
		s.heard.Add(1)
	}
}

// BodySize is how long the JSON of a call is.
const BodySize = 1024

// Body is the JSON of a call. With an empty sink the function tells nobody.
func Body(call int, sink string) []byte {
	head := fmt.Appendf(nil, `{"id":%d,"t":%d,"sink":"%s","pad":"`, call, time.Now().UnixNano(), sink)
	pad := bytes.Repeat([]byte("x"), max(0, BodySize-len(head)-len(`"}`)))
	return append(append(head, pad...), `"}`...)
}
