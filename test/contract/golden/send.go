package golden

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/nightshift/nightshift/test/harness"
)

// Request is sent as it stands here, byte by byte: Go's client would change
// paths and headers.
type Request struct {
	Method  string
	Path    string
	Headers []Header
	Body    string
	Fill    int // instead of Body: so many bytes
}

// limit is how long one answer may take.
const limit = 40 * time.Second

// Send asks a server on loopback and reads its whole answer, not normalised.
// One that closes the connection without an answer sets Error.
func Send(ctx context.Context, addr string, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return Answer{}, err
	}
	// A server may answer before it has read everything, and then close: what
	// it has said counts, so writing goes on beside reading.
	go func() { _, _ = io.WriteString(conn, r.wire(addr)) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.Method})
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return Answer{}, fmt.Errorf("%s %s: no answer within %s", r.Method, r.Path, limit)
	}
	if err != nil {
		return Answer{Error: "the connection was closed without an answer"}, nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: reading the body: %w", r.Method, r.Path, err)
	}
	a := Answer{Status: res.StatusCode}
	for name, values := range res.Header {
		for _, value := range values {
			a.Headers = append(a.Headers, Header{strings.ToLower(name), value})
		}
	}
	a.setBody(body)
	return a, nil
}

// wire is the request as bytes.
func (r Request) wire(addr string) string {
	body := r.Body
	if r.Fill > 0 {
		body = strings.Repeat("x", r.Fill)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: identity\r\n", r.Method, r.Path, addr)
	if body != "" || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(body))
	}
	for _, h := range r.Headers {
		fmt.Fprintf(&out, "%s: %s\r\n", textproto.TrimString(h[0]), h[1])
	}
	out.WriteString("Connection: close\r\n\r\n")
	out.WriteString(body)
	return out.String()
}

// collectorHeader names the collector to functions.
const collectorHeader = "x-collector"

// Ask runs a case: it sends the request and, where the function reports, waits
// for what it tells the collector.
func Ask(ctx context.Context, addr string, c Case, collector *harness.Collector) (Answer, error) {
	r := c.Request
	if c.Reports {
		r.Headers = append([]Header{{collectorHeader, collector.URL() + "/?case=" + url.QueryEscape(c.Name)}}, r.Headers...)
	}
	a, err := Send(ctx, addr, r)
	if err != nil || !c.Reports {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	err = harness.Eventually(ctx, func() error {
		for _, hit := range collector.Hits() {
			if hit.Query.Get("case") == c.Name {
				a.Report = hit.Body
				return nil
			}
		}
		return errors.New("the function has told the collector nothing")
	})
	if err != nil {
		a.Report = ""
	}
	return a, nil
}

// reportLimit is how long a function may take to report. One that does not run
// at all, as recorded, costs a test that long.
const reportLimit = 15 * time.Second
