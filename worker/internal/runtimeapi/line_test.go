package runtimeapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/worker/internal/polltest"
)

// bootstrap is a child that speaks as ours does.
type bootstrap struct {
	t       testing.TB
	s       *Server
	conn    net.Conn
	answers *bufio.Reader
}

// boot connects a child and gives it an assignment.
func boot(t testing.TB) *bootstrap {
	t.Helper()
	s, err := Listen(Config{Secret: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := &bootstrap{t, s, conn, bufio.NewReader(conn)}
	s.Assign(Assignment{Entry: "e.js"})
	c.send("GET", "/nightshift/assignment", "", "")
	if body := c.want(200); !strings.Contains(body, "e.js") {
		t.Fatalf("assignment %s", body)
	}
	return c
}

// request writes a request as our bootstrap does.
func (c *bootstrap) request(method, path, headers, body string) string {
	_, secret, _ := strings.Cut(c.s.Endpoint(), "/")
	return fmt.Sprintf("%s /%s%s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s", method, secret, path, c.s.Addr(), headers, len(body), body)
}

func (c *bootstrap) next() string { return c.request("GET", prefix+"invocation/next", "", "") }

const (
	asJSON  = "Content-Type: application/json\r\n"
	asWhole = "Content-Type: " + integrationType + "\r\n" + modeHeader + ": streaming\r\n"
)

func (c *bootstrap) respond(id, headers, body string) string {
	return c.request("POST", prefix+"invocation/"+id+"/response", headers, body)
}

func (c *bootstrap) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *bootstrap) send(method, path, headers, body string) {
	c.t.Helper()
	c.write(c.request(method, path, headers, body))
}

// want reads an answer.
func (c *bootstrap) want(status int) string {
	c.t.Helper()
	body, _ := c.answer(status)
	return body
}

func (c *bootstrap) answer(status int) (string, http.Header) {
	c.t.Helper()
	r, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status {
		c.t.Fatalf("answer %d %s, %v; want %d", r.StatusCode, body, err, status)
	}
	return string(body), r.Header
}

// take asks for an invocation that is there before or comes after.
func (c *bootstrap) take(id string, early bool) (x *Exchange) {
	c.t.Helper()
	inv := Invocation{ID: id, Attempt: 2, Event: []byte(`{"id":"` + id + `"}`), Deadline: time.UnixMilli(1234), ARN: "arn:x", ClientContext: "{\n}"}
	if early {
		x = c.s.Invoke(inv)
		c.write(c.next())
	} else {
		c.write(c.next())
		c.awaitAsking()
		x = c.s.Invoke(inv)
	}
	c.delivered(id)
	return x
}

// awaitAsking waits until the child's request for work has been read.
func (c *bootstrap) awaitAsking() {
	c.t.Helper()
	polltest.Until(c.t, "the request for work was read", c.asking)
}

func (c *bootstrap) asking() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.s.asking != nil
}

func (c *bootstrap) delivered(id string) {
	c.t.Helper()
	body, header := c.answer(200)
	got := []string{
		body, header.Get("Lambda-Runtime-Aws-Request-Id"), header.Get("Lambda-Runtime-Deadline-Ms"), header.Get("Lambda-Runtime-Invoked-Function-Arn"),
		header.Get(attemptHeader), header.Get("Lambda-Runtime-Client-Context"),
	}
	if want := []string{`{"id":"` + id + `"}`, id, "1234", "arn:x", "2", "{ }"}; !slices.Equal(got, want) {
		c.t.Fatalf("delivered %q, want %q", got, want)
	}
}

// A call takes one request and one answer, and both sides send it in one piece.
func TestLine(t *testing.T) {
	t.Parallel()
	c := boot(t)
	x := c.take("call0", true)
	for n, early := range []bool{true, false, false, true} {
		id, following := fmt.Sprint("call", n), fmt.Sprint("call", n+1)
		inv := Invocation{ID: following, Attempt: 2, Event: []byte(`{"id":"` + following + `"}`), Deadline: time.UnixMilli(1234), ARN: "arn:x", ClientContext: "{\n}"}
		c.write(c.respond(id, asJSON, `{"n":1}`) + c.next())
		<-x.Answered()
		if !closed(x.Back()) || !x.Complete() {
			t.Fatal("the child has asked for more, and the exchange is not back")
		}
		if got := string(x.Answer().Payload); got != `{"n":1}` {
			t.Fatalf("payload %q", got)
		}
		if !early {
			c.awaitAsking()
		}
		x = c.s.Invoke(inv)
		c.want(202) // not before, so nobody may wait for it
		c.delivered(following)
	}
}

func TestLineOfAnAwaitedResponse(t *testing.T) {
	t.Parallel()
	c := boot(t)
	x := c.take("one", false)
	c.write(c.respond("one", asWhole, "{\"statusCode\":201}\x00\x00\x00\x00\x00\x00\x00\x00body"))
	<-x.Answered()
	if closed(x.Back()) {
		t.Error("the exchange is back before the child has asked for more")
	}
	a := x.Answer()
	if body, err := io.ReadAll(a.Body); a.Head.Status != 201 || a.Length != 4 || string(body) != "body" || err != nil {
		t.Errorf("answer %+v, body %q, %v", a, body, err)
	}
	c.write(c.next())
	<-x.Back()
}

// What our bootstrap sends seldom is answered as on other connections.
func TestLineServesTheWholeAPI(t *testing.T) {
	t.Parallel()
	c := boot(t)
	c.write(c.respond("one", asJSON, "{}"))
	c.want(403) // nothing to respond to
	x := c.take("one", true)
	c.write(c.next())
	c.want(403) // it has one
	c.write(c.respond("two", asJSON, "{}"))
	c.want(400) // which is not this
	c.write(c.respond("one", asJSON, strings.Repeat("x", MaxBuffered+1)))
	c.want(413)
	if p := x.Answer().Problem; p == nil || p.Failure.Type != oversizeType {
		t.Errorf("problem %+v", p)
	}

	x = c.take("three", false)
	c.write(c.respond("three", asWhole, "no end"))
	c.want(400)
	if p := x.Answer().Problem; p == nil || p.Failure.Type != "Function.InvalidResponse" {
		t.Errorf("problem %+v", p)
	}

	x = c.take("four", true)
	head, _, _ := strings.Cut(c.respond("four", asWhole, ""), "Content-Length")
	c.write(head + "Transfer-Encoding: chunked\r\nTrailer: " + errorTypeHeader + "\r\n\r\na\r\n{}\x00\x00\x00\x00\x00\x00\x00\x00\r\n")
	<-x.Answered()
	go c.write("4\r\nbody\r\n0\r\n" + errorTypeHeader + ": Late\r\n\r\n")
	if body, err := io.ReadAll(x.Answer().Body); string(body) != "body" || err == nil {
		t.Errorf("body %q, %v", body, err)
	}
	c.want(202)

	x = c.take("five", true)
	c.write(c.respond("five", asJSON, "{}"))
	<-x.Answered()
	c.send("POST", prefix+"invocation/five/error", asJSON, `{"errorMessage":"late"}`)
	c.want(202)
	c.want(403)
	if p := x.Problem(); p == nil || p.Failure.Message != "late" {
		t.Errorf("problem %+v, want the late one", p)
	}
	c.send("GET", prefix+"nothing", "X-Fill: "+strings.Repeat("x", maxHeader/2)+"\r\n", "")
	c.want(404)
	c.write(strings.Replace(c.next(), "GET /", "GET /x", 1))
	c.want(403)
	c.take("six", false)
}

func TestLineThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := boot(t)
	x := c.take("one", true)
	whole := c.respond("one", asJSON, `{"n":1}`)
	c.write(whole[:len(whole)-1])
	_ = c.conn.Close()
	<-x.Answered()
	if p := x.Answer().Problem; p == nil || p.Failure.Type != "Runtime.TruncatedResponse" {
		t.Errorf("problem %+v", p)
	}
}

// A child that has ended is given nothing more.
func TestLineThatEndsWhileItAsks(t *testing.T) {
	t.Parallel()
	c := boot(t)
	c.write(c.next())
	c.awaitAsking()
	_ = c.conn.Close()
	polltest.Until(t, "the end was seen", func() bool { return !c.asking() })
	if x := c.s.Invoke(Invocation{ID: "one"}); !c.s.Withdraw(x) {
		t.Error("the invocation was given to nobody")
	}
}

// Whoever brings an invocation does not wait for a child that does not read, and
// the child finds it whole when it does.
func TestLineOfASlowReader(t *testing.T) {
	t.Parallel()
	c := boot(t)
	large := bytes.Repeat([]byte("e"), 16<<20) // more than the kernel takes
	x, event := c.s.Invoke(Invocation{ID: "zero"}), large
	c.write(c.next())
	for _, id := range []string{"one", "two"} {
		r, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		// It has the ID, and need not read on.
		go io.WriteString(c.conn, c.respond(r.Header.Get("Lambda-Runtime-Aws-Request-Id"), asJSON, "{}")+c.next())
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != r.ContentLength {
			t.Fatalf("%d bytes of %d, %v", n, r.ContentLength, err)
		}
		<-x.Answered()
		x = c.s.Invoke(Invocation{ID: id, Event: event}) // returns
		c.want(202)
	}
}

// FuzzLine: whatever comes over a line, nothing panics, an invocation has at most
// one answer, and what is as our bootstrap writes it is understood.
func FuzzLine(f *testing.F) {
	f.Add([]byte("{}"), []byte(""), true)
	f.Add([]byte("{}\x00\x00\x00\x00\x00\x00\x00\x00b"), []byte("GET / HTTP/1.1\r\n\r\n"), false)
	f.Add([]byte("x"), []byte("POST /2018-06-01/runtime/invocation/one/response HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, body, rest []byte, buffered bool) {
		c := boot(t)
		x := c.take("one", buffered)
		headers := asWhole
		if buffered {
			headers = asJSON
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.WriteString(c.conn, c.respond("one", headers, string(body))+string(rest))
			_ = c.conn.(*net.TCPConn).CloseWrite()
		}()
		<-x.Answered()
		if a := x.Answer(); buffered && string(a.Payload) != string(body) {
			t.Errorf("payload %q of the body %q", a.Payload, body)
		}
		_, _ = io.Copy(io.Discard, c.answers)
		<-ended
	})
}
