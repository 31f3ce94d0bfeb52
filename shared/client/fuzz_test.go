package client

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzFailure: whatever a server answers, the command line has a message of a
// bounded length, and no wait that is negative.
func FuzzFailure(f *testing.F) {
	f.Add(503, `{"code":503,"message":"later"}`, "2")
	f.Add(404, "<html>", "-1")
	f.Add(503, `{"message":7}`, "9999999999")
	f.Fuzz(func(t *testing.T, status int, body, retry string) {
		err := failure(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retry}}, Body: io.NopCloser(strings.NewReader(body))})
		message, after := fault.Public(err)
		if err == nil || message == "" || len(message) > maxError {
			t.Errorf("%d %q gives %v", status, body, err)
		}
		if after < 0 || after > maxRetryAfter {
			t.Errorf("Retry-After %q gives %v", retry, after)
		}
	})
}
