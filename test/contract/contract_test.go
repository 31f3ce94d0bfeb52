// Package contract holds Nightshift to what Netlify's own local server answers:
// every recorded request is put to nightshift dev on the same site, and the
// answers are compared. Differences that are meant are listed in
// differences_test.go and in docs/compatibility.md, which must agree.
package contract

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift/nightshift/test/contract/golden"
	"github.com/nightshift/nightshift/test/harness"
)

func TestContract(t *testing.T) {
	t.Parallel()
	recorded, err := golden.Load()
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t)
	collector, err := harness.StartCollector()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = collector.Close() })
	results := tally{}
	t.Run("cases", func(t *testing.T) {
		for _, c := range golden.Cases() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				want, ok := recorded[c.Name]
				if !ok {
					t.Fatal("there is no recorded answer; run test/contract/record")
				}
				if _, own, ok := chosenFor(c.Name); ok && own.report == "" {
					c.Reports = false // nothing will come
				}
				got, err := golden.Ask(t.Context(), addr, c, collector)
				if err != nil {
					t.Fatal(err)
				}
				results.add(c, check(t, c, want, golden.Normalise(got)))
			})
		}
	})
	summary := results.String()
	t.Log("\n" + summary)
	if page := document(t); len(golden.Cases()) == results.total() && !strings.Contains(page, summary) {
		t.Errorf("%s has another table of results; put this one there:\n%s", documentName, summary)
	}
}

// verdict is how a case came out.
type verdict int

const (
	failed verdict = iota
	passed
	chosen // differs on purpose, as expected
	open   // differs, and is known to
)

// check compares one answer, and fails the test if it is not what it should be.
func check(t *testing.T, c golden.Case, want, got golden.Answer) verdict {
	differences := slices.DeleteFunc(golden.Compare(want, got), meant)
	if id, own, ok := chosenFor(c.Name); ok {
		if len(differences) == 0 {
			t.Errorf("the answer is Netlify's, and %s says that it differs; take it out there", id)
		}
		for _, complaint := range own.complaints(got) {
			t.Errorf("difference %s: %s", id, complaint)
		}
		return chosen
	}
	if reason, ok := openCases[c.Name]; ok {
		if len(differences) == 0 {
			t.Errorf("passes now; take it out of openCases (%s)", reason)
		}
		for _, d := range differences {
			t.Logf("%s: %s", c.Name, d)
		}
		return open
	}
	for _, d := range differences {
		t.Errorf("%s: %s", c.Name, d)
	}
	if t.Failed() {
		return failed
	}
	return passed
}

// serve starts nightshift dev on a copy of the site, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	site := copySite(t)
	fleet := &harness.Fleet{}
	redis, err := fleet.StartRedis(t.Context(), harness.EverySecond)
	if err != nil {
		t.Fatal(err)
	}
	port, adminPort := freePort(t), freePort(t)
	dev, err := fleet.Start(harness.Spec{
		Name: "dev", Path: filepath.Join(binDir, "nightshift"),
		Args: []string{
			"dev", site, "--port", fmt.Sprint(port), "--admin-port", fmt.Sprint(adminPort),
			"--redis", redis.URL(), "--data", filepath.Join(t.TempDir(), "data"),
		},
		Env: harness.Environ("TZ=UTC"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
		if err := redis.Remove(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("---- the last lines of nightshift dev\n%s", dev.Log.Tail(60))
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := harness.Eventually(ctx, func() error {
		a, err := golden.Send(ctx, addr, golden.Request{Method: "GET", Path: "/.netlify/functions/noop"})
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("noop answers %d %s", a.Status, a.Body)
		}
		return err
	}); err != nil {
		t.Fatalf("nightshift dev does not serve the site: %v\n%s", err, dev.Log.Tail(60))
	}
	return addr
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// copySite copies the site with what npm has installed, so that dev writes
// nothing into the repository.
func copySite(t *testing.T) string {
	t.Helper()
	source := filepath.Join(golden.Dir(), "site")
	if _, err := os.Stat(filepath.Join(source, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("the site has no installed packages; run `npm ci --prefix test/contract/testdata/site`, or `make e2e`, which does: %v", err)
	}
	site := filepath.Join(t.TempDir(), "site")
	if err := os.CopyFS(site, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	return site
}

// tally counts verdicts by section.
type tally struct {
	mu     sync.Mutex
	counts map[golden.Section]map[verdict]int
}

func (y *tally) add(c golden.Case, v verdict) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[golden.Section]map[verdict]int{}
	}
	if y.counts[c.Section] == nil {
		y.counts[c.Section] = map[verdict]int{}
	}
	y.counts[c.Section][v]++
}

// total is how many cases ran: all of them, unless -run chose some.
func (y *tally) total() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := 0
	for _, verdicts := range y.counts {
		for _, count := range verdicts {
			n += count
		}
	}
	return n
}

// String is the table that stands in docs/compatibility.md.
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var out strings.Builder
	out.WriteString("| section | cases | equal | chosen difference | open |\n|---|---|---|---|---|\n")
	sum := map[verdict]int{}
	row := func(name string, n map[verdict]int) {
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d |\n", name, n[passed]+n[chosen]+n[open]+n[failed], n[passed], n[chosen], n[open]+n[failed])
	}
	for _, s := range golden.Sections {
		row(string(s), y.counts[s])
		for v, n := range y.counts[s] {
			sum[v] += n
		}
	}
	row("all", sum)
	return out.String()
}
