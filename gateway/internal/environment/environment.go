// Package environment keeps the environment variables of sites, and freezes
// them into deploys.
//
//	change: read → open → change → seal → store, unless it changed meanwhile
//	deploy: read → open → resolve → seal → a field of the deploy ─▶ workers open it
//
// Redis holds sealed bytes only (package secret). What is sealed names the site
// that it is for, so that bytes which somebody copied to another site in Redis
// are refused there.
package environment

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

// tries is how often a change is made anew because the variable was changed
// meanwhile. The netlify CLI sends one change for each context, all at once.
const tries = 100

// Store is where sealed variables are; see package store.
type Store interface {
	Variables(ctx context.Context, site string) (map[string][]byte, error)
	Variable(ctx context.Context, site, key string) ([]byte, error)
	// ChangeVariables changes all or none; store.ErrChanged if one is not as it was read.
	ChangeVariables(ctx context.Context, site string, limit int, changes ...store.VariableChange) error

	// What sealing anew needs beside them.
	Workers(ctx context.Context) ([]store.Worker, error)
	SecretSites(ctx context.Context) ([]string, error)
	DeployEnvironment(ctx context.Context, deployID string) ([]byte, error)
	EachDeployEnvironment(ctx context.Context, site string, fn func(deployID string, sealed []byte) error) error
	// ReplaceDeployEnvironment: store.ErrChanged if it is not as it was read.
	ReplaceDeployEnvironment(ctx context.Context, deployID string, before, after []byte) error
}

// Keeper is safe for concurrent use. Its errors are faults, and have no values
// in them.
type Keeper struct {
	store Store
	box   *secret.Box
}

// New makes a Keeper. Without a box it keeps nothing: reading says that there
// is nothing, writing is fault.Conflict with what to do.
func New(store Store, box *secret.Box) *Keeper { return &Keeper{store: store, box: box} }

// record is what is sealed of a variable.
type record struct {
	Site     string           `json:"site"`
	Variable environ.Variable `json:"variable"`
}

// List reads the variables of a site, in the order of their names.
func (k *Keeper) List(ctx context.Context, site string) ([]environ.Variable, error) {
	sealed, err := k.store.Variables(ctx, site)
	if err != nil {
		return nil, err
	}
	list := make([]environ.Variable, 0, len(sealed))
	for _, key := range slices.SortedFunc(maps.Keys(sealed), compare) {
		v, err := k.open(site, key, sealed[key])
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func compare(a, b string) int {
	if folded := strings.Compare(strings.ToLower(a), strings.ToLower(b)); folded != 0 {
		return folded
	}
	return strings.Compare(a, b)
}

// Variable reads a variable, or fault.NotFound.
func (k *Keeper) Variable(ctx context.Context, site, key string) (environ.Variable, error) {
	v, _, err := k.read(ctx, site, key)
	return v, err
}

func (k *Keeper) read(ctx context.Context, site, key string) (environ.Variable, []byte, error) {
	sealed, err := k.store.Variable(ctx, site, key)
	switch {
	case err != nil:
		return environ.Variable{}, nil, err
	case sealed == nil:
		return environ.Variable{}, nil, fault.New(fault.NotFound, "site %.80q has no environment variable %.80q", site, key)
	}
	v, err := k.open(site, key, sealed)
	return v, sealed, err
}

// Create makes new variables, all of them or none. One that is there already:
// fault.Conflict.
func (k *Keeper) Create(ctx context.Context, site string, variables []environ.Variable) ([]environ.Variable, error) {
	made := make([]environ.Variable, 0, len(variables))
	changes := make([]store.VariableChange, 0, len(variables))
	for _, v := range variables {
		v, err := environ.New(v)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(made, func(other environ.Variable) bool { return other.Key == v.Key }) {
			return nil, fault.New(fault.Invalid, "%s is given twice", v.Key)
		}
		sealed, err := k.seal(site, v)
		if err != nil {
			return nil, err
		}
		made = append(made, v)
		changes = append(changes, store.VariableChange{Key: v.Key, After: sealed})
	}
	err := k.store.ChangeVariables(ctx, site, environ.MaxVariables, changes...)
	if errors.Is(err, store.ErrChanged) {
		there, readErr := k.store.Variables(ctx, site)
		if readErr != nil {
			return nil, readErr
		}
		for _, v := range made {
			if there[v.Key] != nil {
				return nil, fault.New(fault.Conflict, "site %s has an environment variable %s already; change that one", site, v.Key)
			}
		}
		return nil, fault.New(fault.Conflict, "the environment variables of site %s were changed meanwhile; try again", site)
	}
	return made, err
}

// Change makes a variable what change makes of it, and returns that. change is
// called again if somebody else changed the variable meanwhile.
func (k *Keeper) Change(ctx context.Context, site, key string, change func(environ.Variable) (environ.Variable, error)) (environ.Variable, error) {
	for range tries {
		before, sealed, err := k.read(ctx, site, key)
		if err != nil {
			return environ.Variable{}, err
		}
		after, err := change(before)
		if err != nil {
			return environ.Variable{}, err
		}
		resealed, err := k.seal(site, after)
		if err != nil {
			return environ.Variable{}, err
		}
		err = k.store.ChangeVariables(ctx, site, environ.MaxVariables, store.VariableChange{Key: key, Before: sealed, After: resealed})
		if !errors.Is(err, store.ErrChanged) {
			return after, err
		}
	}
	return environ.Variable{}, fault.New(fault.Conflict, "%s is being changed by others all the time; try again", key)
}

// Remove removes a variable, or fault.NotFound. It needs no key: what cannot be
// opened any more can still be removed.
func (k *Keeper) Remove(ctx context.Context, site, key string) error {
	for range tries {
		sealed, err := k.store.Variable(ctx, site, key)
		switch {
		case err != nil:
			return err
		case sealed == nil:
			return fault.New(fault.NotFound, "site %.80q has no environment variable %.80q", site, key)
		}
		err = k.store.ChangeVariables(ctx, site, environ.MaxVariables, store.VariableChange{Key: key, Before: sealed})
		if !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
	return fault.New(fault.Conflict, "%s is being changed by others all the time; try again", key)
}

// Freeze resolves the variables of a site for a deploy, lays the deploy's own
// ones over them, and seals the result, which a worker opens; see
// environ.Frozen. It is nil if there is nothing, and then needs no key.
func (k *Keeper) Freeze(ctx context.Context, site, context, branch string, own []environ.Variable) ([]byte, error) {
	own, err := check(own)
	if err != nil {
		return nil, err
	}
	variables, err := k.List(ctx, site)
	if err != nil {
		return nil, err
	}
	values, secrets, err := environ.Resolve(variables, own, context, branch)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	plain, err := json.Marshal(environ.Frozen{Site: site, Values: values, Secrets: secrets})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "encoding an environment")
	}
	return k.box.Seal(plain)
}

// check makes variables of a deploy what they should be.
func check(own []environ.Variable) ([]environ.Variable, error) {
	out := make([]environ.Variable, 0, len(own))
	for _, v := range own {
		v, err := environ.New(v)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(other environ.Variable) bool { return other.Key == v.Key }) {
			return nil, fault.New(fault.Invalid, "%s is given twice for the deploy", v.Key)
		}
		out = append(out, v)
	}
	return out, nil
}

func (k *Keeper) seal(site string, v environ.Variable) ([]byte, error) {
	plain, err := json.Marshal(record{Site: site, Variable: v})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "encoding %s", v.Key)
	}
	return k.box.Seal(plain)
}

func (k *Keeper) open(site, key string, sealed []byte) (environ.Variable, error) {
	plain, err := k.box.Open(sealed)
	if err != nil {
		return environ.Variable{}, err
	}
	var r record
	if err := json.Unmarshal(plain, &r); err != nil || r.Site != site || r.Variable.Key != key {
		// Not with the cause, which quotes what it could not read.
		return environ.Variable{}, fault.New(fault.Conflict, "what is stored as the environment variable %.80q of site %.80q is another one; set it anew", key, site)
	}
	return r.Variable, nil
}
