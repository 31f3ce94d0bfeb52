package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nightshift/nightshift/test/harness"
	"github.com/nightshift/nightshift/test/load/meter"
)

// system is one of those that are compared.
type system struct {
	name string
	// start starts it with nothing in its Redis; without workers, what is accepted
	// stays where it is.
	start func(ctx context.Context, b *bench, workers bool) (*running, error)
}

// running is a system that runs.
type running struct {
	target    string // URL of the background function
	redis     string // host:port
	processes []process
	close     func() error
}

// process is one that the system consists of.
type process struct {
	name string
	pid  int
}

// functions is the name under which the descendants of a worker are counted.
const functions = "functions"

// used is what a process has used, in the form of a line of results.
type used struct {
	CPU      float64 `json:"cpu_s"` // since its start
	Resident float64 `json:"rss_mib"`
}

// usage reads what each process has used. Descendants of workers are a process of
// their own here; others, such as those that write Redis's file anew, belong to
// whose they are.
func (r *running) usage() (map[string]used, error) {
	pids := make([]int, len(r.processes))
	for i, p := range r.processes {
		pids[i] = p.pid
	}
	read, err := meter.Of(pids...)
	if err != nil {
		return nil, err
	}
	all := map[string]used{}
	for i, p := range r.processes {
		u := used{CPU: read[i].CPU.Seconds(), Resident: mib(read[i].Resident)}
		if family := read[i].Family.Seconds(); p.name != "worker" {
			u.CPU += family
		} else if family > 0 {
			all[functions] = used{CPU: family, Resident: mib(read[i].FamilyResident)}
		}
		all[p.name] = u
	}
	return all, nil
}

func mib(bytes int64) float64 { return rounded(float64(bytes)/(1<<20), 1) }

// services is the memory of all processes but Redis and functions.
func services(all map[string]used) float64 {
	sum := 0.0
	for name, u := range all {
		if name != "redis" && name != functions {
			sum += u.Resident
		}
	}
	return rounded(sum, 1)
}

// crew is the processes of a peer, and their Redis.
type crew struct {
	fleet   harness.Fleet
	redis   *harness.Node
	running running
}

// newCrew starts the Redis.
func newCrew(ctx context.Context) (*crew, error) {
	c := &crew{}
	c.running.close = c.close
	var err error
	if c.redis, err = c.fleet.StartNode(ctx, "redis", "--maxmemory-policy", "noeviction"); err != nil {
		return nil, errors.Join(err, c.fleet.Close())
	}
	c.running.redis = c.redis.Addr()
	return c, c.add("redis")
}

func (c *crew) close() error { return errors.Join(c.fleet.Close(), c.redis.Remove()) }

func (c *crew) add(name string) error {
	p, err := c.fleet.Process(name)
	if err != nil {
		return err
	}
	c.running.processes = append(c.running.processes, process{name, p.Pid()})
	return nil
}

// serve starts a process that listens on LISTEN, and waits until it answers.
func (c *crew) serve(ctx context.Context, spec harness.Spec) (addr string, err error) {
	port, err := harness.FreePort()
	if err != nil {
		return "", err
	}
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	return addr, c.spawn(ctx, spec, []string{"LISTEN=" + addr}, func(*harness.Process) error {
		res, err := http.Get("http://" + addr + "/ready")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
}

// work starts a process, and waits until it says that it is ready.
func (c *crew) work(ctx context.Context, spec harness.Spec) error {
	return c.spawn(ctx, spec, nil, func(p *harness.Process) error {
		if !strings.Contains(p.Log.String(), "ready\n") {
			return errors.New("it is not ready")
		}
		return nil
	})
}

func (c *crew) spawn(ctx context.Context, spec harness.Spec, settings []string, ready func(*harness.Process) error) error {
	spec.Env = append(append(harness.Environ("REDIS="+c.redis.Addr()), settings...), spec.Env...)
	p, err := c.fleet.Start(spec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = harness.Eventually(ctx, func() error {
		if !p.Running() {
			cancel() // it will not be ready any more
		}
		return ready(p)
	})
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", spec.Name, err, p.Log.Tail(20))
	}
	return c.add(spec.Name)
}

// exists says whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
