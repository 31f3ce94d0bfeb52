package e2e

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1" // what exporters send
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one span as a collector sees it.
type span struct {
	service, name, kind string
	trace, id, parent   string
	failed              bool
	attributes          map[string]string
	links               []string // <trace ID>-<span ID>
}

// traceparent is what its children are told.
func (s span) traceparent() string { return "00-" + s.trace + "-" + s.id + "-01" }

// spanReceiver is a collector of traces, which speaks OTLP over HTTP.
type spanReceiver struct {
	server      *httptest.Server
	connections atomic.Int64

	mu    sync.Mutex
	spans []span
	wrong []error // requests that could not be read
}

func startSpanReceiver() *spanReceiver {
	r := &spanReceiver{}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.connections.Add(1)
		}
	}
	r.server.Start()
	return r
}

func (r *spanReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	request, err := readSpans(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.wrong = append(r.wrong, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, resource := range request.ResourceSpans {
		service := attributes(resource.Resource.GetAttributes())["service.name"]
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, spanOf(service, s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty body is an empty answer
}

func readSpans(req *http.Request) (*collector.ExportTraceServiceRequest, error) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	request := &collector.ExportTraceServiceRequest{}
	if err = errors.Join(err, proto.Unmarshal(raw, request)); err == nil && req.URL.Path != "/v1/traces" {
		err = fmt.Errorf("sent to %s", req.URL.Path)
	}
	return request, err
}

func spanOf(service string, s *trace.Span) span {
	out := span{
		service: service, name: s.Name, kind: strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")),
		trace: fmt.Sprintf("%x", s.TraceId), id: fmt.Sprintf("%x", s.SpanId), parent: fmt.Sprintf("%x", s.ParentSpanId),
		failed: s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR, attributes: attributes(s.Attributes),
	}
	for _, link := range s.Links {
		out.links = append(out.links, fmt.Sprintf("%x-%x", link.TraceId, link.SpanId))
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			all[a.Key] = fmt.Sprint(v.BoolValue)
		default:
			all[a.Key] = fmt.Sprint(v)
		}
	}
	return all
}

// in lists the spans of a trace, or all with "", in the order of arrival.
func (r *spanReceiver) in(trace string) []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.spans), func(s span) bool { return trace != "" && s.trace != trace })
}

// tree draws the spans of a trace that has one root or one caller, each below
// its parent, brothers and sisters by name: what a test expects reads like what
// it is.
func tree(spans []span, root string, about func(span) string) string {
	var out strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		var children []span
		for _, s := range spans {
			if s.parent == parent {
				children = append(children, s)
			}
		}
		slices.SortFunc(children, func(a, b span) int { return strings.Compare(about(a), about(b)) })
		for _, s := range children {
			out.WriteString(indent + about(s) + "\n")
			draw(s.id, indent+"  ")
		}
	}
	draw(root, "")
	return out.String()
}

func (r *spanReceiver) close() error {
	r.server.Close()
	return errors.Join(r.wrong...)
}
