package kubernetes

import (
	"slices"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// TestSelectorsFindTheirPods and nobody else's.
func TestSelectorsFindTheirPods(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, w := range workloads(set) {
			if got := selected(t, set, w.selector); !slices.Equal(got, []string{w.GetName()}) {
				t.Errorf("%s selects the pods of %v", w.GetName(), got)
			}
			for _, spread := range w.template.Spec.TopologySpreadConstraints {
				if got := selected(t, set, spread.LabelSelector); !slices.Equal(got, []string{w.GetName()}) {
					t.Errorf("%s spreads over %s the pods of %v", w.GetName(), spread.TopologyKey, got)
				}
			}
		}
		var guarded []string
		for _, budget := range manifest.All[*policyv1.PodDisruptionBudget](set) {
			guarded = append(guarded, selected(t, set, budget.Spec.Selector)...)
			if budget.Spec.MaxUnavailable == nil || budget.Spec.MaxUnavailable.String() == "0" {
				t.Errorf("the budget of %s lets no node be drained", budget.Name)
			}
		}
		slices.Sort(guarded)
		if want := []string{"gateway", "scheduler", "worker"}; !slices.Equal(guarded, want) {
			t.Errorf("budgets are for %v, want each of %v once", guarded, want)
		}
	})
}

func TestServicesAndIngressesLeadSomewhere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		services := map[string]*corev1.Service{}
		for _, s := range manifest.All[*corev1.Service](set) {
			services[s.Name] = s
			targets := selected(t, set, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			if len(targets) == 0 {
				t.Errorf("the Service %s leads nowhere", s.Name)
			}
			for _, target := range targets {
				for _, p := range s.Spec.Ports {
					if _, ok := port(find(t, set, target), p.TargetPort.StrVal); !ok {
						t.Errorf("the Service %s leads to port %s, which %s does not have", s.Name, p.TargetPort.String(), target)
					}
				}
			}
		}
		for _, s := range manifest.All[*appsv1.StatefulSet](set) {
			if services[s.Spec.ServiceName] == nil {
				t.Errorf("%s belongs to the Service %q, which is not there", s.Name, s.Spec.ServiceName)
			}
		}
		for _, ingress := range manifest.All[*networkingv1.Ingress](set) {
			for _, rule := range ingress.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					to := path.Backend.Service
					s := services[to.Name]
					if s == nil || !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == to.Port.Name }) {
						t.Errorf("%s leads to %s:%s, which is not there", rule.Host, to.Name, to.Port.Name)
					}
				}
			}
		}
		claims := manifest.All[*corev1.PersistentVolumeClaim](set)
		for _, w := range workloads(set) {
			for _, v := range w.template.Spec.Volumes {
				if c := v.PersistentVolumeClaim; c != nil && !slices.ContainsFunc(claims, func(p *corev1.PersistentVolumeClaim) bool { return p.Name == c.ClaimName }) {
					t.Errorf("%s mounts the claim %s, which is not there", w.GetName(), c.ClaimName)
				}
			}
		}
	})
}

// TestDataPlaneIngress: its hosts are the apex of the base domain and all names
// below it, with a certificate for both; and none leads to the control plane.
func TestDataPlaneIngress(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		domain := settings(t, set, find(t, set, "gateway"))["NIGHTSHIFT_BASE_DOMAIN"]
		for _, ingress := range manifest.All[*networkingv1.Ingress](set) {
			var hosts, certified []string
			for _, tls := range ingress.Spec.TLS {
				certified = append(certified, tls.Hosts...)
			}
			for _, rule := range ingress.Spec.Rules {
				hosts = append(hosts, rule.Host)
				control := rule.HTTP.Paths[0].Backend.Service.Name == "control"
				if control != (ingress.Name == "control") {
					t.Errorf("%s of Ingress %s leads to %s", rule.Host, ingress.Name, rule.HTTP.Paths[0].Backend.Service.Name)
				}
			}
			if !slices.Equal(hosts, certified) {
				t.Errorf("Ingress %s has the hosts %v and certificates for %v", ingress.Name, hosts, certified)
			}
			if want := []string{domain, "*." + domain}; ingress.Name == "gateway" && !slices.Equal(hosts, want) {
				t.Errorf("the data plane has the hosts %v, want %v", hosts, want)
			}
		}
	})
}

// TestOneScaler: what an autoscaler sets, an apply does not set back, and
// no two autoscalers have one target.
func TestOneScaler(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		scaled := map[string]int{"gateway": 0, "worker": 0}
		for _, hpa := range manifest.All[*autoscalingv2.HorizontalPodAutoscaler](set) {
			scaled[hpa.Spec.ScaleTargetRef.Name]++
			if hpa.Spec.MinReplicas == nil || *hpa.Spec.MinReplicas < 2 {
				t.Errorf("%s may go down to one pod", hpa.Name)
			}
		}
		for _, object := range set.Foreign {
			name, _, _ := unstructured.NestedString(object.Object, "spec", "scaleTargetRef", "name")
			scaled[name]++
		}
		for name, scalers := range scaled {
			w := find(t, set, name)
			if w.kind != "Deployment" || scalers > 1 || (scalers == 1) == (w.replicas != nil) {
				t.Errorf("%s %s has %d autoscalers, and its own count is %v", w.kind, name, scalers, w.replicas)
			}
		}
	})
}

func TestMonitorsFindTheirServices(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, monitor := range manifest.All[*monitoringv1.ServiceMonitor](set) {
			selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			var watched []string
			for _, s := range manifest.All[*corev1.Service](set) {
				if !selector.Matches(labels.Set(s.Labels)) {
					continue
				}
				for _, endpoint := range monitor.Spec.Endpoints {
					if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == endpoint.Port }) {
						t.Errorf("the Service %s has no port %s to scrape", s.Name, endpoint.Port)
					}
				}
				watched = append(watched, selected(t, set, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})...)
			}
			slices.Sort(watched)
			if want := []string{"gateway", "scheduler", "worker"}; !slices.Equal(watched, want) {
				t.Errorf("the monitor watches %v, want each of %v once", watched, want)
			}
		}
	})
}
