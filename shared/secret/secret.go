// Package secret seals what must not be readable where it is kept.
//
// A [Box] holds the installation's keys, age identities (X25519). The first one
// seals, all of them open, so a key is replaced without a moment in which
// something cannot be opened: put the new one in front, restart the services,
// seal anew what there is, and leave the old one out once nothing is sealed for
// it any more, which [Box.SealedWith] tells.
//
// A [Text] is a value on its way: it does not show itself to whoever prints or
// logs it by mistake.
package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age" // a small format with one authenticated way to seal, by people whose trade this is
	"github.com/nightshift/nightshift/shared/fault"
)

// Setting is the name of the environment variable that services take keys from.
const Setting = "NIGHTSHIFT_SECRET_KEY"

// Box seals and opens. It is safe for concurrent use. The nil Box has no key:
// it opens nothing and seals nothing.
type Box struct {
	identities []age.Identity
	ids        []string // of the identities
	recipient  age.Recipient
}

// Parse reads keys as [Generate] makes them, separated by commas. No text at
// all is the nil Box. Errors are fault.Invalid, say which of the keys is wrong,
// and never repeat it.
func Parse(text Text) (*Box, error) {
	if strings.TrimSpace(string(text)) == "" {
		return nil, nil
	}
	box := &Box{}
	for i, key := range strings.Split(string(text), ",") {
		// Its error may quote the key.
		identity, err := age.ParseX25519Identity(strings.TrimSpace(key))
		if err != nil {
			return nil, fault.New(fault.Invalid, "key %d of %s is not an age identity (AGE-SECRET-KEY-1…, in capitals, keys separated by commas); make one with: nightshift secret-key", i+1, Setting)
		}
		if i == 0 {
			box.recipient = identity.Recipient()
		}
		box.identities = append(box.identities, identity)
		box.ids = append(box.ids, idOf(identity.Recipient()))
	}
	return box, nil
}

// idOf names a key without telling anything of it: the beginning of the SHA-256
// of its public half. That half itself is not shown, because who has it can seal.
func idOf(recipient *age.X25519Recipient) string {
	sum := sha256.Sum256([]byte(recipient.String()))
	return hex.EncodeToString(sum[:6])
}

// Keys names the keys, the one that seals first. It may be shown.
func (b *Box) Keys() []string {
	if b == nil {
		return nil
	}
	return slices.Clone(b.ids)
}

// SealedWith names the key that something was sealed with; fault.Conflict if it
// is none of these. It opens the key of the sealed bytes only, so it does not
// tell whether they are whole.
func (b *Box) SealedWith(sealed []byte) (key string, err error) {
	if b == nil {
		_, err := b.Open(sealed)
		return "", err
	}
	for i, identity := range b.identities {
		if _, err = age.Decrypt(bytes.NewReader(sealed), identity); err == nil {
			return b.ids[i], nil
		}
	}
	return "", unopened(err)
}

// Generate makes a new key.
func Generate() (Text, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "making a key")
	}
	return Text(identity.String()), nil
}

// Seal makes what only a Box with the same key opens. Sealing the same twice
// gives different bytes. Without a key: fault.Conflict.
func (b *Box) Seal(plain []byte) ([]byte, error) {
	if b == nil {
		return nil, fault.New(fault.Conflict, "environment variables are kept encrypted, and %s is not set on the gateway; make one with: nightshift secret-key", Setting)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, b.recipient)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "sealing a secret")
	}
	return sealed.Bytes(), nil
}

// Open opens what was sealed with one of the keys. Without the right one, and
// if a single bit is another: fault.Conflict.
func (b *Box) Open(sealed []byte) ([]byte, error) {
	if b == nil {
		return nil, fault.New(fault.Conflict, "environment variables cannot be read, because %s is not set here; set it as it was when they were stored", Setting)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), b.identities...)
	if err != nil {
		return nil, unopened(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, unopened(err)
	}
	return plain, nil
}

func unopened(err error) error {
	return fault.Wrap(err, fault.Conflict, "environment variables cannot be read: they were sealed with a key that is not in %s here, or were changed since; add the key that they were stored with, behind the first one", Setting)
}

// Format keeps keys out of whatever prints a Box.
func (b *Box) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps keys out of logs.
func (b *Box) LogValue() slog.Value { return slog.StringValue(redacted) }

// redacted stands for what is not shown.
const redacted = "[redacted]"

// Text is text that is not printed: every verb of fmt, and slog, show
// "[redacted]" for it. string(t) has the text, and JSON too, since it is made
// to be sent and stored; what is logged as JSON therefore redacts itself above
// (LogValue), as the structs with values in them do.
type Text string

// String is what is shown instead.
func (t Text) String() string { return redacted }

// GoString is what is shown instead.
func (t Text) GoString() string { return redacted }

// Format is what is shown instead, whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is what is logged instead.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }
