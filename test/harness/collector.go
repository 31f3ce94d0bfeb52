package harness

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Hit is one request that a function sent to the collector.
type Hit struct {
	Time   time.Time
	Path   string
	Query  url.Values
	Header http.Header
	Body   string
}

// Collector is an HTTP server to which functions tell what they do, so that a
// test sees side effects and not only records.
type Collector struct {
	server *http.Server
	served chan struct{}
	url    string

	mu   sync.Mutex
	hits []Hit
}

// StartCollector listens on a free port of loopback.
func StartCollector() (*Collector, error) { return StartAnswering(nil) }

// StartAnswering is a collector that keeps no hits, but answers each with what
// the function says, which is called from many goroutines.
func StartAnswering(answer func(Hit) string) (*Collector, error) {
	if answer == nil {
		return startServing(nil)
	}
	return startServing(func(w http.ResponseWriter, hit Hit) { _, _ = io.WriteString(w, answer(hit)) })
}

// StartReceiver is a collector that keeps no hits, but answers each with the
// status that the function says, as a receiver of callbacks does. It is called
// from many goroutines.
func StartReceiver(receive func(Hit) (status int)) (*Collector, error) {
	return startServing(func(w http.ResponseWriter, hit Hit) { w.WriteHeader(receive(hit)) })
}

// startServing listens. Without answer, hits are kept.
func startServing(answer func(http.ResponseWriter, Hit)) (*Collector, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Collector{url: "http://" + l.Addr().String(), served: make(chan struct{})}
	c.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // half a report is better than none
		hit := Hit{Time: time.Now(), Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header, Body: string(body)}
		if answer != nil {
			answer(w, hit)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hits = append(c.hits, hit)
	})}
	go func() {
		defer close(c.served)
		_ = c.server.Serve(l) // ends with Close
	}()
	return c, nil
}

// URL is where functions send to; what they say is the query and the body.
func (c *Collector) URL() string { return c.url }

// Hits returns what came so far, in the order of arrival.
func (c *Collector) Hits() []Hit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.hits)
}

// Close ends the collector.
func (c *Collector) Close() error {
	err := c.server.Close()
	<-c.served
	return err
}
