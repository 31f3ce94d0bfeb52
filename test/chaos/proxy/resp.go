package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// readCommand reads one command as drivers write it, an array of bulk strings,
// and returns it as it came, with its name in lower case. A script's name is
// that of the command that runs it.
func readCommand(r *bufio.Reader, buf []byte) (raw []byte, name string, err error) {
	raw, n, err := header(r, buf, '*')
	if err != nil {
		return nil, "", err
	}
	for i := range n {
		var size int
		if raw, size, err = header(r, raw, '$'); err != nil {
			return nil, "", err
		}
		if size < 0 {
			return nil, "", fmt.Errorf("an argument of %d bytes", size)
		}
		start := len(raw)
		if raw, err = take(r, raw, size+2); err != nil {
			return nil, "", err
		}
		if i == 0 {
			name = strings.ToLower(string(raw[start : start+size]))
		}
	}
	return raw, name, nil
}

// readReply reads one whole reply and returns it as it came. Its first byte is
// its type.
func readReply(r *bufio.Reader, buf []byte) ([]byte, error) {
	start := len(buf)
	buf, err := line(r, buf)
	if err != nil {
		return nil, err
	}
	head := buf[start:]
	parts := 1 // how many replies an entry of an aggregate is made of
	switch head[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return buf, nil
	case '$', '=', '!':
		size, err := number(head)
		if err != nil || size < 0 {
			return buf, err
		}
		return take(r, buf, size+2)
	case '%', '|':
		parts = 2
	case '*', '~', '>':
	default:
		return nil, fmt.Errorf("a reply of the unknown type %q", head[0])
	}
	attribute := head[0] == '|'
	n, err := number(head)
	if err != nil {
		return nil, err
	}
	for range n * parts {
		if buf, err = readReply(r, buf); err != nil {
			return nil, err
		}
	}
	if attribute { // stands in front of the reply itself
		return readReply(r, buf)
	}
	return buf, nil
}

// header reads a line of a type and the number in it.
func header(r *bufio.Reader, buf []byte, kind byte) ([]byte, int, error) {
	start := len(buf)
	buf, err := line(r, buf)
	if err != nil {
		return nil, 0, err
	}
	if buf[start] != kind {
		return nil, 0, fmt.Errorf("%q where %q begins", buf[start:], kind)
	}
	n, err := number(buf[start:])
	return buf, n, err
}

func line(r *bufio.Reader, buf []byte) ([]byte, error) {
	start := len(buf)
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(buf)-start < 3 {
			return nil, fmt.Errorf("the line %q is too short", buf[start:])
		}
		return buf, nil
	}
}

func number(head []byte) (int, error) {
	return strconv.Atoi(string(bytes.TrimRight(head[1:], "\r\n")))
}

// take appends n bytes.
func take(r *bufio.Reader, buf []byte, n int) ([]byte, error) {
	for n > 0 {
		part, err := r.Peek(min(n, r.Size()))
		if err != nil {
			return nil, err
		}
		buf = append(buf, part...)
		n -= len(part)
		_, _ = r.Discard(len(part)) // what was peeked is there
	}
	return buf, nil
}
