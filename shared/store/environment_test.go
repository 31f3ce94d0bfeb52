package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
)

func TestVariables(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		change := func(pairs ...string) error { // key, before, after
			var changes []VariableChange
			for i := 0; i < len(pairs); i += 3 {
				changes = append(changes, VariableChange{Key: pairs[i], Before: []byte(pairs[i+1]), After: []byte(pairs[i+2])})
			}
			return b.ChangeVariables(t.Context(), "shop", 3, changes...)
		}
		isFull := func(err error) bool { return fault.Is(err, fault.Conflict) }
		isChanged := func(err error) bool { return errors.Is(err, ErrChanged) }
		for _, step := range []struct {
			name    string
			changes []string
			err     func(error) bool
			want    string
		}{
			{"two new ones", []string{"A", "", "a1", "B", "", "b1"}, isNil, "A=a1 B=b1"},
			{"the same once more", []string{"A", "", "a1", "B", "", "b1"}, isNil, "A=a1 B=b1"},
			{"one that is there", []string{"A", "", "a2"}, isChanged, "A=a1 B=b1"},
			{"one that was read before a change", []string{"A", "a0", "a2"}, isChanged, "A=a1 B=b1"},
			{"all or none", []string{"C", "", "c1", "B", "b0", "b2"}, isChanged, "A=a1 B=b1"},
			{"as it was read", []string{"A", "a1", "a2"}, isNil, "A=a2 B=b1"},
			{"one too many", []string{"C", "", "c1", "D", "", "d1"}, isFull, "A=a2 B=b1"},
			{"the last", []string{"C", "", "c1"}, isNil, "A=a2 B=b1 C=c1"},
			{"a change where it is full", []string{"C", "c1", "c2"}, isNil, "A=a2 B=b1 C=c2"},
			{"removed", []string{"A", "a2", "", "C", "c2", ""}, isNil, "B=b1"},
			{"removed again", []string{"A", "a2", ""}, isNil, "B=b1"},
			{"changed after it was removed", []string{"A", "a2", "a3"}, isChanged, "B=b1"},
			{"nothing", nil, isNil, "B=b1"},
		} {
			if err := change(step.changes...); !step.err(err) {
				t.Errorf("%s: %v", step.name, err)
			}
			all, err := b.Variables(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			var parts []string
			for _, key := range slices.Sorted(maps.Keys(all)) {
				parts = append(parts, key+"="+string(all[key]))
				if one, err := b.Variable(t.Context(), "shop", key); err != nil || string(one) != string(all[key]) {
					t.Errorf("%s: Variable(%s) = %q, %v", step.name, key, one, err)
				}
			}
			if got := strings.Join(parts, " "); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
		if one, err := b.Variable(t.Context(), "shop", "A"); one != nil || err != nil {
			t.Errorf("Variable that is not there = %q, %v; want nil, nil", one, err)
		}
		if all, err := b.Variables(t.Context(), "other"); len(all) != 0 || err != nil {
			t.Errorf("Variables of another site = %v, %v", all, err)
		}
		if err := b.ChangeVariables(t.Context(), "no site!", 3); !fault.Is(err, fault.NotFound) {
			t.Errorf("ChangeVariables of no site = %v, want not found", err)
		}
	})
}

// Of those who change one variable at once, each either changes what it has
// read or is told to read again; no change gets lost.
func TestChangesOfOneVariableDoNotGetLost(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		const writers, rounds = 4, 10
		var group sync.WaitGroup
		for w := range writers {
			s := New(b.client(t), Options{})
			group.Go(func() {
				for r := range rounds {
					for {
						before, err := s.Variable(t.Context(), "shop", "A")
						if err != nil {
							t.Error(err)
							return
						}
						after := fmt.Appendf(slices.Clone(before), "%d/%d ", w, r)
						err = s.ChangeVariables(t.Context(), "shop", 1, VariableChange{Key: "A", Before: before, After: after})
						if err == nil {
							break
						}
						if !errors.Is(err, ErrChanged) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		group.Wait()
		got, err := b.Variable(t.Context(), "shop", "A")
		if n := len(strings.Fields(string(got))); err != nil || n != writers*rounds {
			t.Errorf("%d changes are there, %v; want %d", n, err, writers*rounds)
		}
	})
}

func TestDeployEnvironment(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		if err := b.CreateDeploy(t.Context(), deploy.Deploy{ID: "d1", Site: "shop"}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.DeployEnvironment(t.Context(), "d1"); got != nil || err != nil {
			t.Errorf("DeployEnvironment of a deploy without = %q, %v; want nil", got, err)
		}
		d := deploy.Deploy{ID: "d1", Site: "shop", Draft: true}
		if err := b.Describe(t.Context(), d, []byte("first")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the last description counts
			if err := b.Describe(t.Context(), d, []byte("sealed\x00bytes")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Seal(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := b.Describe(t.Context(), d, []byte("another")); !fault.Is(err, fault.Conflict) {
			t.Errorf("Describe of a deploy that is ready = %v, want a conflict", err)
		}
		if got, err := b.DeployEnvironment(t.Context(), "d1"); string(got) != "sealed\x00bytes" || err != nil {
			t.Errorf("DeployEnvironment = %q, %v", got, err)
		}
		if _, err := b.DeployEnvironment(t.Context(), "d 1"); !fault.Is(err, fault.NotFound) {
			t.Errorf("DeployEnvironment of an ID that cannot be one = %v, want not found", err)
		}
	})
}

// An environment is replaced only where it is as it was read.
func TestReplaceDeployEnvironment(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		for id, sealed := range map[string]string{"d1": "one", "d2": "", "d3": "three"} {
			if err := b.CreateDeploy(ctx, deploy.Deploy{ID: id, Site: "shop", State: deploy.New}); err != nil {
				t.Fatal(err)
			}
			if err := b.Describe(ctx, deploy.Deploy{ID: id, Site: "shop"}, []byte(sealed)); err != nil {
				t.Fatal(err)
			}
		}
		all := func() string {
			var parts []string
			if err := b.EachDeployEnvironment(ctx, "shop", func(id string, sealed []byte) error {
				parts = append(parts, id+"="+string(sealed))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			slices.Sort(parts)
			return strings.Join(parts, " ")
		}
		if got := all(); got != "d1=one d3=three" {
			t.Fatalf("environments: %s", got)
		}
		for _, step := range []struct {
			name, id, before, after string
			err                     func(error) bool
			want                    string
		}{
			{"as it was read", "d1", "one", "uno", isNil, "d1=uno d3=three"},
			{"once more, because the reply was lost", "d1", "one", "uno", isNil, "d1=uno d3=three"},
			{"as it was before", "d1", "one", "eins", isOther, "d1=uno d3=three"},
			{"of a deploy without", "d2", "two", "zwei", isOther, "d1=uno d3=three"},
			{"of no deploy", "d4", "four", "vier", isOther, "d1=uno d3=three"},
			{"of no ID", "d 4", "four", "vier", func(err error) bool { return fault.Is(err, fault.NotFound) }, "d1=uno d3=three"},
		} {
			if err := b.ReplaceDeployEnvironment(ctx, step.id, []byte(step.before), []byte(step.after)); !step.err(err) {
				t.Errorf("%s: %v", step.name, err)
			}
			if got := all(); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
		stop := errors.New("stop")
		if err := b.EachDeployEnvironment(ctx, "shop", func(string, []byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("EachDeployEnvironment = %v, want what the function returned", err)
		}
		if sites, err := b.SecretSites(ctx); err != nil || !slices.Contains(sites, "shop") {
			t.Errorf("SecretSites = %v, %v; want shop among them", sites, err)
		}
	})
}

func isOther(err error) bool { return errors.Is(err, ErrChanged) }
