package redisdb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Explain adds to an error of the driver what to do about it, where that is
// something else than to wait until Redis is back. Other errors it returns as they are.
func Explain(err error) error {
	if advice := advise(err); advice != "" {
		return fmt.Errorf("%w (%s)", err, advice)
	}
	return err
}

// advise is empty where waiting helps, or nothing is known.
func advise(err error) string {
	if err == nil {
		return ""
	}
	if _, replied := errors.AsType[redis.Error](err); replied {
		switch {
		case redis.HasErrorPrefix(err, "WRONGPASS"):
			return "the user or the password in NIGHTSHIFT_REDIS_URL is not right, or the user is off"
		case redis.HasErrorPrefix(err, "NOAUTH"):
			return "Redis wants a password; put it into NIGHTSHIFT_REDIS_URL: redis://user:password@host:6379/0"
		case redis.HasErrorPrefix(err, "NOPERM"):
			return "the user of NIGHTSHIFT_REDIS_URL may not do this; give it the rules of deploy/redis/users.acl, and see what else is missing with ACL LOG"
		}
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return "the certificate of Redis is from an authority that is not known here; put that authority's certificate into NIGHTSHIFT_REDIS_CA_FILE"
	}
	if host, wrong := errors.AsType[x509.HostnameError](err); wrong {
		return fmt.Sprintf("the certificate of Redis is for another name than %s; call it by the name in the certificate, or have one made for this name", host.Host)
	}
	if invalid, wrong := errors.AsType[x509.CertificateInvalidError](err); wrong && invalid.Reason == x509.Expired {
		return "the certificate of Redis has expired, or the clock of this machine is wrong"
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return "Redis does not speak TLS at this address; use its TLS port, or redis:// without TLS"
	}
	// What Redis says in the handshake has no type that could be asked for.
	if remote, said := errors.AsType[*net.OpError](err); said && remote.Op == "remote error" && strings.Contains(remote.Error(), "certificate") {
		return "Redis wants a certificate that it trusts from this service; set NIGHTSHIFT_REDIS_CERT_FILE and NIGHTSHIFT_REDIS_KEY_FILE"
	}
	return ""
}
