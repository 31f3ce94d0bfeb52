package telemetry

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var (
	parentForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	xrayForm   = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]$`)
)

// FuzzExtract: whatever a caller says about its trace, what we send on is well
// formed or absent, and means the same when it is read again.
func FuzzExtract(f *testing.F) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.Add(parent, "a=1,b=2")
	f.Add(parent, "a="+strings.Repeat("x", 600))
	f.Add("00-00000000000000000000000000000000-b7ad6b7169203331-01", "")
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "a=1\r\nX: y")
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		ctx := Extract(context.Background(), http.Header{parentHeader: {traceparent}, stateHeader: {tracestate}})
		place := At(ctx)
		out := http.Header{}
		Inject(ctx, out)
		if got := out.Get(parentHeader); got != "" && !parentForm.MatchString(got) {
			t.Errorf("%q is sent on as %q", traceparent, got)
		}
		if got := out.Get(stateHeader); len(got) > maxState || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			t.Errorf("%q is sent on as %q", tracestate, got)
		}
		if got := place.XRay(); got != "" && !xrayForm.MatchString(got) {
			t.Errorf("%q is %q in the form of X-Ray", traceparent, got)
		}
		if again := At(ParsePlace(place.String()).Enter(context.Background())); again != place {
			t.Errorf("%+v reads as %+v", place, again)
		}
	})
}
