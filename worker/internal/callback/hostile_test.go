package callback

import (
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
)

// hostile are receivers that mean to keep us, or to be read for ever. Each is
// given a connection of which the request's head has come.
var hostile = map[string]struct {
	answer func(conn net.Conn, stop <-chan struct{})
	says   string // of the callback; empty: delivered
}{
	"says nothing": {func(conn net.Conn, _ <-chan struct{}) { listen(conn) }, "did not answer within"},
	"a byte a second": {func(conn net.Conn, stop <-chan struct{}) {
		trickle(conn, stop, "HTTP/1.1 204 No Content\r\n\r\n", time.Second)
	}, "did not answer within"},
	"endless header": {func(conn net.Conn, _ <-chan struct{}) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		repeat(conn, "X-Header: "+strings.Repeat("x", 1000)+"\r\n")
	}, "did not answer as an HTTP server does"},
	"endless line":     {func(conn net.Conn, _ <-chan struct{}) { repeat(conn, strings.Repeat("x", 1000)) }, "did not answer as an HTTP server does"},
	"endless interim":  {func(conn net.Conn, _ <-chan struct{}) { repeat(conn, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n") }, "did not answer as an HTTP server does"},
	"endless body":     {func(conn net.Conn, _ <-chan struct{}) { chunked(conn, 200) }, ""},
	"endless failure":  {func(conn net.Conn, _ <-chan struct{}) { chunked(conn, 500) }, "answered 500"},
	"body that drips":  {func(conn net.Conn, stop <-chan struct{}) { drip(conn, stop) }, ""},
	"gigabyte in gzip": {func(conn net.Conn, _ <-chan struct{}) { bomb(conn) }, ""},
	"half an answer": {func(conn net.Conn, _ <-chan struct{}) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
	}, "broke the connection"},
	"two lengths": {func(conn net.Conn, _ <-chan struct{}) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
	}, "did not answer as an HTTP server does"},
	"noise": {func(conn net.Conn, _ <-chan struct{}) { _, _ = io.WriteString(conn, "\x00\xff\x00\xff\r\n\r\n") }, "did not answer as an HTTP server does"},
	"changes protocol": {func(conn net.Conn, _ <-chan struct{}) {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	}, "answered 101"},
}

// listen reads until the other side gives up.
func listen(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// trickle writes a text byte by byte.
func trickle(w io.Writer, stop <-chan struct{}, text string, pause time.Duration) {
	for i := range len(text) {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
	}
}

// repeat writes a text until nobody takes it.
func repeat(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

func chunked(w io.Writer, status int) {
	fmt.Fprintf(w, "HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n", status)
	repeat(w, "400\r\n"+strings.Repeat("x", 1024)+"\r\n")
}

func drip(w io.Writer, stop <-chan struct{}) {
	_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
	trickle(w, stop, strings.Repeat("x", 1000), 100*time.Millisecond)
}

func bomb(w io.Writer) {
	_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 1024 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	_ = z.Close()
}

// raw listens with TLS and hands on each connection once a request's head is there.
func (w *world) raw(t *testing.T, answer func(conn net.Conn, stop <-chan struct{})) (url string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", w.server)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		_ = listener.Close()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				head := make([]byte, 16<<10)
				if _, err := conn.Read(head); err == nil {
					answer(conn, stop)
				}
			}()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://receiver.example:" + port + "/hook?" + token
}

// However a receiver answers, the request ends in its time, what is read of the
// answer is bounded, and nothing of it stays.
func TestHostileReceivers(t *testing.T) {
	w := newWorld(t)
	ids := map[string]string{}
	for name, receiver := range hostile {
		ids[name] = w.end(t, w.raw(t, receiver.answer))
	}
	before := runtime.NumGoroutine()
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	d := w.deliverer(t, patient{w.Store})
	d.client.Timeout = 3 * time.Second
	stop := run(t, d)
	begun := time.Now()
	for name, id := range ids {
		c := w.tried(t, id, 1)
		says := hostile[name].says
		if says == "" && c.State != invocation.CallbackDelivered || !strings.Contains(c.Error, says) {
			t.Errorf("%s: callback = %+v, want one that says %q", name, c, says)
		}
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("all requests took %v together; each has 3s, and none waits for another", took)
	}
	runtime.ReadMemStats(&is)
	if grown := (int64(is.TotalAlloc) - int64(was.TotalAlloc)) >> 20; grown > 64 {
		t.Errorf("%d MiB were allocated for %d requests", grown, len(ids))
	}
	stop()
	// Those of the receivers end with their connections.
	eventually(t, "the end of all goroutines that requests had", func() bool { return runtime.NumGoroutine() <= before })
}

// A site whose receivers never answer takes the room of its own callbacks, and
// not that of others.
func TestSlowReceiversHoldUpTheirSiteOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := w.raw(t, func(conn net.Conn, _ <-chan struct{}) { listen(conn) })
	r := w.receiver(t, "127.0.0.1", nil)
	for range 20 * maxInFlight {
		w.endOf(t, "mallory", silent)
	}
	id := w.endOf(t, "shop", r.url("receiver.example"))
	d := w.deliverer(t, w.Store)
	d.client.Timeout = 6 * time.Second
	run(t, d)
	begun := time.Now()
	eventually(t, "the callback of another site", func() bool { return w.callback(t, id).State == invocation.CallbackDelivered })
	t.Logf("delivered after %v, beside %d that are not answered", time.Since(begun), 20*maxInFlight)
	eventually(t, "that the slow site keeps to its part", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.sites["mallory"].inFlight <= maxPerSlow
	})
}
