package token_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
)

func TestSecretsHaveAForm(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^nst_[a-z2-7]{58}$`)
	seen := map[string]bool{}
	for range 100 {
		text := string(token.New())
		if !form.MatchString(text) || !token.Made(text) || seen[text] {
			t.Fatalf("New = %q", text)
		}
		seen[text] = true
		if id := token.ID(text); !token.ValidID(id) || seen[id] || !strings.HasPrefix(token.Digest(text), id) {
			t.Fatalf("ID = %q", id)
		}
		for i := range text { // whatever is mistyped shows
			changed := []byte(text)
			changed[i] ^= 1
			if token.Made(string(changed)) {
				t.Fatalf("%q is taken for %q", changed, text)
			}
		}
	}
	text := string(token.New())
	for _, other := range []string{"", "nst_", text[:len(text)-1], text + "a", text + "\n", " " + text, strings.ToUpper(text), strings.TrimPrefix(text, "nst_"), "nst_" + strings.Repeat("a", 58)} {
		if token.Made(other) {
			t.Errorf("Made(%q)", other)
		}
	}
	for _, id := range []string{"", "x", strings.Repeat("g", 16), strings.Repeat("a", 17), "../../../../../.."} {
		if token.ValidID(id) {
			t.Errorf("ValidID(%q)", id)
		}
	}
}

func TestScopesAreASet(t *testing.T) {
	t.Parallel()
	may := map[token.Scope][]token.Scope{
		token.Read:   {token.Read},
		token.Invoke: {token.Read, token.Invoke},
		token.Deploy: {token.Read, token.Deploy},
		token.Admin:  {token.Read, token.Invoke, token.Deploy, token.Admin},
	}
	for scope, all := range may {
		is := token.Token{Scopes: []token.Scope{scope}}
		for _, other := range token.Scopes {
			want := false
			for _, one := range all {
				want = want || one == other
			}
			if is.May(other) != want {
				t.Errorf("%s lets do what %s does: %t", scope, other, !want)
			}
		}
	}
	both := token.Token{Scopes: []token.Scope{token.Deploy, token.Invoke}}
	if !both.May(token.Invoke) || !both.May(token.Deploy) || both.May(token.Admin) {
		t.Error("two scopes are not what each of them is")
	}
	if none := (token.Token{}); none.May(token.Read) {
		t.Error("a token without a scope may look")
	}
}

func TestSites(t *testing.T) {
	t.Parallel()
	bound, free := token.Token{Sites: []string{"a", "b"}}, token.Token{}
	if !bound.Sees("a") || !bound.Sees("b") || bound.Sees("c") || bound.Sees("") || !bound.Bound() {
		t.Error("a bound token sees other sites than its own")
	}
	if !free.Sees("a") || free.Bound() {
		t.Error("a token for all sites does not see all")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := token.Token{Name: "CI of the shop", Scopes: []token.Scope{token.Deploy}, Sites: []string{"shop"}}
	if err := good.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	tests := map[string]func(*token.Token){
		"name of a token":   func(t *token.Token) { t.Name = "" },
		"printable":         func(t *token.Token) { t.Name = "a\nb" },
		"1 to 64":           func(t *token.Token) { t.Name = strings.Repeat("x", 65) },
		"needs a scope":     func(t *token.Token) { t.Scopes = nil },
		`no scope "write"`:  func(t *token.Token) { t.Scopes = []token.Scope{"write"} },
		"name of a site":    func(t *token.Token) { t.Sites = []string{"A B"} },
		"100 sites at most": func(t *token.Token) { t.Sites = make([]string, 101) },
		"is for all sites":  func(t *token.Token) { t.Scopes = []token.Scope{token.Read, token.Admin} },
	}
	for want, change := range tests {
		bad := good
		change(&bad)
		if err := bad.Check(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want invalid with %q", err, want)
		}
	}
}
