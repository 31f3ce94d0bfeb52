package harness

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// Setup says which services to start, and with what.
type Setup struct {
	Bin                           string // the directory of the binaries
	Gateways, Workers, Schedulers int
	// Apart is the time between the starts of gateways, so that what they do at
	// intervals does not come at the same time.
	Apart time.Duration
	// Env is the environment of all of them and of the command line, beside what
	// [Environ] gives: the settings that they have in common.
	Env []string
	// RedisURLs, where it has one for a name, stands in place of the setting.
	RedisURLs map[string]string
	// Own are further settings of single services, by their name.
	Own map[string][]string
}

// Services are running gateways, workers and schedulers, named gateway1,
// worker1, scheduler1 and so on.
type Services struct {
	Data  []string // base URL of each gateway's data plane
	Admin []string // and of its control plane
	fleet *Fleet
	setup Setup
	units map[string]unit // by name
}

// unit is how a service was started.
type unit struct {
	spec  Spec
	ready string // where it says whether it is ready
}

// StartServices starts services and waits until each is ready.
func (f *Fleet) StartServices(ctx context.Context, setup Setup) (*Services, error) {
	s := &Services{fleet: f, setup: setup, units: map[string]unit{}}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i := range setup.Gateways {
		select {
		case <-time.After(setup.Apart * time.Duration(min(i, 1))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		data, err := freeAddr()
		if err != nil {
			return nil, err
		}
		admin, err := s.start(ctx, "gateway", i, "NIGHTSHIFT_ADMIN_ADDR", "NIGHTSHIFT_ADDR="+data)
		if err != nil {
			return nil, err
		}
		s.Data, s.Admin = append(s.Data, "http://"+data), append(s.Admin, "http://"+admin)
	}
	for i := range setup.Workers {
		if _, err := s.start(ctx, "worker", i, "NIGHTSHIFT_WORKER_ADDR"); err != nil {
			return nil, err
		}
	}
	for i := range setup.Schedulers {
		if _, err := s.start(ctx, "scheduler", i, "NIGHTSHIFT_SCHEDULER_ADDR"); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// start starts one service. addrKey is the setting of the address on which it
// says whether it is ready.
func (s *Services) start(ctx context.Context, program string, i int, addrKey string, settings ...string) (addr string, err error) {
	if addr, err = freeAddr(); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s%d", program, i+1)
	settings = append(append(Environ(s.setup.Env...), addrKey+"="+addr), settings...)
	if url := s.setup.RedisURLs[name]; url != "" {
		settings = append(settings, "NIGHTSHIFT_REDIS_URL="+url) // the last one counts
	}
	settings = append(settings, s.setup.Own[name]...)
	s.units[name] = unit{Spec{Name: name, Path: filepath.Join(s.setup.Bin, program), Env: settings}, "http://" + addr + "/readyz"}
	return addr, s.Again(ctx, name)
}

// Again starts a service that has ended, with the settings and the addresses
// that it had, and waits until it is ready.
func (s *Services) Again(ctx context.Context, name string) error {
	u, ok := s.units[name]
	if !ok {
		return fmt.Errorf("no service was started under the name %s", name)
	}
	p, err := s.fleet.Start(u.spec)
	if err != nil {
		return err
	}
	return Eventually(ctx, func() error { return ready(ctx, p, u.ready) })
}

// Ready says why a service is not ready, or nil.
func (s *Services) Ready(ctx context.Context, name string) error {
	p, err := s.fleet.Process(name)
	if err != nil {
		return err
	}
	if !p.Running() {
		return fmt.Errorf("%s has ended:\n%s", name, p.Log.Tail(20))
	}
	return ready(ctx, p, s.units[name].ready)
}

// At finds the process of the service that has an address for its status.
func (s *Services) At(addr string) (*Process, error) {
	for name, u := range s.units {
		if u.ready == "http://"+addr+"/readyz" {
			return s.fleet.Process(name)
		}
	}
	return nil, fmt.Errorf("no service has the address %s", addr)
}

func ready(ctx context.Context, p *Process, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Log.Tail(20))
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s\n%s", url, res.Status, p.Log.Tail(20))
	}
	return nil
}

// Nightshift runs the command line against the first gateway, and returns what
// it printed, standard output and error together. Another end than success is an error.
func (s *Services) Nightshift(ctx context.Context, args ...string) (string, error) {
	p, err := s.fleet.Start(Spec{
		Name: "nightshift", Path: filepath.Join(s.setup.Bin, "nightshift"), Args: args,
		Env: append(Environ(s.setup.Env...), "NIGHTSHIFT_API_URL="+s.Admin[0]+"/api/v1"),
	})
	if err != nil {
		return "", err
	}
	code, err := p.Wait(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("nightshift %v ended with %d:\n%s", args, code, p.Log)
	}
	return p.Log.String(), err
}

func freeAddr() (string, error) {
	port, err := FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}
