package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/telemetry"
	"github.com/nightshift/nightshift/shared/telemetry/telemetrytest"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	callersTrace  = "0af7651916cd43dd8448eb211c80319c"
	callersSpan   = "b7ad6b7169203331"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// TestRequestSpans lets a request for a function end in each way that there is.
func TestRequestSpans(t *testing.T) {
	t.Parallel()
	answers := func(status int) func(echo.Context) error {
		return func(c echo.Context) error { c.Response().WriteHeader(status); return nil }
	}
	returns := func(err error) func(echo.Context) error { return func(echo.Context) error { return err } }
	tests := map[string]struct {
		serve  func(echo.Context) error
		status int // for the caller; 0: the connection is cut
		code   string
		failed string
	}{
		"accepted":           {serve: answers(202), status: 202, code: "202"},
		"not found":          {serve: answers(404), status: 404, code: "404"},
		"the function's 500": {serve: answers(500), status: 500, code: "500", failed: "500"},
		"it threw":           {serve: returns(&invoke.Failed{Status: 500, Text: "hush", Outcome: invocation.Error}), status: 500, code: "500", failed: "500"},
		"over its limit":     {serve: returns(tooMany(time.Second)), status: 429, code: "429"},
		"Redis is down":      {serve: returns(fault.New(fault.Unavailable, "hush")), status: 503, code: "503", failed: "503"},
		"the caller hung up": {serve: returns(invoke.ErrGone), failed: "caller_gone"},
		"broke off": {serve: func(c echo.Context) error {
			c.Response().WriteHeader(200)
			return invoke.ErrCut
		}, failed: "cut"},
		"a bug": {serve: func(echo.Context) error { panic("hush") }, status: 500, failed: "panic"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, registry := telemetrytest.New(), prometheus.NewPedanticRegistry()
			s := &server{metrics: newMetrics(registry), Config: Config{Tracer: recorder.Tracer()}, log: slog.New(slog.DiscardHandler)}
			target := route.Target{Site: "shop", Deploy: "d1", Function: &function.Function{Name: "mail", Kind: function.Background}, Route: "/mail/:to"}
			var at string
			e := s.echo(planeData)
			e.Any("/*", func(c echo.Context) error {
				return s.traced(c, c.Request(), target, func(c echo.Context, r *http.Request, _ route.Target) error {
					c.Response().Header().Set(invoke.RequestIDHeader, "01J")
					at = telemetry.At(r.Context()).Traceparent
					return test.serve(c)
				})
			})
			r := httptest.NewRequest(http.MethodPost, "/mail/hush?key=hush", nil)
			r.Header.Set("Traceparent", callersParent)
			w := httptest.NewRecorder()
			status := func() (status int) {
				defer func() {
					if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
						t.Errorf("it panicked with %v", cause)
					}
				}()
				e.ServeHTTP(w, r)
				return w.Code
			}()
			if status != test.status {
				t.Errorf("the caller got %d, want %d", status, test.status)
			}
			if n := counted(t, registry); n != 1 {
				t.Errorf("the request is counted %v times, want once", n)
			}
			spans := recorder.Ended()
			if len(spans) != 1 {
				t.Fatalf("%d spans, want one", len(spans))
			}
			span := spans[0]
			if span.Name != "POST /mail/:to" || span.Kind != "server" || span.Trace != callersTrace || span.Parent != callersSpan {
				t.Errorf("the span is %+v", span)
			}
			if span.Failed != (test.failed != "") || span.Attributes["error.type"] != test.failed || span.Attributes["http.response.status_code"] != test.code {
				t.Errorf("failed %v, attributes %v; want %q and status %q", span.Failed, span.Attributes, test.failed, test.code)
			}
			if span.Attributes["faas.invocation_id"] != "01J" {
				t.Errorf("attributes %v, want the invocation", span.Attributes)
			}
			if at != span.Traceparent() {
				t.Errorf("what follows stands at %s, want %s", at, span.Traceparent())
			}
		})
	}
}

// counted is how many requests have been counted.
func counted(t *testing.T, registry prometheus.Gatherer) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			n += m.GetCounter().GetValue()
		}
	}
	return n
}

// TestTheTraceIsPassedOnWithoutSpans covers both planes.
func TestTheTraceIsPassedOnWithoutSpans(t *testing.T) {
	t.Parallel()
	s := &server{metrics: newMetrics(nil), log: slog.New(slog.DiscardHandler)}
	target := route.Target{Function: &function.Function{Name: "mail"}}
	for _, header := range []string{callersParent, ""} {
		at := map[string]string{}
		e := s.echo(planeData)
		e.Any("/data", func(c echo.Context) error {
			return s.traced(c, c.Request(), target, func(c echo.Context, r *http.Request, _ route.Target) error {
				at["data"] = telemetry.At(r.Context()).Traceparent
				return errors.New("it fails")
			})
		})
		e.Any("/control", func(c echo.Context) error {
			at["control"] = telemetry.At(c.Request().Context()).Traceparent
			return nil
		}, s.inTrace)
		for plane := range map[string]bool{"data": true, "control": true} {
			r := httptest.NewRequest(http.MethodPost, "/"+plane, nil)
			if header != "" {
				r.Header.Set("Traceparent", header)
			}
			e.ServeHTTP(httptest.NewRecorder(), r)
			if at[plane] != header {
				t.Errorf("%s: what follows a request with traceparent %q stands at %q", plane, header, at[plane])
			}
		}
	}
}
