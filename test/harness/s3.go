package harness

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3" // a store that speaks S3, so that S3 is really spoken
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3Bucket is the bucket that an [S3] has.
const S3Bucket = "nightshift"

// S3Env are the credentials of its clients; any would do.
func S3Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=nightshift", "AWS_SECRET_ACCESS_KEY=nightshift-secret"}
}

// S3 is an object store on loopback. What it holds is in memory and outlives
// Kill and Restart, as disks do.
type S3 struct {
	addr    string
	handler http.Handler

	mu     sync.Mutex
	server *http.Server
	served chan struct{}
	fault  S3Fault
	broke  int
}

// S3Fault is what happens to each upload.
type S3Fault int

// The faults.
const (
	S3Works S3Fault = iota
	// S3Dies: the server ends when half of the first upload has come.
	S3Dies
	// S3LosesReplies: uploads are stored, and the connection breaks instead of an answer.
	S3LosesReplies
)

// StartS3 listens on a free port of loopback.
func StartS3() (*S3, error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(S3Bucket); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &S3{addr: l.Addr().String(), handler: gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}
	s.serve(l)
	return s, nil
}

func (s *S3) serve(l net.Listener) {
	server, served := &http.Server{Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})
	s.mu.Lock()
	s.server, s.served = server, served
	s.mu.Unlock()
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Kill
	}()
}

// URL is the NIGHTSHIFT_BLOB_URL of a folder of the bucket.
func (s *S3) URL(folder string) string {
	q := url.Values{"endpoint": {"http://" + s.addr}, "region": {"eu-central-1"}, "prefix": {folder}}
	return "s3://" + S3Bucket + "?" + q.Encode()
}

// Break chooses what happens to uploads from now on.
func (s *S3) Break(fault S3Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.broke = fault, 0
}

// Broke is how many uploads it has happened to.
func (s *S3) Broke() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

// answer is the server, with its faults in front.
func (s *S3) answer(w http.ResponseWriter, r *http.Request) {
	fault := S3Works
	if r.Method == http.MethodPut {
		s.mu.Lock()
		if fault = s.fault; fault != S3Works {
			s.broke++
		}
		s.mu.Unlock()
	}
	switch fault {
	case S3Dies:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		s.mu.Lock()
		server := s.server
		s.mu.Unlock()
		_ = server.Close()
		panic(http.ErrAbortHandler)
	case S3LosesReplies:
		s.handler.ServeHTTP(nobody{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	default:
		s.handler.ServeHTTP(w, r)
	}
}

// nobody is a ResponseWriter whose answers reach nobody.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header       { return n.header }
func (nobody) Write(p []byte) (int, error) { return len(p), nil }
func (nobody) WriteHeader(int)             {}

// Kill ends the server and all its connections at once.
func (s *S3) Kill() error {
	s.mu.Lock()
	server, served := s.server, s.served
	s.mu.Unlock()
	err := server.Close()
	<-served
	if err != nil && strings.Contains(err.Error(), "use of closed") {
		return nil
	}
	return err
}

// Restart listens again after Kill, at the same address.
func (s *S3) Restart() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.serve(l)
	return nil
}
