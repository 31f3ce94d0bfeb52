// Command gateway runs the Nightshift gateway: it takes requests for functions
// on the data plane, and deploys and questions on the control plane.
//
// It takes its settings from the environment; the required ones first:
//
//	NIGHTSHIFT_REDIS_URL       redis://host:6379/0; also rediss, unix, redis+sentinel, redis+cluster
//	NIGHTSHIFT_REDIS_CA        the authority that the certificate of Redis comes from, in PEM; default: the system's
//	NIGHTSHIFT_REDIS_CERT      and NIGHTSHIFT_REDIS_KEY, what it shows to a Redis that asks, in PEM; default none
//	NIGHTSHIFT_BLOB_URL        file:///absolute/folder or s3://bucket?region=…; the same place for all services
//	NIGHTSHIFT_TOKEN           root token of the control plane; two with a comma between them to change it
//	NIGHTSHIFT_SECRET_KEY      seals environment variables: age identities, from nightshift secret-key; the first
//	                           seals, all open (comma-separated, to rotate them); the same for gateways and workers
//	NIGHTSHIFT_REDIS_WAIT_REPLICAS  how many replicas must have a call before its 202, 0 to 10, default 0
//	NIGHTSHIFT_ADDR            data plane, default :8888
//	NIGHTSHIFT_ADMIN_ADDR      control plane, default :8889; keep it off the internet
//	NIGHTSHIFT_METRICS_ADDR    host:port for /metrics without a token, default none
//	NIGHTSHIFT_METRICS_PROFILES  true: profiles at that address too, /debug/pprof/, default false
//	NIGHTSHIFT_BASE_DOMAIN     <site>.<base domain>, default localhost
//	NIGHTSHIFT_PUBLIC_URL      the base domain as callers see it, when TLS or a proxy stands before it
//	NIGHTSHIFT_DEFAULT_SITE    site of every other host, default "default"
//	NIGHTSHIFT_PUBLIC_STATUS   on, token or off: /.nightshift/invocations/<id> on the data plane, default on
//	NIGHTSHIFT_TRUST_PROXY     networks of the proxies whose X-Forwarded-For and -Proto are believed, or true for
//	                           all private ones; default false
//	NIGHTSHIFT_MAX_CONNECTIONS  connections at once, of each plane, default 16384
//	NIGHTSHIFT_MAX_CONNECTIONS_PER_ADDRESS  those of one address, default 2048
//	NIGHTSHIFT_MAX_REQUESTS_PER_CONNECTION  default 10000
//	NIGHTSHIFT_MAX_URL         bytes of path and query, default 8192
//	NIGHTSHIFT_MAX_HEADER_BYTES  bytes of a request's head, default 65536
//	NIGHTSHIFT_MAX_HEADER_FIELDS  default 256
//	NIGHTSHIFT_HEADER_TIMEOUT  how long a request's head may take, default 10s
//	NIGHTSHIFT_BODY_TIMEOUT    how long nothing may come of a body, default 30s
//	NIGHTSHIFT_MIN_BODY_RATE   bytes of a body that must come each second, default 8192
//	NIGHTSHIFT_IDLE_TIMEOUT    how long a connection is kept between requests, default 2m
//	NIGHTSHIFT_RETENTION       how long finished records are kept, default 168h
//	NIGHTSHIFT_DEAD_RETENTION  the same for dead ones, default 720h
//	NIGHTSHIFT_AUDIT_RETENTION how long the audit log is kept, default 2160h
//	NIGHTSHIFT_SITE_BACKLOG    how many invocations of a kind may wait per site, default 100000; -1 for any number
//	NIGHTSHIFT_SITE_RATE       calls of its functions that each site may get, as 600/1m, default none
//	NIGHTSHIFT_SITE_ADDRESS_RATE  those that one address may make at a site, default none
//	NIGHTSHIFT_CALLBACK_SECRET whsec_…, lets callers ask for callbacks; the same for gateways and workers
//	NIGHTSHIFT_CALLBACK_ALLOW  networks, not public, that callbacks may reach, as for workers; default none
//	NIGHTSHIFT_LAME_DUCK       how long /readyz fails before a stop, default 1s
//	NIGHTSHIFT_DRAIN           how long running requests have at a stop, default 30s
//	NIGHTSHIFT_LOG_LEVEL       debug, info, warn or error, default info
//	OTEL_EXPORTER_OTLP_ENDPOINT  where traces are sent, as http://collector:4318, and OpenTelemetry's other
//	                           variables; see docs/tracing.md; default: nowhere
//
// Each setting may be given as a file: NIGHTSHIFT_TOKEN_FILE names one that holds
// NIGHTSHIFT_TOKEN.
//
// GET /healthz and /readyz on the control plane tell load balancers how it is,
// without a token; gateway -health asks for it, as the health check of a
// container. SIGTERM and SIGINT stop it gracefully, a second one at once.
// It exits with 2 if a setting is wrong. Logs are JSON lines on stderr.
package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/daemon"
)

// gcPercent is how much garbage may stand beside what is in use, in percent of it. Go
// takes 100. An accepted call leaves 11 KB of garbage, and with 150 the collector has
// 5 µs less to do for it, of 64, for 2.5 MiB more of memory.
const gcPercent = 150

func main() {
	if os.Getenv("GOGC") == "" { // else it is the operator's to say
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(daemon.Main("gateway", func(cfg gateway.Config, log *slog.Logger) (daemon.Service, error) {
		cfg.Logger = log
		return gateway.New(cfg)
	}))
}
