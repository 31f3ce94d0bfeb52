// Package metrics is what the services have in common when they tell a
// monitoring system, as Prometheus reads it, how they are.
//
// A service has one registry. Each of its packages that has something to tell
// makes its collectors in a file metrics.go, and registers them where it is told
// to: there is no global registry, so several services in one process (nightshift
// dev) keep their figures apart.
//
// Names are nightshift_<service or thing>_<what>_<unit>, with _total for counters.
// Labels come from closed lists of ours (kind, outcome, state, reason), never from
// requests, sites or functions: their number does not depend on what people deploy
// or call. docs/metrics.md lists all of them, and a test compares it with what
// the services tell.
package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof" // #nosec G108 -- what it registers by itself, no server of ours serves
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/prometheus/client_golang/prometheus" // the text format, with its escapes and checks
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// writeTimeout bounds one scrape.
	writeTimeout = 30 * time.Second
	// profileTimeout bounds a profile too, which is taken while its caller waits.
	profileTimeout = 5 * time.Minute
)

// NewRegistry makes the registry of a service. It tells of the Go runtime and of
// the process, and in nightshift_build_info which version of which service it is.
func NewRegistry(service string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nightshift_build_info", Help: "1. The labels tell which version of which service this is.",
		ConstLabels: prometheus.Labels{"version": daemon.Version(), "service": service},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// Handler answers scrapes.
func Handler(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: errorLog{log}, ErrorHandling: promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: 4, // so that nobody can make a service do nothing else
	})
}

// errorLog is where promhttp reports failed scrapes.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Println(v ...any) {
	e.log.Warn("metrics not told", "component", "metrics", "error", fmt.Sprint(v...))
}

// Listen binds an address for GET /metrics and GET /healthz, without a token:
// what is told there is no secret, but who may ask should be inside. An empty
// address is no listener, and nil. It is a service of its own that is started
// first and stopped last, so that the figures of a drain are told too. With profiles
// it also answers GET /debug/pprof/, as the tools of Go ask.
func Listen(addr string, profiles bool, registry *prometheus.Registry, log *slog.Logger) (*daemon.HTTP, error) {
	if addr == "" {
		return nil, nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", Handler(registry, log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	cfg := daemon.HTTPConfig{Addr: addr, Handler: mux, Logger: log, WriteTimeout: writeTimeout}
	if profiles {
		addProfiles(mux)
		cfg.WriteTimeout = profileTimeout
	}
	return daemon.NewHTTP(cfg)
}

// addProfiles adds the profiles of Go. Not the command line, which is shown nowhere.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and those that it lists
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
