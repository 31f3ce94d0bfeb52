package runtimeapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/nightshift/nightshift/shared/invocation"
)

const (
	modeHeader      = "Lambda-Runtime-Function-Response-Mode"
	errorTypeHeader = "Lambda-Runtime-Function-Error-Type"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
	integrationType = "application/vnd.awslambda.http-integration-response"

	// smallBody is read whole before it is passed on: no goroutine has to meet
	// another one for it, and the child is free sooner.
	smallBody = 64 << 10
)

// response answers POST /2018-06-01/runtime/invocation/{id}/response.
func (s *Server) response(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r.PathValue("id"))
	if x == nil {
		return
	}
	if streams(r) {
		s.streamed(w, r, x)
		return
	}
	s.buffered(w, r, x)
}

// streams reports whether a response is a stream. aws-lambda-go says so by the
// type of the content alone.
func streams(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get(modeHeader), "streaming") || r.Header.Get("Content-Type") == integrationType
}

func (s *Server) buffered(w http.ResponseWriter, r *http.Request, x *Exchange) {
	payload, err := readSized(r.Body, r.ContentLength, MaxBuffered+1)
	switch {
	case err != nil:
		x.settle(cutOff())
		s.finish()
		truncated(w)
	case len(payload) > MaxBuffered:
		x.settle(oversize(MaxBuffered))
		s.finish()
		discard(r.Body) // or the connection would be reset before the child reads why
		tooLarge(w, MaxBuffered)
	default:
		// aws-lambda-go sends every response in chunks, and says behind them that
		// the reader which it was given failed.
		if p := trailerProblem(r.Trailer); p != nil {
			x.settle(p)
			s.finish()
			accept(w)
			return
		}
		s.finish()
		x.reply(Answer{Payload: payload})
		accept(w)
	}
}

func (s *Server) streamed(w http.ResponseWriter, r *http.Request, x *Exchange) {
	body := bufio.NewReaderSize(r.Body, 32<<10)
	head, size := &Head{Status: http.StatusOK}, 0
	if contentType := r.Header.Get("Content-Type"); contentType == integrationType {
		var err error
		if head, size, err = readPrelude(body); err != nil {
			problem := cutOff()
			if r.Context().Err() == nil {
				problem = badPrelude(err)
			}
			x.settle(problem)
			s.finish()
			discard(r.Body)
			render(w, http.StatusBadRequest, problem.Failure.Type, problem.Failure.Message)
			return
		}
	} else if contentType != "" {
		head.Header = map[string][]string{"content-type": {contentType}}
	}
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		s.streamedSmall(w, r, x, head, body, int(r.ContentLength)-size)
		return
	}
	length := int64(-1)
	if r.ContentLength >= 0 {
		length = r.ContentLength - int64(size)
	}
	pr, pw := io.Pipe()
	x.reply(Answer{Head: head, Body: pr, Length: length})
	problem := pass(pw, body, r)
	if problem != nil {
		x.fail(problem)
		_ = pw.CloseWithError(problem)
	} else {
		_ = pw.Close()
	}
	s.finish()
	switch {
	case problem == nil:
		accept(w)
	case problem.Outcome == invocation.BadResponse && problem.Failure.Type == oversizeType:
		tooLarge(w, MaxStreamed)
	case problem.Outcome == invocation.Error:
		accept(w)
	default:
		truncated(w)
	}
}

func (s *Server) streamedSmall(w http.ResponseWriter, r *http.Request, x *Exchange, head *Head, body io.Reader, length int) {
	data, err := readSized(body, int64(length), smallBody)
	if err != nil {
		x.settle(cutOff())
		s.finish()
		truncated(w)
		return
	}
	s.finish()
	x.reply(Answer{Head: head, Body: bytes.NewReader(data), Length: int64(len(data))})
	accept(w)
}

// pass copies the body until it ends, is over the limit, or is cut off. A
// reader that lost interest does not stop it: the child is let finish.
func pass(pw *io.PipeWriter, body io.Reader, r *http.Request) *Problem {
	limited := &io.LimitedReader{R: body, N: MaxStreamed}
	buf := make([]byte, 32<<10)
	listening := true
	for {
		n, err := limited.Read(buf)
		if n > 0 && listening {
			_, writeErr := pw.Write(buf[:n])
			listening = writeErr == nil
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return cutOff()
		}
	}
	if limited.N == 0 {
		// Whether there is more decides; at exactly the limit all is well.
		if discard(body) > 0 {
			return oversize(MaxStreamed)
		}
	}
	return trailerProblem(r.Trailer)
}

func badPrelude(err error) *Problem {
	return &Problem{invocation.BadResponse, invocation.Failure{Type: "Function.InvalidResponse", Message: err.Error()}}
}

// settle is a problem instead of a response.
func (x *Exchange) settle(p *Problem) {
	x.fail(p)
	x.reply(Answer{Problem: p})
}

// discard reads what follows what has been read, up to a bound.
func discard(body io.Reader) int64 {
	n, _ := io.Copy(io.Discard, io.LimitReader(body, maxDiscarded))
	return n
}

const oversizeType = "Function.ResponseSizeTooLarge"

func oversize(limit int) *Problem {
	return &Problem{invocation.BadResponse, invocation.Failure{
		Type:    oversizeType,
		Message: fmt.Sprintf("the response is larger than the limit of %d MiB", limit>>20),
	}}
}

func cutOff() *Problem {
	return &Problem{invocation.BadResponse, invocation.Failure{
		Type:    "Runtime.TruncatedResponse",
		Message: "the response was cut off before its end",
	}}
}

func truncated(w http.ResponseWriter) {
	render(w, http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated")
}

// readSized reads a body whose length may be known (else -1), at most max bytes of it.
func readSized(body io.Reader, length, max int64) ([]byte, error) {
	if length < 0 || length > max {
		return io.ReadAll(io.LimitReader(body, max))
	}
	data := make([]byte, length)
	_, err := io.ReadFull(body, data)
	return data, err
}
