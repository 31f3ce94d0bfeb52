package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// unset lets nothing of the machine's own environment count.
func unset(t *testing.T) {
	t.Helper()
	for _, name := range []string{envDisabled, envExporter, envEndpoint, envTracesEndpoint, envProtocol, envTracesProtocol, envSampler, envSamplerArg, "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"} {
		t.Setenv(name, "") // to be as it was after the test
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheEnvironmentDecides(t *testing.T) {
	const at = "http://127.0.0.1:9"
	tests := map[string]struct {
		env  []string
		on   bool
		says string // in the error
	}{
		"nothing set":             {},
		"an endpoint":             {env: []string{envEndpoint, at}, on: true},
		"an endpoint for traces":  {env: []string{envTracesEndpoint, at + "/v1/traces"}, on: true},
		"the exporter":            {env: []string{envExporter, "otlp"}, on: true},
		"no exporter":             {env: []string{envExporter, "none", envEndpoint, at}},
		"disabled":                {env: []string{envDisabled, "TRUE", envEndpoint, at}},
		"not disabled":            {env: []string{envDisabled, "false", envEndpoint, at}, on: true},
		"gRPC":                    {env: []string{envEndpoint, at, envProtocol, "grpc"}, on: true},
		"a share":                 {env: []string{envEndpoint, at, envSampler, "parentbased_traceidratio", envSamplerArg, "0.25"}, on: true},
		"always off":              {env: []string{envEndpoint, at, envSampler, "always_off"}, on: true},
		"another exporter":        {env: []string{envExporter, "zipkin"}, says: "OTEL_TRACES_EXPORTER"},
		"another protocol":        {env: []string{envEndpoint, at, envProtocol, "http/json"}, says: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"an endpoint without URL": {env: []string{envEndpoint, "user:secret@collector"}, says: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"a share over 1":          {env: []string{envEndpoint, at, envSampler, "traceidratio", envSamplerArg, "2"}, says: "OTEL_TRACES_SAMPLER_ARG"},
		"a share that is none":    {env: []string{envEndpoint, at, envSampler, "traceidratio", envSamplerArg, "NaN"}, says: "OTEL_TRACES_SAMPLER_ARG"},
		"an unknown sampler":      {env: []string{envEndpoint, at, envSampler, "some"}, says: "OTEL_TRACES_SAMPLER"},
		"resource attributes":     {env: []string{envEndpoint, at, "OTEL_RESOURCE_ATTRIBUTES", "x"}, says: "OTEL_RESOURCE_ATTRIBUTES"},
		"wrong, but disabled":     {env: []string{envDisabled, "true", envEndpoint, at, envSampler, "some"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			unset(t)
			for i := 0; i < len(test.env); i += 2 {
				t.Setenv(test.env[i], test.env[i+1])
			}
			tracer, err := Start(t.Context(), "gateway", "", quiet())
			defer tracer.Stop(t.Context())
			if test.says == "" && err != nil || test.says != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.says)) {
				t.Fatalf("Start = %v, want an error about %q", err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats a password: %v", err)
			}
			if tracer.On() != test.on {
				t.Errorf("On = %v, want %v", tracer.On(), test.on)
			}
		})
	}
}

// receiver is a collector that speaks OTLP over HTTP.
func receiver(t *testing.T) (url string, requests <-chan *collector.ExportTraceServiceRequest) {
	got := make(chan *collector.ExportTraceServiceRequest, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(r.Body); err != nil {
				t.Error(err)
				return
			}
		}
		raw, err := io.ReadAll(body)
		var request collector.ExportTraceServiceRequest
		if err = errors.Join(err, proto.Unmarshal(raw, &request)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		got <- &request
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func TestStopSendsWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		env  []string
		want map[string]string
	}{
		"by default": {want: map[string]string{"service.name": "nightshift-worker", "service.instance.id": "w1"}},
		"as the environment says": {
			env:  []string{"OTEL_SERVICE_NAME", "mine", "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.instance.id=i"},
			want: map[string]string{"service.name": "mine", "service.instance.id": "i", "deployment.environment.name": "test"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			unset(t)
			url, requests := receiver(t)
			t.Setenv(envEndpoint, url)
			for i := 0; i < len(test.env); i += 2 {
				t.Setenv(test.env[i], test.env[i+1])
			}
			tracer, err := Start(t.Context(), "worker", "w1", quiet())
			if err != nil {
				t.Fatal(err)
			}
			_, span := tracer.Attempt(t.Context(), call, 1, "w1")
			span.End()
			tracer.Stop(t.Context())
			select {
			case request := <-requests:
				resource := map[string]string{}
				for _, a := range request.ResourceSpans[0].Resource.Attributes {
					resource[a.Key] = a.Value.GetStringValue()
				}
				for key, want := range test.want {
					if resource[key] != want {
						t.Errorf("%s = %q, want %q", key, resource[key], want)
					}
				}
				if got := request.ResourceSpans[0].ScopeSpans[0].Spans[0].Name; got != "attempt mail" {
					t.Errorf("span %q", got)
				}
			default:
				t.Error("Stop returned and nothing was sent")
			}
		})
	}
}

// TestACollectorThatDoesNotAnswerHoldsNobodyUp makes far more spans than the
// queue takes, of which none can be sent, and stops.
func TestACollectorThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	unset(t)
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	t.Setenv(envEndpoint, "http://"+deaf.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "600000")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	var out bytes.Buffer
	tracer, err := Start(t.Context(), "worker", "", slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * sdk.DefaultMaxQueueSize {
		accept(tracer, t.Context(), nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tracer.Stop(ctx) // it would take ten minutes
	if !strings.Contains(out.String(), "the last spans were not sent") {
		t.Errorf("the log does not say that spans are lost:\n%s", out.String())
	}
}

// TestLostSpansAreSaidOnceInAWhile lets a collector refuse every batch.
func TestLostSpansAreSaidOnceInAWhile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	e := exportsTo(refusing{}, slog.New(slog.NewTextHandler(&out, nil)))
	defer e.cut()
	e.now = func() time.Time { return now }
	batch := tracetest.SpanStubs{{Name: "a"}, {Name: "b"}}.Snapshots()
	for range 61 {
		if err := e.ExportSpans(t.Context(), batch); err != nil {
			t.Errorf("ExportSpans = %v; the SDK would say it once more", err)
		}
		now = now.Add(time.Second)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "spans=2 error=refused") || !strings.Contains(lines[1], "spans=120 error=refused") {
		t.Errorf("61 refusals in 61 s are said as\n%s\nwant 2 spans at once and the other 120 a minute later", out.String())
	}
}

type refusing struct{ sdk.SpanExporter }

func (refusing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return errors.New("refused") }
