package harness

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp" // an SMTP server, so that mail is really spoken
)

// Mail is a mail that the sink took.
type Mail struct {
	To   []string
	Data string // headers and body
}

// MailSink takes every mail and sends none.
type MailSink struct {
	server *smtp.Server
	served chan struct{}
	addr   string

	mu    sync.Mutex
	mails []Mail
	// known are the addresses that were seen, if new ones are turned away.
	known map[string]bool
}

// StartGreylist is a sink that turns each address away when it sees it for the
// first time, as many mail servers do: 451, try again later.
func StartGreylist() (*MailSink, error) {
	s, err := StartMailSink()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.known = map[string]bool{}
	}
	return s, err
}

// StartMailSink listens on a free port of loopback.
func StartMailSink() (*MailSink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &MailSink{addr: l.Addr().String(), served: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{sink: s}, nil }))
	s.server.Domain, s.server.ReadTimeout, s.server.WriteTimeout = "localhost", 10*time.Second, 10*time.Second
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l) // ends with Close
	}()
	return s, nil
}

// Addr is host:port.
func (s *MailSink) Addr() string { return s.addr }

// Mails returns what came so far.
func (s *MailSink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// greylists reports whether an address is turned away, and lets it in from then on.
func (s *MailSink) greylists(to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || s.known[to] {
		return false
	}
	s.known[to] = true
	return true
}

// Close ends the sink.
func (s *MailSink) Close() error {
	err := s.server.Close()
	<-s.served
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// mailSession is one connection.
type mailSession struct {
	sink *MailSink
	to   []string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.sink.greylists(to) {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted, try again later"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mails = append(s.sink.mails, Mail{To: s.to, Data: string(data)})
	return nil
}

func (s *mailSession) Reset()        { s.to = nil }
func (s *mailSession) Logout() error { return nil }
