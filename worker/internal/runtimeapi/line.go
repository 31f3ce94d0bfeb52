package runtimeapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// line is the connection of our own bootstrap, from the request for its
// assignment on, which net/http has let through as any other. It speaks the same
// API. Two requests make up nearly all that comes, for the next invocation and
// with a whole response: if they look to the byte as our bootstrap writes them,
// they are answered here, for a fraction of what net/http costs. All others go to
// the same handlers as elsewhere.
//
// Our bootstrap does not wait for the answer to a response before it asks for the
// next invocation, and mostly sends both at once. So that answer goes out with the
// next one.
type line struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader
	bound  io.LimitedReader // below in
	usual  usual

	writing sync.Mutex
	waiting []byte // answers that go out with the next one
}

const (
	lineBuffer = 8 << 10
	// writeTime is how long whoever brings an invocation waits for a child that
	// does not read; then somebody else waits for it.
	writeTime = 20 * time.Millisecond
	// largestKept is up to which size a buffer is kept for the next answer.
	largestKept = 64 << 10
)

// usual is how our bootstrap's requests begin, see client.mjs.
type usual struct {
	next, response  []byte
	buffered, whole []byte // behind the ID
}

func (s *Server) usual() usual {
	base := ""
	if s.secret != "" {
		base = "/" + s.secret
	}
	host := "Host: " + s.Addr() + "\r\n"
	return usual{
		next:     []byte("GET " + base + prefix + "invocation/next HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n"),
		response: []byte("POST " + base + prefix + "invocation/"),
		buffered: []byte("/response HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nContent-Length: "),
		whole:    []byte("/response HTTP/1.1\r\n" + host + "Content-Type: " + integrationType + "\r\n" + modeHeader + ": streaming\r\nContent-Length: "),
	}
}

// keep makes a line of a request's connection, answers it with the document, and
// serves it to its end. It reports false if the connection is not to be had.
func (s *Server) keep(w http.ResponseWriter, document []byte) bool {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	l := &line{server: s, conn: conn, usual: s.usual()}
	l.bound = io.LimitedReader{R: io.MultiReader(bytes.NewReader(rest), conn), N: maxHeader}
	l.in = bufio.NewReaderSize(&l.bound, lineBuffer)
	stop := context.AfterFunc(s.closed, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	l.answer(http.StatusOK, document)
	l.run()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking == l {
		s.asking = nil // nobody is there any more
	}
	return true
}

// errEnd ends a line.
var errEnd = errors.New("the connection ends")

func (l *line) run() {
	for {
		l.bound.N = maxHeader
		head, err := l.head()
		if err != nil {
			return
		}
		l.bound.N = math.MaxInt64
		switch id, form, size := l.usual.read(head); form {
		case asksNext:
			_, _ = l.in.Discard(len(head))
			err = l.next()
		case hasPayload, hasHead:
			x := l.server.beginUsual(id)
			if x == nil {
				err = l.unusual()
				break
			}
			_, _ = l.in.Discard(len(head))
			err = l.response(x, form, size)
		default:
			err = l.unusual()
		}
		if err != nil {
			return
		}
	}
}

// head waits for a request and returns its head, which stays unread. It is nil
// if it does not fit into the buffer.
func (l *line) head() ([]byte, error) {
	for n := 1; ; n = l.in.Buffered() + 1 {
		if n > l.in.Size() {
			return nil, nil
		}
		if _, err := l.in.Peek(n); err != nil {
			return nil, err
		}
		all, _ := l.in.Peek(l.in.Buffered())
		if end := bytes.Index(all, []byte("\r\n\r\n")); end >= 0 {
			return all[:end+4], nil
		}
	}
}

// form is what a request is.
type form int

const (
	other      form = iota
	asksNext        // for work
	hasPayload      // a buffered response
	hasHead         // a streamed one, whole
)

// read tells what a request is by its head.
func (u *usual) read(head []byte) (id []byte, is form, size int) {
	if bytes.Equal(head, u.next) {
		return nil, asksNext, 0
	}
	rest, ok := bytes.CutPrefix(head, u.response)
	if !ok {
		return nil, other, 0
	}
	end := bytes.IndexByte(rest, '/')
	if end < 0 {
		return nil, other, 0
	}
	id, rest = rest[:end], rest[end:]
	limit := MaxBuffered
	is = hasPayload
	digits, ok := bytes.CutPrefix(rest, u.buffered)
	if !ok {
		if digits, ok = bytes.CutPrefix(rest, u.whole); !ok {
			return nil, other, 0
		}
		is, limit = hasHead, smallBody
	}
	size, err := strconv.Atoi(string(digits[:len(digits)-4]))
	if err != nil || size < 0 || size > limit {
		return nil, other, 0
	}
	return id, is, size
}

// beginUsual is begin for a request that is in order, else nil.
func (s *Server) beginUsual(id []byte) *Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running || s.current.inv.ID != string(id) {
		return nil
	}
	s.phase = answering
	return s.current
}

// response reads a response, whose head is read.
func (l *line) response(x *Exchange, form form, size int) error {
	body := make([]byte, size)
	if _, err := io.ReadFull(l.in, body); err != nil {
		x.settle(cutOff())
		l.server.finish()
		return err
	}
	answer := Answer{Payload: body}
	if form == hasHead {
		head, n, err := cutPrelude(body)
		if err != nil {
			problem := badPrelude(err)
			x.settle(problem)
			l.server.finish()
			l.render(http.StatusBadRequest, problem.Failure.Type, problem.Failure.Message)
			return nil
		}
		answer = Answer{Head: head, Body: bytes.NewReader(body[n:]), Length: int64(size - n)}
	}
	l.server.finish()
	l.writing.Lock()
	l.waiting = append(l.waiting, accepted...)
	l.writing.Unlock()
	// Whoever waits for the response is woken once, for both.
	if next, _ := l.in.Peek(min(l.in.Buffered(), len(l.usual.next))); bytes.Equal(next, l.usual.next) {
		_, _ = l.in.Discard(len(next))
		defer x.reply(answer)
		return l.next()
	}
	x.reply(answer)
	return nil
}

// accepted is the answer to a response.
var accepted = []byte("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}")

// next notes that the child asks for work, and gives it some if there is.
func (l *line) next() error {
	s := l.server
	s.mu.Lock()
	if s.phase == running || s.phase == answering {
		from := s.phase
		s.mu.Unlock()
		l.forbid(from, waiting)
		return nil
	}
	s.wait()
	select {
	case x := <-s.queue:
		s.hand(x)
		s.mu.Unlock()
		l.deliver(x)
	default:
		s.asking = l
		s.mu.Unlock()
	}
	return nil
}

// deliver gives the child an invocation. It does not wait for a child that does
// not read.
func (l *line) deliver(x *Exchange) {
	if l.writing.TryLock() {
		l.hand(x)
		return
	}
	go func() { // ends with the connection
		l.writing.Lock()
		l.hand(x)
	}()
}

// hand writes an invocation, and ends the hold of writing.
func (l *line) hand(x *Exchange) {
	out := append(l.waiting, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"...)
	for name, value := range x.headers {
		out = append(out, name...)
		out = append(out, ": "...)
		out = appendValue(out, value)
		out = append(out, "\r\n"...)
	}
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(x.inv.Event)), 10)
	out = append(out, "\r\n\r\n"...)
	l.write(append(out, x.inv.Event...))
}

// appendValue keeps a header in its line, as net/http does.
func appendValue(out []byte, value string) []byte {
	start := len(out)
	out = append(out, value...)
	for n := start; n < len(out); n++ {
		if out[n] == '\r' || out[n] == '\n' {
			out[n] = ' '
		}
	}
	return out
}

// write sends what is waiting and more, and ends the hold of writing, at once or
// when a child that takes its time has read it. A connection that has ended is no
// news: its reader sees it too.
func (l *line) write(out []byte) {
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTime))
	n, err := l.conn.Write(out)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.waiting = nil
		go func() { // ends with the connection
			defer l.writing.Unlock()
			_ = l.conn.SetWriteDeadline(time.Time{})
			_, _ = l.conn.Write(out[n:])
		}()
		return
	}
	l.waiting = nil
	if cap(out) <= largestKept {
		l.waiting = out[:0]
	}
	l.writing.Unlock()
}

// answer sends a JSON document.
func (l *line) answer(status int, document []byte) {
	w := &lineWriter{header: http.Header{}}
	write(w, status, document)
	l.send(w)
}

func (l *line) render(status int, kind, message string) {
	w := &lineWriter{header: http.Header{}}
	render(w, status, kind, message)
	l.send(w)
}

func (l *line) forbid(from, to phase) {
	w := &lineWriter{header: http.Header{}}
	forbid(w, from, to)
	l.send(w)
}

// unusual serves a request as net/http would.
func (l *line) unusual() error {
	l.bound.N = maxHeader
	_ = l.conn.SetReadDeadline(time.Now().Add(headerTime))
	r, err := http.ReadRequest(l.in)
	_ = l.conn.SetReadDeadline(time.Time{})
	l.bound.N = math.MaxInt64
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(l.server.closed)
	defer cancel()
	r.Body = &endingBody{r.Body, cancel}
	w := &lineWriter{header: http.Header{}}
	l.server.http.Handler.ServeHTTP(w, r.WithContext(ctx))
	if w.status == 0 { // the API is closed
		return errEnd
	}
	l.send(w)
	if _, err := io.CopyN(io.Discard, r.Body, maxDiscarded); err != io.EOF || r.Close {
		return errEnd
	}
	return nil
}

// endingBody ends the context of a request with its connection.
type endingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *endingBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if err != nil && err != io.EOF {
		b.cancel()
	}
	return n, err
}

// lineWriter collects an answer.
type lineWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *lineWriter) Header() http.Header { return w.header }

func (w *lineWriter) WriteHeader(status int) { w.status = status }

func (w *lineWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.body.Write(p)
}

// send sends a collected answer.
func (l *line) send(w *lineWriter) {
	l.writing.Lock()
	out := bytes.NewBuffer(l.waiting)
	out.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	_ = w.header.Write(out)
	out.WriteString("\r\n")
	out.Write(w.body.Bytes())
	l.write(out.Bytes())
}
