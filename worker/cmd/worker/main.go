// Command worker runs functions.
//
// It takes queued invocations from Redis and sync calls from gateways, and runs
// both in child processes. Start as many as there is work for, on as many
// machines: workers find their work through Redis, and gateways find workers
// there.
//
// # What it needs
//
// Redis, the artifact store that deploys were uploaded to, and Node.js 20 or
// newer. It may be started before Redis is; /readyz says when it can work.
//
// # Settings
//
//	NIGHTSHIFT_REDIS_URL             redis://, rediss://, unix://, redis+sentinel://, redis+cluster://; required
//	NIGHTSHIFT_REDIS_CA              the authority that the certificate of Redis comes from, in PEM; default: the system's
//	NIGHTSHIFT_REDIS_CERT            and NIGHTSHIFT_REDIS_KEY, what it shows to a Redis that asks, in PEM; default none
//	NIGHTSHIFT_BLOB_URL              file:///absolute/dir or s3://bucket?region=…, the same for all services; required
//	NIGHTSHIFT_SECRET_KEY            opens environment variables of deploys, as on the gateways; default none
//	NIGHTSHIFT_CALLBACK_SECRET       whsec_…, signs callbacks, as on the gateways; without it this worker makes none
//	NIGHTSHIFT_CALLBACK_ALLOW        networks, not public, that callbacks may reach: 10.1.0.0/16,fd00::/8; default none
//	NIGHTSHIFT_WORKER_ADDR           where gateways reach it, host:port; default 127.0.0.1:0, a free port
//	NIGHTSHIFT_WORKER_ADVERTISE_ADDR host or host:port that gateways are told; default: the address above
//	NIGHTSHIFT_WORKER_UNSIGNED_CALLS refuse, or accept while gateways are upgraded that cannot sign; default refuse
//	NIGHTSHIFT_METRICS_ADDR          host:port for /metrics, without a token; default none
//	NIGHTSHIFT_METRICS_PROFILES      true: profiles at that address too, /debug/pprof/; default false
//	NIGHTSHIFT_WORKER_CONCURRENCY    queued invocations at once; default 8
//	NIGHTSHIFT_WORKER_PROCESSES      function processes at once; default three times the concurrency
//	NIGHTSHIFT_WORKER_SPARES         processes that stand ready without a function; default 1, none: -1
//	NIGHTSHIFT_WORKER_IDLE_TIMEOUT   until an idle process is ended; default 5m
//	NIGHTSHIFT_WORKER_MAX_OUTPUT     log bytes of one attempt; default 1048576
//	NIGHTSHIFT_WORKER_ISOLATION      walls between functions: best, required or off; default best
//	NIGHTSHIFT_FUNCTION_READABLE     paths that functions may read, separated by colons; default none
//	NIGHTSHIFT_FUNCTION_MEMORY       MiB of memory of a function's processes; default 1024
//	NIGHTSHIFT_FUNCTION_TMP          MiB of its temporary folder; default 512
//	NIGHTSHIFT_FUNCTION_PROCESSES    its processes and threads; default 1024
//	NIGHTSHIFT_FUNCTION_FILES        open files of each of its processes; default 1024
//	NIGHTSHIFT_WORKER_DATA_DIR       unpacked code, read-only; default: a directory of the user's in the temporary one
//	NIGHTSHIFT_WORKER_DRAIN          how long a stop waits for running attempts; default 15m
//	NIGHTSHIFT_NODE                  the node executable; default: from the PATH
//	NIGHTSHIFT_RETENTION             how long finished invocations are kept; default 168h
//	NIGHTSHIFT_DEAD_RETENTION        the same for dead ones; default 720h
//	NIGHTSHIFT_LOG_LEVEL             debug, info, warn, error; default info
//	OTEL_EXPORTER_OTLP_ENDPOINT      where traces are sent, as http://collector:4318, and OpenTelemetry's
//	                                 other variables; see docs/tracing.md; default: nowhere
//	NIGHTSHIFT_STOP_TIMEOUT          bounds the whole stop; default 16m
//
// Each may be given as a file: NIGHTSHIFT_SECRET_KEY_FILE names one that holds
// NIGHTSHIFT_SECRET_KEY.
//
// # Health
//
// GET /healthz on its address answers 200 while the process lives, GET /readyz
// 200 while Redis answers and the worker is not shutting down. worker -health
// asks for the latter, as the health check of a container: it needs an address
// with a port.
//
// # Stopping
//
// SIGTERM or SIGINT drains it: it takes nothing new, waits for what runs, and
// hands back what is not finished in time, without counting that as a failure.
// A second signal ends it at once; its tasks are then taken up by other workers
// after some 30 s. Function processes end with it in both cases.
//
// Its address is for gateways only. Calls that none of them has signed are refused.
package main

import (
	"log/slog"
	"os"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/worker"
)

func main() {
	os.Exit(daemon.Main("worker", func(cfg worker.Config, log *slog.Logger) (daemon.Service, error) {
		cfg.Logger = log
		return worker.New(cfg)
	}))
}
