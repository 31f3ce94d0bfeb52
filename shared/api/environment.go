package api

import (
	"log/slog"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/secret"
)

// Account is the one account of an installation, by ID and by slug: Netlify's
// API has environment variables below accounts.
const Account = "nightshift"

// Variable is an environment variable of a site, as Netlify's API has it:
// GET, POST /api/v1/accounts/{account}/env?site_id={site}, and GET, PUT and
// DELETE …/env/{key}?site_id={site}.
type Variable struct {
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
	// Values of a secret are masked, but for those of local development. A mask
	// that is sent back leaves the value as it is.
	Values   []VariableValue `json:"values"`
	IsSecret bool            `json:"is_secret"`
}

// VariableValue is the value of a variable in a context.
type VariableValue struct {
	ID      string `json:"id,omitempty"`
	Context string `json:"context"`
	// ContextParameter is the name of the branch if Context is "branch".
	ContextParameter string      `json:"context_parameter,omitempty"`
	Value            secret.Text `json:"value"`
}

// SetVariableValue is the body of PATCH …/env/{key}?site_id={site}.
type SetVariableValue struct {
	VariableValue
	// IsSecret makes the variable a secret at the same time. Netlify's API has
	// this only for whole variables.
	IsSecret bool `json:"is_secret,omitempty"`
}

// EnvironmentVariable is a variable of one deploy, as Netlify's API has it in
// the description of a deploy. It wins over the site's of the same name.
type EnvironmentVariable struct {
	Key    string      `json:"key"`
	Value  secret.Text `json:"value"`
	Secret bool        `json:"is_secret,omitempty"`
	Scopes []string    `json:"scopes,omitempty"` // empty: all
}

// SecretKeys is what the keys that seal environment variables are used for: the
// answer of GET /api/v1/secrets/keys, and of POST /api/v1/secrets/reseal.
type SecretKeys struct {
	// Keys are those of the gateway that answers, in the order in which it has them.
	Keys []SecretKey `json:"keys"`
	// Unreadable is what none of them opens.
	Unreadable Sealed `json:"unreadable"`
	// Resealed is what the call has sealed anew, with the first key.
	Resealed Sealed `json:"resealed"`
	// Done says that all but the first key can be left out.
	Done bool `json:"done"`
}

// SecretKey is a key, by a name that tells nothing of it.
type SecretKey struct {
	ID     string `json:"id"`
	Seals  bool   `json:"seals"` // the others only open
	Sealed Sealed `json:"sealed"`
}

// Sealed is how much is sealed: variables of sites, and environments of deploys.
type Sealed struct {
	Variables int `json:"variables"`
	Deploys   int `json:"deploys"`
}

// LogValue keeps values out of logs, JSON ones included.
func (v Variable) LogValue() slog.Value { return slog.StringValue(v.Key) }

// LogValue keeps values out of logs, JSON ones included.
func (v VariableValue) LogValue() slog.Value { return slog.StringValue(v.Context) }

// LogValue keeps values out of logs, JSON ones included.
func (v EnvironmentVariable) LogValue() slog.Value { return slog.StringValue(v.Key) }

// FromVariable translates a variable, masked.
func FromVariable(v environ.Variable) Variable {
	v = v.Masked()
	out := Variable{Key: v.Key, Scopes: v.Scopes, IsSecret: v.Secret, Values: make([]VariableValue, 0, len(v.Values))}
	for _, value := range v.Values {
		out.Values = append(out.Values, VariableValue{ID: value.ID(), Context: value.Context, ContextParameter: value.Parameter, Value: value.Value})
	}
	return out
}

// Domain translates a variable, which nobody has checked yet.
func (v Variable) Domain() environ.Variable {
	out := environ.Variable{Key: v.Key, Scopes: v.Scopes, Secret: v.IsSecret, Values: make([]environ.Value, 0, len(v.Values))}
	for _, value := range v.Values {
		out.Values = append(out.Values, value.Domain())
	}
	return out
}

// Domain translates a value, which nobody has checked yet.
func (v VariableValue) Domain() environ.Value {
	return environ.Value{Context: v.Context, Parameter: v.ContextParameter, Value: v.Value}
}

// Domain translates a deploy's variable, which nobody has checked yet.
func (v EnvironmentVariable) Domain() environ.Variable {
	return environ.Variable{
		Key: v.Key, Scopes: v.Scopes, Secret: v.Secret,
		Values: []environ.Value{{Context: environ.All, Value: v.Value}},
	}
}
