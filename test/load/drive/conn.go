package drive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// Conn is a kept connection to one URL. It understands as much of HTTP/1.1 as the
// servers that are measured speak, because net/http's client would take a good
// part of the machine that it shares with them.
type Conn struct {
	addr  string
	head  []byte // of each request, up to the length of the body
	conn  net.Conn
	read  *bufio.Reader
	write []byte
}

// callTimeout bounds one call.
const callTimeout = time.Minute

// NewConn makes a connection that is opened by the first call.
func NewConn(target string) (*Conn, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: ", u.RequestURI(), u.Host)
	return &Conn{addr: u.Host, head: head}, nil
}

// Close closes the connection, if it is open.
func (c *Conn) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Post sends a body, reads the whole answer, and returns its status. After an
// error the next call opens the connection again.
func (c *Conn) Post(body []byte) (status int, err error) {
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", c.addr); err != nil {
			return 0, err
		}
		c.read = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, err
	}
	c.write = append(c.write[:0], c.head...)
	c.write = strconv.AppendInt(c.write, int64(len(body)), 10)
	c.write = append(append(c.write, "\r\n\r\n"...), body...)
	if _, err := c.conn.Write(c.write); err != nil {
		return 0, err
	}
	status, last, err := readAnswer(c.read)
	if last {
		c.Close()
	}
	return status, err
}

// readAnswer reads one answer, and drops its body. It says whether it is the last
// on its connection.
func readAnswer(r *bufio.Reader) (status int, last bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, false, fmt.Errorf("%q is no answer of HTTP/1.1", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, chunked := 0, false
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, false, noEnd(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close")):
			last = true
		}
	}
	if chunked {
		return status, last, dropChunks(r)
	}
	_, err = r.Discard(length)
	return status, last, err
}

func dropChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if _, err := r.Discard(int(size) + len("\r\n")); err != nil {
			return noEnd(err)
		}
	}
	for { // trailers, up to an empty line
		line, err := r.ReadSlice('\n')
		if err != nil {
			return noEnd(err)
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
}

func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
