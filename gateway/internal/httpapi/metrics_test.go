package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCount(t *testing.T) {
	t.Parallel()
	s := &server{metrics: newMetrics(prometheus.NewPedanticRegistry())}
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
	s.count(c, planeControl, 200) // before anything is known of it
	s.is(c, planeData, kindStatic)
	s.is(c, planeData, kindSync) // the last one counts
	for _, status := range []int{200, 204, 302, 404, 500, 599, 0, 101, 999} {
		s.count(c, planeData, status)
	}
	if got := testutil.ToFloat64(s.metrics[planeControl][kindOther][0]); got != 1 {
		t.Errorf("what is not known is told %v times, want 1", got)
	}
	for i, want := range []float64{2, 1, 1, 2, 3} {
		if got := testutil.ToFloat64(s.metrics[planeData][kindSync][i]); got != want {
			t.Errorf("%s = %v, want %v", classes[i], got, want)
		}
		if got := testutil.ToFloat64(s.metrics[planeData][kindStatic][i]); got != 0 {
			t.Errorf("%s of another kind = %v", classes[i], got)
		}
	}
}

// request is what counting adds to each request.
func request(s *server, c echo.Context) {
	s.is(c, planeData, kindBackground)
	s.count(c, planeData, http.StatusAccepted)
}

// TestMetricsAllocateNothing is not parallel: it counts what the process allocates.
func TestMetricsAllocateNothing(t *testing.T) {
	s := &server{metrics: newMetrics(nil)}
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
	if n := testing.AllocsPerRun(100, func() { request(s, c) }); n != 0 {
		t.Errorf("counting a request allocates %v times", n)
	}
}

func BenchmarkMetrics(b *testing.B) {
	s := &server{metrics: newMetrics(prometheus.NewRegistry())}
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
	b.ReportAllocs()
	for b.Loop() {
		request(s, c)
	}
}
