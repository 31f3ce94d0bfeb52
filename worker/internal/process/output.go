package process

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"
)

// MaxLine is the longest line that is given out, in bytes; longer ones are split.
const MaxLine = 64 << 10

// output hands lines to whoever is attached.
type output struct {
	mu      sync.Mutex
	log     func(stream, text string)
	left    int64 // bytes that may still be given out
	dropped int64
	notice  func(stream string, text []byte)
}

func (o *output) attach(log func(stream, text string), max int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log, o.left, o.dropped = log, max, 0
}

func (o *output) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = nil
}

// line gives out one line. Once a line did not fit, no later one is given out
// either, so that the log has no holes but one cut. size counts the line end.
func (o *output) line(stream string, text []byte, size int) {
	if o.notice != nil {
		o.notice(stream, text)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.log == nil:
	case int64(size) > o.left || o.dropped > 0:
		o.dropped += int64(size)
	default:
		o.left -= int64(size)
		text = bytes.TrimSuffix(text, []byte("\r"))
		o.log(stream, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
}

// reader cuts one stream into lines. Its buffer never holds more than one
// line's worth, however fast the child writes.
type reader struct {
	file   *os.File
	raw    syscall.RawConn
	stream string
	marker []byte // ends with a line end
	met    chan struct{}
	output *output
	buf    []byte

	mu sync.Mutex // held while bytes go from the pipe to us
	// holds is set while we have bytes that are not given out: what was read
	// last, or the beginning of a line.
	holds bool
}

func newReader(file *os.File, stream string, marker []byte, out *output) (*reader, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &reader{file: file, raw: raw, stream: stream, marker: marker, met: make(chan struct{}, 1), output: out}, nil
}

// quiet reports whether all that had been written when it was called has been
// given out: nothing is in the pipe, and nothing is on its way from there.
func (r *reader) quiet() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds {
		return false
	}
	empty := false
	err := r.raw.Control(func(fd uintptr) { empty = isEmpty(int(fd)) })
	return err == nil && empty
}

// read is file.Read, and tells quiet what it does.
func (r *reader) read(buf []byte) (n int, err error) {
	waitErr := r.raw.Read(func(fd uintptr) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.holds = len(r.buf) > 0 // all else that was read before has been given out
		for {
			n, err = syscall.Read(int(fd), buf)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			return false
		}
		r.holds = true
		return true
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// run reads until the end, or until the read deadline that is set once the
// child is gone.
func (r *reader) run() {
	defer r.file.Close()
	r.buf = make([]byte, 0, 4<<10)
	for {
		if len(r.buf) == cap(r.buf) {
			r.grow()
		}
		n, err := r.read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		r.lines()
		if err != nil { // io.EOF or the deadline: both are the end
			if len(r.buf) > 0 {
				r.output.line(r.stream, r.buf, len(r.buf))
			}
			return
		}
	}
}

// lines gives out all complete lines of the buffer and moves the rest to its front.
func (r *reader) lines() {
	rest := r.buf
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		line := rest[:end+1]
		rest = rest[end+1:]
		// The marker stands behind a line that the child has not ended.
		before, marked := bytes.CutSuffix(line, r.marker)
		if !marked {
			r.output.line(r.stream, line[:end], len(line))
			continue
		}
		if len(before) > 0 {
			r.output.line(r.stream, before, len(before))
		}
		r.met <- struct{}{}
	}
	r.buf = r.buf[:copy(r.buf[:cap(r.buf)], rest)]
}

// grow makes room in a full buffer without a line end: more of it, or, at the
// limit, by giving out its front as a line. The back stays as long as a marker
// is, in case half of one has been read, and runes are kept whole.
func (r *reader) grow() {
	if size := cap(r.buf); size < MaxLine {
		r.buf = append(make([]byte, 0, min(4*size, MaxLine)), r.buf...)
		return
	}
	cut := len(r.buf) - len(r.marker)
	for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(r.buf[cut]); back++ {
		cut--
	}
	r.output.line(r.stream, r.buf[:cut], cut)
	r.buf = r.buf[:copy(r.buf, r.buf[cut:])]
}
