package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

func generate(t *testing.T) string {
	t.Helper()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return string(key)
}

func parse(t *testing.T, text string) *secret.Box {
	t.Helper()
	box, err := secret.Parse(secret.Text(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return box
}

func seal(t *testing.T, box *secret.Box, plain string) []byte {
	t.Helper()
	sealed, err := box.Seal([]byte(plain))
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return sealed
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	old, fresh, other := generate(t), generate(t), generate(t)
	for name, tt := range map[string]struct {
		seals, opens string
		ok           bool
	}{
		"the same key":          {old, old, true},
		"rotated":               {old, fresh + ", " + old, true},
		"the first of two":      {fresh + "," + old, fresh, true},
		"not the second of two": {fresh + "," + old, old, false},
		"another key":           {old, other, false},
		"no key":                {old, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, plain := range []string{"", "canary", strings.Repeat("long ", 50_000)} {
				sealed := seal(t, parse(t, tt.seals), plain)
				if plain != "" && bytes.Contains(sealed, []byte(plain)) {
					t.Fatalf("Seal(%.20q) has the plain text", plain)
				}
				got, err := parse(t, tt.opens).Open(sealed)
				switch {
				case tt.ok && (err != nil || string(got) != plain):
					t.Errorf("Open = %.20q, %v; want %.20q", got, err, plain)
				case !tt.ok && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), secret.Setting)):
					t.Errorf("Open = %.20q, %v; want a conflict about %s", got, err, secret.Setting)
				}
			}
		})
	}
}

func TestSealedBytesAreUniqueAndWhole(t *testing.T) {
	t.Parallel()
	box := parse(t, generate(t))
	one, two := seal(t, box, "same"), seal(t, box, "same")
	if bytes.Equal(one, two) {
		t.Error("sealing twice gave the same bytes")
	}
	for i := range one {
		changed := bytes.Clone(one)
		changed[i] ^= 1
		if got, err := box.Open(changed); err == nil {
			t.Errorf("Open with another byte %d = %q, want an error", i, got)
		}
	}
	for n := range len(one) {
		if got, err := box.Open(one[:n]); err == nil {
			t.Errorf("Open of the first %d bytes = %q, want an error", n, got)
		}
	}
}

func TestWithoutAKeyNothingIsSealed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", "\n"} {
		box := parse(t, text)
		if box != nil {
			t.Fatalf("Parse(%q) = a box, want nil", text)
		}
		_, err := box.Seal([]byte("canary"))
		if message, _ := fault.Public(err); !fault.Is(err, fault.Conflict) || !strings.Contains(message, "NIGHTSHIFT_SECRET_KEY is not set on the gateway; make one with: nightshift secret-key") {
			t.Errorf("Seal without a key = %v, want a conflict with what to do", err)
		}
	}
}

func TestParseErrorsKeepTheKey(t *testing.T) {
	t.Parallel()
	good := generate(t)
	for name, text := range map[string]string{
		"no identity":     "canary",
		"lower case":      strings.ToLower(good[:20]) + good[20:],
		"one letter less": good[:len(good)-1],
		"other letter":    good[:30] + "b" + good[31:],
		"second":          good + ",canary",
		"comma at end":    good + ",",
		"a public key":    "age1canaryqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := secret.Parse(secret.Text(text))
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("Parse = %v, want invalid", err)
			}
			if said := err.Error(); strings.Contains(said, "canary") || strings.Contains(said, good[15:25]) || errors.Unwrap(err) != nil {
				t.Errorf("the error repeats the key: %s", said)
			}
		})
	}
}

func TestNothingPrintsAValue(t *testing.T) {
	t.Parallel()
	type holder struct {
		Name  string
		Value secret.Text
		Inner []secret.Text
	}
	const canary = "canary-4711"
	key := generate(t)
	box := parse(t, key)
	h := holder{"n", canary, []secret.Text{canary}}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&printed, verb+" "+verb+" "+verb+" "+verb+" "+verb+"\n", secret.Text(canary), h, &h, box, []any{h, box, *box})
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("m", "text", secret.Text(canary), "box", box)
	}
	slog.New(slog.NewTextHandler(&printed, nil)).Info("m", "holder", h)
	for _, hidden := range []string{canary, key[20:40], fmt.Sprintf("%x", canary)} {
		if strings.Contains(printed.String(), hidden) {
			t.Errorf("%s was printed:\n%s", hidden, printed.String())
		}
	}
	if data, err := json.Marshal(h); err != nil || strings.Count(string(data), canary) != 2 {
		t.Errorf("json.Marshal = %s, %v; want the value, which is sent that way", data, err)
	}
}

// A key has a name that says nothing of it, and what was sealed knows it.
func TestKeys(t *testing.T) {
	t.Parallel()
	old, fresh := generate(t), generate(t)
	both, alone := parse(t, fresh+","+old), parse(t, old)
	keys := both.Keys()
	if len(keys) != 2 || keys[0] == keys[1] || keys[1] != alone.Keys()[0] || len(keys[0]) != 12 {
		t.Fatalf("Keys = %q; want two, the second as it is alone: %q", keys, alone.Keys())
	}
	for _, id := range keys {
		if strings.Contains(strings.ToLower(old+fresh), id) {
			t.Errorf("the name %s is part of a key", id)
		}
	}
	for want, sealed := range map[string][]byte{keys[0]: seal(t, both, "x"), keys[1]: seal(t, alone, "x")} {
		if got, err := both.SealedWith(sealed); got != want || err != nil {
			t.Errorf("SealedWith = %q, %v; want %q", got, err, want)
		}
	}
	var none *secret.Box
	if none.Keys() != nil {
		t.Error("no box has keys")
	}
	for name, box := range map[string]*secret.Box{"another key": alone, "no key": none} {
		if got, err := box.SealedWith(seal(t, both, "x")); got != "" || !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: SealedWith = %q, %v; want a conflict", name, got, err)
		}
	}
}
