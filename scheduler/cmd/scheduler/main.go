// Scheduler fires the scheduled functions of all published deploys, and removes
// deploys that nobody needs any more.
//
// Run two or more for availability: one leads, the others stand by and take
// over at once when it stops, and within about six seconds when it is killed.
// Exactly one invocation is made per tick, whatever happens to them. They need
// Redis, and for what they remove the place where code and static files are kept;
// they keep nothing on disk and may be stopped at any time.
//
// It is configured by its environment:
//
//	NIGHTSHIFT_REDIS_URL               redis://…, rediss://…, unix://…, redis+sentinel://…, redis+cluster://… (required)
//	NIGHTSHIFT_REDIS_CA                the authority that the certificate of Redis comes from, in PEM; default: the system's
//	NIGHTSHIFT_REDIS_CERT              and NIGHTSHIFT_REDIS_KEY, what it shows to a Redis that asks, in PEM; default none
//	NIGHTSHIFT_REDIS_WAIT_REPLICAS     how many replicas must have an invocation before its tick counts as fired; 0 to 10 (default 0)
//	NIGHTSHIFT_SCHEDULER_LOCK_TTL      how long a killed leader blocks its successor; 2s to 60s (default 5s)
//	NIGHTSHIFT_SCHEDULER_ADDR          host:port for /healthz and /readyz (default: no listener)
//	NIGHTSHIFT_METRICS_ADDR            host:port for /metrics, without a token (default: no listener)
//	NIGHTSHIFT_METRICS_PROFILES        true: profiles at that address too, /debug/pprof/ (default false)
//	NIGHTSHIFT_SITE_CONCURRENCY        how many tasks of one site run at once over all workers, of each kind (default 0: no limit)
//	NIGHTSHIFT_SCHEDULER_UPKEEP_ONLY   true: hand back tasks of dead workers, fire no tick (default false)
//	NIGHTSHIFT_BASE_DOMAIN             as the gateway has it, as the next two; functions see it in their URL (default localhost)
//	NIGHTSHIFT_PUBLIC_URL              URL of the base domain as callers see it (default http://<base domain>)
//	NIGHTSHIFT_DEFAULT_SITE            the site at the base domain itself (default "default")
//	NIGHTSHIFT_BLOB_URL                file:///absolute/dir or s3://bucket?region=…, as all services have it, and of this
//	                                   installation alone (default: not known, and nothing is removed of deploys)
//	NIGHTSHIFT_DEPLOY_RETENTION        how long a deploy is kept that is not published, nor the newest of a branch, nor one of the
//	                                   10 that were published last; 1h or more, or off (default 2160h, 90 days)
//	NIGHTSHIFT_RETENTION               how long records of finished invocations are kept (default 168h)
//	NIGHTSHIFT_DEAD_RETENTION          the same for those that failed for good (default 720h)
//	NIGHTSHIFT_LOG_LEVEL               debug, info, warn or error (default info)
//	OTEL_EXPORTER_OTLP_ENDPOINT        where traces are sent, as http://collector:4318, and OpenTelemetry's
//	                                   other variables; see docs/tracing.md (default: nowhere)
//
// Each may be given as a file: NIGHTSHIFT_REDIS_URL_FILE names one that holds
// NIGHTSHIFT_REDIS_URL. With the argument -health it asks the scheduler that
// listens on NIGHTSHIFT_SCHEDULER_ADDR whether it is ready, and exits with 0 if so.
//
// It logs JSON to standard error. Leadership changes are logged with the number
// of the term: "leading" and "not leading any more". SIGINT and SIGTERM stop it
// cleanly, a second one at once. Exit status: 0 stopped, 2 wrong settings, any other failed.
package main

import (
	"log/slog"
	"os"

	"github.com/nightshift/nightshift/scheduler"
	"github.com/nightshift/nightshift/shared/daemon"
)

func main() {
	os.Exit(daemon.Main("scheduler", func(cfg scheduler.Config, log *slog.Logger) (daemon.Service, error) {
		cfg.Logger = log
		return scheduler.New(cfg)
	}))
}
