package runtimeapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// guarded is a server with the given door, which counts whom it refuses.
func guarded(t testing.TB, cfg Config) (*Server, map[Reason]*atomic.Int64) {
	t.Helper()
	refused := map[Reason]*atomic.Int64{NotOwner: {}, NoSecret: {}}
	cfg.Refused = func(r Reason) { refused[r].Add(1) }
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, refused
}

func dial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// get asks for what is not there, which shows whether one is let in.
func get(conn net.Conn, path string) (status int, err error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return 0, err
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}

func TestOwnerIsAskedAboutTheSocketThatConnected(t *testing.T) {
	t.Parallel()
	if err := PeerCheck(); err != nil {
		t.Fatal(err)
	}
	asked := make(chan Socket, 1)
	var admit atomic.Bool
	s, refused := guarded(t, Config{Owner: func(_ context.Context, s Socket) bool { asked <- s; return admit.Load() }})
	for _, let := range []bool{true, false} {
		admit.Store(let)
		conn := dial(t, s)
		inode, err := inodeOf(conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got.Inode != inode {
			t.Errorf("asked about %+v, the socket is %d", got, inode)
		}
		listed, err := list(netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort(s.Addr()))
		if let && (err != nil || listed.Inode != inode) {
			t.Errorf("the list has %+v, %v; the socket is %d", listed, err, inode)
		}
		status, err := get(conn, prefix+"nothing")
		if let != (err == nil && status == 404) {
			t.Errorf("let in: %v, but status %d, %v", let, status, err)
		}
	}
	if n := refused[NotOwner].Load(); n != 1 {
		t.Errorf("%d refusals were told, want 1", n)
	}
}

// Whoever hangs up while he is looked at is not let in under another's name.
func TestClosedConnectionIsNobodys(t *testing.T) {
	t.Parallel()
	conns := make(chan net.Conn, 1)
	s, refused := guarded(t, Config{Owner: func(context.Context, Socket) bool {
		conn := (<-conns).(*net.TCPConn)
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return true
	}})
	conn := dial(t, s)
	fmt.Fprintf(conn, "POST %sinit/error HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", prefix)
	conns <- conn
	polltest.Until(t, "it is refused", func() bool { return refused[NotOwner].Load() == 1 })
	select {
	case <-s.InitFailed():
		t.Error("its request was served")
	default:
	}
	if _, err := ask(netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort(s.Addr())); !errors.Is(err, errNoSocket) {
		t.Errorf("the closed end: %v", err)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s, refused := guarded(t, Config{Secret: true})
	_, secret, _ := strings.Cut(s.Endpoint(), "/")
	if len(secret) < 20 || strings.Contains(s.Addr(), "/") {
		t.Fatalf("endpoint %q", s.Endpoint())
	}
	conn := dial(t, s)
	for n, tc := range []struct {
		path   string
		status int
	}{
		{prefix + "nothing", 403},
		{"/" + secret[1:] + prefix + "nothing", 403},
		{"//" + secret + prefix + "nothing", 403},
		{"/" + secret + prefix + "nothing", 404},
	} {
		if status, err := get(conn, tc.path); err != nil || status != tc.status {
			t.Errorf("path %d: status %d, %v, want %d", n, status, err, tc.status)
		}
	}
	if n := refused[NoSecret].Load(); n != 3 {
		t.Errorf("%d refusals were told, want 3", n)
	}
}

// Each of these goes on at a child's API while another one's is used.
func TestHostileChildren(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(t *testing.T, s *Server){
		"connections": func(t *testing.T, s *Server) {
			for range 3 * maxConns {
				dial(t, s)
			}
		},
		"endless headers": func(t *testing.T, s *Server) {
			conn := dial(t, s)
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\n")
			sent := 0
			line := []byte("X-Fill: " + strings.Repeat("x", 8<<10) + "\r\n")
			for sent < 100*maxHeader {
				n, err := conn.Write(line)
				sent += n
				if err != nil {
					break
				}
			}
			if sent == 100*maxHeader {
				t.Error("all of it was read")
			}
		},
		"half a header on each connection": func(t *testing.T, s *Server) {
			for range maxConns {
				fmt.Fprintf(dial(t, s), "GET / HT")
			}
		},
		"endless body": func(t *testing.T, s *Server) {
			conn := dial(t, s)
			fmt.Fprintf(conn, "POST %sinit/error HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", prefix)
			chunk := []byte("100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n")
			for n := 0; ; n++ {
				if _, err := conn.Write(chunk); err != nil {
					break
				}
				if n > 4*maxDiscarded>>20 {
					t.Error("all of it was read")
					break
				}
			}
		},
		"nonsense, as fast as it goes": func(t *testing.T, s *Server) {
			conn := dial(t, s)
			answers := bufio.NewReader(conn)
			began, n := time.Now(), 0
			for ; time.Since(began) < time.Second; n++ {
				fmt.Fprintf(conn, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
				r, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, r.Body)
			}
			if most := maxMistakes + int(2*time.Second/mistakeDelay); n > most {
				t.Errorf("%d requests in a second, want at most %d", n, most)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victim, _ := guarded(t, Config{})
			s, _ := guarded(t, Config{Owner: func(context.Context, Socket) bool { return true }})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				attack(t, s)
			}()
			for done := false; !done; {
				if status, err := get(dial(t, victim), prefix+"nothing"); err != nil || status != 404 {
					t.Errorf("another API: status %d, %v", status, err)
				}
				select {
				case <-ended:
					done = true
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

func TestLongHeaders(t *testing.T) {
	t.Parallel()
	s, _ := guarded(t, Config{})
	for size, want := range map[int]int{maxHeader / 2: 404, 2 * maxHeader: 431} {
		conn := dial(t, s)
		go fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Fill: %s\r\n\r\n", strings.Repeat("x", size))
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || r.StatusCode != want {
			t.Errorf("%d bytes: %+v, %v, want status %d", size, r, err, want)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := guarded(t, Config{})
	var all []net.Conn
	for range maxConns {
		conn := dial(t, s)
		if status, err := get(conn, "/"); err != nil || status != 404 {
			t.Fatal(status, err)
		}
		all = append(all, conn)
	}
	more := dial(t, s)
	_ = more.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if status, err := get(more, "/"); err == nil {
		t.Errorf("connection %d is answered with %d", maxConns+1, status)
	}
	_ = all[0].Close()
	_ = more.SetReadDeadline(time.Now().Add(20 * time.Second))
	if r, err := http.ReadResponse(bufio.NewReader(more), nil); err != nil || r.StatusCode != 404 {
		t.Errorf("once there is room: %+v, %v", r, err)
	}
}

func BenchmarkConnection(b *testing.B) {
	for _, checked := range []bool{false, true} {
		b.Run(fmt.Sprintf("checked=%v", checked), func(b *testing.B) {
			cfg := Config{}
			if checked {
				cfg.Owner = func(context.Context, Socket) bool { return true }
			}
			s, _ := guarded(b, cfg)
			for b.Loop() {
				conn, err := net.Dial("tcp", s.Addr())
				if err != nil {
					b.Fatal(err)
				}
				fmt.Fprintf(conn, "POST %sinit/error HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", prefix)
				if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
					b.Fatal(err)
				}
				_ = conn.Close()
			}
		})
	}
}
