package daemon_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

// serveHealth serves health on a free port of a host, and returns the port.
func serveHealth(t *testing.T, host string, ready func(context.Context) error) (port string) {
	t.Helper()
	h, err := daemon.NewHTTP(daemon.HTTPConfig{
		Addr: net.JoinHostPort(host, "0"), Handler: daemon.Health(ready), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Stop(context.Background()) })
	_, port, err = net.SplitHostPort(h.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestCheck(t *testing.T) {
	t.Parallel()
	well := serveHealth(t, "127.0.0.1", func(context.Context) error { return nil })
	everywhere := serveHealth(t, "", func(context.Context) error { return nil })
	ill := serveHealth(t, "127.0.0.1", func(context.Context) error { return fault.New(fault.Unavailable, "Redis does not answer") })
	tests := []struct {
		name, addr string
		kind       fault.Kind // empty: ready
		says       string
	}{
		{"ready", "127.0.0.1:" + well, "", ""},
		{"all interfaces", ":" + everywhere, "", ""},
		{"all interfaces in IPv4", "0.0.0.0:" + everywhere, "", ""},
		{"all interfaces in IPv6", "[::]:" + everywhere, "", ""},
		{"not ready", "127.0.0.1:" + ill, fault.Unavailable, "Redis does not answer"},
		{"nobody there", "127.0.0.1:1", fault.Unavailable, "no answer"},
		{"no address", "", fault.Invalid, "no address"},
		{"no port", "127.0.0.1", fault.Invalid, "no port"},
		{"a free port", "127.0.0.1:0", fault.Invalid, "no port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := daemon.Check(t.Context(), tt.addr)
			if tt.kind == "" {
				if err != nil {
					t.Errorf("Check(%q) = %v, want ready", tt.addr, err)
				}
				return
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check(%q) = %v, want %s with %q", tt.addr, err, tt.kind, tt.says)
			}
		})
	}
}
