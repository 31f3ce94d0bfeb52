package dev_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/cli/internal/dev"
	"github.com/nightshift/nightshift/shared/secret"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const jobFunction = "export default async () => {}"

// callback calls a background function and returns what its receiver on this
// machine was sent.
func (w *world) callback() (http.Header, []byte) {
	w.t.Helper()
	type request struct {
		header http.Header
		body   []byte
	}
	sent := make(chan request, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent <- request{r.Header, body}
	}))
	defer receiver.Close()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.base+functions+"job-background", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Nightshift-Callback", receiver.URL)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		w.t.Fatalf("the call was answered %d, want 202", answer.StatusCode)
	}
	select {
	case got := <-sent:
		return got.header, got.body
	case <-time.After(within):
		w.t.Fatalf("no callback within %v", within)
		panic("unreachable")
	}
}

// signedWith fails unless a callback is signed with a secret.
func signedWith(t *testing.T, text string, header http.Header, body []byte) {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(body, header); err != nil {
		t.Errorf("the signature is refused: %v", err)
	}
}

// A callback to this machine works without any setting, and its secret stays.
func TestCallbacksWithoutSettings(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	var made string
	for range 2 {
		w := start(t, map[string]string{"netlify/functions/job-background.mjs": jobFunction}, func(c *dev.Config) { c.DataDir = data })
		path := filepath.Join(data, "callback.secret")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the secret: %v, %v; want 0600", info.Mode(), err)
		}
		if made != "" && made != string(text) {
			t.Error("the second start made another secret")
		}
		made = string(text)
		header, body := w.callback()
		signedWith(t, strings.TrimSpace(made), header, body)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(w.out.String(), strings.TrimSpace(made)) {
			t.Error("the secret was printed")
		}
	}
}

// What is set goes before what dev would choose.
func TestCallbackSettings(t *testing.T) {
	t.Parallel()
	const own = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	w := start(t, map[string]string{"netlify/functions/job-background.mjs": jobFunction}, func(c *dev.Config) {
		c.CallbackSecret, c.CallbackAllow = secret.Text(own), "127.0.0.1/32"
	})
	header, body := w.callback()
	signedWith(t, own, header, body)
	if _, err := os.Stat(filepath.Join(w.root, ".nightshift", "callback.secret")); !os.IsNotExist(err) {
		t.Errorf("a secret was made although one is set: %v", err)
	}
}
