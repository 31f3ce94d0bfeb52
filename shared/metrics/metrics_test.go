package metrics_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

func TestListen(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	if none, err := metrics.Listen("", false, nil, quiet); none != nil || err != nil {
		t.Errorf("Listen without an address = %v, %v; want nothing", none, err)
	}
	registry := metrics.NewRegistry("worker")
	server, err := metrics.Listen("127.0.0.1:0", false, registry, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Stop(t.Context())
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + server.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := get("/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz = %d %q", status, body)
	}
	if status, _ := get("/"); status != 404 {
		t.Errorf("/ = %d, want nothing there", status)
	}
	status, body := get("/metrics")
	for _, want := range []string{
		`nightshift_build_info{service="worker",version="` + daemon.Version() + `"} 1`, "\ngo_goroutines ", "\nprocess_start_time_seconds ",
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics = %d without %q", status, want)
		}
	}
	broken := prometheus.NewDesc("broken", "It cannot be told.", nil, nil)
	registry.MustRegister(prometheus.CollectorFunc(func(out chan<- prometheus.Metric) {
		out <- prometheus.NewInvalidMetric(broken, errors.New("torn"))
	}))
	if status, body := get("/metrics"); status != 500 || strings.Contains(body, "nightshift_build_info{") {
		t.Errorf("with a figure that cannot be told: %d %s, want no document", status, body)
	}
}

// Profiles are there where they are asked for, and nothing else of that package.
func TestProfiles(t *testing.T) {
	t.Parallel()
	status := func(profiles bool, path string) int {
		server, err := metrics.Listen("127.0.0.1:0", profiles, metrics.NewRegistry("worker"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer server.Stop(t.Context())
		resp, err := http.Get("http://" + server.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/symbol": 200, "/debug/pprof/profile?seconds=1": 200,
		"/debug/pprof/cmdline": 404, "/debug/vars": 404, "/metrics": 200,
	} {
		if got := status(true, path); got != want {
			t.Errorf("%s = %d, want %d", path, got, want)
		}
		if got := status(false, path); got != 404 && path != "/metrics" {
			t.Errorf("%s = %d where no profiles are asked for, want 404", path, got)
		}
	}
}
