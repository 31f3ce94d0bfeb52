package httpapi

import (
	"errors"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/invoke"
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// plane is where a request came in.
type plane int

const (
	planeData plane = iota
	planeControl
)

// kind is what a request was for.
type kind int

const (
	kindOther kind = iota // what nothing serves, the health of the gateway, pages for people
	kindSync
	kindBackground
	kindScheduled
	kindStatic
	kindRedirect
	kindStatus // of an invocation
	kindAPI
)

var (
	planes = [...]string{planeData: "data", planeControl: "control"}
	kinds  = [...]string{
		kindOther: "other", kindSync: "sync", kindBackground: "background", kindScheduled: "scheduled",
		kindStatic: "static", kindRedirect: "redirect", kindStatus: "status", kindAPI: "api",
	}
)

// kindOf is the kind of a request that came to a function or a file.
func kindOf(target route.Target) kind {
	switch {
	case target.File != nil:
		return kindStatic
	case target.Function.Kind == function.Background:
		return kindBackground
	case target.Function.Kind == function.Scheduled:
		return kindScheduled
	default:
		return kindSync
	}
}

// classes are how answers are counted. Cut off is what had begun and could not be
// completed, or had nobody to read it any more.
var classes = [...]string{"2xx", "3xx", "4xx", "5xx", cutOff}

const cutOff = "cut_off"

// requests counts the requests of one plane and kind, by class.
type requests [len(classes)]prometheus.Counter

// Refused counts what is refused before it reaches a handler, and calls that are
// over a rate.
type Refused [len(planes)]map[daemon.Refusal]prometheus.Counter

// Reasons beside those of package daemon: the rates of the function, of the site,
// and of one address at the site.
const (
	overFunctionRate daemon.Refusal = "function_rate"
	overSiteRate     daemon.Refusal = "site_rate"
	overAddressRate  daemon.Refusal = "address_rate"
)

// NewRefused registers the counters.
func NewRefused(registry prometheus.Registerer) *Refused {
	total := promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_gateway_refused_total", Help: "Connections and requests that were refused for what they are, not for what they ask.",
	}, []string{"plane", "reason"})
	r := &Refused{}
	for p := range planes {
		r[p] = map[daemon.Refusal]prometheus.Counter{}
		for _, why := range daemon.Refusals {
			r[p][why] = total.WithLabelValues(planes[p], string(why))
		}
	}
	for _, why := range []daemon.Refusal{overFunctionRate, overSiteRate, overAddressRate} {
		r[planeData][why] = total.WithLabelValues(planes[planeData], string(why))
	}
	return r
}

// Data counts one of the data plane, and Control one of the control plane.
func (r *Refused) Data(why daemon.Refusal)    { r[planeData][why].Inc() }
func (r *Refused) Control(why daemon.Refusal) { r[planeControl][why].Inc() }

// metrics count requests.
type metrics [len(planes)][len(kinds)]*requests

func newMetrics(registry prometheus.Registerer) *metrics {
	total := promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "nightshift_gateway_requests_total", Help: "Requests that were answered, by the class of their status; cut_off is an answer that could not be completed, or nobody waited for.",
	}, []string{"plane", "kind", "code"})
	m := &metrics{}
	for p, ofPlane := range map[plane][]kind{
		planeData: {kindOther, kindSync, kindBackground, kindScheduled, kindStatic, kindRedirect, kindStatus}, planeControl: {kindOther, kindAPI},
	} {
		for _, k := range ofPlane {
			m[p][k] = &requests{}
			for i, class := range classes {
				m[p][k][i] = total.WithLabelValues(planes[p], kinds[k], class)
			}
		}
	}
	return m
}

// requestsKey is where a request has the counters that it belongs to.
const requestsKey = "requests"

// is says of which kind a request is, as soon as that is known. Of several the
// last one counts.
func (s *server) is(c echo.Context, p plane, k kind) { c.Set(requestsKey, s.metrics[p][k]) }

// errAnswered is of a request whose error was answered, and counted, already.
var errAnswered = errors.New("answered")

// counted counts requests that were answered; those with an error, answerError does.
func (s *server) counted(p plane) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			switch err := next(c); err {
			case nil:
				s.count(c, p, c.Response().Status)
				return nil
			case errAnswered:
				return nil
			default:
				return err
			}
		}
	}
}

// isCall marks the requests of the control plane's API.
func (s *server) isCall(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		s.is(c, planeControl, kindAPI)
		return next(c)
	}
}

// count counts a request by the status of its answer; 0 is cut off.
func (s *server) count(c echo.Context, p plane, status int) {
	of, ok := c.Get(requestsKey).(*requests)
	if !ok {
		of = s.metrics[p][kindOther]
	}
	class := status/100 - 2
	if class < 0 || class >= len(classes)-1 {
		class = len(classes) - 1
	}
	of[class].Inc()
}

// isCut reports whether an answer is to be cut off because of an error: whatever
// was sent must not look whole.
func isCut(c echo.Context, err error) bool {
	return errors.Is(err, invoke.ErrCut) || errors.Is(err, invoke.ErrGone) || c.Response().Committed
}
