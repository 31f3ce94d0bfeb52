package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

func TestLoadEnvReadsFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("from the file\n")
	t.Setenv("NIGHTSHIFT_URL_FILE", file)

	t.Setenv("NIGHTSHIFT_URL", "") // as a line of a compose file gives it that has no value
	if cfg, err := daemon.LoadEnv[settings](); err != nil || cfg.URL != "from the file" {
		t.Errorf("LoadEnv() = %+v, %v; want what is in the file, without the line end", cfg, err)
	}
	t.Setenv("NIGHTSHIFT_URL", "set")
	if cfg, err := daemon.LoadEnv[settings](); err != nil || cfg.URL != "set" {
		t.Errorf("LoadEnv() = %+v, %v; want the variable to go before its file", cfg, err)
	}
	t.Setenv("NIGHTSHIFT_URL", "")
	write(strings.Repeat("x", 64<<10+1))
	if _, err := daemon.LoadEnv[settings](); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("LoadEnv() with a file of 64 KiB and a byte = %v", err)
	}
	t.Setenv("NIGHTSHIFT_URL_FILE", file+".missing")
	if _, err := daemon.LoadEnv[settings](); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "NIGHTSHIFT_URL_FILE") {
		t.Errorf("LoadEnv() with a missing file = %v, want invalid, with the setting's name", err)
	}
	t.Setenv("NIGHTSHIFT_URL_FILE", "")
	if _, err := daemon.LoadEnv[settings](); err == nil || strings.Contains(err.Error(), "_FILE") {
		t.Errorf("LoadEnv() = %v, want the missing setting named, as without files", err)
	}
}
