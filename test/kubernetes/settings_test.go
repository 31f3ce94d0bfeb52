package kubernetes

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11" // what the services read their settings with
	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/scheduler"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	"github.com/nightshift/nightshift/worker"
	corev1 "k8s.io/api/core/v1"
)

// services are our own, of which each has settings.
var services = []string{"gateway", "worker", "scheduler"}

// foreign are variables that are not settings of ours, and who reads them.
var foreign = map[string]string{
	"REDIS_PASSWORD": "the kubelet, where NIGHTSHIFT_REDIS_URL refers to it",
}

// secretValue stands for what a Secret holds, where nobody looks at it.
const secretValue = "0123456789abcdef"

var reference = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// settings are the variables that a workload's first container gets.
func settings(t *testing.T, set *manifest.Set, w workload) map[string]string {
	t.Helper()
	all := map[string]string{}
	c := w.template.Spec.Containers[0]
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil {
			continue // a Secret, of which nobody knows what is in it
		}
		maps := manifest.All[*corev1.ConfigMap](set)
		i := slices.IndexFunc(maps, func(m *corev1.ConfigMap) bool { return m.Name == from.ConfigMapRef.Name })
		if i < 0 {
			t.Fatalf("%s: there is no ConfigMap %s", w.GetName(), from.ConfigMapRef.Name)
		}
		for name, value := range maps[i].Data {
			all[name] = value
		}
	}
	for _, v := range c.Env {
		if _, twice := all[v.Name]; twice {
			t.Errorf("%s gets %s twice", w.GetName(), v.Name)
		}
		// As the kubelet does it: what stands before can be referred to.
		all[v.Name] = reference.ReplaceAllStringFunc(v.Value, func(text string) string {
			if value, ok := all[reference.FindStringSubmatch(text)[1]]; ok {
				return value
			}
			t.Errorf("%s: %s refers to %s, which does not stand before it", w.GetName(), v.Name, text)
			return text
		})
		if v.ValueFrom != nil {
			all[v.Name] = secretValue
		}
	}
	return all
}

// known lists the settings that a configuration struct has.
func known[T any](t *testing.T) []string {
	t.Helper()
	var config T
	fields, err := env.GetFieldParamsWithOptions(&config, env.Options{Prefix: daemon.EnvPrefix})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Key)
	}
	return names
}

// service is what a service knows of its settings.
type service struct {
	names []string
	// make reads settings and makes the service of them, without starting it.
	make func(map[string]string) (daemon.Service, error)
}

func serviceOf[T any](t *testing.T, make func(T) (daemon.Service, error)) service {
	return service{
		names: slices.Concat(known[T](t), known[daemon.Common](t)),
		make: func(environment map[string]string) (daemon.Service, error) {
			options := env.Options{Prefix: daemon.EnvPrefix, Environment: environment}
			cfg, own := env.ParseAsWithOptions[T](options)
			_, common := env.ParseAsWithOptions[daemon.Common](options)
			if err := errors.Join(own, common); err != nil {
				return nil, err
			}
			return make(cfg)
		},
	}
}

func allServices(t *testing.T) map[string]service {
	quiet := slog.New(slog.DiscardHandler)
	return map[string]service{
		"gateway": serviceOf(t, func(cfg gateway.Config) (daemon.Service, error) {
			cfg.Logger = quiet
			return gateway.New(cfg)
		}),
		"worker": serviceOf(t, func(cfg worker.Config) (daemon.Service, error) {
			cfg.Logger = quiet
			return worker.New(cfg)
		}),
		"scheduler": serviceOf(t, func(cfg scheduler.Config) (daemon.Service, error) {
			cfg.Logger = quiet
			return scheduler.New(cfg)
		}),
	}
}

// here are settings with what is of this machine, or is looked at as a secret, in
// place of what is of a pod.
func here(t *testing.T, environment map[string]string) map[string]string {
	t.Helper()
	key, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := callback.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	environment = maps.Clone(environment)
	for name, value := range environment {
		switch {
		case strings.HasPrefix(value, "file://"):
			environment[name] = "file://" + t.TempDir()
		case name == "NIGHTSHIFT_WORKER_DATA_DIR":
			environment[name] = t.TempDir()
		case name == "NIGHTSHIFT_SECRET_KEY":
			environment[name] = string(key)
		case name == "NIGHTSHIFT_CALLBACK_SECRET":
			environment[name] = string(signature)
		case name == "NIGHTSHIFT_WORKER_ADVERTISE_ADDR":
			environment[name] = "10.244.2.2" // a pod's
		case name == "NIGHTSHIFT_REDIS_URL" && value == secretValue:
			environment[name] = "redis://127.0.0.1:1/0"
		case name == "NIGHTSHIFT_REDIS_CA": // may be missing, and is
			delete(environment, name)
		case strings.HasSuffix(name, "_ADDR"):
			environment[name] = "127.0.0.1:0"
		}
	}
	return environment
}

// TestSettingsAreSettings: what a Deployment sets, its service reads; what the
// ConfigMap of all sets, at least one of them does; and the services themselves
// find nothing wrong with what they get.
func TestSettingsAreSettings(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		read := map[string]bool{}
		all := allServices(t)
		for name, s := range all {
			w := find(t, set, name)
			environment := settings(t, set, w)
			made, err := s.make(here(t, environment))
			if err != nil {
				t.Errorf("%s does not take its settings: %v", name, err)
			} else if err := made.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			for _, v := range w.template.Spec.Containers[0].Env {
				if foreign[v.Name] == "" && !slices.Contains(s.names, v.Name) {
					t.Errorf("%s is given %s, which is not a setting of it", name, v.Name)
				}
			}
			for _, key := range s.names {
				read[key] = true
			}
			for _, required := range []string{"NIGHTSHIFT_REDIS_URL", "NIGHTSHIFT_BLOB_URL"} {
				if environment[required] == "" {
					t.Errorf("%s is not given %s", name, required)
				}
			}
		}
		for _, m := range manifest.All[*corev1.ConfigMap](set) {
			for key := range m.Data {
				if !read[key] && !strings.HasPrefix(key, "OTEL_") { // those are OpenTelemetry's
					t.Errorf("the ConfigMap sets %s, which no service reads", key)
				}
			}
		}
	})
}

// TestUsersOfRedis: with the component, no service is given what is another's.
func TestUsersOfRedis(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		if !strings.Contains(t.Name(), "redis-users") {
			return
		}
		keys := map[string]string{}
		for _, name := range services {
			for _, v := range find(t, set, name).template.Spec.Containers[0].Env {
				if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && strings.HasSuffix(v.ValueFrom.SecretKeyRef.Key, "_REDIS_URL") {
					keys[name+" "+v.Name] = v.ValueFrom.SecretKeyRef.Key
				}
			}
		}
		want := map[string]string{
			"gateway NIGHTSHIFT_REDIS_URL": "GATEWAY_REDIS_URL", "worker NIGHTSHIFT_REDIS_URL": "WORKER_REDIS_URL", "scheduler NIGHTSHIFT_REDIS_URL": "SCHEDULER_REDIS_URL",
		}
		if !maps.Equal(keys, want) {
			t.Errorf("services are given %v, want %v", keys, want)
		}
	})
}

// TestWorkersDoNotHaveTheToken: functions run beside them.
func TestWorkersDoNotHaveTheToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, name := range []string{"worker", "scheduler"} {
			if _, has := settings(t, set, find(t, set, name))["NIGHTSHIFT_TOKEN"]; has {
				t.Errorf("%s has the token of the control plane", name)
			}
			for _, from := range find(t, set, name).template.Spec.Containers[0].EnvFrom {
				if from.SecretRef != nil && from.SecretRef.Name == "nightshift" {
					t.Errorf("%s gets all of the Secret, with the token", name)
				}
			}
		}
		if settings(t, set, find(t, set, "gateway"))["NIGHTSHIFT_TOKEN"] != secretValue {
			t.Error("the gateway does not get its token from a Secret")
		}
	})
}

// TestListenersAreDeclared: each address that a service listens on is a port of
// its container, and the other way round.
func TestListenersAreDeclared(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for name, s := range allServices(t) {
			w := find(t, set, name)
			var listens, declared []int32
			for key, value := range settings(t, set, w) {
				if ok, number := portOf(value); ok && strings.HasSuffix(key, "_ADDR") && slices.Contains(s.names, key) {
					listens = append(listens, number)
				}
			}
			for _, p := range w.template.Spec.Containers[0].Ports {
				declared = append(declared, p.ContainerPort)
			}
			slices.Sort(listens)
			slices.Sort(declared)
			if !slices.Equal(listens, declared) || len(declared) == 0 {
				t.Errorf("%s listens on %v and declares %v", name, listens, declared)
			}
		}
	})
}

// portOf reads an address to listen on, on all interfaces.
func portOf(addr string) (bool, int32) {
	host, text, err := net.SplitHostPort(addr)
	number, bad := strconv.ParseInt(text, 10, 32)
	return err == nil && bad == nil && host == "", int32(number)
}

const (
	// longestAttempt is what a function may take at most, docs/architecture.md.
	longestAttempt = 15 * time.Minute
	// handingBack is what a worker keeps of its stop for that: stopReserve.
	handingBack = 15 * time.Second
	// toKill is between the end of a stop and the kubelet's kill.
	toKill = 5 * time.Second
)

// TestGraceIsLongEnough: the kubelet kills nothing that still does what its
// settings let it do.
func TestGraceIsLongEnough(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, name := range services {
			w := find(t, set, name)
			environment := settings(t, set, w)
			duration := func(key string) time.Duration {
				d, err := time.ParseDuration(environment[key])
				if err != nil {
					t.Fatalf("%s: %s: %v", name, key, err)
				}
				return d
			}
			grace := time.Duration(*w.template.Spec.TerminationGracePeriodSeconds) * time.Second
			var sleep time.Duration
			if l := w.template.Spec.Containers[0].Lifecycle; l != nil {
				sleep = time.Duration(l.PreStop.Sleep.Seconds) * time.Second
			}
			stop := duration("NIGHTSHIFT_STOP_TIMEOUT")
			if grace < sleep+stop+toKill {
				t.Errorf("%s is killed after %v; it sleeps %v and may take %v to stop", name, grace, sleep, stop)
			}
			switch name {
			case "gateway":
				if drain := duration("NIGHTSHIFT_DRAIN"); stop < time.Second+drain+toKill {
					t.Errorf("the gateway lets answers end for %v, and all of its stop may take %v", drain, stop)
				}
				if sleep < 5*time.Second {
					t.Errorf("the gateway sleeps %v before it stops; load balancers need some seconds to notice", sleep)
				}
			case "worker":
				drain := duration("NIGHTSHIFT_WORKER_DRAIN")
				if drain <= longestAttempt {
					t.Errorf("a worker drains for %v, and an attempt may take %v and its start", drain, longestAttempt)
				}
				if stop < drain+handingBack {
					t.Errorf("a worker drains for %v, and all of its stop may take %v; it keeps %v of that for handing back", drain, stop, handingBack)
				}
			}
		}
	})
}

// TestSecretsAreDocumented: each key of a Secret that a pod waits for is in the
// commands that make the Secret.
func TestSecretsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, w := range workloads(set) {
			for _, v := range w.template.Spec.Containers[0].Env {
				if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
					continue
				}
				ref := v.ValueFrom.SecretKeyRef
				if command := "--from-literal=" + ref.Key + "="; ref.Name != "nightshift" || !strings.Contains(string(page), command) {
					t.Errorf("%s needs %s of Secret %s; docs/kubernetes.md does not make it with %s", w.GetName(), ref.Key, ref.Name, command)
				}
			}
		}
	})
}
