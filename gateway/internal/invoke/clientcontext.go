package invoke

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxToken bounds a token that is looked into, in bytes. What is made of it
// travels in a header and is five times as long.
const maxToken = 8 << 10

// emulatedIdentity is what Netlify's local server says about the identity
// service; functions that are tested locally know it.
const emulatedIdentity = `{"url":"https://netlify-dev-locally-emulated-identity.netlify.app/.netlify/identity",` +
	`"token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzb3VyY2UiOiJuZXRsaWZ5IGRldiIsInRlc3REYXRhIjoiTkVUTElGWV9ERVZfTE9DQUxMWV9FTVVMQVRFRF9JREVOVElUWSJ9.2eSDqUOZAOBsx39FHFePjYj12k0LrxldvGnlvDu3GMI"}`

// clientContext makes context.clientContext of a bearer token, as base64 of
// JSON: {identity, user, custom: {netlify}}. user are the claims as they stand
// in the token. Nobody checks its signature, so this is for a developer's own
// machine. It is empty for what is not a JWT, which is then none of our business.
func clientContext(authorization string) string {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || len(token) > maxToken || strings.Contains(token, " ") {
		return ""
	}
	claims, ok := claimsOf(token)
	if !ok {
		return ""
	}
	both := `"identity":` + emulatedIdentity + `,"user":` + claims
	legacy := base64.StdEncoding.EncodeToString([]byte("{" + both + "}"))
	return base64.StdEncoding.EncodeToString([]byte("{" + both + `,"custom":{"netlify":"` + legacy + `"}}`))
}

// claimsOf reads the claims of a JWT, as JSON in ASCII: a header carries them
// to the function's process.
func claimsOf(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || !utf8.Valid(raw) {
		return "", false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return "", false
	}
	var ascii strings.Builder
	for _, r := range compact.String() {
		if r < utf8.RuneSelf {
			ascii.WriteByte(byte(r))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			const hex = "0123456789abcdef"
			ascii.Write([]byte{'\\', 'u', hex[unit>>12], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15]})
		}
	}
	return ascii.String(), true
}
