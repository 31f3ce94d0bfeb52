package callback

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/secret"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		never   = iota
		private // where the installation allows private networks
		always
	)
	tests := map[string]int{
		"https://receiver.example/hook?token=1":                 always,
		"https://receiver.example":                              always,
		"HTTPS://receiver.example:8443/":                        always,
		"https://bücher.example/":                               always,
		"https://93.184.216.34/":                                always,
		"https://[2606:4700::1111]/":                            always,
		"https://a1.b2c3/":                                      always,
		"https://receiver.example/" + strings.Repeat("x", 2023): always, // 2048 bytes

		"http://receiver.example/":    private,
		"https://127.0.0.1/":          private,
		"https://127.0.0.1./":         private,
		"https://10.1.2.3:8443/":      private,
		"https://169.254.169.254/":    private, // cloud metadata
		"https://100.64.0.1/":         private, // CGNAT
		"https://224.0.0.1/":          private,
		"https://0.0.0.0/":            private,
		"https://[::1]/":              private,
		"https://[::]/":               private,
		"https://[fe80::1]/":          private,
		"https://[fe80::1%25eth0]/":   private,
		"https://[fd00::1]/":          private,
		"https://[ff02::1]/":          private,
		"https://[::ffff:127.0.0.1]/": private, // IPv4-mapped
		"https://[::ffff:8.8.8.8]/":   private,
		"https://[64:ff9b::7f00:1]/":  private, // NAT64
		"https://[2002:7f00:1::]/":    private, // 6to4
		"https://[2001:0:7f00:1::1]/": private, // Teredo

		"":                                  never,
		"receiver.example/hook":             never,
		"//receiver.example/hook":           never,
		"https:///hook":                     never,
		"https:receiver.example":            never,
		"https://":                          never,
		"https://:443/":                     never,
		"ftp://receiver.example/":           never,
		"file:///etc/passwd":                never,
		"javascript:alert(1)":               never,
		"https://user@receiver.example/":    never,
		"https://user:pw@receiver.example/": never,
		"https://@receiver.example/":        never,
		"https://receiver.example:0/":       never,
		"https://receiver.example:65536/":   never,
		"https://receiver.example:http/":    never,
		"https://receiver.example/\n":       never,
		"https://rece iver.example/":        never,
		"https://[::1/":                     never,
		"https://2130706433/":               never, // 127.0.0.1, to some
		"https://0x7f000001/":               never,
		"https://0x7f.1/":                   never,
		"https://127.1/":                    never,
		"https://0177.0.0.1/":               never,
		"https://127.0.0.0x1":               never,
		"https://1.2.3.08/":                 never,
		"https://256.1.1.1/":                never,
		"https://receiver.1/":               never,
		"https://receiver.example/" + strings.Repeat("x", 2024): never,
	}
	for url, want := range tests {
		for _, allowed := range []bool{false, true} {
			err := Check(url, allowed)
			if ok := want == always || want == private && allowed; ok != (err == nil) {
				t.Errorf("Check(%.60q, %t) = %v", url, allowed, err)
			}
			if err != nil && (!fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "pw")) {
				t.Errorf("Check(%q) = %v, want invalid that repeats no password", url, err)
			}
		}
	}
}

func TestParseAllow(t *testing.T) {
	t.Parallel()
	got, err := ParseAllow(" 10.1.2.3/16, fd00::/8,127.0.0.1/32 ")
	if err != nil || fmt.Sprint(got) != "[10.1.0.0/16 fd00::/8 127.0.0.1/32]" {
		t.Errorf("ParseAllow = %v, %v", got, err)
	}
	if got, err := ParseAllow("  "); err != nil || got != nil {
		t.Errorf("ParseAllow of nothing = %v, %v", got, err)
	}
	for _, text := range []string{"10.0.0.0", "localhost", "10.0.0.0/33", "10.0.0.0/8,", "::ffff:10.0.0.0/104"} {
		if got, err := ParseAllow(text); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "NIGHTSHIFT_CALLBACK_ALLOW") {
			t.Errorf("ParseAllow(%q) = %v, %v, want invalid", text, got, err)
		}
	}
}

const (
	key      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherKey = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func TestSign(t *testing.T) {
	t.Parallel()
	s, err := NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	// The example that libraries of Standard Webhooks are tested with.
	if err := s.Sign(header, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"webhook-id":        "msg_p5jXN8AQM9LWM0D4loKWxJek",
		"webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}

	// While a secret is replaced, both sides of the change can verify.
	s, err = NewSigner(key + ", " + otherKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(header, "id", time.Now(), []byte("body")); err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{key, otherKey} {
		webhook, err := standardwebhooks.NewWebhook(known)
		if err != nil {
			t.Fatal(err)
		}
		if err := webhook.Verify([]byte("body"), header); err != nil {
			t.Errorf("Verify = %v", err)
		}
		if webhook.Verify([]byte("body!"), header) == nil {
			t.Error("another body is verified")
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []secret.Text{"canary", "whsec_canary", "whsec_", "whsec_Y2FuYXJ5", key + ",", key + ",canary", secret.Text("whsec_" + strings.Repeat("QUFB", 22))} {
		_, err := NewSigner(text)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), Setting) || strings.Contains(err.Error(), "canary") {
			t.Errorf("NewSigner = %v, want invalid that repeats nothing", err)
		}
	}
	none, err := NewSigner(" ")
	if err != nil || none != nil {
		t.Errorf("NewSigner of nothing = %v, %v", none, err)
	}
	if err := none.Sign(http.Header{}, "id", time.Now(), nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("Sign without a secret = %v, want a conflict", err)
	}
	s, err := NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "signer", s)
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s) + logged.String(); strings.Contains(text, "MfKQ") || !strings.Contains(text, "[redacted]") {
		t.Errorf("a signer prints as %s", text)
	}
}

// Every request about one end has the same body and the same ID.
func TestBodyAndID(t *testing.T) {
	t.Parallel()
	inv := invocation.Invocation{
		ID: "01J00000000000000000000000", Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background, State: invocation.Succeeded,
		CreatedAt: time.UnixMilli(1000), FinishedAt: time.UnixMilli(2000), Result: &invocation.Result{Status: 200, Body: "ok"},
		Callback: &invocation.Callback{URL: "https://canary.example", State: invocation.CallbackPending},
	}
	first, err := Body(inv)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type, Timestamp string
		Data            struct {
			ID, State string
			Result    invocation.Result
		}
	}
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "invocation.finished" || got.Timestamp != "1970-01-01T00:00:02Z" || got.Data.ID != inv.ID || got.Data.State != "succeeded" || got.Data.Result.Body != "ok" {
		t.Errorf("body = %s", first)
	}
	id := ID(inv)
	if id != inv.ID+"-2000" || strings.Contains(id, ".") {
		t.Errorf("ID = %q", id)
	}
	inv.Callback = &invocation.Callback{URL: "https://canary.example", Attempts: 3, Error: "no"}
	if again, err := Body(inv); err != nil || string(again) != string(first) || strings.Contains(string(first), "canary") {
		t.Errorf("body of a later request = %s, %v, want %s", again, err, first)
	}
	inv.FinishedAt = time.UnixMilli(2001)
	if ID(inv) == id {
		t.Error("another end has the same ID")
	}
}
