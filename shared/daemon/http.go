package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// HTTPConfig configures an HTTP server.
type HTTPConfig struct {
	// Addr is host:port; port 0 takes a free one.
	Addr    string
	Handler http.Handler
	Logger  *slog.Logger
	// ReadTimeout bounds reading one request, body included. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds writing one response. Default 0, unbounded, because
	// responses stream; handlers set their own deadlines.
	WriteTimeout time.Duration
	// IdleTimeout bounds a kept connection between requests. Default 2 min.
	IdleTimeout time.Duration
}

// HTTP is an HTTP server that is bound when it is made, so that a port in use
// is an error at start, and that serves from Start to Stop.
type HTTP struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
	served   chan struct{}
}

// NewHTTP binds the address.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cannot listen on %s; choose another address or end the program that uses it", cfg.Addr)
	}
	or := func(d, fallback time.Duration) time.Duration {
		if d == 0 {
			return fallback
		}
		return d
	}
	return &HTTP{
		listener: listener,
		log:      cfg.Logger,
		server: &http.Server{
			Handler:           cfg.Handler,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       or(cfg.ReadTimeout, 30*time.Second),
			WriteTimeout:      cfg.WriteTimeout,
			IdleTimeout:       or(cfg.IdleTimeout, 2*time.Minute),
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

// Addr is the bound address, host:port.
func (h *HTTP) Addr() string { return h.listener.Addr().String() }

// Start begins to serve.
func (h *HTTP) Start(context.Context) error {
	h.served = make(chan struct{})
	go func() {
		defer close(h.served)
		if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("http server ended", "error", err)
		}
	}()
	return nil
}

// Stop refuses new connections, waits for running requests until ctx ends, and
// then cuts them off.
func (h *HTTP) Stop(ctx context.Context) error {
	if h.served == nil {
		return h.listener.Close()
	}
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), h.server.Close())
	}
	<-h.served
	return err
}

// Health returns a handler for GET /healthz (the process is alive: always 200)
// and GET /readyz (it can do its work: 200, or 503 with the reason as text).
func Health(ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			message, _ := fault.Public(err)
			http.Error(w, message, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
