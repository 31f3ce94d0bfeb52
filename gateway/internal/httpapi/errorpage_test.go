package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestErrorPage(t *testing.T) {
	t.Parallel()
	got := string(errorPage("TypeError: <b>\n    at own (a.mjs:1:2)"))
	for _, want := range []string{"<!doctype html>\n", "<strong>TypeError: &lt;b&gt;</strong>", "<pre>    at own (a.mjs:1:2)</pre>"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if got := string(errorPage("one line")); strings.Contains(got, "<pre>") {
		t.Errorf("a failure without a stack has one:\n%s", got)
	}
}

func TestNetlifyText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ message, text, hint string }{
		{"Function not found... It is case sensitive.", "Function not found...", "It is case sensitive."},
		{"Request body too large.", "Request body too large.", ""},
	} {
		h := http.Header{}
		if text := netlifyText(h, tt.message); text != tt.text || h.Get(HintHeader) != tt.hint {
			t.Errorf("netlifyText(%q) = %q and the hint %q, want %q and %q", tt.message, text, h.Get(HintHeader), tt.text, tt.hint)
		}
	}
}
