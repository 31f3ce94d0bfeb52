package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// HTTPConfig configures an HTTP server.
type HTTPConfig struct {
	// Addr is host:port; port 0 takes a free one.
	Addr    string
	Handler http.Handler
	Logger  *slog.Logger
	// Limits are what one client may take of the server.
	Limits Limits
	// WriteTimeout bounds writing one response. Default 0, unbounded, because
	// responses stream; handlers set their own deadlines.
	WriteTimeout time.Duration
	// Trusted reports whether a peer is a proxy, which speaks for many clients:
	// its connections are not counted by address. Default: none is.
	Trusted func(netip.Addr) bool
	// Refused, if not nil, is told what was refused; it must not wait.
	Refused func(Refusal)
}

// HTTP is an HTTP server that is bound when it is made, so that a port in use
// is an error at start, and that serves from Start to Stop. It speaks HTTP/1.0
// and 1.1: there is no TLS to agree on HTTP/2 by, and HTTP/2 without TLS would
// be a second way in, with limits of its own.
type HTTP struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
	served   chan struct{}
}

// NewHTTP binds the address.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Refused == nil {
		cfg.Refused = func(Refusal) {}
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cannot listen on %s; choose another address or end the program that uses it", cfg.Addr)
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &HTTP{
		listener: &gate{Listener: listener, limits: limits, trusted: cfg.Trusted, refused: cfg.Refused, by: map[netip.Prefix]int{}},
		log:      cfg.Logger,
		server: &http.Server{
			Handler:           &door{next: cfg.Handler, limits: limits, refused: cfg.Refused},
			Protocols:         protocols,
			ReadHeaderTimeout: limits.HeaderTimeout,
			ReadTimeout:       limits.BodyTimeout,
			WriteTimeout:      cfg.WriteTimeout,
			IdleTimeout:       limits.IdleTimeout,
			MaxHeaderBytes:    limits.MaxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
				return context.WithValue(ctx, requestsKey{}, new(atomic.Int64))
			},
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
