package drive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := []time.Duration{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0: 1, 20: 1, 50: 3, 99: 5, 100: 5} {
		if got := Percentile(values, p); got != want {
			t.Errorf("Percentile(1 to 5, %v) = %v, want %v", p, got, want)
		}
	}
	if got := Percentile([]float64(nil), 50); !math.IsNaN(got) {
		t.Errorf("Percentile of nothing = %v, want NaN", got)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	body := Body(42, "127.0.0.1:1234")
	if len(body) != BodySize {
		t.Errorf("a body has %d bytes, want %d", len(body), BodySize)
	}
	var call struct {
		ID   int
		Sink string
	}
	if err := json.Unmarshal(body, &call); err != nil || call.ID != 42 || call.Sink != "127.0.0.1:1234" {
		t.Errorf("the body says %+v, %v", call, err)
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		status int
		fails  bool
	}{
		"no body":     {"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, false},
		"a body":      {"HTTP/1.1 200 OK\r\ncontent-length:2\r\nDate: x\r\n\r\nok", 200, false},
		"chunks":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, false},
		"trailers":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", 200, false},
		"cut off":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 200, true},
		"a cut chunk": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", 200, true},
		"no HTTP":     {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 0, true},
		"goodbye":     {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const next = "HTTP/1.1"
			r := bufio.NewReader(strings.NewReader(tt.answer + map[bool]string{false: next}[tt.fails]))
			status, last, err := readAnswer(r)
			if last != (name == "goodbye") {
				t.Errorf("the answer is the last one: %v", last)
			}
			if status != tt.status || (err != nil) != tt.fails {
				t.Fatalf("readAnswer = %d, %v, want %d, failing: %v", status, err, tt.status, tt.fails)
			}
			if tt.fails {
				return
			}
			if rest, _ := io.ReadAll(r); string(rest) != next {
				t.Errorf("%q is left for the next answer, want %q", rest, next)
			}
		})
	}
}

// starter accepts calls, and starts each one like a function that tells its sink.
func starter(t *testing.T, refuse func(id int) bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID   int
			Sink string
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil || refuse(call.ID) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		conn, err := net.Dial("udp4", call.Sink)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for range 2 { // the second is one too many
			fmt.Fprintf(conn, "%d x", call.ID)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestFlood(t *testing.T) {
	t.Parallel()
	run, err := Flood(t.Context(), 50, 4, starter(t, func(id int) bool { return id == 7 }))
	if err != nil {
		t.Fatal(err)
	}
	if run.Calls != 50 || run.Bad != 1 || run.Started != 49 || len(run.AcceptToStart) != 49 || run.Why == nil {
		t.Errorf("the run is %+v, want 49 of 50 started and one refused", run)
	}
	if run.Draining <= 0 || run.Accepting <= 0 {
		t.Errorf("it took %v to accept and %v to drain, want some time", run.Accepting, run.Draining)
	}
}

func TestSteady(t *testing.T) {
	t.Parallel()
	run, err := Steady(t.Context(), starter(t, func(int) bool { return false }), 5, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if run.Started != 5 || run.Bad != 0 {
		t.Errorf("the run is %+v, want 5 started", run)
	}
}

func TestSinkHearsEachCallOnce(t *testing.T) {
	t.Parallel()
	sink, err := NewSink(2)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	conn, err := net.Dial("udp4", sink.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, datagram := range []string{"0 a", "0 a", "5 out of range", "nonsense", "1 a"} {
		if _, err := conn.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sink.Heard() < 2 {
		select {
		case <-t.Context().Done():
			t.Fatal("the sink does not hear both calls")
		case <-tick.C:
		}
	}
	if again := sink.again.Load(); again != 1 {
		t.Errorf("%d calls were heard again, want 1", again)
	}
}

func BenchmarkPost(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer server.Close()
	c, err := NewConn(server.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	body := bytes.Repeat([]byte("x"), BodySize)
	for b.Loop() {
		if status, err := c.Post(body); err != nil || status != http.StatusAccepted {
			b.Fatal(status, err)
		}
	}
}
