package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// Config is what a service is configured by.
type Config interface {
	// HealthAddr is host:port, as it is configured or by default, where the
	// service says how it is; empty is nowhere.
	HealthAddr() string
}

// probeTimeout bounds one question; /readyz itself answers within 2 s.
const probeTimeout = 5 * time.Second

// Check asks a service on this machine whether it is ready. addr is what that
// service listens on, so a host that stands for all interfaces is taken for
// loopback. The error is fault.Invalid where addr cannot be asked, and
// fault.Unavailable, with the reason, where the service is not ready.
func Check(ctx context.Context, addr string) error {
	if addr == "" {
		return fault.New(fault.Invalid, "the service has no address for its health")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return fault.New(fault.Invalid, "the address %q has no port that could be asked", addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // whichever of the two loopback addresses it has
	}
	return Probe(ctx, "http://"+net.JoinHostPort(host, port)+"/readyz")
}

// Probe gets a URL on this machine, within 5 s. An answer other than 200, or
// none, is fault.Unavailable, with the reason.
func Probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%q cannot be asked", url)
	}
	// A proxy of the environment is for the outside.
	client := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "no answer: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	reason, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return fault.New(fault.Unavailable, "not ready: %s", strings.TrimSpace(fmt.Sprintf("%s %s", res.Status, reason)))
}
