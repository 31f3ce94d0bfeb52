package access

import (
	"context"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
)

// Who is who makes a request. The zero Who is nobody, and may do nothing.
type Who struct {
	kind  kind
	root  int // which of the root tokens
	token token.Token
}

type kind int

const (
	kindNobody kind = iota
	kindToken
	kindRoot
	kindDev
)

// Root is whoever shows a root token, and of several which one.
func Root(index int) Who { return Who{kind: kindRoot, root: index} }

// Dev is whoever asks where nobody needs a token.
func Dev() Who { return Who{kind: kindDev} }

// Of is who shows a token that is kept.
func Of(t token.Token) Who { return Who{kind: kindToken, token: t} }

// all reports whether there is nothing that is not allowed.
func (w Who) all() bool { return w.kind == kindRoot || w.kind == kindDev }

// Token is the token that was shown, if it is one that is kept.
func (w Who) Token() (token.Token, bool) { return w.token, w.kind == kindToken }

// RootIndex is which of the root tokens was shown, if it was one.
func (w Who) RootIndex() (int, bool) { return w.root, w.kind == kindRoot }

// Name is what they are called: root, dev, or the name of the token.
func (w Who) Name() string {
	switch w.kind {
	case kindRoot:
		return "root"
	case kindDev:
		return "dev"
	default:
		return w.token.Name
	}
}

// May reports whether they are let do what a scope does.
func (w Who) May(scope token.Scope) bool { return w.all() || w.kind == kindToken && w.token.May(scope) }

// Sees reports whether a site is there for them.
func (w Who) Sees(site string) bool { return w.all() || w.kind == kindToken && w.token.Sees(site) }

// Bound reports whether only some sites are there for them.
func (w Who) Bound() bool { return !w.all() && (w.kind != kindToken || w.token.Bound()) }

// Need is fault.Forbidden unless they are let do what a scope does.
func (w Who) Need(scope token.Scope) error {
	if w.May(scope) {
		return nil
	}
	return fault.New(fault.Forbidden, "this needs a token with the scope %s, which %s has not", scope, w.called())
}

// NeedAll is fault.Forbidden unless all sites are there for them.
func (w Who) NeedAll() error {
	if !w.Bound() {
		return nil
	}
	return fault.New(fault.Forbidden, "this is about all sites together; %s is for some only", w.called())
}

// called is how an error speaks of them.
func (w Who) called() string {
	if w.kind == kindToken {
		return "the token " + w.token.Name
	}
	return "yours"
}

type contextKey struct{}

// With is a context of a request that somebody makes.
func With(ctx context.Context, w Who) context.Context {
	return context.WithValue(ctx, contextKey{}, w)
}

// From is who makes the request of a context; nobody if it was not asked for a
// token.
func From(ctx context.Context) Who {
	w, _ := ctx.Value(contextKey{}).(Who)
	return w
}
