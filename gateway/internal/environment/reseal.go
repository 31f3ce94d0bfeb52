package environment

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

// Count is a number of variables of sites, and of environments of deploys.
type Count struct{ Variables, Deploys int }

// total is how many things that are.
func (c Count) total() int { return c.Variables + c.Deploys }

// KeyUse is a key, by its name, and what is sealed with it.
type KeyUse struct {
	Key string
	Count
}

// Keys is what the keys are used for.
type Keys struct {
	// Uses has one for each key that the gateway has, the one that seals first.
	Uses []KeyUse
	// Unreadable is what was sealed with another key, or damaged.
	Unreadable Count
	// Resealed is what this call has sealed anew.
	Resealed Count
}

// Done reports whether all that can be opened is sealed with the first key, so
// that the others can be left out.
func (k Keys) Done() bool {
	for i, use := range k.Uses {
		if i > 0 && use.total() > 0 {
			return false
		}
	}
	return true
}

// Keys looks at all that is sealed, and says with which keys.
func (k *Keeper) Keys(ctx context.Context) (Keys, error) { return k.walk(ctx, time.Time{}) }

// Reseal seals with the first key what was sealed with another one, until an
// instant, and says what there is after it. What it did not come to is done by
// the next call, which begins anew and finds most of it done; nothing is ever
// without a key that the gateway has. It may run beside changes and deploys, and
// beside itself: each thing is replaced only if it is as it was read. While a
// live worker has keys and not the first one, it is fault.Conflict: that worker
// could not run functions any more.
func (k *Keeper) Reseal(ctx context.Context, until time.Time) (Keys, error) {
	if _, err := k.box.Seal(nil); err != nil { // it has no key
		return Keys{}, err
	}
	workers, err := k.store.Workers(ctx)
	if err != nil {
		return Keys{}, err
	}
	for _, w := range workers {
		if first := k.box.Keys()[0]; len(w.Keys) > 0 && !slices.Contains(w.Keys, first) {
			return Keys{}, fault.New(fault.Conflict, "worker %s at %s does not have the first key (%s) and could not open what is sealed with it; restart it with the %s that the gateway has, then try again", w.ID, w.Addr, first, secret.Setting)
		}
	}
	return k.walk(ctx, until)
}

// walk looks at all that is sealed. Until an instant it also seals it anew.
func (k *Keeper) walk(ctx context.Context, until time.Time) (Keys, error) {
	w := walker{Keeper: k, until: until}
	for _, key := range k.box.Keys() {
		w.found.Uses = append(w.found.Uses, KeyUse{Key: key})
	}
	sites, err := k.store.SecretSites(ctx)
	if err != nil {
		return Keys{}, err
	}
	for _, site := range sites {
		if err := w.variables(ctx, site); err != nil {
			return Keys{}, err
		}
		if err := w.deploys(ctx, site); err != nil {
			return Keys{}, err
		}
	}
	return w.found, nil
}

type walker struct {
	*Keeper
	until time.Time
	found Keys
}

func (w *walker) variables(ctx context.Context, site string) error {
	all, err := w.store.Variables(ctx, site)
	if err != nil {
		return err
	}
	for key, sealed := range all {
		count := func(c *Count) *int { return &c.Variables }
		read := func() ([]byte, error) { return w.store.Variable(ctx, site, key) }
		replace := func(before, after []byte) error {
			return w.store.ChangeVariables(ctx, site, environ.MaxVariables, store.VariableChange{Key: key, Before: before, After: after})
		}
		if err := w.visit(sealed, count, read, replace); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) deploys(ctx context.Context, site string) error {
	return w.store.EachDeployEnvironment(ctx, site, func(id string, sealed []byte) error {
		count := func(c *Count) *int { return &c.Deploys }
		read := func() ([]byte, error) { return w.store.DeployEnvironment(ctx, id) }
		replace := func(before, after []byte) error { return w.store.ReplaceDeployEnvironment(ctx, id, before, after) }
		return w.visit(sealed, count, read, replace)
	})
}

// visit counts one thing, after it has sealed it anew if there is time. If
// somebody else changes it meanwhile, read says what it is then; nil: gone.
func (w *walker) visit(sealed []byte, count func(*Count) *int, read func() ([]byte, error), replace func(before, after []byte) error) error {
	for range tries {
		at := w.keyOf(sealed)
		if at < 0 {
			*count(&w.found.Unreadable)++
			return nil
		}
		if at == 0 || !time.Now().Before(w.until) {
			*count(&w.found.Uses[at].Count)++
			return nil
		}
		plain, err := w.box.Open(sealed)
		if err != nil { // its key is ours, and it is damaged all the same
			*count(&w.found.Unreadable)++
			return nil
		}
		resealed, err := w.box.Seal(plain)
		if err != nil {
			return err
		}
		if err = replace(sealed, resealed); err == nil {
			*count(&w.found.Uses[0].Count)++
			*count(&w.found.Resealed)++
			return nil
		}
		if !errors.Is(err, store.ErrChanged) {
			return err
		}
		if sealed, err = read(); err != nil || sealed == nil {
			return err
		}
	}
	*count(&w.found.Uses[max(w.keyOf(sealed), 0)].Count)++ // changed all the time; the next call finds it
	return nil
}

// keyOf is the place of the key that something is sealed with; -1: none of ours.
func (w *walker) keyOf(sealed []byte) int {
	name, err := w.box.SealedWith(sealed)
	if err != nil {
		return -1
	}
	for i, use := range w.found.Uses {
		if use.Key == name {
			return i
		}
	}
	return -1
}
