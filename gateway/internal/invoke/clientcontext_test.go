package invoke

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestClientContext(t *testing.T) {
	t.Parallel()
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	for _, tc := range []struct{ name, authorization, user string }{
		{"as recorded", "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjMiLCJlbWFpbCI6ImFAYi5jIn0.x", `{"sub":"123","email":"a@b.c"}`},
		{"spaces and other letters", "Bearer " + token(`{ "name": "Zoë 🌙" }`), `{"name":"Zo\u00eb \ud83c\udf19"}`},
		{"padded", "Bearer e30.e30=.x", `{}`},
		{"without a signature", "Bearer e30.e30", `{}`},
		{"none", "", ""},
		{"another scheme", "Basic e30.e30.x", ""},
		{"no JWT", "Bearer opaque", ""},
		{"claims that are no JSON", "Bearer " + token("claims"), ""},
		{"claims that are no text", "Bearer " + token("\"\xff\""), ""},
		{"claims that are not base64", "Bearer e30.***.x", ""},
		{"two tokens", "Bearer e30.e30.x e30.e30.x", ""},
		{"larger than any token is", "Bearer " + token(`"`+strings.Repeat("x", maxToken)+`"`), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			raw, err := base64.StdEncoding.DecodeString(clientContext(tc.authorization))
			if err != nil {
				t.Fatal(err)
			}
			if tc.user == "" {
				if len(raw) > 0 {
					t.Errorf("clientContext(%q) = %s, want none", tc.authorization, raw)
				}
				return
			}
			var got struct {
				Identity, User json.RawMessage
				Custom         struct{ Netlify []byte }
			}
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatalf("clientContext(%q): %v in %s", tc.authorization, err, raw)
			}
			if string(got.User) != tc.user || string(got.Identity) != emulatedIdentity {
				t.Errorf("user %s, identity %s, want %s and %s", got.User, got.Identity, tc.user, emulatedIdentity)
			}
			if want := `{"identity":` + emulatedIdentity + `,"user":` + tc.user + `}`; string(got.Custom.Netlify) != want {
				t.Errorf("custom.netlify = %s, want %s", got.Custom.Netlify, want)
			}
		})
	}
}
