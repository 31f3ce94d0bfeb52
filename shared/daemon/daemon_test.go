package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

type settings struct {
	URL  string        `env:"URL,required,notEmpty"`
	Wait time.Duration `env:"WAIT" envDefault:"3s"`
}

func TestLoadEnv(t *testing.T) {
	t.Setenv("NIGHTSHIFT_URL", "x")
	cfg, err := daemon.LoadEnv[settings]()
	if err != nil || cfg.URL != "x" || cfg.Wait != 3*time.Second {
		t.Errorf("LoadEnv() = %+v, %v", cfg, err)
	}
}

func TestLoadEnvNamesEachProblem(t *testing.T) {
	t.Setenv("NIGHTSHIFT_WAIT", "soon")
	_, err := daemon.LoadEnv[settings]()
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("LoadEnv() = %v, want invalid", err)
	}
	for _, want := range []string{"NIGHTSHIFT_URL", "Wait"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

// part records what is done to it.
type part struct {
	name  string
	fail  string // "start" or "stop"
	calls *[]string
}

func (p part) Start(context.Context) error { return p.do("start") }
func (p part) Stop(context.Context) error  { return p.do("stop") }

func (p part) do(what string) error {
	*p.calls = append(*p.calls, what+" "+p.name)
	if p.fail == what {
		return errors.New(p.name + " broke")
	}
	return nil
}

func TestStack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fails map[string]string
		want  []string
		err   string
	}{
		{"all well", nil, []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}, ""},
		{
			"start fails half-way", map[string]string{"b": "start"},
			[]string{"start a", "start b", "stop a"}, "starting b: b broke",
		},
		{
			"a stop that fails does not keep the others running", map[string]string{"b": "stop"},
			[]string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}, "stopping b: b broke",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls []string
			var stack daemon.Stack
			for _, name := range []string{"a", "b", "c"} {
				stack.Add(name, part{name: name, fail: tt.fails[name], calls: &calls})
			}
			err := errors.Join(stack.Start(t.Context()), stack.Stop(t.Context()), stack.Stop(t.Context()))
			if !slices.Equal(calls, tt.want) {
				t.Errorf("calls = %v, want %v", calls, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestLoopStopWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := false
		loop := daemon.NewLoop(func(ctx context.Context) {
			<-ctx.Done()
			<-time.After(time.Second)
			ended = true
		})
		if err := errors.Join(loop.Start(t.Context()), loop.Stop(t.Context()), loop.Stop(t.Context())); err != nil {
			t.Fatal(err)
		}
		if !ended {
			t.Error("Stop returned before the function did")
		}
	})
}

func TestLoopStopIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		loop := daemon.NewLoop(func(context.Context) { <-release })
		if err := loop.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := loop.Stop(ctx); err == nil {
			t.Error("Stop = nil while the function still runs")
		}
		close(release)
	})
}

func TestLoopStopWithoutStart(t *testing.T) {
	t.Parallel()
	if err := daemon.NewLoop(func(context.Context) {}).Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHTTPServesUntilStopped(t *testing.T) {
	t.Parallel()
	reached, finish := make(chan struct{}), make(chan struct{})
	h, err := daemon.NewHTTP(daemon.HTTPConfig{
		Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(reached)
			<-finish
			_, _ = io.WriteString(w, "done")
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := make(chan string)
	go func() {
		resp, err := http.Get("http://" + h.Addr())
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		body <- string(b)
	}()
	<-reached
	stopped := make(chan error)
	go func() { stopped <- h.Stop(t.Context()) }()
	close(finish)
	if got := <-body; got != "done" {
		t.Errorf("the running request got %q, want done", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
}

func TestHTTPPortInUse(t *testing.T) {
	t.Parallel()
	cfg := daemon.HTTPConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	h, err := daemon.NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop(t.Context())
	cfg.Addr = h.Addr()
	if _, err := daemon.NewHTTP(cfg); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), h.Addr()) {
		t.Errorf("NewHTTP on a port in use = %v, want an error that names it", err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var notReady error
	h := daemon.Health(func(context.Context) error { return notReady })
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := get("/readyz"); w.Code != http.StatusOK {
		t.Errorf("/readyz = %d, want 200", w.Code)
	}
	notReady = fault.New(fault.Unavailable, "Redis does not answer")
	if w := get("/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Redis does not answer") {
		t.Errorf("/readyz = %d %s, want 503 with the reason", w.Code, w.Body)
	}
	if w := get("/healthz"); w.Code != http.StatusOK {
		t.Errorf("/healthz = %d, want 200 whatever is missing", w.Code)
	}
}
