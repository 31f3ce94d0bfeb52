package secret_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

// FuzzOpen: nothing but what was sealed with the key opens, not even that with a
// bit changed, and keys that cannot be read are not repeated.
func FuzzOpen(f *testing.F) {
	key, err := secret.Generate()
	if err != nil {
		f.Fatal(err)
	}
	box, err := secret.Parse(key)
	if err != nil {
		f.Fatal(err)
	}
	plain := []byte("plain canary")
	sealed, err := box.Seal(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:len(sealed)/2], uint16(0), byte(1), "AGE-SECRET-KEY-1CANARYCANARY")
	f.Add(sealed, uint16(len(sealed)-1), byte(1), string(key[:20])+",")
	f.Add([]byte("age-encryption.org/v1\n-> X25519 a\nb\n--- c\n"), uint16(3), byte(0x80), ",,")
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte, keys string) {
		if got, err := box.Open(data); err == nil && !bytes.Equal(got, plain) || err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("Open(%x) = %q, %v", data, got, err)
		}
		if flip != 0 {
			changed := bytes.Clone(sealed)
			changed[int(at)%len(changed)] ^= flip
			if got, err := box.Open(changed); !fault.Is(err, fault.Conflict) {
				t.Errorf("changed at %d by %x it opens as %q, %v", int(at)%len(changed), flip, got, err)
			}
		}
		if _, err := secret.Parse(secret.Text(keys)); err != nil {
			message, _ := fault.Public(err)
			for _, part := range strings.Split(keys, ",") {
				if part = strings.TrimSpace(part); len(part) > 20 && strings.Contains(message, part) {
					t.Errorf("the error repeats the key %q", part)
				}
			}
		}
	})
}
