package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Refusal is why a connection or a request was refused before its handler.
type Refusal string

// What is refused. What net/http refuses itself (a head that is no HTTP, or is
// over its bytes) is not told.
const (
	RefusedConnection Refusal = "connections" // there are too many connections
	RefusedAddress    Refusal = "address"     // the address has too many
	RefusedURL        Refusal = "url"         // it is too long
	RefusedHeaders    Refusal = "headers"     // there are too many fields
	RefusedTarget     Refusal = "target"      // URL or Host are such as no client sends
	RefusedMethod     Refusal = "method"      // CONNECT, TRACE
	RefusedSlow       Refusal = "slow"        // the body came too slowly
)

// Refusals are all of them.
var Refusals = []Refusal{
	RefusedConnection, RefusedAddress, RefusedURL, RefusedHeaders, RefusedTarget, RefusedMethod, RefusedSlow,
}

// door is what every request passes before its handler. net/http reads strictly
// what frames a request; the door refuses what it lets pass and nobody honest
// sends, and closes connections on which a proxy before us could see other
// frames than we do:
//
//   - A body in chunks may have come with a Content-Length too, which net/http
//     drops, as RFC 9112 has it, and does not tell. The RFC has the connection
//     closed after it.
//   - HTTP/1.0 knows no chunks, so of those in such a request net/http takes none.
//
// Whatever else was sent on such a connection is never taken for a request.
type door struct {
	next    http.Handler
	limits  Limits
	refused func(Refusal)
}

// requestsKey is where a connection's context counts its requests.
type requestsKey struct{}

// ServeHTTP is part of http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, why, message := d.check(r); why != "" {
		d.refused(why)
		refuse(w, status, message)
		return
	}
	if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) || d.last(r.Context()) {
		w.Header().Set("Connection", "close")
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &pacedBody{ReadCloser: r.Body, pace: d.limits.Pace(), control: http.NewResponseController(w), begun: time.Now(), refused: d.refused}
	}
	d.next.ServeHTTP(w, r)
}

// last counts a request of a connection, and reports whether it is to be the last.
func (d *door) last(ctx context.Context) bool {
	requests, ok := ctx.Value(requestsKey{}).(*atomic.Int64)
	return ok && d.limits.MaxRequestsPerConnection > 0 && requests.Add(1) >= d.limits.MaxRequestsPerConnection
}

// check says what is wrong with the head of a request.
func (d *door) check(r *http.Request) (status int, why Refusal, message string) {
	switch {
	case len(r.RequestURI) > d.limits.MaxURL:
		return http.StatusRequestURITooLong, RefusedURL, "The URL is too long."
	case fields(r.Header) > d.limits.MaxHeaderFields:
		return http.StatusRequestHeaderFieldsTooLarge, RefusedHeaders, "The request has too many header fields."
	case r.ProtoMajor != 1: // the preface of HTTP/2, which net/http leaves to handlers
		return http.StatusHTTPVersionNotSupported, RefusedTarget, "This server speaks HTTP/1.1."
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, r.Method == "TRACK":
		return http.StatusMethodNotAllowed, RefusedMethod, "The method is not allowed."
	case !strings.HasPrefix(r.RequestURI, "/") && (r.URL.Host == "" || r.URL.User != nil || r.URL.Scheme != "http" && r.URL.Scheme != "https"):
		return http.StatusBadRequest, RefusedTarget, "The target of the request is neither a path nor a URL of HTTP."
	case !validHost(r.Host) && (r.Host != "" || r.ProtoAtLeast(1, 1)):
		return http.StatusBadRequest, RefusedTarget, "The Host header is not a host name, with or without a port."
	}
	return 0, "", ""
}

func fields(header http.Header) (n int) {
	for _, values := range header {
		n += len(values)
	}
	return n
}

// maxHost is how long a host name may be, by DNS, with a dot at its end.
const maxHost = 254

// validHost reports whether a text is a host as it stands in URLs: a name or an
// address, with or without a port. Names are looser than DNS has them, because
// private networks have underscores in them.
func validHost(host string) bool {
	name, port := host, ""
	if end := strings.LastIndexByte(host, ']'); strings.HasPrefix(host, "[") && end > 0 {
		name, port = host[:end+1], host[end+1:]
		if port != "" && port[0] != ':' {
			return false
		}
		addr, err := netip.ParseAddr(name[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
	} else {
		if colon := strings.IndexByte(host, ':'); colon >= 0 {
			name, port = host[:colon], host[colon:]
		}
		if name == "" || len(name) > maxHost || strings.ContainsFunc(name, notInHost) {
			return false
		}
	}
	port = strings.TrimPrefix(port, ":")
	return len(port) <= 5 && strings.Trim(port, "0123456789") == ""
}

func notInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')
}

// refuse answers what gets no further, and closes the connection: what follows
// on it need not be what it looks like.
func refuse(w http.ResponseWriter, status int, message string) {
	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	// Recorders in tests have no deadlines; connections do.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(discardTime))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message+"\n") // nobody is left to tell
}

// pacedBody is a body that must not come slower than its pace.
type pacedBody struct {
	io.ReadCloser
	pace    Pace
	control *http.ResponseController
	begun   time.Time
	until   time.Time // when all of it must be there; zero: no matter
	read    int64
	ended   bool
	refused func(Refusal)
}

// Read is part of io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	if !b.ended {
		// Not after the end: from there on net/http itself reads, without a deadline,
		// to notice a client that hangs up.
		deadline := b.pace.Deadline(b.begun, time.Now(), b.read)
		if !b.until.IsZero() && b.until.Before(deadline) {
			deadline = b.until
		}
		_ = b.control.SetReadDeadline(deadline)
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if err != nil && !b.ended {
		b.ended = true
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.refused(RefusedSlow)
		}
	}
	return n, err
}

// discardTime bounds the reading of a body that nobody wants.
const discardTime = 30 * time.Second

// Discard reads what is left of the body of a request that nobody wants, of most
// bytes at most and not for long: a client that is still sending when the
// connection closes gets a reset, and never sees the answer.
func Discard(body io.Reader, most int64) {
	if paced, ok := body.(*pacedBody); ok {
		paced.until = time.Now().Add(discardTime)
	}
	_, _ = io.CopyN(io.Discard, body, most)
}
