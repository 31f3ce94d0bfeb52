package environ_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzNew: a variable is refused as invalid, or is within its limits, reads the
// same when it is made again, and shows nothing of its values when it is secret.
func FuzzNew(f *testing.F) {
	for _, seed := range []string{
		`{"key":"A","values":[{"value":"1"}]}`, `{"key":"A_1","secret":true,"scopes":["post-processing","functions"],"values":[{"context":"branch","parameter":"Feat/x","value":"s3cret-canary"},{"context":"all","value":""}]}`,
		`{"key":"AWS_LAMBDA_X"}`, `{"key":"path","values":[{"context":"dev","value":"a\u0000b"}]}`, `{"key":"A","values":[{"value":"****************"}]}`,
		`{"key":"A","values":[{"context":"branch","parameter":"x","value":"1"},{"context":"branch","parameter":"X","value":"2"}]}`,
	} {
		f.Add([]byte(seed), "production", "main")
	}
	f.Fuzz(func(t *testing.T, data []byte, context, branch string) {
		var in environ.Variable
		if json.Unmarshal(data, &in) != nil {
			return
		}
		v, err := environ.New(in)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("New(%s) = %v, want invalid", data, err)
			}
			return
		}
		if again, err := environ.New(v); err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("%s made again is %+v, %v", data, again, err)
		}
		if environ.CheckKey(v.Key) != nil || len(v.Scopes) == 0 || len(v.Values) > environ.MaxValues {
			t.Errorf("%s is taken as %q with %d values, scopes %v", data, v.Key, len(v.Values), v.Scopes)
		}
		if v.Secret && slices.ContainsFunc(v.Masked().Values, func(value environ.Value) bool { return value.Value != environ.Mask && value.Value != "" }) {
			t.Errorf("%s shows a value of a secret", data)
		}
		values, secrets, err := environ.Resolve([]environ.Variable{v}, nil, context, branch)
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Resolve of %s = %v", data, err)
		}
		if want, ok := v.In(context, branch); err == nil && v.ForFunctions() && ok != (len(values) == 1) {
			t.Errorf("%s for %q, %q resolves to %d values, and has %v there", data, context, branch, len(values), want.ID())
		}
		if err == nil && len(values) == 1 && slices.Contains(secrets, v.Key) != v.Secret {
			t.Errorf("%s is a secret: %t, and resolves to the secrets %q", data, v.Secret, secrets)
		}
	})
}
