package environ_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/environ"
)

func TestConfidential(t *testing.T) {
	t.Parallel()
	values := environ.Values{
		"MARKED": "12", "API_URL": "https://api.example.com", "STRIPE_KEY": "sk_live_4711", "TOKEN_TTL": "3600", "PASSWORD_RESET": "true",
		"DATABASE_URL": "postgres://shop:hunter2@db/shop", "NEXT_PUBLIC_STRIPE_KEY": "pk_live_4711", "LOG_LEVEL": "debug", "PORT": "8080",
	}
	for name, tt := range map[string]struct {
		secrets []string
		want    string
	}{
		"marked ones are known": {[]string{"MARKED"}, "DATABASE_URL MARKED STRIPE_KEY"},
		"none is marked":        {[]string{}, "DATABASE_URL STRIPE_KEY"},
		// All but numbers and the like, so not MARKED.
		"of before the list was": {nil, "API_URL DATABASE_URL LOG_LEVEL NEXT_PUBLIC_STRIPE_KEY STRIPE_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := environ.Frozen{Values: values, Secrets: tt.secrets}.Confidential()
			want := strings.Fields(tt.want)
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
				t.Errorf("Confidential = %v, want %v", names, want)
			}
			for name, value := range got {
				if value != values[name] {
					t.Errorf("%s has another value", name)
				}
			}
		})
	}
}

// A worker tells a deploy without secrets from one that nobody asked.
func TestFrozenOfBefore(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{`{"site":"s","values":{"A":"some value"}}`: true, `{"site":"s","values":{"A":"some value"},"secrets":[]}`: false} {
		var f environ.Frozen
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		if _, got := f.Confidential()["A"]; got != want {
			t.Errorf("%s: A is confidential: %v, want %v", text, got, want)
		}
	}
	again, err := json.Marshal(environ.Frozen{Site: "s", Secrets: []string{}})
	if err != nil || !strings.Contains(string(again), `"secrets":[]`) {
		t.Errorf("frozen as %s, %v; want an empty list", again, err)
	}
}

func TestSaysSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"STRIPE_KEY": true, "stripeKey": true, "KEYS": true, "PGPASSWORD": true, "DB_PASS": true, "SENTRY_DSN": true, "SLACK_WEBHOOK_URL": true,
		"AWS_SECRET_ACCESS_KEY": true, "GH_TOKEN_2": true, "JWT_SALT": true, "SMTP_CREDENTIALS": true,
		"KEYCLOAK_REALM": false, "MONKEY": false, "COMPASS": false, "API_URL": false, "NEXT_PUBLIC_API_KEY": false, "CLERK_PUBLISHABLE_KEY": false, "PATH_PREFIX": false,
	} {
		if got := environ.SaysSecret(name); got != want {
			t.Errorf("SaysSecret(%s) = %v, want %v", name, got, want)
		}
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"postgres://shop:hunter2@db:5432/shop": "hunter2", "redis://:hunter2@cache": "hunter2", "mongodb+srv://a:b%40c@d/e?f=g": "b%40c",
		"https://example.com:8080/a:b@c": "", "https://user@example.com": "", "user:pass@host": "", "": "", "://a:b@c": "", "see https://a:b@c": "",
	} {
		if got := environ.Password(value); got != want {
			t.Errorf("Password(%q) = %q, want %q", value, got, want)
		}
	}
}
