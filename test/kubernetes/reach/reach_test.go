package reach_test

import (
	"net/netip"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/reach"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

var (
	web     = pod("shop", "web", "10.0.0.1")
	db      = pod("shop", "db", "10.0.0.2")
	visitor = pod("street", "web", "10.0.0.3")
	world   = reach.End{Addr: netip.MustParseAddr("203.0.113.9")}
)

func pod(namespace, app, addr string) reach.End {
	return reach.End{
		Namespace: namespace, NamespaceLabels: map[string]string{"name": namespace},
		Labels: map[string]string{"app": app}, Addr: netip.MustParseAddr(addr),
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		policies []string // specs, in namespace shop
		blocks   bool
		from, to reach.End
		port     int32
		want     bool
	}{
		{"without policies", nil, false, web, db, 1, true},
		{"no rule", []string{`{podSelector: {}, policyTypes: [Ingress, Egress]}`}, false, web, db, 1, false},
		{"another's policy", []string{`{podSelector: {matchLabels: {app: other}}}`}, false, web, db, 1, true},
		{"ingress is the default", []string{`{podSelector: {}}`}, false, visitor, web, 1, false},
		{"and leaves egress open", []string{`{podSelector: {}}`}, false, web, world, 1, true},
		{"unless there are rules", []string{`{podSelector: {}, egress: [{ports: [{port: 53}]}]}`}, false, web, world, 1, false},
		{"egress alone leaves ingress open", []string{`{podSelector: {}, policyTypes: [Egress]}`}, false, visitor, web, 1, true},
		{"pods of the namespace", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`}, false, web, db, 1, true},
		{"not of another one", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`}, false, visitor, db, 1, false},
		{"a namespace", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: street}}}]}]}`}, false, visitor, db, 1, true},
		{
			"a namespace and a pod",
			[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: street}}, podSelector: {matchLabels: {app: db}}}]}]}`},
			false, visitor, db, 1, false,
		},
		{
			"a namespace or a pod",
			[]string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: street}}}, {podSelector: {matchLabels: {app: db}}}]}]}`},
			false, visitor, db, 1, true,
		},
		{"nobody but one, and one more policy", []string{`{podSelector: {}}`, `{podSelector: {}, ingress: [{}]}`}, false, world, db, 1, true},
		{"its port", []string{`{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`}, false, world, web, 80, true},
		{"another port", []string{`{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`}, false, world, web, 81, false},
		{"another protocol", []string{`{podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}`}, false, world, web, 80, false},
		{"ports from to", []string{`{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}`}, false, world, web, 85, true},
		{"an address", []string{`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}`}, false, world, web, 1, true},
		{"but not that one", []string{`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/30]}}]}]}`}, false, world, web, 1, false},
		{"pods are no addresses", []string{`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`}, false, web, visitor, 1, false},
		{"or they are", []string{`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`}, true, web, visitor, 1, true},
		{"the other side says no", []string{`{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}`, `{podSelector: {matchLabels: {app: web}}, egress: [{}]}`}, false, web, db, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := policies(t, tt.blocks, tt.policies...).Allow(tt.from, tt.to, corev1.ProtocolTCP, tt.port)
			if err != nil || got != tt.want {
				t.Errorf("Allow() = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestAllowRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`,
		`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]}`,
		`{podSelector: {matchExpressions: [{key: app, operator: Like}]}}`,
	} {
		if got, err := policies(t, true, spec).Allow(web, db, corev1.ProtocolTCP, 80); err == nil {
			t.Errorf("Allow with %s = %v, want an error", spec, got)
		}
	}
}

func policies(t *testing.T, blocks bool, specs ...string) reach.Policies {
	t.Helper()
	p := reach.Policies{BlocksHoldPods: blocks}
	for _, spec := range specs {
		policy := &networkingv1.NetworkPolicy{}
		policy.Namespace = "shop"
		if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
			t.Fatal(err)
		}
		p.All = append(p.All, policy)
	}
	return p
}
