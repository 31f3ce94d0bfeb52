package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nightshift/nightshift/test/chaos/proxy"
	"github.com/nightshift/nightshift/test/harness"
)

// Names lists the services of programs, in order.
func (s *System) Names(programs ...string) []string {
	count := map[string]int{"gateway": s.Shape.Gateways, "worker": s.Shape.Workers, "scheduler": s.Shape.Schedulers}
	var names []string
	for _, program := range programs {
		for i := range count[program] {
			names = append(names, fmt.Sprintf("%s%d", program, i+1))
		}
	}
	return names
}

// Proxy is what stands between a service and Redis.
func (s *System) Proxy(name string) *proxy.Proxy { return s.proxies[name] }

// Kill ends a service as the out-of-memory killer would.
func (s *System) Kill(ctx context.Context, name string) error {
	p, err := s.Fleet.Process(name)
	if err != nil {
		return err
	}
	return p.Kill(ctx)
}

// Again starts a service that was killed. Its port may have been taken for a
// moment by a connection of somebody else, hence the patience.
func (s *System) Again(ctx context.Context, name string) error {
	return harness.Eventually(ctx, func() error {
		p, err := s.Fleet.Process(name)
		if err != nil {
			return err
		}
		if !p.Running() {
			return s.Services.Again(ctx, name)
		}
		return s.Services.Ready(ctx, name)
	})
}

// Stop freezes a service: itself, or with all that it has started, as when the
// machine stops.
func (s *System) Stop(name string, family bool) error {
	return s.signal(name, syscall.SIGSTOP, family, true)
}

// Continue lets it go on.
func (s *System) Continue(name string, family bool) error {
	return s.signal(name, syscall.SIGCONT, family, false)
}

func (s *System) signal(name string, sig syscall.Signal, family, frozen bool) error {
	p, err := s.Fleet.Process(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.frozen[name] = frozen
	s.mu.Unlock()
	if family {
		err = p.SignalFamily(sig)
	} else {
		err = p.Signal(sig)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

var leading = regexp.MustCompile(`"msg":"leading","service":"scheduler".*?"term":([0-9]+)`)

// Leader is the scheduler whose term is the newest, running or not.
func (s *System) Leader() (string, error) {
	var leader string
	var newest int
	for _, p := range s.Fleet.All() {
		if !strings.HasPrefix(p.Name, "scheduler") {
			continue
		}
		for _, m := range leading.FindAllStringSubmatch(p.Log.String(), -1) {
			if term, _ := strconv.Atoi(m[1]); term > newest {
				newest, leader = term, p.Name
			}
		}
	}
	if leader == "" {
		return "", errors.New("no scheduler has led yet")
	}
	return leader, nil
}

// Healthy waits until all services that are not frozen on purpose are ready.
func (s *System) Healthy(ctx context.Context) error {
	names := s.Names("gateway", "worker", "scheduler")
	return harness.Eventually(ctx, func() error {
		for _, name := range names {
			s.mu.Lock()
			frozen := s.frozen[name]
			s.mu.Unlock()
			if frozen {
				continue
			}
			short, cancel := context.WithTimeout(ctx, 3*time.Second)
			err := s.Services.Ready(short, name)
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Count is how often a message stands in the logs of the services of a program,
// as far as they are kept.
func (s *System) Count(program, message string) int {
	n, re := 0, regexp.MustCompile(regexp.QuoteMeta(message))
	for _, p := range s.Fleet.All() {
		if strings.HasPrefix(p.Name, program) {
			n += p.Log.Count(re)
		}
	}
	return n
}
