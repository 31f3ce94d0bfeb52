package worker

import (
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Config{RedisURL: "redis://localhost", BlobURL: "mem://", Logger: slog.New(slog.DiscardHandler)}
	got, err := good.validate()
	if err != nil {
		t.Fatalf("validate: %v", err)
	}
	if got.Addr != "127.0.0.1:0" || got.Concurrency != 8 || got.Processes != 24 || got.Spares != 1 || got.Drain != 15*time.Minute {
		t.Errorf("defaults = %+v", got)
	}
	if got.Isolation != IsolationBest || got.FunctionMemory != 1024 || got.FunctionTmp != 512 || got.FunctionProcesses != 1024 || got.FunctionFiles != 1024 {
		t.Errorf("defaults of functions = %+v", got)
	}
	none := good
	none.Spares, none.Drain = -1, -1
	if got, err := none.validate(); err != nil || got.Spares != 0 || got.Drain != 0 {
		t.Errorf("validate with nothing wanted = %+v, %v", got, err)
	}
	wrong := map[string]func(c *Config){
		"NIGHTSHIFT_REDIS_URL":             func(c *Config) { c.RedisURL = "" },
		"NIGHTSHIFT_BLOB_URL":              func(c *Config) { c.BlobURL = "" },
		"NIGHTSHIFT_WORKER_CONCURRENCY":    func(c *Config) { c.Concurrency = -1 },
		"NIGHTSHIFT_WORKER_PROCESSES":      func(c *Config) { c.Processes = 3 },
		"NIGHTSHIFT_WORKER_SPARES":         func(c *Config) { c.Spares = 25 },
		"NIGHTSHIFT_WORKER_IDLE_TIMEOUT":   func(c *Config) { c.IdleTimeout = -1 },
		"NIGHTSHIFT_WORKER_MAX_OUTPUT":     func(c *Config) { c.MaxOutput = -1 },
		"NIGHTSHIFT_WORKER_ISOLATION":      func(c *Config) { c.Isolation = "some" },
		"NIGHTSHIFT_FUNCTION_MEMORY":       func(c *Config) { c.FunctionMemory = 1 },
		"NIGHTSHIFT_FUNCTION_TMP":          func(c *Config) { c.FunctionTmp = -1 },
		"NIGHTSHIFT_FUNCTION_PROCESSES":    func(c *Config) { c.FunctionProcesses = 10 },
		"NIGHTSHIFT_FUNCTION_FILES":        func(c *Config) { c.FunctionFiles = 3 },
		"NIGHTSHIFT_SECRET_KEY":            func(c *Config) { c.SecretKey = "canary" },
		"NIGHTSHIFT_CALLBACK_SECRET":       func(c *Config) { c.CallbackSecret = "whsec_canary" },
		"NIGHTSHIFT_CALLBACK_ALLOW":        func(c *Config) { c.CallbackAllow = "10.0.0.0" },
		"retention":                        func(c *Config) { c.Records = store.Options{Retention: time.Second} },
		"NIGHTSHIFT_WORKER_UNSIGNED_CALLS": func(c *Config) { c.UnsignedCalls = "on" },
		"NIGHTSHIFT_FUNCTION_READABLE":     func(c *Config) { c.FunctionReadable = "/opt/one:two" },
	}
	for name, change := range wrong {
		c := good
		change(&c)
		if _, err := c.validate(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "canary") {
			t.Errorf("validate = %v, want a complaint about %s", err, name)
		}
	}
}

func TestAdvertise(t *testing.T) {
	t.Parallel()
	tests := []struct{ configured, bound, want string }{
		{"", "127.0.0.1:4000", "127.0.0.1:4000"},
		{"", "[::1]:4000", "[::1]:4000"},
		{"worker-1", "0.0.0.0:4000", "worker-1:4000"},
		{"worker-1:80", "0.0.0.0:4000", "worker-1:80"},
		{"worker-1:0", "0.0.0.0:4000", "worker-1:4000"},
		{"fd00::1", "[::]:4000", "[fd00::1]:4000"},
	}
	for _, test := range tests {
		if got, err := advertise(test.configured, test.bound); err != nil || got != test.want {
			t.Errorf("advertise(%q, %q) = %q, %v; want %q", test.configured, test.bound, got, err, test.want)
		}
	}
	for _, configured := range []string{":80", "host:port", "host:70000"} {
		if got, err := advertise(configured, "0.0.0.0:1"); !fault.Is(err, fault.Invalid) {
			t.Errorf("advertise(%q) = %q, %v; want invalid", configured, got, err)
		}
	}
}

func TestFirstReachable(t *testing.T) {
	t.Parallel()
	network := func(cidr string) net.Addr {
		ip, n, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	loopback, link, v6, v4 := network("127.0.0.1/8"), network("fe80::1/64"), network("fd00::5/64"), network("10.0.0.5/24")
	tests := []struct {
		addrs []net.Addr
		want  string
	}{
		{[]net.Addr{loopback, link, v6, v4}, "10.0.0.5"},
		{[]net.Addr{loopback, link, v6}, "fd00::5"},
		{[]net.Addr{loopback, link}, "<nil>"},
	}
	for _, test := range tests {
		if got := firstReachable(test.addrs).String(); got != test.want {
			t.Errorf("firstReachable(%v) = %s, want %s", test.addrs, got, test.want)
		}
	}
}

func TestTheDefaultDataDirIsOurs(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir, err := dataDir("")
	if err != nil {
		t.Fatal(err)
	}
	want := fs.FileMode(0o700)
	if os.Getuid() == 0 {
		want = 0o711 // functions have user IDs of their own
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want || filepath.Dir(dir) != temp {
		t.Errorf("dataDir = %s with %v, %v", dir, info.Mode(), err)
	}
	// Somebody else's link in the temporary directory.
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := dataDir(""); !fault.Is(err, fault.Invalid) {
		t.Errorf("dataDir through a link = %v, want invalid", err)
	}
	if got, err := dataDir("relative"); err != nil || !filepath.IsAbs(got) {
		t.Errorf("dataDir(relative) = %q, %v", got, err)
	}
}
