package console

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"
)

// FuzzFlash: a message that somebody else has put into the cookie is none, or
// text of a bounded length, which the page escapes.
func FuzzFlash(f *testing.F) {
	f.Add("K2RvbmU", "done")
	f.Add("LTxzY3JpcHQ-", "100% of\x00 \xff")
	f.Fuzz(func(t *testing.T, value, text string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", flashCookie+"="+value)
		if got := takeFlash(httptest.NewRecorder(), r); got != nil && (!utf8.ValidString(got.Text) || len(got.Text) > 4*maxFlash) {
			t.Errorf("%q shows %q", value, got.Text)
		}
		w := httptest.NewRecorder()
		if err := leadTo(w, r, "/there", true, "%s", text); err != nil {
			t.Fatal(err)
		}
		back := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, c := range w.Result().Cookies() {
			back.AddCookie(c)
		}
		if got := takeFlash(httptest.NewRecorder(), back); text != "" && (got == nil || !got.Problem) {
			t.Errorf("%q comes back as %+v", text, got)
		}
	})
}
