package access

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

const root = "a-root-token-0123456789"

func newGuard(t *testing.T, roots ...string) (*Guard, *store.Store) {
	t.Helper()
	records := store.New(redistest.Start(t).Client(), store.Options{})
	return New(Config{Roots: roots, Tokens: records, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}), records
}

func TestWhoShowsAToken(t *testing.T) {
	t.Parallel()
	g, records := newGuard(t, root, string(token.New()))
	text := string(token.New())
	if _, err := records.CreateToken(t.Context(), token.Token{ID: token.ID(text), Name: "ci", Scopes: []token.Scope{token.Read}, Sites: []string{"shop"}}, token.Digest(text)); err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{"Bearer " + root: "root", "bearer  " + root + " ": "root", "Bearer " + text: "ci"} {
		who, err := g.Bearer(t.Context(), header, "192.0.2.1")
		if err != nil || who.Name() != want {
			t.Errorf("Bearer(%q) = %s, %v, want %s", header, who.Name(), err, want)
		}
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + root, root, "Bearer " + root + "x", "Bearer " + text[:len(text)-1], "Bearer " + string(token.New())} {
		who, err := g.Bearer(t.Context(), header, "192.0.2.1")
		if !fault.Is(err, fault.Unauthorized) || who.May(token.Read) || who.Sees("shop") || !who.Bound() {
			t.Errorf("Bearer(%q) = %+v, %v, want nobody", header, who, err)
		}
	}
}

// The name of a token is made of a part of its digest; what lets in is all of it.
func TestAllOfTheDigestIsCompared(t *testing.T) {
	t.Parallel()
	g, records := newGuard(t, root)
	text := string(token.New())
	digest := []byte(token.Digest(text))
	digest[len(digest)-1] ^= 1
	if _, err := records.CreateToken(t.Context(), token.Token{ID: token.ID(text), Name: "ci", Scopes: []token.Scope{token.Admin}}, string(digest)); err != nil {
		t.Fatal(err)
	}
	if who, err := g.Secret(t.Context(), text, "192.0.2.1"); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("Secret = %s, %v, want unauthorized", who.Name(), err)
	}
}

// notes counts how often the use of a token is noted.
type notes struct {
	*store.Store
	noted int
}

func (n *notes) NoteTokenUse(ctx context.Context, id string) error {
	n.noted++
	return n.Store.NoteTokenUse(ctx, id)
}

func TestUseIsNotedNowAndThen(t *testing.T) {
	t.Parallel()
	g, records := newGuard(t, root)
	counted := &notes{Store: records}
	g.cfg.Tokens = counted
	text := string(token.New())
	expiry := time.Now().Add(time.Hour)
	if _, err := records.CreateToken(t.Context(), token.Token{ID: token.ID(text), Name: "ci", Scopes: []token.Scope{token.Read}, ExpiresAt: expiry}, token.Digest(text)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := g.Secret(t.Context(), text, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	if counted.noted != 1 {
		t.Errorf("ten uses within a moment were noted %d times, want once", counted.noted)
	}
}

func TestNobodyMayDoAnything(t *testing.T) {
	t.Parallel()
	nobody := From(t.Context())
	for _, scope := range token.Scopes {
		if nobody.May(scope) || !fault.Is(nobody.Need(scope), fault.Forbidden) {
			t.Errorf("nobody may %s", scope)
		}
	}
	if nobody.Sees("") || nobody.Sees("shop") || !fault.Is(nobody.NeedAll(), fault.Forbidden) {
		t.Error("nobody sees sites")
	}
	open, _ := newGuard(t)
	if who, err := open.Bearer(t.Context(), "", ""); err != nil || who.Name() != "dev" || !who.May(token.Admin) || who.Bound() {
		t.Errorf("where no token is needed, who asks is %s, %v", who.Name(), err)
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]int{"": 0, "a": 1, "a,b": 2, " a , b ": 2, ",": 0} {
		if got := Roots(setting); len(got) != want {
			t.Errorf("Roots(%q) = %q, want %d", setting, got, want)
		}
	}
}
