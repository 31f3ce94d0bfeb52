package event_test

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/event"
)

// again is the call that repeats the one of meta, as a preview.
var again = event.Meta{
	RequestID: "01M806MVMKT0J5BYFM7KEAVBDZ", Site: "other", Deploy: "ffffffffffffffffffffffff", Context: "deploy-preview",
	ClientIP: "203.0.113.9", BaseURL: "http://elsewhere",
}

func TestReplay(t *testing.T) {
	t.Parallel()
	// A body that looks like what is replaced must stay what it is.
	body := `{"headers":{"x-nf-request-id":"mine"},"multiValueHeaders":{"x-nf-branch":["b"]}}` + "\u2028"
	r := httptest.NewRequest("POST", "/.netlify/functions/job?x-nf-request-id=q&a=%ff", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Add("X-Twice", "1")
	r.Header.Add("X-Twice", "2")
	original := event.FromRequest(r, []byte(body), meta)
	repeated, err := event.Replay(original, again)
	if err != nil {
		t.Fatal(err)
	}
	before, after := decode(t, original), decode(t, repeated)
	for name, want := range map[string]string{
		"x-nf-request-id": again.RequestID, "x-nf-deploy-id": again.Deploy, "x-nf-deploy-context": "deploy-preview",
		"x-nf-site-id": "shop", "client-ip": "192.0.2.1", "x-twice": "1, 2",
	} {
		if got := after.Headers[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"x-nf-request-id", "x-nf-deploy-id", "x-nf-deploy-context"} {
		if got := after.MultiValueHeaders[name]; len(got) != 1 || got[0] != after.Headers[name] {
			t.Errorf("%s has the values %v", name, got)
		}
	}
	for _, name := range []string{"x-nf-deploy-published", "x-nf-branch"} {
		if v, ok := after.Headers[name]; ok {
			t.Errorf("%s = %q is left of the first call", name, v)
		}
	}
	for _, d := range []*decoded{&before, &after} {
		for _, name := range []string{"x-nf-request-id", "x-nf-deploy-id", "x-nf-deploy-context", "x-nf-deploy-published", "x-nf-branch"} {
			delete(d.Headers, name)
			delete(d.MultiValueHeaders, name)
		}
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the rest was\n%+v\nand is\n%+v", before, after)
	}
	if !event.Published(original) || event.Published(repeated) {
		t.Errorf("published: %v and %v, want true and false", event.Published(original), event.Published(repeated))
	}
	// The same call again has every byte at its place, however often.
	twice, err := event.Replay(repeated, again)
	if err != nil || string(twice) != string(repeated) {
		t.Errorf("repeated once more, it is\n%s\n%v, and was\n%s", twice, err, repeated)
	}
}

func TestReplayTick(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	repeated, err := event.Replay(event.ForTick("tick", next, meta), again)
	if err != nil {
		t.Fatal(err)
	}
	d := decode(t, repeated)
	if d.Headers["X-NF-Event"] != "schedule" || d.Headers["user-agent"] != event.UserAgent || *d.Body != `{"next_run":"2026-12-01T00:00:00.000Z"}` {
		t.Errorf("event = %s", repeated)
	}
	if d.Headers["x-nf-request-id"] != again.RequestID {
		t.Errorf("x-nf-request-id = %q", d.Headers["x-nf-request-id"])
	}
}

func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", `"x"`, "{", `{"headers":[]}`, `{"multiValueHeaders":1}`, `{"headers":{}`} {
		if got, err := event.Replay([]byte(text), again); err == nil || got != nil {
			t.Errorf("Replay(%q) = %q, %v; want an error", text, got, err)
		}
	}
	got, err := event.Replay([]byte(`{"headers":{},"path":"/"}`), event.Meta{RequestID: "r"})
	if err != nil || !strings.HasPrefix(string(got), `{"headers":{"x-nf-deploy-id":"","x-nf-request-id":"r"},"path":"/"`) {
		t.Errorf("without headers: %s, %v", got, err)
	}
}
