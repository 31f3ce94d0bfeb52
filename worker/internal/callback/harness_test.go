package callback

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/oklog/ulid/v2"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

const (
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	token      = "token=canary" // stands in the query of every URL, and nowhere else
)

// world is Redis with a store, names, and certificates for them.
type world struct {
	*store.Store
	queue  *queue.Client
	names  *names
	trust  *tls.Config
	server *tls.Config
	logged *buffer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	rdb := redistest.New(t)
	q, err := queue.NewClient(rdb, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	w := &world{
		Store: store.New(rdb, store.Options{}), queue: q, logged: &buffer{},
		names: &names{addresses: map[string][]string{
			"receiver.example": {"127.0.0.1"}, "other.example": {"127.0.0.1"}, "private.example": {"127.0.0.2"},
		}},
	}
	w.certify(t)
	t.Cleanup(func() {
		if text := w.logged.String(); strings.Contains(text, "canary") || strings.Contains(text, "MfKQ") {
			t.Errorf("the log has what stays out of logs:\n%s", text)
		}
	})
	return w
}

// certify makes a certificate for all names that are used, and trust in it.
func (w *world) certify(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "callbacks"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{"receiver.example", "other.example", "private.example", "rebinds.example"},
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("127.0.0.2"), net.IPv6loopback},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	w.trust = &tls.Config{RootCAs: pool}
	w.server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// buffer is a bytes.Buffer for several writers.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// deliverer makes one that may reach 127.0.0.1 and no other private address.
func (w *world) deliverer(t testing.TB, s Store) *Deliverer {
	t.Helper()
	signer, err := callback.NewSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Store: s, Signer: signer, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Logger:   slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), w.logged), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Resolver: w.names.resolver(), TLS: w.trust,
	})
}

// run runs a deliverer until the test ends, or stop is called.
func run(t testing.TB, d *Deliverer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { d.Run(ctx) })
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// end makes an invocation with a callback that has ended, and returns its ID.
func (w *world) end(t testing.TB, url string) string {
	t.Helper()
	return w.endOf(t, "shop", url)
}

// endOf is end for an invocation of a site.
func (w *world) endOf(t testing.TB, site, url string) string {
	t.Helper()
	inv := invocation.Invocation{
		ID: ulid.Make().String(), Site: site, Deploy: "d1", Function: "send-email", Kind: function.Background,
		Callback: &invocation.Callback{URL: url},
	}
	task := queue.Task{ID: inv.ID, Queue: inv.Kind, Target: queue.Target{Site: inv.Site, Deploy: inv.Deploy, Function: inv.Function}, Timeout: time.Minute}
	if _, err := w.queue.Enqueue(t.Context(), task, w.Create(inv, []byte("{}"))); err != nil {
		t.Fatalf("Enqueue = %v", err)
	}
	begun, err := w.Begin(t.Context(), inv.Kind, inv.ID, "w")
	if err != nil {
		t.Fatalf("Begin = %v", err)
	}
	err = w.Finish(t.Context(), inv.Kind, inv.ID, begun.Attempt, store.End{
		Outcome: invocation.OK, Verdict: invocation.Verdict{State: invocation.Succeeded}, Result: &invocation.Result{Status: 200, Body: "done"},
	})
	if err != nil {
		t.Fatalf("Finish = %v", err)
	}
	return inv.ID
}

// callback reads the callback of an invocation.
func (w *world) callback(t testing.TB, id string) invocation.Callback {
	t.Helper()
	inv, err := w.Invocation(t.Context(), id)
	if err != nil {
		t.Fatalf("Invocation = %v", err)
	}
	return *inv.Callback
}

// tried waits until n requests of a callback were made and settled, and returns it.
func (w *world) tried(t testing.TB, id string, n int) (c invocation.Callback) {
	t.Helper()
	eventually(t, "the requests of a callback", func() bool {
		c = w.callback(t, id)
		return c.Attempts == n && (c.State != invocation.CallbackPending || c.Error != "")
	})
	return c
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// got is a request that a receiver got.
type got struct {
	header http.Header
	body   []byte
}

// receiver is an HTTPS server that keeps what it gets.
type receiver struct {
	*httptest.Server
	port        string
	connections atomic.Int32
	mu          sync.Mutex
	all         []got
}

// receiver starts one on an address. answer is given the number of the request,
// from 1; nil answers 204.
func (w *world) receiver(t testing.TB, address string, answer func(n int, rw http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.all = append(r.all, got{req.Header.Clone(), body})
		n := len(r.all)
		r.mu.Unlock()
		if answer == nil {
			rw.WriteHeader(http.StatusNoContent)
			return
		}
		answer(n, rw, req)
	}))
	_ = r.Listener.Close()
	r.Listener = listener
	r.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.connections.Add(1)
		}
	}
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	r.TLS = w.server.Clone()
	r.StartTLS()
	t.Cleanup(r.Close)
	r.port = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	return r
}

// url is a URL that leads to the receiver if the host does.
func (r *receiver) url(host string) string {
	return "https://" + host + ":" + r.port + "/hook?" + token
}

func (r *receiver) got() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got(nil), r.all...)
}

// names is a name server. Of several addresses of a name each question is
// answered with the next one, and then with the last.
type names struct {
	mu        sync.Mutex
	addresses map[string][]string
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers the questions of one connection, as over TCP.
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		question := make([]byte, size)
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := n.answer(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func (n *names) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	q := m.Questions[0]
	ip, known := n.next(strings.TrimSuffix(q.Name.String(), "."), q.Type)
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA && ip.Is4():
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case q.Type == dnsmessage.TypeAAAA && ip.Is6():
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	}
	packed, _ := m.Pack()
	return packed
}

func (n *names) next(name string, kind dnsmessage.Type) (ip netip.Addr, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.addresses[name]
	if len(all) == 0 {
		return ip, false
	}
	if len(all) > 1 && kind == dnsmessage.TypeA {
		n.addresses[name] = all[1:]
	}
	return netip.MustParseAddr(all[0]), true
}
