package callback

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Setting is the name of the environment variable that services take secrets from.
const Setting = "NIGHTSHIFT_CALLBACK_SECRET"

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, as Standard Webhooks has it
	maxSecret    = 64
)

// NewSecret makes a secret of 32 bytes.
func NewSecret() (secret.Text, error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fault.Wrap(err, fault.Internal, "making a secret for callbacks")
	}
	return secret.Text(secretPrefix + base64.StdEncoding.EncodeToString(raw)), nil
}

// Signer signs callbacks. It is safe for concurrent use. The nil Signer has no secret.
type Signer struct{ secrets []*standardwebhooks.Webhook }

// NewSigner reads secrets: whsec_ and base64 of 24 to 64 random bytes each,
// separated by commas. Every callback is signed with all of them, and a receiver
// accepts one that it knows, so a secret is replaced without a gap: add the new
// one, tell the receivers, take the old one out. No text at all is the nil
// Signer. Errors are fault.Invalid, say which of the secrets is wrong, and never
// repeat it.
func NewSigner(text secret.Text) (*Signer, error) {
	if strings.TrimSpace(string(text)) == "" {
		return nil, nil
	}
	s := &Signer{}
	for i, part := range strings.Split(string(text), ",") {
		encoded, ok := strings.CutPrefix(strings.TrimSpace(part), secretPrefix)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(raw) < minSecret || len(raw) > maxSecret {
			return nil, fault.New(fault.Invalid, "secret %d of %s is not whsec_ and base64 of %d to %d bytes (secrets separated by commas); make one with: echo whsec_$(openssl rand -base64 32)", i+1, Setting, minSecret, maxSecret)
		}
		webhook, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			return nil, fault.New(fault.Invalid, "secret %d of %s cannot be used", i+1, Setting)
		}
		s.secrets = append(s.secrets, webhook)
	}
	return s, nil
}

// Sign sets the headers of Standard Webhooks for a request with this body, made
// at that time: webhook-id, webhook-timestamp and webhook-signature.
func (s *Signer) Sign(header http.Header, id string, at time.Time, body []byte) error {
	if s == nil {
		return fault.New(fault.Conflict, "callbacks are signed, and %s is not set here; make one with: echo whsec_$(openssl rand -base64 32)", Setting)
	}
	signatures := make([]string, 0, len(s.secrets))
	for _, webhook := range s.secrets {
		signature, err := webhook.Sign(id, at, body)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "signing a callback")
		}
		signatures = append(signatures, signature)
	}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

// Format keeps secrets out of whatever prints a Signer.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue keeps secrets out of logs.
func (s *Signer) LogValue() slog.Value { return slog.StringValue("[redacted]") }
