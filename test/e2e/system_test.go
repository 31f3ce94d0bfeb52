package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/test/harness"
)

// system is a running installation with one site, for tests that scripts are too
// slow for: those that break several things at the same time, or that measure.
type system struct {
	*testing.T
	fleet     *harness.Fleet
	redis     *harness.Redis
	collector *harness.Collector
	services  *harness.Services
	deaf      map[string]*harness.Deaf
}

// launch starts an installation and deploys a site. In its files, @COLLECTOR@ is
// the URL of the collector. The services named in deaf hear nothing that Redis
// publishes.
func launch(t *testing.T, setup harness.Setup, site map[string]string, deaf ...string) *system {
	t.Helper()
	s := &system{T: t, fleet: &harness.Fleet{}, deaf: map[string]*harness.Deaf{}}
	t.Cleanup(s.close)
	dir, err := os.MkdirTemp("", "system") // the unpacked code is read-only, which is more than t.TempDir can remove
	s.must(err)
	t.Cleanup(func() {
		if err := harness.RemoveReadOnly(dir); err != nil {
			t.Error(err)
		}
	})
	s.redis, err = s.fleet.StartRedis(t.Context(), harness.BeforeReply)
	s.must(err)
	s.collector, err = harness.StartCollector()
	s.must(err)
	setup.RedisURLs = map[string]string{}
	for _, name := range deaf {
		s.deaf[name], err = s.redis.StartDeaf()
		s.must(err)
		setup.RedisURLs[name] = s.deaf[name].URL()
	}
	setup.Bin = binDir
	setup.Env = append([]string{
		"NIGHTSHIFT_REDIS_URL=" + s.redis.URL(), "NIGHTSHIFT_BLOB_URL=file://" + filepath.Join(dir, "blobs"),
		"NIGHTSHIFT_TOKEN=" + token, "NIGHTSHIFT_WORKER_DATA_DIR=" + filepath.Join(dir, "data"),
	}, setup.Env...)
	s.services, err = s.fleet.StartServices(t.Context(), setup)
	s.must(err)
	for name, text := range site {
		file := filepath.Join(dir, "site", filepath.FromSlash(name))
		s.must(os.MkdirAll(filepath.Dir(file), 0o755))
		s.must(os.WriteFile(file, []byte(strings.ReplaceAll(text, "@COLLECTOR@", s.collector.URL())), 0o644))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = s.services.Nightshift(ctx, "deploy", filepath.Join(dir, "site"), "--prod")
	s.must(err)
	return s
}

func (s *system) close() {
	err := s.fleet.Close()
	if s.Failed() {
		for _, p := range s.fleet.All() {
			s.Logf("---- the last lines of %s (pid %d)\n%s", p.Name, p.Pid(), p.Log.Tail(40))
		}
	}
	for _, d := range s.deaf {
		err = joinErr(err, d.Close())
	}
	if s.redis != nil {
		err = joinErr(err, s.redis.Remove())
	}
	if s.collector != nil {
		err = joinErr(err, s.collector.Close())
	}
	if err != nil {
		s.Errorf("closing: %v", err)
	}
}

func (s *system) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *system) process(name string) *harness.Process {
	s.Helper()
	p, err := s.fleet.Process(name)
	s.must(err)
	return p
}

// eventually waits until try returns nil.
func (s *system) eventually(within time.Duration, try func() error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), within)
	defer cancel()
	s.must(harness.Eventually(ctx, try))
}

// call posts to a background function and returns the location of the record.
func (s *system) call(name string) string {
	s.Helper()
	var location string
	s.eventually(10*time.Second, func() error { // the gateway may not route by the deploy yet
		res, _, err := exchange(http.MethodPost, s.services.Data[0]+"/.netlify/functions/"+name, nil, nil)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusAccepted {
			return fmt.Errorf("calling %s: %s", name, res.Status)
		}
		where, err := res.Location()
		location = where.String()
		return err
	})
	return location
}

// cancel asks for the end of an invocation.
func (s *system) cancel(location string) {
	s.Helper()
	res, body, err := exchange(http.MethodDelete, location, nil, nil)
	s.must(err)
	if res.StatusCode/100 != 2 {
		s.Fatalf("DELETE %s: %s", location, body)
	}
}

// await waits until an invocation is in a state.
func (s *system) await(within time.Duration, location, state string) api.Invocation {
	s.Helper()
	var inv api.Invocation
	s.eventually(within, func() (err error) {
		var raw []byte
		if inv, raw, err = record(location); err != nil {
			return err
		}
		if string(inv.State) != state {
			return fmt.Errorf("the invocation is %s, want %s:\n%s", inv.State, state, raw)
		}
		return nil
	})
	return inv
}

// outcomes are those of the attempts of an invocation, separated by spaces.
func outcomes(inv api.Invocation) string {
	var all []string
	for _, a := range inv.Attempts {
		all = append(all, string(a.Outcome))
	}
	return strings.Join(all, " ")
}

// reports are those of one invocation, as the collector has them now.
func (s *system) reports(location string) (found []report) {
	id := location[strings.LastIndexByte(location, '/')+1:]
	for _, hit := range s.collector.Hits() {
		if hit.Query.Get("id") == id {
			found = append(found, report{hit.Time, hit.Query})
		}
	}
	return found
}

// report is what an attempt has told the collector.
type report struct {
	at    time.Time
	query url.Values
}

// number reads a value.
func (r report) number(name string) int {
	n, err := strconv.Atoi(r.query.Get(name))
	if err != nil {
		return -1
	}
	return n
}

// started waits for the nth report of an invocation.
func (s *system) started(within time.Duration, location string, nth int) report {
	s.Helper()
	var found []report
	s.eventually(within, func() error {
		if found = s.reports(location); len(found) < nth {
			_, raw, _ := record(location)
			return fmt.Errorf("%d attempts have reported, want %d:\n%s", len(found), nth, raw)
		}
		return nil
	})
	return found[nth-1]
}

// owner is the service that a process belongs to.
func (s *system) owner(pid int) *harness.Process {
	s.Helper()
	for _, p := range s.fleet.Running() {
		if p.Owns(pid) {
			return p
		}
	}
	s.Fatalf("process %d is no descendant of a service", pid)
	return nil
}

// descendant finds a running process.
func (s *system) descendant(pid int) harness.Descendant {
	s.Helper()
	d, err := harness.FindDescendant(pid)
	s.must(err)
	return d
}

// ends waits until a process has ended and returns how long that took.
func (s *system) ends(within time.Duration, what string, processes ...harness.Descendant) time.Duration {
	s.Helper()
	begun := time.Now()
	s.eventually(within, func() error {
		for i, d := range processes {
			if d.Alive() {
				return fmt.Errorf("%s: process %d of %d still runs after %v", what, i+1, len(processes), time.Since(begun))
			}
		}
		return nil
	})
	return time.Since(begun)
}

// logged waits until the log of a process has a line that matches.
func (s *system) logged(within time.Duration, p *harness.Process, expression string) {
	s.Helper()
	re := regexp.MustCompile(expression)
	s.eventually(within, func() error {
		if p.Log.Count(re) == 0 {
			return fmt.Errorf("the log of %s does not match %s:\n%s", p.Name, expression, p.Log.Tail(40))
		}
		return nil
	})
}
