package process

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReader: whatever bytes a function writes, in whatever pieces, all of them
// come out in lines that are not longer than MaxLine, valid UTF-8, up to the
// limit, and what is over it is counted.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nb\r\n\xff\xfe\n\nno end"), uint16(3), uint16(1000), uint16(1))
	f.Add([]byte("ü\n"), uint16(1), uint16(60000), uint16(40000))
	f.Add([]byte("\x00marker\n\x00marker\nx"), uint16(5), uint16(2), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, piece, limit, repeat uint16) {
		data = bytes.Repeat(data, int(repeat)%(1+(256<<10)/(len(data)+1))+1) // up to 256 KiB, longer than any line
		marker := []byte("\x00the marker of this attempt\n")
		var seen bytes.Buffer
		given := 0
		out := &output{notice: func(_ string, text []byte) {
			if len(text) > MaxLine {
				t.Errorf("a line has %d bytes", len(text))
			}
			seen.Write(text)
		}}
		out.attach(func(_, text string) {
			if !utf8.ValidString(text) || strings.Contains(text, "\n") {
				t.Errorf("the line %.100q", text)
			}
			given++
		}, int64(limit))
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reader, err := newReader(r, "stdout", marker, out)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer w.Close()
			size := int(piece)%8192 + 1
			for rest := data; len(rest) > 0; {
				n, err := w.Write(rest[:min(size, len(rest))])
				if err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		reader.run()
		if want := bytes.ReplaceAll(data, []byte("\n"), nil); !bytes.Equal(seen.Bytes(), want) {
			t.Errorf("%d bytes came out of %d that are no line ends", seen.Len(), len(want))
		}
		if out.left < 0 || int64(len(data)) != int64(limit)-out.left+out.dropped {
			t.Errorf("%d bytes: %d of %d are left, and %d dropped", len(data), out.left, limit, out.dropped)
		}
		if cap(reader.buf) > MaxLine {
			t.Errorf("the buffer has %d bytes", cap(reader.buf))
		}
		if reader.quiet() {
			t.Error("the reader has ended, and is quiet") // whoever waits for it has to wait for the process
		}
	})
}
