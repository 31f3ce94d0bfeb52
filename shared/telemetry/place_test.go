package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

const (
	parent  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceID = "0af7651916cd43dd8448eb211c80319c"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestExtract(t *testing.T) {
	t.Parallel()
	long := strings.TrimSuffix(strings.Repeat("k", 200)+"="+strings.Repeat("v", 200)+","+strings.Repeat("l", 200)+"="+strings.Repeat("v", 200), ",")
	tests := map[string]struct {
		h    http.Header
		want Place
	}{
		"none":                {header(), Place{}},
		"sampled":             {header("traceparent", parent), Place{parent, ""}},
		"not sampled":         {header("traceparent", strings.TrimSuffix(parent, "1")+"0"), Place{strings.TrimSuffix(parent, "1") + "0", ""}},
		"random trace ID":     {header("traceparent", strings.TrimSuffix(parent, "1")+"3"), Place{strings.TrimSuffix(parent, "1") + "3", ""}},
		"with state":          {header("traceparent", parent, "tracestate", "a=1,b=2"), Place{parent, "a=1,b=2"}},
		"state in two":        {header("traceparent", parent, "tracestate", "a=1", "tracestate", "b=2"), Place{parent, "a=1,b=2"}},
		"state unreadable":    {header("traceparent", parent, "tracestate", "?"), Place{parent, ""}},
		"state too long":      {header("traceparent", parent, "tracestate", long), Place{parent, ""}},
		"state alone":         {header("tracestate", "a=1"), Place{}},
		"a later version":     {header("traceparent", "cc"+strings.TrimPrefix(parent, "00")+"-more"), Place{parent, ""}},
		"twice":               {header("traceparent", parent, "traceparent", parent), Place{}},
		"zero trace":          {header("traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"), Place{}},
		"not a traceparent":   {header("traceparent", "x\r\ny"), Place{}},
		"longer than version": {header("traceparent", parent+"-x"), Place{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := Extract(t.Context(), test.h)
			got := At(ctx)
			if got != test.want {
				t.Fatalf("At(Extract) = %+v, want %+v", got, test.want)
			}
			if (got == Place{}) != (ctx == t.Context()) {
				t.Error("the context is another one although there is no trace, or the same although there is one")
			}
			// As a record keeps it, and as a request of ours says it.
			if back := ParsePlace(got.String()); back != got {
				t.Errorf("ParsePlace(%q) = %+v", got.String(), back)
			}
			h := http.Header{}
			Inject(ctx, h)
			if again := At(Extract(t.Context(), h)); again != got {
				t.Errorf("Inject wrote %v, want %+v", h, got)
			}
		})
	}
}

func TestXRay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "",
		"nonsense":                            "",
		parent:                                "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1",
		strings.TrimSuffix(parent, "1") + "0": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=0",
		parent + " a=1":                       "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1",
	} {
		if got := ParsePlace(text).XRay(); got != want {
			t.Errorf("ParsePlace(%q).XRay() = %q, want %q", text, got, want)
		}
	}
}

func TestLogLinesNameTheTrace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ctx  context.Context
		want string
	}{
		"in a trace": {ParsePlace(parent).Enter(t.Context()), "msg=hello trace_id=" + traceID},
		"in none":    {t.Context(), "msg=hello"},
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}}))
		Logger(test.ctx, log).Info("hello")
		if got := strings.TrimSpace(out.String()); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
