package release_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/release"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// step is one call of a client that deploys.
type step struct {
	name string
	do   func() error
}

// Every call to Redis and to the blob store breaks once, undone and done, at
// each place of a deploy. Nothing half is ever seen, and the client that repeats
// the step that failed gets through.
func TestFaultAtEachCall(t *testing.T) {
	eachWay(t, func(t *testing.T, netlify bool) {
		b := setup(t)
		for kindName, kind := range map[string]redistest.Fault{"failed": redistest.Failed, "failed but done": redistest.FailedButDone} {
			for nth := 1; ; nth++ {
				what := fmt.Sprintf("call %d %s", nth, kindName)
				if !b.deployWithFault(t, netlify, nth, kind, what) {
					if nth < 20 {
						t.Errorf("a deploy has %d calls only", nth)
					}
					break
				}
			}
		}
	})
}

// deployWithFault deploys twice to a new site, the second time with a fault, and
// reports whether the fault came.
func (b *bundle) deployWithFault(t *testing.T, netlify bool, nth int, kind redistest.Fault, what string) (came bool) {
	t.Helper()
	ctx := t.Context()
	site, c := b.site(), newClient(t, netlify, fmt.Sprint(what, netlify))
	before := b.deploy(site, newClient(t, netlify, "before"))
	_, version := b.published(site)
	var d deploy.Deploy
	var p release.Progress
	steps := []step{
		{"announce", func() (err error) { d, err = b.Announce(ctx, site, release.Announcement{}); return err }},
		{"describe", func() (err error) { p, err = b.Describe(ctx, site, d.ID, c.description()); return err }},
	}
	b.faults.plan(nth, kind)
	defer b.faults.plan(0, 0)
	run := func(s step) {
		t.Helper()
		before := b.faults.happened()
		err := s.do()
		if err == nil {
			return
		}
		if now := b.faults.happened(); now == before {
			t.Fatalf("%s: %s: %v, and no fault", what, s.name, err)
		}
		if !fault.Is(err, fault.Unavailable) && !errors.Is(err, redistest.ErrBroken) {
			t.Errorf("%s (%s): %s = %v, want an error that tells to try again", what, b.faults.happened(), s.name, err)
		}
		if err := s.do(); err != nil {
			t.Errorf("%s (%s): %s, repeated: %v", what, b.faults.happened(), s.name, err)
		}
	}
	seen := func(after string) {
		t.Helper()
		got, err := b.store.Deploy(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		switch id, now := b.published(site); {
		case id == before.ID && now == version:
		case id == d.ID && now == version+1 && got.State == deploy.Ready && len(got.Files) == 3 && got.Functions[0].Runtime == "node":
		default:
			t.Errorf("%s (%s): after %s, %q is published at version %d (was %d), and the deploy is %+v", what, b.faults.happened(), after, id, now, version, got)
		}
	}
	for _, s := range steps {
		run(s)
		seen(s.name)
	}
	for i, upload := range c.uploads(b, p) {
		run(step{fmt.Sprint("upload ", i), upload})
		seen("an upload")
	}
	run(step{"status", func() (err error) { p, err = b.Status(ctx, site, d.ID); return err }})
	came = b.faults.happened() != ""
	if id, _ := b.published(site); id != d.ID || p.State != deploy.Ready {
		t.Errorf("%s (%s): in the end %q is published, and the deploy is in state %q (%s), missing %v", what, b.faults.happened(), id, p.State, p.Reason, names(p.Missing))
	}
	return came
}

func TestFaultWhileThePointerMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	site := b.site()
	one, two := b.deploy(site, newClient(t, false, "one")), b.deploy(site, newClient(t, false, "two"))
	moves := []struct {
		name string
		do   func() error
		want string
	}{
		{"publish", func() error { return b.Publish(ctx, site, one.ID) }, one.ID},
		{"unpublish", func() error { return b.Unpublish(ctx, site) }, ""},
		{"publish", func() error { return b.Publish(ctx, site, two.ID) }, two.ID},
		{"lock", func() error { _, err := b.Lock(ctx, two.ID); return err }, two.ID},
		{"unlock", func() error { _, err := b.Unlock(ctx, one.ID); return err }, two.ID},
	}
	for _, kind := range []redistest.Fault{redistest.Failed, redistest.FailedButDone} {
		for nth := 1; nth < 5; nth++ {
			for _, m := range moves {
				before, _ := b.published(site)
				b.faults.plan(nth, kind)
				err := m.do()
				happened := b.faults.happened()
				b.faults.plan(0, 0)
				if (err != nil) != (happened != "") {
					t.Errorf("%s with fault %d in %q = %v", m.name, nth, happened, err)
				}
				if id, _ := b.published(site); id != before && id != m.want {
					t.Errorf("%s with fault %d in %q: published is %q", m.name, nth, happened, id)
				}
				if err := m.do(); err != nil {
					t.Errorf("%s, repeated: %v", m.name, err)
				}
				if id, _ := b.published(site); id != m.want {
					t.Errorf("%s, repeated: published is %q, want %q", m.name, id, m.want)
				}
			}
		}
	}
}
