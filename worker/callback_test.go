package worker

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/oklog/ulid/v2"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The end of a call is told to whom the caller named, and the function never
// sees what that is signed with: not in its environment, even where the worker
// has it in its own.
func TestTheEndOfACallIsTold(t *testing.T) {
	const signed = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	t.Setenv("NIGHTSHIFT_CALLBACK_SECRET", "whsec_"+signed)
	t.Setenv("NIGHTSHIFT_CALLBACK_ALLOW", "127.0.0.0/8")
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header.Clone(), body}
	}))
	t.Cleanup(receiver.Close)
	f := newFleet(t)
	w := f.worker(t, func(c *Config) { c.CallbackSecret, c.CallbackAllow = secret.Text("whsec_"+signed), "127.0.0.0/8" })

	id := f.enqueueInvocation(t, invocation.Invocation{
		ID: ulid.Make().String(), Function: "tells", Callback: &invocation.Callback{URL: receiver.URL + "/hook"},
	}, "")
	inv := f.await(t, id, "the callback", func(inv invocation.Invocation) bool {
		return inv.Callback != nil && inv.Callback.State == invocation.CallbackDelivered
	})
	if inv.State != invocation.Succeeded || inv.Callback.Attempts != 1 || len(got) != 1 {
		t.Fatalf("invocation %s, callback %+v, %d requests", inv.State, inv.Callback, len(got))
	}
	r := <-got
	webhook, err := standardwebhooks.NewWebhook("whsec_" + signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(r.body, r.header); err != nil {
		t.Errorf("Verify = %v", err)
	}
	var payload struct {
		Type string
		Data struct {
			ID     string
			Result struct{ Body string }
		}
	}
	if err := json.Unmarshal(r.body, &payload); err != nil || payload.Type != "invocation.finished" || payload.Data.ID != id {
		t.Errorf("payload = %s, %v", r.body, err)
	}
	var environment map[string]string
	if err := json.Unmarshal([]byte(payload.Data.Result.Body), &environment); err != nil || environment["SITE_NAME"] != "shop" {
		t.Fatalf("the function's environment = %v, %v", environment, err)
	}
	for name := range environment {
		if strings.HasPrefix(name, "NIGHTSHIFT_CALLBACK") {
			t.Errorf("the function sees %s", name)
		}
	}
	if bytes.Contains(r.body, []byte(signed)) {
		t.Error("the function sees the secret")
	}
	stop(t, w)
}
