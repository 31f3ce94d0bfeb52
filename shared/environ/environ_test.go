package environ_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
)

// values makes values from pairs: "production", "p", "branch:main", "m".
func values(pairs ...string) []environ.Value {
	var out []environ.Value
	for i := 0; i < len(pairs); i += 2 {
		v := environ.Value{Context: pairs[i], Value: secret.Text(pairs[i+1])}
		if branch, ok := strings.CutPrefix(pairs[i], "branch:"); ok {
			v.Context, v.Parameter = environ.Branch, branch
		}
		out = append(out, v)
	}
	return out
}

func variable(t *testing.T, v environ.Variable) environ.Variable {
	t.Helper()
	made, err := environ.New(v)
	if err != nil {
		t.Fatalf("New(%s): %v", v.Key, err)
	}
	return made
}

// show writes values down, readable.
func show(v environ.Variable) string {
	var parts []string
	for _, value := range v.Values {
		parts = append(parts, strings.TrimSuffix(value.Context+":"+value.Parameter, ":")+"="+string(value.Value))
	}
	return strings.Join(parts, " ")
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	all := values("all", "a", "production", "p", "deploy-preview", "d", "branch-deploy", "b", "dev", "l", "branch:main", "m", "branch:feat/x", "x")
	for name, tt := range map[string]struct {
		values          []environ.Value
		context, branch string
		want            string // "-": none
	}{
		"production":                       {all, "production", "", "p"},
		"production of a branch":           {all, "production", "main", "m"},
		"production of another branch":     {all, "production", "other", "p"},
		"deploy preview":                   {all, "deploy-preview", "", "d"},
		"branch deploy":                    {all, "branch-deploy", "other", "b"},
		"branch deploy of its own":         {all, "branch-deploy", "feat/x", "x"},
		"case of a branch does not count":  {all, "branch-deploy", "Feat/X", "x"},
		"a branch's beginning is not it":   {all, "branch-deploy", "feat", "b"},
		"dev":                              {all, "dev", "", "l"},
		"all is for what is not said":      {values("all", "a", "production", "p"), "deploy-preview", "", "a"},
		"nothing for the context":          {values("production", "p"), "deploy-preview", "", "-"},
		"a branch's value is not others'":  {values("branch:main", "m"), "production", "", "-"},
		"branch is no context of a deploy": {values("branch:main", "m", "all", "a"), "branch", "", "a"},
		"empty is a value":                 {values("all", "a", "production", ""), "production", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // in any order
				got, ok := variable(t, environ.Variable{Key: "K", Values: tt.values}).In(tt.context, tt.branch)
				if text := string(got.Value); !ok && tt.want != "-" || ok && text != tt.want {
					t.Errorf("In(%s, %s) = %q, %t; want %q", tt.context, tt.branch, text, ok, tt.want)
				}
				tt.values = slices.Clone(tt.values)
				slices.Reverse(tt.values)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	site := []environ.Variable{
		variable(t, environ.Variable{Key: "BOTH", Values: values("all", "site")}),
		variable(t, environ.Variable{Key: "FUNCTIONS", Scopes: []string{"functions"}, Values: values("all", "f")}),
		variable(t, environ.Variable{Key: "RUNTIME", Scopes: []string{"runtime"}, Values: values("all", "r")}),
		variable(t, environ.Variable{Key: "BUILDS", Scopes: []string{"builds", "post-processing"}, Values: values("all", "b")}),
		variable(t, environ.Variable{Key: "ELSEWHERE", Values: values("dev", "e")}),
	}
	own := []environ.Variable{variable(t, environ.Variable{Key: "BOTH", Secret: true, Values: values("all", "own")})}
	got, secrets, err := environ.Resolve(site, own, environ.Production, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(secrets) != 1 || secrets[0] != "BOTH" {
		t.Errorf("Resolve: the secrets are %q, want BOTH", secrets)
	}
	want := environ.Values{"BOTH": "own", "FUNCTIONS": "f", "RUNTIME": "r"}
	if len(got) != len(want) {
		t.Errorf("Resolve has %d variables, want %d", len(got), len(want))
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("Resolve: %s = %q, want %q", key, string(got[key]), string(value))
		}
	}
	var large []environ.Variable
	for i := range 5 {
		large = append(large, variable(t, environ.Variable{Key: fmt.Sprintf("K%d", i), Values: values("all", strings.Repeat("v", environ.MaxValue))}))
	}
	if _, _, err := environ.Resolve(large[:3], nil, environ.Production, ""); err != nil {
		t.Errorf("Resolve of 192 KiB: %v", err)
	}
	if _, _, err := environ.Resolve(large, nil, environ.Production, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "262144 are allowed") {
		t.Errorf("Resolve of 320 KiB = %v, want invalid", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	good := values("all", canary)
	for name, tt := range map[string]struct {
		v    environ.Variable
		want string
	}{
		"no key":                {environ.Variable{Values: good}, "cannot name an environment variable"},
		"digit first":           {environ.Variable{Key: "1A", Values: good}, "begin with a letter"},
		"underscore first":      {environ.Variable{Key: "_A", Values: good}, "begin with a letter"},
		"equals sign":           {environ.Variable{Key: "A=B", Values: good}, "cannot name"},
		"long key":              {environ.Variable{Key: strings.Repeat("A", 256), Values: good}, "255 characters"},
		"read-only":             {environ.Variable{Key: "SITE_ID", Values: good}, "SITE_ID is read-only: every deploy gets it from Nightshift"},
		"read-only, lower case": {environ.Variable{Key: "deploy_prime_url", Values: good}, "read-only"},
		"Netlify's":             {environ.Variable{Key: "NETLIFY", Values: good}, "a promise of Netlify's own services"},
		"of builds":             {environ.Variable{Key: "COMMIT_REF", Values: good}, "Netlify keeps the name for itself"},
		"Lambda's":              {environ.Variable{Key: "AWS_LAMBDA_RUNTIME_API", Values: good}, "the runtime sets it"},
		"handler":               {environ.Variable{Key: "_HANDLER", Values: good}, "the runtime sets it"},
		"ours":                  {environ.Variable{Key: "NIGHTSHIFT", Values: good}, "it tells functions that Nightshift runs them"},
		"no value":              {environ.Variable{Key: "A"}, "has no value"},
		"unknown context":       {environ.Variable{Key: "A", Values: values("staging", canary)}, `"staging" is not a context; contexts are all, production`},
		"branch without a name": {environ.Variable{Key: "A", Values: values("branch", canary)}, "needs its name"},
		"name without branch":   {environ.Variable{Key: "A", Values: []environ.Value{{Context: "production", Parameter: "main", Value: canary}}}, "goes with the context"},
		"two for one context":   {environ.Variable{Key: "A", Values: values("all", "1", "all", "2")}, "two values for all"},
		"two for one branch":    {environ.Variable{Key: "A", Values: values("branch:main", "1", "branch:Main", "2")}, "two values for branch Main"},
		"unknown scope":         {environ.Variable{Key: "A", Scopes: []string{"edge"}, Values: good}, `"edge" is not a scope`},
		"long value":            {environ.Variable{Key: "A", Values: values("all", canary+strings.Repeat("x", environ.MaxValue))}, "65536 are allowed"},
		"zero byte":             {environ.Variable{Key: "A", Values: values("all", canary+"\x00")}, "zero byte"},
		"not UTF-8":             {environ.Variable{Key: "A", Values: values("all", canary+"\xff")}, "not UTF-8"},
		"mask":                  {environ.Variable{Key: "A", Values: values("all", environ.Mask)}, "is the mask"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := environ.New(tt.v)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want invalid with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error has the value: %v", err)
			}
		})
	}
	for _, key := range []string{"A", "api_key2", "AWS_REGION", "AWS_ACCESS_KEY_ID", "NODE_OPTIONS", "NIGHTSHIFT_TOKEN", "URLS", strings.Repeat("A", 255)} {
		if err := environ.CheckKey(key); err != nil {
			t.Errorf("CheckKey(%s) = %v", key, err)
		}
	}
}

// Clients make changes out of what they have read; of a secret that is the mask.
func TestChanges(t *testing.T) {
	t.Parallel()
	secretly := environ.Variable{Key: "K", Secret: true, Values: values("production", "p", "dev", "l", "branch:x", "b")}
	plain := environ.Variable{Key: "K", Values: values("all", "a")}
	idOf := func(pair string) string { return values(pair, "")[0].ID() }
	for name, tt := range map[string]struct {
		before environ.Variable
		change func(environ.Variable) (environ.Variable, error)
		want   string
		secret bool
		err    fault.Kind
	}{
		"replace": {plain, func(v environ.Variable) (environ.Variable, error) {
			return v.Replace(environ.Variable{Key: "K", Values: values("production", "n")})
		}, "production=n", false, ""},
		"what was read, back": {secretly, func(v environ.Variable) (environ.Variable, error) { return v.Replace(v.Masked()) },
			"branch:x=b production=p dev=l", true, ""},
		"a secret stays one": {secretly, func(v environ.Variable) (environ.Variable, error) {
			back := v.Masked()
			back.Secret = false
			return v.Replace(back)
		}, "branch:x=b production=p dev=l", true, ""},
		"made secret": {plain, func(v environ.Variable) (environ.Variable, error) {
			v.Secret = true
			return v.Replace(v)
		}, "all=a", true, ""},
		"a mask for another context": {secretly, func(v environ.Variable) (environ.Variable, error) {
			return v.Replace(environ.Variable{Values: values("all", environ.Mask)})
		}, "", true, fault.Invalid},
		"a mask where there is no secret": {plain, func(v environ.Variable) (environ.Variable, error) {
			return v.Set(values("all", environ.Mask)[0], false)
		}, "", false, fault.Invalid},
		"renamed": {plain, func(v environ.Variable) (environ.Variable, error) {
			return v.Replace(environ.Variable{Key: "L", Values: values("all", "a")})
		}, "", false, fault.Invalid},
		"set another": {plain, func(v environ.Variable) (environ.Variable, error) {
			return v.Set(values("branch:y", "n")[0], false)
		}, "branch:y=n all=a", false, ""},
		"set again": {secretly, func(v environ.Variable) (environ.Variable, error) {
			return v.Set(values("branch:X", "n")[0], false)
		}, "branch:X=n production=p dev=l", true, ""},
		"set a secret": {plain, func(v environ.Variable) (environ.Variable, error) {
			return v.Set(values("production", "n")[0], true)
		}, "production=n all=a", true, ""},
		"set a mask back": {secretly, func(v environ.Variable) (environ.Variable, error) {
			return v.Set(values("production", environ.Mask)[0], false)
		}, "branch:x=b dev=l production=p", true, ""},
		"remove": {secretly, func(v environ.Variable) (environ.Variable, error) { return v.Remove(idOf("branch:x")) },
			"production=p dev=l", true, ""},
		"remove the last": {plain, func(v environ.Variable) (environ.Variable, error) { return v.Remove(idOf("all")) }, "", false, ""},
		"remove what is not there": {plain, func(v environ.Variable) (environ.Variable, error) { return v.Remove(idOf("dev")) },
			"", false, fault.NotFound},
		"split a secret": {environ.Variable{Key: "K", Secret: true, Values: values("all", "a")},
			func(v environ.Variable) (environ.Variable, error) { return v.Remove(idOf("all")) }, "", true, fault.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := variable(t, tt.before)
			untouched := show(before)
			got, err := tt.change(before)
			if show(before) != untouched {
				t.Errorf("the variable itself became %s", show(before))
			}
			if tt.err != "" {
				if !fault.Is(err, tt.err) {
					t.Errorf("= %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || show(got) != tt.want || got.Secret != tt.secret {
				t.Errorf("= %s, secret %t, %v; want %s, secret %t", show(got), got.Secret, err, tt.want, tt.secret)
			}
		})
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	v := variable(t, environ.Variable{Key: "K", Secret: true, Values: values("production", "p", "dev", "l", "deploy-preview", "")})
	if got, want := show(v.Masked()), "production="+environ.Mask+" dev=l deploy-preview="; got != want {
		t.Errorf("Masked = %s, want %s", got, want)
	}
	if show(v) != "production=p dev=l deploy-preview=" {
		t.Errorf("Masked changed the variable: %s", show(v))
	}
	v.Secret = false
	if diff := cmp.Diff(show(v), show(v.Masked())); diff != "" {
		t.Errorf("Masked of what is no secret:\n%s", diff)
	}
}

func TestNothingPrintsAValue(t *testing.T) {
	t.Parallel()
	v := variable(t, environ.Variable{Key: "K", Values: values("all", "canary-4711")})
	resolved := environ.Values{"K": "canary-4711"}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&printed, strings.Repeat(verb+"\n", 4), v, &v, []environ.Variable{v}, resolved)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("m", "variable", v, "pointer", &v, "value", v.Values[0], "resolved", resolved)
	}
	if strings.Contains(printed.String(), "canary") || strings.Contains(printed.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("the value was printed:\n%s", printed.String())
	}
	data, err := json.Marshal(v)
	var back environ.Variable
	if err != nil || json.Unmarshal(data, &back) != nil || show(back) != show(v) {
		t.Errorf("through JSON it became %s, %v", show(back), err)
	}
}
