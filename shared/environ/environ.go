// Package environ describes the environment variables of a site: what they are
// called, which value they have for which deploys, and which of them functions
// get.
//
// A variable has one or more values, each for a context: production, deploy
// previews, branch deploys, one branch, local development, or all. A deploy
// gets of each variable the most exact value that there is for it: that of its
// branch, else that of its context, else that for all. The result is frozen
// into the deploy (see [Resolve]); what is changed afterwards is for deploys to
// come.
//
// The value of a secret is for functions only. Whoever reads the variable gets
// [Mask] for it, and whoever sends the mask back leaves the value as it is. Once
// a variable is secret it stays so until it is removed.
package environ

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

// Contexts that a value can be for, in Netlify's words.
const (
	All           = "all"
	Production    = "production"
	DeployPreview = "deploy-preview"
	BranchDeploy  = "branch-deploy"
	Dev           = "dev"        // local development
	DevServer     = "dev-server" // Netlify's preview servers; no deploy here has it
	Branch        = "branch"     // one branch, which the parameter names
)

var contexts = []string{All, Production, DeployPreview, BranchDeploy, Dev, DevServer, Branch}

// Scopes say where a variable is seen. Functions see those with Functions or
// Runtime; the others are kept for builds that ask for them.
const (
	Builds         = "builds"
	Functions      = "functions"
	Runtime        = "runtime"
	PostProcessing = "post_processing"
)

// Scopes lists all scopes.
func Scopes() []string { return []string{Builds, Functions, Runtime, PostProcessing} }

// Limits.
const (
	MaxVariables = 1000      // of a site
	MaxKey       = 255       // bytes
	MaxValues    = 100       // of a variable
	MaxValue     = 64 << 10  // bytes
	MaxTotal     = 256 << 10 // keys and values that one deploy gets; Linux gives a new process little more
)

// Mask stands for the value of a secret. No value can be the same.
const Mask = "****************"

// Variable is an environment variable of a site.
type Variable struct {
	Key    string   `json:"key"`
	Secret bool     `json:"secret,omitempty"`
	Scopes []string `json:"scopes"`
	// Values has one for each context at most, the most exact ones first. There
	// may be none for a moment, while a client changes them one by one.
	Values []Value `json:"values"`
}

// Value is what a variable is in a context.
type Value struct {
	Context string `json:"context"`
	// Parameter is the name of the branch if Context is Branch.
	Parameter string      `json:"parameter,omitempty"`
	Value     secret.Text `json:"value"`
}

// LogValue keeps values out of logs, JSON ones included.
func (v Variable) LogValue() slog.Value { return slog.StringValue(v.Key) }

// LogValue keeps values out of logs, JSON ones included.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.where()) }

// ID names a value within its variable. It follows from what the value is for,
// so that one that is set again keeps it.
func (v Value) ID() string {
	sum := sha256.Sum256([]byte(v.Context + "\x00" + fold(v.Parameter)))
	return hex.EncodeToString(sum[:12])
}

// fold makes names of branches comparable. Case does not count, because the
// netlify CLI makes all of them lower-case on the way.
func fold(branch string) string { return strings.ToLower(branch) }

// where words what a value is for.
func (v Value) where() string {
	if v.Context == Branch {
		return "branch " + v.Parameter
	}
	return v.Context
}

var validKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// readOnly are the names that cannot be set, with what sets them. Of those that
// Netlify keeps, AWS_REGION and the names of AWS credentials are not here: no
// part of Nightshift uses them, and functions that call AWS need them.
var readOnly = func() map[string]string {
	whys := map[string]string{}
	for _, group := range []struct{ names, why string }{
		{"SITE_ID SITE_NAME URL DEPLOY_ID DEPLOY_URL DEPLOY_PRIME_URL CONTEXT BRANCH", "every deploy gets it from Nightshift, with what is true of that deploy"},
		{"NIGHTSHIFT", "it tells functions that Nightshift runs them"},
		{"NETLIFY", "code takes it for a promise of Netlify's own services"},
		{"NETLIFY_IMAGES_CDN_DOMAIN BUILD_ID REPOSITORY_URL HEAD COMMIT_REF CACHED_COMMIT_REF PULL_REQUEST REVIEW_ID INCOMING_HOOK_TITLE INCOMING_HOOK_URL INCOMING_HOOK_BODY", "Netlify keeps the name for itself, so the site could not run there"},
		{"AWS_EXECUTION_ENV LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR _HANDLER", "the runtime sets it for each function"},
	} {
		for name := range strings.FieldsSeq(group.names) {
			whys[name] = group.why
		}
	}
	return whys
}()

// ReadOnly says why a variable cannot be set by this name, or "".
func ReadOnly(key string) string {
	key = strings.ToUpper(key)
	if strings.HasPrefix(key, "AWS_LAMBDA_") {
		return "the runtime sets it for each function"
	}
	return readOnly[key]
}

// CheckKey says what is wrong with the name of a variable, as fault.Invalid.
func CheckKey(key string) error {
	if why := ReadOnly(key); why != "" {
		return fault.New(fault.Invalid, "%s is read-only: %s; choose another name", key, why)
	}
	if len(key) > MaxKey || !validKey.MatchString(key) {
		return fault.New(fault.Invalid, "%.80q cannot name an environment variable: names begin with a letter, go on with letters, digits and underscores, and have %d characters at most", key, MaxKey)
	}
	return nil
}

// CheckValue says what is wrong with a value, as fault.Invalid. The value is
// not part of the error.
func CheckValue(key string, value secret.Text) error {
	switch {
	case len(value) > MaxValue:
		return fault.New(fault.Invalid, "the value of %s has %d bytes; %d are allowed: put what is longer into a file of the site, or a store", key, len(value), MaxValue)
	case !utf8.ValidString(string(value)):
		return fault.New(fault.Invalid, "the value of %s is not UTF-8; encode it, for example as base64", key)
	case strings.ContainsRune(string(value), 0):
		return fault.New(fault.Invalid, "the value of %s has a zero byte, which no environment can hold; encode it, for example as base64", key)
	case value == Mask:
		return fault.New(fault.Invalid, "the value given for %s is the mask that stands for a secret's value, not the value; it cannot be read back, so give it anew", key)
	}
	return nil
}

// normalize checks a variable, fills in all scopes if there is none, and puts
// everything in its order.
func (v *Variable) normalize() error {
	if err := CheckKey(v.Key); err != nil {
		return err
	}
	if len(v.Scopes) == 0 {
		v.Scopes = Scopes()
	}
	for i, scope := range v.Scopes {
		v.Scopes[i] = strings.ReplaceAll(scope, "-", "_") // as Netlify's API takes it
		if !slices.Contains(Scopes(), v.Scopes[i]) {
			return fault.New(fault.Invalid, "%s: %.40q is not a scope; scopes are %s", v.Key, scope, strings.Join(Scopes(), ", "))
		}
	}
	v.Scopes = slices.DeleteFunc(Scopes(), func(scope string) bool { return !slices.Contains(v.Scopes, scope) })
	if len(v.Values) > MaxValues {
		return fault.New(fault.Invalid, "%s has %d values; %d are allowed", v.Key, len(v.Values), MaxValues)
	}
	seen := map[string]bool{}
	for i := range v.Values {
		value := &v.Values[i]
		if value.Context == "" && value.Parameter == "" {
			value.Context = All
		}
		if err := value.check(v.Key); err != nil {
			return err
		}
		if seen[value.ID()] {
			return fault.New(fault.Invalid, "%s has two values for %s", v.Key, value.where())
		}
		seen[value.ID()] = true
	}
	// The netlify CLI takes the first that fits.
	slices.SortStableFunc(v.Values, func(a, b Value) int { return a.rank() - b.rank() })
	return nil
}

func (v *Value) check(key string) error {
	switch {
	case !slices.Contains(contexts, v.Context):
		return fault.New(fault.Invalid, "%s: %.80q is not a context; contexts are %s", key, v.Context, strings.Join(contexts, ", "))
	case v.Context == Branch && (v.Parameter == "" || len(v.Parameter) > 255 || !utf8.ValidString(v.Parameter)):
		return fault.New(fault.Invalid, "%s: a value for a branch needs its name, in context_parameter", key)
	case v.Context != Branch && v.Parameter != "":
		return fault.New(fault.Invalid, "%s: context_parameter is the name of a branch, and goes with the context %q only", key, Branch)
	}
	return CheckValue(key, v.Value)
}

// rank orders values, the most exact one first.
func (v *Value) rank() int {
	switch v.Context {
	case Branch:
		return 0
	case All:
		return 2
	default:
		return 1
	}
}

// New makes a variable, or says what is wrong with it, as fault.Invalid.
func New(v Variable) (Variable, error) {
	v = v.clone()
	if err := v.normalize(); err != nil {
		return Variable{}, err
	}
	if len(v.Values) == 0 {
		return Variable{}, fault.New(fault.Invalid, "%s has no value", v.Key)
	}
	return v, nil
}

func (v Variable) clone() Variable {
	v.Scopes, v.Values = slices.Clone(v.Scopes), slices.Clone(v.Values)
	return v
}

// Replace makes the variable what another one of the same key says. Values that
// are masked stay as they are, and a secret stays one.
func (v Variable) Replace(by Variable) (Variable, error) {
	if by.Key != "" && by.Key != v.Key {
		return v, fault.New(fault.Invalid, "%s cannot be renamed to %.80q; make that one, and remove %s", v.Key, by.Key, v.Key)
	}
	by = by.clone()
	by.Key, by.Secret = v.Key, by.Secret || v.Secret
	for i := range by.Values {
		by.Values[i].Value = v.unmasked(by.Values[i])
	}
	return New(by)
}

// Set gives the variable one more value, or another one for the same context.
// asSecret makes it a secret.
func (v Variable) Set(value Value, asSecret bool) (Variable, error) {
	value.Value = v.unmasked(value)
	v = v.clone()
	v.Secret = v.Secret || asSecret
	id := value.ID()
	v.Values = slices.DeleteFunc(v.Values, func(old Value) bool { return old.ID() == id })
	v.Values = append(v.Values, value)
	if err := v.normalize(); err != nil {
		return Variable{}, err
	}
	return v, nil
}

// unmasked is the value that a client means: if it sent the mask of a secret
// back, the value that is there.
func (v Variable) unmasked(value Value) secret.Text {
	if value.Value != Mask || !v.Secret {
		return value.Value
	}
	id := value.ID()
	for _, own := range v.Values {
		if own.ID() == id {
			return own.Value
		}
	}
	return value.Value
}

// Remove takes a value away. The value for all contexts of a secret goes only
// with the whole variable: clients that take one context out of it put the
// value back for the others, which they cannot do with what they cannot read.
func (v Variable) Remove(id string) (Variable, error) {
	i := slices.IndexFunc(v.Values, func(value Value) bool { return value.ID() == id })
	if i < 0 {
		return v, fault.New(fault.NotFound, "%s has no value %.80q", v.Key, id)
	}
	if v.Secret && v.Values[i].Context == All && len(v.Values) == 1 {
		return v, fault.New(fault.Conflict, "%s is a secret with one value for all contexts, which cannot be split, because nobody can read it; set the values for single contexts anew, or remove the whole variable", v.Key)
	}
	v = v.clone()
	v.Values = slices.Delete(v.Values, i, i+1)
	return v, nil
}

// Masked is the variable as it may be shown. Of a secret, the values for local
// development stay readable: they are for the developer's machine.
func (v Variable) Masked() Variable {
	v = v.clone()
	for i := range v.Values {
		if v.Secret && v.Values[i].Context != Dev && v.Values[i].Value != "" {
			v.Values[i].Value = Mask
		}
	}
	return v
}

// In is the value of the variable in a context, and on a branch unless that is
// empty: the branch's own, else the context's, else the one for all.
func (v Variable) In(context, branch string) (Value, bool) {
	best, found := Value{}, false
	for _, value := range v.Values {
		fits := value.Context == All || value.Context == context && context != Branch ||
			value.Context == Branch && branch != "" && fold(value.Parameter) == fold(branch)
		if fits && (!found || value.rank() < best.rank()) {
			best, found = value, true
		}
	}
	return best, found
}

// ForFunctions reports whether functions get the variable.
func (v Variable) ForFunctions() bool {
	return slices.Contains(v.Scopes, Functions) || slices.Contains(v.Scopes, Runtime)
}

// Resolve is what the functions of a deploy get: the variables of the site as
// the deploy's context and branch have them, then its own ones on top. secrets
// names those that somebody made a secret, on the site or for the deploy, in
// order; it is empty and not nil if there are none. fault.Invalid if it is more
// than a process can be given.
func Resolve(site, own []Variable, context, branch string) (values Values, secrets []string, err error) {
	values, total, marked := Values{}, 0, map[string]bool{}
	for _, v := range slices.Concat(site, own) {
		value, ok := v.In(context, branch)
		if !ok || !v.ForFunctions() {
			continue
		}
		values[v.Key] = value.Value
		if v.Secret {
			marked[v.Key] = true
		}
	}
	for key, value := range values {
		total += len(key) + len(value)
	}
	if total > MaxTotal {
		return nil, nil, fault.New(fault.Invalid, "the environment variables of this deploy have %d bytes together; %d are allowed: put what is long into files of the site, or a store", total, MaxTotal)
	}
	secrets = slices.AppendSeq([]string{}, maps.Keys(marked))
	slices.Sort(secrets)
	return values, secrets, nil
}

// Values are variables by name, resolved.
type Values map[string]secret.Text

// LogValue keeps values out of logs, JSON ones included.
func (v Values) LogValue() slog.Value { return slog.IntValue(len(v)) }
