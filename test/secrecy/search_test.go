package secrecy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// forms are the ways in which a secret may stand somewhere: as it is, and as
// URLs, JSON, HTML and base64 have it. They are made here anew, so that a mistake of
// whoever hides secrets is not made by whoever looks for them as well.
func forms(canary string) [][]byte {
	quoted, err := json.Marshal(canary)
	if err != nil {
		panic(err) // of a string
	}
	texts := []string{canary, url.QueryEscape(canary), url.PathEscape(canary), strings.Trim(string(quoted), `"`), html.EscapeString(canary)}
	// Of base64, what does not depend on what stands beside it.
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte("xxx"[:shift] + canary + "yyy"[:(6-shift-len(canary)%3)%3]))
		core := whole[4*min(shift, 1) : len(whole)-4]
		texts = append(texts, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
	}
	var out [][]byte
	for _, text := range texts {
		out = append(out, []byte(text))
	}
	return out
}

// found is the surroundings of the first form of a secret that stands somewhere;
// "" if none does.
func found(in []byte, canary string) string {
	for _, form := range forms(canary) {
		if at := bytes.Index(in, form); at >= 0 {
			return fmt.Sprintf("…%q…", in[max(0, at-60):min(len(in), at+len(form)+20)])
		}
	}
	return ""
}

// places are all that was written, by where.
type places map[string][]byte

// allowed is where a secret may stand, and why. place is the beginning of the
// names of places.
type allowed struct{ secret, place, why string }

// check looks for each secret in each place. What is found without being allowed
// is a leak; what is allowed and is not found is a mistake of the list, or of the
// search.
func check(t *testing.T, all places, secrets map[string]string, list []allowed) {
	t.Helper()
	seen := map[allowed]bool{}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		for _, place := range slices.Sorted(maps.Keys(all)) {
			near := found(all[place], secrets[name])
			if near == "" {
				continue
			}
			i := slices.IndexFunc(list, func(a allowed) bool { return a.secret == name && strings.HasPrefix(place, a.place) })
			if i < 0 {
				t.Errorf("%s stands in %s: %s", name, place, near)
				continue
			}
			seen[list[i]] = true
		}
	}
	for _, a := range list {
		if !seen[a] {
			t.Errorf("%s is allowed in %s (%s), and is not there: the list is out of date, or the search finds nothing", a.secret, a.place, a.why)
		}
	}
}

// The search finds what it is to find.
func TestFound(t *testing.T) {
	t.Parallel()
	const canary = "canary-«4711»/+&?=abc"
	quoted, err := json.Marshal(map[string]string{"k": canary})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{canary, string(quoted), url.QueryEscape(canary), url.PathEscape(canary), html.EscapeString(canary)}
	for before := range 5 {
		for after := range 4 {
			plain := []byte(strings.Repeat("<", before) + canary + strings.Repeat(">", after))
			texts = append(texts, base64.StdEncoding.EncodeToString(plain), base64.URLEncoding.EncodeToString(plain), base64.RawStdEncoding.EncodeToString(plain))
		}
	}
	for _, text := range texts {
		if found([]byte("before "+text+" behind"), canary) == "" {
			t.Errorf("%q is not found", text)
		}
	}
	if near := found([]byte("canary-4711 and so on"), canary); near != "" {
		t.Errorf("found %s", near)
	}
}
