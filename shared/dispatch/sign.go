package dispatch

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/secret"
)

// HeaderSignature proves that a call comes from a gateway of this installation.
//
//	v1 KEY TIME EVENT MAC
//
// KEY is the ID of the key, TIME is when the call was signed, in ms by the
// clock of Redis, EVENT is the SHA-256 of the body, and MAC the HMAC-SHA256 of
// those, of method and path, and of all headers in [signed]. EVENT and MAC are
// base64 for URLs, without padding.
const HeaderSignature = "Nightshift-Signature"

// version stands first in a signature, and in what is signed.
const version = "v1"

// Window is how far the time of a signature may be from that of the worker, in
// both directions.
const Window = 30 * time.Second

// maxSignature bounds the header, in bytes: some 130 are used.
const maxSignature = 256

// signed are the headers that a signature covers, those that are not there, too.
var signed = []string{
	HeaderWorker, HeaderInvocation, HeaderSite, HeaderDeploy, HeaderFunction, HeaderClientContext,
	"Traceparent", "Tracestate",
}

// Key is what gateways sign with, and workers verify with.
type Key struct {
	ID     string
	Secret secret.Text
	MadeAt time.Time
}

// Signature is what HeaderSignature says. Who reads one knows nothing yet: see
// [Signature.Verify].
type Signature struct {
	Key   string // its ID
	At    time.Time
	Event [sha256.Size]byte

	head string // version, key, time and event, as they stand in the header
	mac  [sha256.Size]byte
}

// Sign signs a call whose other headers are all set. at is the clock of Redis.
func (k Key) Sign(r *http.Request, at time.Time, event []byte) {
	sum := sha256.Sum256(event)
	text := make([]byte, 0, maxSignature)
	text = append(text, version+" "...)
	text = append(text, k.ID...)
	text = append(text, ' ')
	text = strconv.AppendInt(text, at.UnixMilli(), 10)
	text = append(text, ' ')
	text = base64.RawURLEncoding.AppendEncode(text, sum[:])
	mac := k.mac(r, text)
	text = append(text, ' ')
	text = base64.RawURLEncoding.AppendEncode(text, mac[:])
	r.Header.Set(HeaderSignature, string(text))
}

// ReadSignature reads the signature of a call. ok is false if there is none at
// all; an error says that what is there is none.
func ReadSignature(h http.Header) (s Signature, ok bool, err error) {
	values := h[HeaderSignature]
	switch {
	case len(values) == 0:
		return Signature{}, false, nil
	case len(values) > 1:
		return Signature{}, true, fmt.Errorf("%d signatures", len(values))
	case len(values[0]) > maxSignature:
		return Signature{}, true, fmt.Errorf("a signature of %d bytes", len(values[0]))
	}
	parts := strings.Split(values[0], " ")
	if len(parts) != 5 || parts[0] != version || parts[1] == "" {
		return Signature{}, true, fmt.Errorf("not of the form %q", version+" KEY TIME EVENT MAC")
	}
	ms, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || ms < 0 {
		return Signature{}, true, fmt.Errorf("%q is no time", parts[2])
	}
	s = Signature{Key: parts[1], At: time.UnixMilli(ms), head: values[0][:len(values[0])-len(parts[4])-1]}
	if err := decode(s.Event[:], parts[3]); err != nil {
		return Signature{}, true, fmt.Errorf("the digest of the event: %w", err)
	}
	if err := decode(s.mac[:], parts[4]); err != nil {
		return Signature{}, true, fmt.Errorf("the MAC: %w", err)
	}
	return s, true, nil
}

// decode reads exactly as many bytes as fit, spelled in the one way that they have.
func decode(into []byte, text string) error {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(into)) {
		return fmt.Errorf("%d characters", len(text))
	}
	_, err := base64.RawURLEncoding.Strict().Decode(into, []byte(text))
	return err
}

// Verify reports whether the key's owner signed this very request. That it is
// meant for this worker, is of now, has not come before, and that its body is
// Event, is for the caller to see to.
func (s Signature) Verify(k Key, r *http.Request) bool {
	mac := k.mac(r, []byte(s.head))
	return s.Key == k.ID && hmac.Equal(mac[:], s.mac[:])
}

// Fresh reports whether the signature was made within [Window] of now.
func (s Signature) Fresh(now time.Time) bool { return now.Sub(s.At).Abs() <= Window }

// Nonce names the signature: two calls that are not the same have two.
func (s Signature) Nonce() [16]byte { return [16]byte(s.mac[:16]) }

// mac covers a request and the head of its signature. Each part has its length
// in front, and each header the number of its values, so that no two requests
// are the same text.
func (k Key) mac(r *http.Request, head []byte) (sum [sha256.Size]byte) {
	text := make([]byte, 0, 1024)
	text = appendPart(text, "nightshift dispatch "+version)
	text = appendPart(text, head)
	text = appendPart(text, r.Method)
	text = appendPart(text, r.URL.RequestURI())
	for _, name := range signed {
		values := r.Header[name]
		text = binary.BigEndian.AppendUint32(text, uint32(len(values)))
		for _, value := range values {
			text = appendPart(text, value)
		}
	}
	mac := hmac.New(sha256.New, []byte(k.Secret))
	mac.Write(text)
	mac.Sum(sum[:0])
	return sum
}

func appendPart[T string | []byte](text []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint32(text, uint32(len(part))), part...)
}
