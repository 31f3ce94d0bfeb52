package churn

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"
)

// What the tests under load look for is seen when it is there.

func TestMixedAnswersAreSeen(t *testing.T) {
	w := &world{T: t, ids: map[string]string{"A": "aaa", "B": "bbb"}}
	tests := []struct {
		name, body string
		version    string
		mixed      bool
	}{
		{"of A", `{"version":"A","environment":"aaa","context":"aaa","header":"aaa"}`, "A", false},
		{"code of A, environment of B", `{"version":"A","environment":"bbb","context":"aaa","header":"aaa"}`, "", true},
		{"code of A, context of B", `{"version":"A","environment":"aaa","context":"bbb","header":"aaa"}`, "", true},
		{"code of A, event of B", `{"version":"A","environment":"aaa","context":"aaa","header":"bbb"}`, "", true},
		{"of no deploy", `{"version":"C","environment":"aaa","context":"aaa","header":"aaa"}`, "", true},
		{"no answer", `Internal Error`, "", false},
	}
	for _, tt := range tests {
		version, err := w.read([]byte(tt.body))
		if version != tt.version || errors.Is(err, errMixed) != tt.mixed || (err == nil) != (tt.version != "") {
			t.Errorf("%s: read = %q, %v; want %q, mixed %t", tt.name, version, err, tt.version, tt.mixed)
		}
	}
}

func TestMixedPagesAreSeen(t *testing.T) {
	w := &world{T: t, pages: map[string]string{"A": "page of A", "B": "page of B"}}
	etag := func(body string) http.Header {
		sum := sha256.Sum256([]byte(body))
		return http.Header{"Etag": {`"` + hex.EncodeToString(sum[:]) + `"`}}
	}
	if version, err := w.page(etag("page of B"), []byte("page of B")); version != "B" || err != nil {
		t.Errorf("a page of B = %q, %v", version, err)
	}
	if _, err := w.page(etag("page of A"), []byte("page of B")); !errors.Is(err, errMixed) {
		t.Errorf("the page of B with the header of A = %v, want mixed", err)
	}
	if _, err := w.page(etag("page"), []byte("page")); err == nil {
		t.Error("a page of no deploy passes")
	}
}

func TestOldAnswersAreSeen(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	h := &history{moves: []move{
		{version: "A", begun: at(0), adopted: []time.Time{at(0), at(0)}},
		{version: "B", begun: at(100), adopted: []time.Time{at(110), at(150)}},
		{version: "A", begun: at(200), adopted: []time.Time{at(210), at(210)}},
	}}
	tests := []struct {
		name           string
		gateway        int
		sent, answered int
		version        string
		stale          bool
	}{
		{"before the move", 0, 50, 60, "A", false},
		{"during the move", 0, 105, 106, "A", false},
		{"new, once it has changed over", 0, 120, 121, "B", false},
		{"old, once it has changed over", 0, 120, 121, "A", true},
		{"old, of a gateway that has not yet", 1, 120, 121, "A", false},
		{"new before any move", 0, 50, 60, "B", true},
		{"over the next move", 0, 190, 205, "A", false},
		{"old after the last move", 1, 220, 230, "B", true},
	}
	for _, tt := range tests {
		err := h.stale(call{gateway: tt.gateway, sent: at(tt.sent), answered: at(tt.answered), version: tt.version})
		if (err != nil) != tt.stale {
			t.Errorf("%s: %v, want stale %t", tt.name, err, tt.stale)
		}
	}
}
