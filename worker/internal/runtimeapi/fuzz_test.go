package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// What a child may do, in any order. An input is one byte for each step; the
// bytes of a body stand behind the step, with their number in front.
const (
	opInvoke    = iota // the owner has an invocation for it
	opWithdraw         // the owner takes it back
	opNext             // asks for work
	opHangUp           // asks for work and ends before it comes
	opRespond          // a buffered response
	opStream           // a streamed one, of known length
	opChunks           // a streamed one, of unknown length
	opHTTP             // a streamed one that begins with status and headers
	opCut              // a response that breaks off
	opError            // an error
	opTrailer          // a response with an error behind it
	opInitError        // says that it cannot start
	opWrongID          // a response to something else
	opAssign           // asks for its assignment and ends
	opNothing          // asks for what is not there
	ops
)

// session is a child with its server and its owner, who keeps to the contract.
type session struct {
	t        *testing.T
	s        *Server
	data     []byte
	depth    int       // of requests that are sent while another one's body is on its way
	queued   *Exchange // invoked, not delivered
	current  *Exchange // delivered
	answered bool
	meddled  bool // the last request was on its way together with another one
	owner    sync.WaitGroup
}

// FuzzChild: whatever a child sends, in whatever order and also while another
// request is on its way, nothing panics or hangs; it is answered with a status
// that fits; and each invocation has at most one answer, of one kind.
func FuzzChild(f *testing.F) {
	for _, steps := range [][]byte{
		{opInvoke, opNext, opRespond, 2, '{', '}', opNext},
		{opInvoke, opNext, opHTTP, 12, '{', '}', 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', opHangUp, opInvoke, opNext, opError, 0},
		{opInvoke, opNext, opChunks, 3, 'a', opNext, 'b', opInvoke, opHangUp, opNext, opWrongID, 0, opTrailer, 1, 'x'},
		{opInitError, 2, '{', '}', opInitError, 0, opNext, opRespond, 0},
		{opAssign, opInvoke, opWithdraw, opInvoke, opNext, opCut, 1, 'x', opError, 0, opNothing, opNext},
		{opInvoke, opNext, opStream, 1, 'x', opError, 40, '{', '"', 'e', 'r', 'r', 'o', 'r', 'T', 'y', 'p', 'e', '"', ':', '1', '}', opNext},
	} {
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &session{t: t, data: data, s: newServer(Config{})}
		for len(c.data) > 0 {
			c.step()
		}
		c.s.close()
		c.owner.Wait()
	})
}

func (c *session) take() (b byte) {
	if len(c.data) == 0 {
		return 0
	}
	b, c.data = c.data[0], c.data[1:]
	return b
}

// body takes the bytes of a body.
func (c *session) body() []byte {
	n := min(int(c.take()), len(c.data))
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

func (c *session) step() {
	const id, chunked = "one", -1
	switch op := c.take() % ops; op {
	case opInvoke:
		if c.queued == nil && (c.current == nil || closed(c.current.Back())) {
			c.queued = c.s.Invoke(Invocation{ID: id, Attempt: 1, Event: []byte("{}")})
		}
	case opWithdraw:
		if c.queued != nil {
			if !c.s.Withdraw(c.queued) {
				c.t.Fatal("an invocation was given away that no child has asked for")
			}
			c.queued = nil
		}
	case opNext, opHangUp:
		c.next(op == opHangUp)
	case opRespond:
		body := c.body()
		c.post("invocation/"+id+"/response", body, int64(len(body)), nil, nil)
	case opStream:
		body := c.body()
		c.post("invocation/"+id+"/response", body, int64(len(body)), http.Header{modeHeader: {"streaming"}}, nil)
	case opChunks:
		c.post("invocation/"+id+"/response", c.body(), chunked, http.Header{modeHeader: {"streaming"}, "Content-Type": {"text/plain"}}, nil)
	case opHTTP:
		c.post("invocation/"+id+"/response", c.body(), chunked, http.Header{modeHeader: {"streaming"}, "Content-Type": {integrationType}}, nil)
	case opCut:
		c.post("invocation/"+id+"/response", c.body(), chunked, nil, io.ErrUnexpectedEOF)
	case opError:
		c.post("invocation/"+id+"/error", c.body(), chunked, http.Header{errorTypeHeader: {string(c.body())}}, nil)
	case opTrailer:
		c.post("invocation/"+id+"/response", c.body(), chunked, http.Header{modeHeader: {"streaming"}, "Trailer": {string(c.body())}}, nil)
	case opInitError:
		c.post("init/error", c.body(), chunked, nil, nil)
	case opWrongID:
		c.post("invocation/two/response", c.body(), chunked, nil, nil)
	case opAssign:
		c.send(http.MethodGet, "/nightshift/assignment", nil, true)
	case opNothing:
		c.want(c.send(http.MethodGet, prefix+"nothing", nil, false), 404)
	}
	c.look()
}

// next asks for work. One that does not hang up asks only where it does not wait.
func (c *session) next(hangUp bool) {
	busy := c.current != nil && !c.answered
	if !busy && c.queued == nil || c.depth > 0 {
		hangUp = true
	}
	before := c.current
	status := c.send(http.MethodGet, prefix+"invocation/next", nil, hangUp)
	switch {
	case c.depth > 0:
		c.want(status, 0, 403)
		return
	case busy:
		c.want(status, 403)
		return
	case hangUp:
		c.want(status, 0) // nobody was there for an answer
	default:
		c.want(status, 200)
		c.current, c.queued, c.answered = c.queued, nil, false
		c.owner.Add(1)
		go c.own(c.current)
	}
	if before != nil && !closed(before.Back()) {
		c.t.Error("the child asked for more, and the exchange before is not back")
	}
}

// own reads the answer to an invocation, as the pool does.
func (c *session) own(x *Exchange) {
	defer c.owner.Done()
	select {
	case <-x.Answered():
	case <-c.s.closed.Done():
		return
	}
	a := x.Answer()
	kinds := 0
	for _, is := range []bool{a.Payload != nil, a.Head != nil, a.Problem != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		c.t.Errorf("an answer of %d kinds: %+v", kinds, a)
	}
	if a.Body != nil {
		n, err := io.Copy(io.Discard, a.Body)
		if _, isProblem := errors.AsType[*Problem](err); err != nil && !isProblem {
			c.t.Errorf("the body ends with %v, which is not a problem", err)
		}
		if err == nil && a.Length >= 0 && n != a.Length {
			c.t.Errorf("%d bytes of body, announced were %d", n, a.Length)
		}
	}
}

// post sends something with a body. While it is on its way, the next step follows.
func (c *session) post(path string, body []byte, length int64, header http.Header, end error) {
	r := &http.Request{Method: http.MethodPost, Header: header, ContentLength: length}
	if trailer := header.Get("Trailer"); trailer != "" {
		r.Trailer = http.Header{errorTypeHeader: {trailer}, errorBodyHeader: {trailer}}
	}
	r.Body = io.NopCloser(&meddler{session: c, rest: body, end: end})
	free := c.current != nil && !c.answered
	c.meddled = c.depth > 0
	status := c.do(r, prefix+path)
	switch {
	case c.meddled: // either of two may have been the first
		c.want(status, 202, 400, 403, 413)
	case path == "init/error":
		c.want(status, 202, 403)
	case path == "invocation/two/response":
		c.want(status, 400, 403)
	case free:
		c.want(status, 202, 400, 413)
	default:
		c.want(status, 403)
	}
}

// meddler is a body behind whose first bytes the child sends another request.
type meddler struct {
	*session
	rest []byte
	end  error
	done bool
}

func (m *meddler) Read(b []byte) (int, error) {
	if !m.done && m.depth == 0 && len(m.data) > 0 && m.data[0] >= 0x80 {
		m.done = true
		m.depth++
		m.step()
		m.depth--
		m.meddled = true
	}
	if len(m.rest) == 0 {
		if m.end != nil {
			return 0, m.end
		}
		return 0, io.EOF
	}
	n := copy(b, m.rest[:min(len(m.rest), 1+len(m.rest)/2)])
	m.rest = m.rest[n:]
	return n, nil
}

// send sends a request without a body.
func (c *session) send(method, path string, header http.Header, hangUp bool) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if hangUp {
		cancel()
	}
	return c.do((&http.Request{Method: method, Header: header, Body: http.NoBody}).WithContext(ctx), path)
}

// do returns the status, or 0 if there was no answer.
func (c *session) do(r *http.Request, path string) int {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.URL, r.Host = &url.URL{Path: path}, "runtime"
	w := httptest.NewRecorder()
	w.Code = 0
	c.s.routes().ServeHTTP(w, r)
	return w.Code
}

func (c *session) want(got int, fits ...int) {
	c.t.Helper()
	for _, status := range fits {
		if got == status {
			return
		}
	}
	c.t.Fatalf("answered with %d, want one of %v", got, fits)
}

// look notes what the owner can see now.
func (c *session) look() {
	if c.current != nil && closed(c.current.Answered()) && c.depth == 0 {
		c.answered = true
	}
	if x := c.current; x != nil && x.Complete() && !closed(x.Answered()) {
		c.t.Fatal("complete without an answer")
	}
}

func closed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}
