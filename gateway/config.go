package gateway

import (
	"cmp"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/httpapi"
	"github.com/nightshift/nightshift/gateway/internal/limit"
	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
)

// Config configures a gateway. Zero values take the default that is named.
type Config struct {
	// RedisURL is the Redis that all services share; see redisdb.Open. Required.
	RedisURL string `env:"REDIS_URL"`
	// RedisTLS has the certificates for it.
	RedisTLS redisdb.TLS
	// RedisWaitReplicas is how many replicas of Redis must have a background call
	// before it is answered 202, 0 to 10; if they do not confirm it within a second,
	// the answer is 503, and the call may run all the same. Default 0.
	RedisWaitReplicas int `env:"REDIS_WAIT_REPLICAS"`
	// BlobURL is where code and static files are kept, the same for all
	// services: file:// or s3://, see artifact.Open. Required.
	BlobURL string `env:"BLOB_URL"`
	// Addr is the data plane's host:port. Default :8888, under Dev 127.0.0.1:8888.
	Addr string `env:"ADDR"`
	// AdminAddr is the control plane's host:port. Default :8889, under Dev 127.0.0.1:8889.
	AdminAddr string `env:"ADMIN_ADDR"`
	// MetricsAddr is host:port where GET /metrics answers a monitoring system
	// without a token, beside the control plane, where it needs one, and GET
	// /healthz; see docs/metrics.md. Default: none.
	MetricsAddr string `env:"METRICS_ADDR"`
	// MetricsProfiles has that address answer GET /debug/pprof/ too, where profiles of
	// the process are: what takes its time and its memory. They tell addresses of
	// code and no data, but taking one costs time, so it is for who looks into a
	// problem. Default false.
	MetricsProfiles bool `env:"METRICS_PROFILES"`
	// Token is the root token of the control plane, which may do everything and
	// with which others are made; see docs/access.md. Two, separated by a comma,
	// both hold while one is changed for the other. Required unless Dev is set;
	// then an empty one opens the control plane to local programs.
	Token string `env:"TOKEN"`
	// SecretKey seals environment variables of sites: one or more age
	// identities, separated by commas, of which the first seals and all open.
	// Workers need the same; see package secret. Without one, sites cannot have
	// variables. Default: none.
	SecretKey secret.Text `env:"SECRET_KEY"`
	// BaseDomain is what site names stand in front of: <site>.<base domain>.
	// A host name without a port. Default localhost.
	BaseDomain string `env:"BASE_DOMAIN"`
	// PublicURL is the URL of the base domain as callers see it, when a proxy or
	// TLS stands before the data plane: https://example.com. It is only shown,
	// in the URLs of deploys. Default http://<base domain>:<port of Addr>.
	PublicURL string `env:"PUBLIC_URL"`
	// DefaultSite is the site of every host that names none. Default "default".
	DefaultSite string `env:"DEFAULT_SITE"`
	// PublicStatus is on, token or off: whether whoever knows an invocation's ID
	// may look at it, follow its log and cancel it on the data plane, on a host of
	// its site; with token, only with a token for that site besides, with the scope
	// read, or invoke to cancel. Default on.
	PublicStatus string `env:"PUBLIC_STATUS"`
	// TrustProxy names the proxies before the gateway, as CIDRs and addresses
	// separated by commas: 10.1.0.0/16,192.0.2.7. What they say of the caller is
	// believed: its address, the last one in X-Forwarded-For that is no proxy's, and
	// its scheme, in X-Forwarded-Proto. From everybody else such headers are
	// dropped. true believes every peer on a loopback, link-local or private
	// address, which is only right where none of them can be a caller. Default false.
	TrustProxy string `env:"TRUST_PROXY"`
	// Limits are what one client may take of the data plane, and of the control
	// plane.
	Limits daemon.Limits
	// Retention is how long a finished invocation's record is kept, 1m or more.
	// Default 168h.
	Retention time.Duration `env:"RETENTION"`
	// DeadRetention is the same for invocations in state dead. Default 720h.
	DeadRetention time.Duration `env:"DEAD_RETENTION"`
	// AuditRetention is how long the audit log keeps what was done on the control
	// plane, 1h or more: 50,000 entries at most, and 5,000 of what was refused.
	// Default 2160h, 90 days.
	AuditRetention time.Duration `env:"AUDIT_RETENTION"`
	// SiteBacklog is how many invocations of a kind may be queued per site; calls
	// over it are answered 429. Default 100,000; -1 is no bound.
	SiteBacklog int `env:"SITE_BACKLOG"`
	// SiteRate is how many calls of its functions a site may get in a time, over all
	// gateways, as 600/1m: 1 to 100,000,000 in 1s to 1h. Calls over it are answered
	// 429; files and redirects are not counted. Default: none.
	SiteRate string `env:"SITE_RATE"`
	// SiteAddressRate is the same for the calls that one address makes, or one /64
	// network of IPv6, at each site. Default: none.
	SiteAddressRate string `env:"SITE_ADDRESS_RATE"`
	// CallbackSecret signs callbacks, the same as workers have; see package
	// callback. Without one, callers cannot ask for a callback. Default: none.
	CallbackSecret secret.Text `env:"CALLBACK_SECRET"`
	// CallbackAllow lists the networks, as CIDRs separated by commas, that
	// callbacks may reach although they are not public, the same as workers
	// have. Default: none.
	CallbackAllow string `env:"CALLBACK_ALLOW"`
	// LameDuck is how long /readyz fails before the servers stop to take
	// connections, so that load balancers notice. Default 1s, under Dev none;
	// negative is none.
	LameDuck time.Duration `env:"LAME_DUCK"`
	// Drain is how long running requests have to end at a stop. Default 30s.
	Drain time.Duration `env:"DRAIN"`
	// Dev is for one developer's machine: scheduled functions can be called, and
	// the control plane, on loopback only, needs no token.
	Dev bool `env:"-"`
	// Logger is required.
	Logger *slog.Logger `env:"-"`
}

// HealthAddr is where the gateway answers /readyz: on the control plane.
func (cfg Config) HealthAddr() string { return cmp.Or(cfg.AdminAddr, ":8889") }

var validDomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// withDefaults fills in what is not set and says what is wrong with the rest.
func (cfg Config) withDefaults() (Config, error) {
	host, lameDuck := "", time.Second
	if cfg.Dev {
		host, lameDuck = "127.0.0.1", 0
	}
	cfg.Addr = cmp.Or(cfg.Addr, host+":8888")
	cfg.AdminAddr = cmp.Or(cfg.AdminAddr, host+":8889")
	cfg.BaseDomain = strings.ToLower(cmp.Or(cfg.BaseDomain, "localhost"))
	cfg.DefaultSite = cmp.Or(cfg.DefaultSite, "default")
	cfg.PublicStatus = cmp.Or(cfg.PublicStatus, httpapi.StatusOn)
	cfg.AuditRetention = cmp.Or(cfg.AuditRetention, 90*24*time.Hour)
	cfg.LameDuck = max(0, cmp.Or(cfg.LameDuck, lameDuck))
	cfg.Drain = cmp.Or(cfg.Drain, 30*time.Second)
	return cfg, cfg.validate()
}

func (cfg *Config) validate() error {
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case cfg.Logger == nil:
		return invalid("the gateway needs a logger")
	case cfg.RedisURL == "":
		return invalid("NIGHTSHIFT_REDIS_URL is not set; it looks like redis://host:6379/0")
	case cfg.BlobURL == "":
		return invalid("NIGHTSHIFT_BLOB_URL is not set; it looks like %s", artifact.Forms)
	case cfg.Token != "" && slices.Contains(strings.Split(strings.ReplaceAll(cfg.Token, " ", ""), ","), ""):
		return invalid("NIGHTSHIFT_TOKEN has an empty token in it; it is one, or two with a comma between them")
	case cfg.Token == "" && !cfg.Dev:
		return invalid("NIGHTSHIFT_TOKEN is not set; choose a long random one, for example with: openssl rand -hex 32")
	case cfg.Token == "" && !isLoopback(cfg.AdminAddr):
		return invalid("the control plane has no token and may listen on loopback only, not on %s; set NIGHTSHIFT_TOKEN or use 127.0.0.1", cfg.AdminAddr)
	case !validDomain.MatchString(cfg.BaseDomain):
		return invalid("NIGHTSHIFT_BASE_DOMAIN is %q; it must be a host name without scheme and port, like example.com", cfg.BaseDomain)
	case !deploy.ValidSite(cfg.DefaultSite):
		return invalid("NIGHTSHIFT_DEFAULT_SITE is %q; use lower-case letters, digits and inner single hyphens, %d at most", cfg.DefaultSite, deploy.MaxSiteName)
	case !slices.Contains([]string{httpapi.StatusOn, httpapi.StatusToken, httpapi.StatusOff}, cfg.PublicStatus):
		return invalid("NIGHTSHIFT_PUBLIC_STATUS is %q; it must be on, token or off", cfg.PublicStatus)
	case cfg.Retention != 0 && cfg.Retention < time.Minute, cfg.DeadRetention != 0 && cfg.DeadRetention < time.Minute:
		return invalid("NIGHTSHIFT_RETENTION and NIGHTSHIFT_DEAD_RETENTION must be 1m or more")
	case cfg.AuditRetention < time.Hour:
		return invalid("NIGHTSHIFT_AUDIT_RETENTION is %v; it must be 1h or more", cfg.AuditRetention)
	case cfg.SiteBacklog < -1:
		return invalid("NIGHTSHIFT_SITE_BACKLOG is %d; it must be 1 or more, or -1 for no bound", cfg.SiteBacklog)
	case cfg.Drain < 0:
		return invalid("NIGHTSHIFT_DRAIN is %v; it must not be negative", cfg.Drain)
	}
	if _, err := secret.Parse(cfg.SecretKey); err != nil {
		return err
	}
	if _, err := callback.NewSigner(cfg.CallbackSecret); err != nil {
		return err
	}
	if _, err := callback.ParseAllow(cfg.CallbackAllow); err != nil {
		return err
	}
	for setting, text := range map[string]string{"NIGHTSHIFT_SITE_RATE": cfg.SiteRate, "NIGHTSHIFT_SITE_ADDRESS_RATE": cfg.SiteAddressRate} {
		if _, err := limit.ParseRate(text); err != nil {
			return invalid("%s: %v", setting, err)
		}
	}
	if _, err := httpapi.ParseProxies(cfg.TrustProxy); err != nil {
		return err
	}
	if err := cfg.Limits.Validate(); err != nil {
		return err
	}
	if cfg.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return invalid("NIGHTSHIFT_PUBLIC_URL is %q; it looks like https://example.com", cfg.PublicURL)
	}
	return nil
}

// siteRates are the rates that every site is held to.
func (cfg *Config) siteRates() limit.Rates {
	site, _ := limit.ParseRate(cfg.SiteRate) // validate has read both
	address, _ := limit.ParseRate(cfg.SiteAddressRate)
	return limit.Rates{Site: site, Address: address}
}

// isLoopback reports whether an address to listen on is local to this machine.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// adminURL is the URL of the control plane as far as it is known, for links.
func (cfg *Config) adminURL() string {
	host, port, err := net.SplitHostPort(cfg.AdminAddr)
	if err != nil {
		return ""
	}
	return "http://" + net.JoinHostPort(cmp.Or(host, "localhost"), port)
}

// siteURL makes the URLs of sites and deploys, given the data plane's bound
// address. The default site is at the base domain itself, which resolves where
// <site>.localhost does not.
func (cfg *Config) siteURL(bound string) func(site, deployID string) string {
	public := cfg.PublicURL
	if public == "" {
		_, port, _ := net.SplitHostPort(bound)
		public = "http://" + net.JoinHostPort(cfg.BaseDomain, port)
	}
	scheme, host, _ := strings.Cut(strings.TrimSuffix(public, "/"), "://")
	return func(site, deployID string) string {
		switch {
		case deployID != "":
			return scheme + "://" + deployID + "--" + site + "." + host
		case site == cfg.DefaultSite:
			return scheme + "://" + host
		default:
			return scheme + "://" + site + "." + host
		}
	}
}

// checkCallback says what is wrong with the URL of a callback.
func (cfg *Config) checkCallback(url string) error {
	if cfg.CallbackSecret == "" {
		return fault.New(fault.Invalid, "This installation makes no callbacks, since it has nothing to sign them with. Its operator sets %s for gateways and workers; leave the header %s out until then.", callback.Setting, callback.Header)
	}
	return callback.Check(url, strings.TrimSpace(cfg.CallbackAllow) != "")
}
