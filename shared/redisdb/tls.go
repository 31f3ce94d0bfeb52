package redisdb

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/redis/go-redis/v9"
)

// TLS is how Redis proves to a service who it is, and the service to Redis. All
// of it is for URLs that begin with rediss, and read at the start.
type TLS struct {
	// CA is the certificate, or several, in PEM, of the authority that the
	// certificate of Redis comes from, where that is one of your own. A file of it
	// goes into the setting of the same name with _FILE. Default: those of the system.
	CA string `env:"REDIS_CA"`
	// Cert is the certificate, in PEM, that a service shows to a Redis that asks
	// for one. Default: none.
	Cert string `env:"REDIS_CERT"`
	// Key is the private key that belongs to Cert, in PEM. Default: none.
	Key secret.Text `env:"REDIS_KEY"`
}

// Open is [Open] with what t says. What is wrong with t, or of no use with the
// URL, is fault.Invalid.
func (t TLS) Open(rawURL string, adjust ...func(*redis.UniversalOptions)) (redis.UniversalClient, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	if config != nil && !strings.HasPrefix(rawURL, "rediss") {
		return nil, fault.New(fault.Invalid, "certificates are set (NIGHTSHIFT_REDIS_CA or NIGHTSHIFT_REDIS_CERT), but NIGHTSHIFT_REDIS_URL does not begin with rediss: Redis would be spoken to without TLS")
	}
	use := func(o *redis.UniversalOptions) {
		if config != nil {
			o.TLSConfig = config
		}
	}
	return Open(rawURL, append([]func(*redis.UniversalOptions){use}, adjust...)...)
}

// config is nil if nothing is set.
func (t TLS) config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	config := newTLSConfig()
	if t.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, fault.New(fault.Invalid, "NIGHTSHIFT_REDIS_CA has no certificate in PEM (-----BEGIN CERTIFICATE-----); the name of a file goes into NIGHTSHIFT_REDIS_CA_FILE")
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "NIGHTSHIFT_REDIS_CERT and NIGHTSHIFT_REDIS_KEY are not a certificate and its private key in PEM; names of files go into NIGHTSHIFT_REDIS_CERT_FILE and NIGHTSHIFT_REDIS_KEY_FILE")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// newTLSConfig names no server: each of several, as of a cluster, is checked by
// the name that it is called by.
func newTLSConfig() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
