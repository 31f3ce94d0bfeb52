package proxy

import (
	"bufio"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRepliesAreReadWhole(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"status":    "+OK\r\n",
		"error":     "-ERR no\r\n",
		"number":    ":12\r\n",
		"null":      "_\r\n",
		"old null":  "$-1\r\n",
		"null list": "*-1\r\n",
		"text":      "$5\r\na\r\nbc\r\n",
		"verbatim":  "=7\r\ntxt:abc\r\n",
		"list":      "*3\r\n$1\r\na\r\n*1\r\n:1\r\n+x\r\n",
		"map":       "%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n",
		"push":      ">2\r\n+message\r\n$2\r\nhi\r\n",
		"attribute": "|1\r\n+ttl\r\n:3\r\n*1\r\n+x\r\n",
		"long":      "$100000\r\n" + strings.Repeat("x", 100000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readReply(bufio.NewReader(strings.NewReader(reply+"+NEXT\r\n")), nil)
			if err != nil || string(got) != reply {
				t.Errorf("read %.80q, %v; want %.80q", got, err, reply)
			}
		})
	}
	if got, err := readReply(bufio.NewReader(strings.NewReader("?1\r\n")), nil); err == nil {
		t.Errorf("read %q of a type that is none", got)
	}
}

func TestCommandsAreReadWhole(t *testing.T) {
	t.Parallel()
	command := "*3\r\n$7\r\nEVALSHA\r\n$3\r\na\nb\r\n$0\r\n\r\n"
	raw, name, err := readCommand(bufio.NewReader(strings.NewReader(command+"*1\r\n$4\r\nPING\r\n")), nil)
	if err != nil || string(raw) != command || name != "evalsha" {
		t.Errorf("read %q as %q, %v", raw, name, err)
	}
}

// server answers each PING with a PONG, and everything else with its count.
func server(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					_, name, err := readCommand(r, nil)
					if err != nil {
						return
					}
					_, _ = conn.Write([]byte("+" + name + "\r\n"))
				}
			}()
		}
	}()
	return socket
}

// client is a connection through the proxy.
type client struct {
	net.Conn
	*bufio.Reader
}

func dial(t *testing.T, p *Proxy) client {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(p.URL(), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return client{conn, bufio.NewReader(conn)}
}

// ask sends commands in one piece and returns their replies.
func (c client) ask(wait time.Duration, commands ...string) string {
	var text strings.Builder
	for _, command := range commands {
		text.WriteString("*1\r\n$" + string(rune('0'+len(command))) + "\r\n" + command + "\r\n")
	}
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write([]byte(text.String())); err != nil {
		return "error"
	}
	var got []string
	for range commands {
		reply, err := c.ReadString('\n')
		if err != nil {
			if err, ok := err.(net.Error); ok && err.Timeout() {
				return strings.Join(append(got, "silence"), " ")
			}
			return strings.Join(append(got, "error"), " ")
		}
		got = append(got, strings.TrimSpace(reply))
	}
	return strings.Join(got, " ")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const soon, brief = 10 * time.Second, 100 * time.Millisecond
	lose := func(fate Fate) func(string) Fate {
		return func(command string) Fate {
			if command == "eval" {
				return fate
			}
			return Pass
		}
	}
	tests := []struct {
		name  string
		fault func(*Proxy)
		wait  time.Duration
		want  string // of PING, EVAL, PING on a connection of before
		lost  int64
	}{
		{"none", func(*Proxy) {}, soon, "+ping +eval +ping", 0},
		{"cut", (*Proxy).Cut, soon, "error", 0},
		{"frozen", (*Proxy).Freeze, brief, "silence", 0},
		{"slow", func(p *Proxy) { p.Slow(time.Millisecond) }, soon, "+ping +eval +ping", 0},
		{"reply lost with the connection", func(p *Proxy) { p.Drop(lose(Break)) }, soon, "+ping error", 1},
		{"reply lost without a word", func(p *Proxy) { p.Drop(lose(Silence)) }, brief, "+ping silence", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := Start(server(t))
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, p)
			if got := c.ask(soon, "PING"); got != "+ping" {
				t.Fatalf("before: %s", got)
			}
			tt.fault(p)
			if got := c.ask(tt.wait, "PING", "EVAL", "PING"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := p.Lost(); got != tt.lost {
				t.Errorf("%d replies lost, want %d", got, tt.lost)
			}
			p.Heal()
			if got := dial(t, p).ask(soon, "EVAL"); got != "+eval" {
				t.Errorf("after: %s", got)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
