package environ

import (
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Frozen is the environment of a deploy as the gateway seals it, as JSON, and
// workers open it.
type Frozen struct {
	Site   string `json:"site"` // what is sealed for one site is of no use to another
	Values Values `json:"values"`
	// Secrets names the variables that somebody made a secret. nil: nobody knows,
	// because the deploy is older than the list.
	Secrets []string `json:"secrets"`
}

// LogValue keeps values out of logs, JSON ones included.
func (f Frozen) LogValue() slog.Value { return f.Values.LogValue() }

// Confidential are the variables whose values must not be read in a log:
//
//   - those that somebody made a secret,
//   - those whose names say so ([SaysSecret]), since most people who have a
//     STRIPE_KEY never say that it is one,
//   - those that are URLs with a password in them,
//   - and where the deploy does not say which are secret, all of them: a name in
//     place of a harmless value costs little.
//
// Of those that nobody made a secret, numbers, durations and truth values are
// left out: TOKEN_TTL=3600 would take many a harmless number with it.
func (f Frozen) Confidential() Values {
	out := Values{}
	for key, value := range f.Values {
		marked := slices.Contains(f.Secrets, key)
		guessed := f.Secrets == nil || SaysSecret(key) || Password(string(value)) != ""
		if marked || guessed && !trivial(string(value)) {
			out[key] = value
		}
	}
	return out
}

// Names tell of a secret by a long word anywhere (PGPASSWORD has one), or by a
// short one that stands alone between underscores.
var (
	longWords  = []string{"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "PRIVATE"}
	shortWords = []string{"KEY", "KEYS", "PASS", "PWD", "CREDS", "DSN", "JWT", "SALT", "PAT", "WEBHOOK"}
)

// SaysSecret reports whether the name of a variable says that its value is a
// secret, and does not say that it is public.
func SaysSecret(key string) bool {
	words := strings.Split(strings.ToUpper(camelCase.ReplaceAllString(key, "${1}_${2}")), "_")
	says := func(word string) bool {
		return slices.Contains(shortWords, word) || slices.ContainsFunc(longWords, func(long string) bool { return strings.Contains(word, long) })
	}
	public := func(word string) bool { return word == "PUBLIC" || word == "PUBLISHABLE" }
	return slices.ContainsFunc(words, says) && !slices.ContainsFunc(words, public)
}

var camelCase = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// Password is the password of a value that is a URL with one, as it stands
// there; "" otherwise.
func Password(value string) string {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, " \t\n") {
		return ""
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return ""
	}
	_, password, _ := strings.Cut(rest[:at], ":")
	return password
}

// trivial reports whether a value is a number, a duration or a truth value.
func trivial(value string) bool {
	value = strings.ToLower(strings.TrimSpace(value))
	if _, err := strconv.ParseFloat(value, 64); err == nil && len(value) < 12 {
		return true
	}
	if _, err := time.ParseDuration(value); err == nil {
		return true
	}
	return slices.Contains([]string{"", "true", "false", "yes", "no", "on", "off", "none", "null", "undefined", "enabled", "disabled"}, value)
}
