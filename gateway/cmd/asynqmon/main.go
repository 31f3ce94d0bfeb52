// Command asynqmon shows the queues as asynq keeps them, on :8080, to look at and
// not to touch. It has no sign-in: keep it on loopback. The gateway shows the same
// at /queues/ of the control plane, behind its sign-in.
//
//	NIGHTSHIFT_REDIS_URL   as for the services; the user asynqmon of deploy/redis/users.acl is enough
//	NIGHTSHIFT_REDIS_CA    and NIGHTSHIFT_REDIS_CERT, NIGHTSHIFT_REDIS_KEY, as for the services
//	NIGHTSHIFT_LOG_LEVEL   debug, info, warn or error, default info
//
// Each may be given as a file, as NIGHTSHIFT_REDIS_URL_FILE. asynqmon -health asks
// whether it is ready, as the health check of a container.
package main

import (
	"log/slog"
	"os"

	"github.com/nightshift/nightshift/gateway/internal/queues"
	"github.com/nightshift/nightshift/shared/daemon"
)

func main() {
	os.Exit(daemon.Main("asynqmon", func(cfg queues.StandaloneConfig, log *slog.Logger) (daemon.Service, error) {
		cfg.Logger = log
		return queues.NewStandalone(cfg)
	}))
}
