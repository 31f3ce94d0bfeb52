package redisdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/tlstest"
	"github.com/nightshift/nightshift/shared/secret"
)

func TestTLSIsValidated(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	cert, key := ca.Issue(t, "localhost")
	for name, test := range map[string]struct {
		tls  TLS
		url  string
		want string // in the complaint; empty: none
	}{
		"nothing":            {TLS{}, "redis://h:1", ""},
		"a CA":               {TLS{CA: ca.PEM()}, "rediss://h:1", ""},
		"a CA, cluster":      {TLS{CA: ca.PEM()}, "rediss+cluster://h:1,i:1", ""},
		"everything":         {TLS{CA: ca.PEM(), Cert: cert, Key: secret.Text(key)}, "rediss://h:1", ""},
		"a CA, but no TLS":   {TLS{CA: ca.PEM()}, "redis://h:1", "rediss"},
		"a CA, and a socket": {TLS{CA: ca.PEM()}, "unix:///s", "rediss"},
		"the name of a file": {TLS{CA: "/etc/ssl/ca.pem"}, "rediss://h:1", "NIGHTSHIFT_REDIS_CA_FILE"},
		"no key":             {TLS{Cert: cert}, "rediss://h:1", "NIGHTSHIFT_REDIS_KEY"},
		"no certificate":     {TLS{Key: secret.Text(key)}, "rediss://h:1", "NIGHTSHIFT_REDIS_CERT"},
	} {
		rdb, err := test.tls.Open(test.url)
		if err == nil {
			_ = rdb.Close()
		}
		if test.want == "" && err != nil || test.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: Open = %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: Open shows the key: %v", name, err)
		}
	}
}

// TestWhatIsWrongIsExplained with servers that shake hands and then hang up: the
// driver's errors as they really are.
func TestWhatIsWrongIsExplained(t *testing.T) {
	t.Parallel()
	ours, theirs := tlstest.NewCA(t), tlstest.NewCA(t)
	listen := func(config *tls.Config) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if config == nil {
					_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
					_ = conn.Close()
					continue
				}
				_ = tls.Server(conn, config).Handshake()
				_ = conn.Close()
			}
		}()
		return "rediss://" + l.Addr().String()
	}
	pair := func(names ...string) tls.Certificate {
		cert, key := ours.Issue(t, names...)
		p, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := pair("127.0.0.1")
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(ours.PEM()))
	for name, test := range map[string]struct {
		server *tls.Config
		ca     string
		want   string
	}{
		"an unknown authority": {&tls.Config{Certificates: []tls.Certificate{good}}, theirs.PEM(), "NIGHTSHIFT_REDIS_CA_FILE"},
		"another name":         {&tls.Config{Certificates: []tls.Certificate{pair("redis.example.com")}}, ours.PEM(), "127.0.0.1"},
		"no TLS":               {nil, ours.PEM(), "does not speak TLS"},
		"asks for ours":        {&tls.Config{Certificates: []tls.Certificate{good}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}, ours.PEM(), "NIGHTSHIFT_REDIS_CERT_FILE"},
	} {
		rdb, err := TLS{CA: test.ca}.Open(listen(test.server))
		if err != nil {
			t.Fatal(err)
		}
		err = Ping(context.Background(), rdb)
		_ = rdb.Close()
		if message, _ := fault.Public(err); !fault.Is(err, fault.Unavailable) || !strings.Contains(message, test.want) {
			t.Errorf("%s: Ping = %v, want advice with %q", name, err, test.want)
		}
	}
	for _, other := range []error{nil, io.EOF, errors.New("NOPERM, says somebody else"), fmt.Errorf("x: %w", context.Canceled)} {
		if got := Explain(other); got != other {
			t.Errorf("Explain(%v) = %v", other, got)
		}
	}
}
