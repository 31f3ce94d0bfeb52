package audit

import (
	"testing"

	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }
