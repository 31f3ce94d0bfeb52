package system

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/harness"
)

// Receivers of callbacks, by the path of their URL.
const (
	Takes     = "/takes"      // it takes what it is told
	TakesLate = "/takes-late" // it fails at the first request of each callback
	Gone      = "/gone"       // it wants to be told no more
)

// callbackKey signs callbacks.
var callbackKey = []byte("chaos-chaos-chaos-chaos-chaos!!!")

// callbackEnv lets services make callbacks to receivers of ours.
func callbackEnv() []string {
	return []string{
		"NIGHTSHIFT_CALLBACK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(callbackKey),
		"NIGHTSHIFT_CALLBACK_ALLOW=127.0.0.0/8",
	}
}

// startReceiver starts what callbacks are told to.
func (s *System) startReceiver() (err error) {
	if s.Receiver, err = harness.StartReceiver(s.told); err != nil {
		return err
	}
	s.closing = append(s.closing, s.Receiver.Close)
	return nil
}

// told notes a callback, and answers it as its path says.
func (s *System) told(hit harness.Hit) int {
	var body struct {
		Data struct {
			ID    string `json:"id"`
			State string `json:"state"`
		} `json:"data"`
	}
	_ = json.Unmarshal([]byte(hit.Body), &body) // what cannot be read is noted without an ID
	id := hit.Header.Get("Webhook-Id")
	t := history.Told{
		Time: hit.Time, Webhook: id, Invocation: body.Data.ID, State: body.Data.State, Genuine: genuine(hit), Answer: http.StatusNoContent,
	}
	before := s.History.Asks(id)
	switch {
	case hit.Path == Gone:
		t.Answer = http.StatusGone
	case hit.Path == TakesLate && before == 0:
		t.Answer = http.StatusServiceUnavailable
	}
	s.History.Told(t)
	return t.Answer
}

// genuine verifies the signature as Standard Webhooks describes it.
func genuine(hit harness.Hit) bool {
	mac := hmac.New(sha256.New, callbackKey)
	mac.Write([]byte(hit.Header.Get("Webhook-Id") + "." + hit.Header.Get("Webhook-Timestamp") + "." + hit.Body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(hit.Header.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
}
