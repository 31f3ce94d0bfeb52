package scheduler

import (
	"log/slog"
	"os"
	"testing"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// asProcess makes the test binary a scheduler, so that tests can kill one.
const asProcess = "NIGHTSHIFT_TEST_AS_SCHEDULER"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		os.Exit(daemon.Main("scheduler", func(cfg Config, log *slog.Logger) (daemon.Service, error) {
			cfg.Logger = log
			return New(cfg)
		}))
	}
	redistest.VerifyTestMain(m)
}
