package kubernetes

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	"github.com/nightshift/nightshift/test/kubernetes/reach"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// probe is one connection to a destination.
type probe struct {
	to       reach.End
	protocol corev1.Protocol
	port     int32
}

// The table of docs/kubernetes.md says who reaches whom: a row for each source, a
// column for each destination. A cell says yes, –, or the overlays and components
// where it is so. The names in it are these.
func sources(t *testing.T, set *manifest.Set) map[string]reach.End {
	return map[string]reach.End{
		"gateway":                                    podOf(t, set, "gateway"),
		"worker, and functions in it":                podOf(t, set, "worker"),
		"scheduler":                                  podOf(t, set, "scheduler"),
		"another pod in our namespace":               stranger,
		"pod where `nightshift/data-plane=allow`":    visitor("nightshift/data-plane"),
		"pod where `nightshift/control-plane=allow`": visitor("nightshift/control-plane"),
		"pod where `nightshift/metrics=allow`":       visitor("nightshift/metrics"),
		"any other pod":                              visitor("other"),
		"anything outside of the cluster":            outside("203.0.113.7"),
	}
}

// destinations are the columns; all probes of one must come out the same.
func destinations(t *testing.T, set *manifest.Set) map[string][]probe {
	all := map[string][]probe{
		"data plane 8888":     {tcp(podOf(t, set, "gateway"), 8888)},
		"control plane 8889":  {tcp(podOf(t, set, "gateway"), 8889)},
		"worker 8890":         {tcp(podOf(t, set, "worker"), 8890)},
		"metrics 9464":        {tcp(podOf(t, set, "gateway"), 9464), tcp(podOf(t, set, "worker"), 9464), tcp(podOf(t, set, "scheduler"), 9464)},
		"Redis":               {tcp(outside("10.20.30.40"), 6379)},
		"another pod in ours": {tcp(stranger, 80)},
		"traces 4318":         {tcp(visitor("nightshift/traces"), 4318)},
		"DNS":                 {{dns, corev1.ProtocolUDP, 53}, {dns, corev1.ProtocolTCP, 53}, {outside("169.254.20.10"), corev1.ProtocolUDP, 53}},
		"public, 443":         {tcp(outside("198.51.100.1"), 443), tcp(outside("2001:db8::1"), 443)},
		"public, other":       {tcp(outside("198.51.100.1"), 22), {outside("2001:db8::1"), corev1.ProtocolUDP, 4000}},
	}
	for _, addr := range []string{"10.96.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "fe80::1", "64:ff9b::a00:1"} {
		all["private networks"] = append(all["private networks"], tcp(outside(addr), 443), tcp(outside(addr), 5432))
	}
	all["private networks"] = append(all["private networks"],
		// Ports that something else may be reached on.
		tcp(visitor("other"), 443), tcp(visitor("other"), 4318), tcp(visitor("nightshift/traces"), 80), tcp(visitor("other"), 8890), tcp(visitor("other"), 53), tcp(outside("172.16.0.1"), 6379), tcp(dns, 9153), tcp(outside("169.254.20.10"), 80),
	)
	for _, addr := range []string{"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"} {
		all["cloud metadata"] = append(all["cloud metadata"], tcp(outside(addr), 80), tcp(outside(addr), 443))
	}
	for _, w := range workloads(set) {
		if w.GetName() == "redis" {
			all["Redis"] = []probe{tcp(podOf(t, set, "redis"), 6379)}
		}
	}
	return all
}

func tcp(to reach.End, port int32) probe { return probe{to, corev1.ProtocolTCP, port} }

func outside(addr string) reach.End { return reach.End{Addr: netip.MustParseAddr(addr)} }

// visitor is a pod in a namespace with a label.
func visitor(label string) reach.End {
	return reach.End{
		Namespace: "elsewhere", NamespaceLabels: map[string]string{label: "allow"},
		Labels: map[string]string{"app.kubernetes.io/name": "nightshift", "app.kubernetes.io/component": "gateway"}, // anybody may say so
		Addr:   netip.MustParseAddr("10.244.1.1"),
	}
}

// ours is the namespace of the overlays.
const ours = "nightshift"

// stranger is a pod in our namespace that we know nothing of.
var stranger = reach.End{
	Namespace: ours, Labels: map[string]string{"app.kubernetes.io/part-of": "nightshift", "app.kubernetes.io/component": "gateway"},
	Addr: netip.MustParseAddr("10.244.9.9"),
}

var dns = reach.End{
	Namespace: "kube-system", NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"},
	Labels: map[string]string{"k8s-app": "kube-dns"}, Addr: netip.MustParseAddr("10.244.0.2"),
}

// podOf is a pod of a workload.
func podOf(t *testing.T, set *manifest.Set, name string) reach.End {
	w := find(t, set, name)
	return reach.End{Namespace: w.GetNamespace(), Labels: w.template.Labels, Addr: netip.MustParseAddr("10.244.2.2")}
}

// cell is what the page says of one source and one destination.
type cell struct{ source, destination, says string }

const pagePath = "../../docs/kubernetes.md"

// table reads the table of the page.
func table(t *testing.T) []cell {
	t.Helper()
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	var header []string
	var cells []cell
	for line := range strings.Lines(string(page)) {
		columns := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		switch {
		case columns[0] == "from ╲ to":
			header = columns
		case header == nil || strings.HasPrefix(columns[0], "---"):
		case len(columns) != len(header):
			return cells // the table has ended
		default:
			for i, says := range columns[1:] {
				cells = append(cells, cell{columns[0], header[i+1], says})
			}
		}
	}
	return cells
}

// holds says whether a cell holds for an overlay.
func (c cell) holds(overlay string) bool {
	if c.says == "yes" {
		return true
	}
	return slices.ContainsFunc(strings.Split(c.says, ", "), func(where string) bool { return strings.Contains(overlay, where) })
}

// differs lists where policies and the page are not of one opinion.
func differs(t *testing.T, set *manifest.Set, cells []cell, overlay string, policies []*networkingv1.NetworkPolicy) []string {
	t.Helper()
	var all []string
	sources, destinations := sources(t, set), destinations(t, set)
	for _, c := range cells {
		from := sources[c.source]
		for _, p := range destinations[c.destination] {
			if from.Namespace != ours && p.to.Namespace != ours {
				continue // not ours to say
			}
			for _, blocksHoldPods := range []bool{false, true} {
				got, err := reach.Policies{All: policies, BlocksHoldPods: blocksHoldPods}.Allow(from, p.to, p.protocol, p.port)
				if err != nil {
					t.Fatal(err)
				}
				if want := c.holds(overlay); got != want {
					all = append(all, fmt.Sprintf("%s (%v) to %s (%v:%d): %v, the page says %q", c.source, from.Addr, c.destination, p.to.Addr, p.port, got, c.says))
				}
			}
		}
	}
	return all
}

// TestWhoReachesWhom compares the policies with the table that people read.
func TestWhoReachesWhom(t *testing.T) {
	t.Parallel()
	cells := table(t)
	each(t, func(t *testing.T, set *manifest.Set) {
		rows, columns := sources(t, set), destinations(t, set)
		if len(cells) != len(rows)*len(columns) {
			t.Fatalf("the table of %s has %d cells, want %d rows of %d", pagePath, len(cells), len(rows), len(columns))
		}
		for _, c := range cells {
			if _, ok := rows[c.source]; !ok || columns[c.destination] == nil {
				t.Errorf("the table of %s is about %q and %q, which this test does not know", pagePath, c.source, c.destination)
			}
		}
		for _, difference := range differs(t, set, cells, t.Name(), manifest.All[*networkingv1.NetworkPolicy](set)) {
			t.Error(difference)
		}
	})
}

// TestEveryPartOfAPolicyMatters takes away each policy, each rule, each peer,
// each exception and each port, one at a time: the table must notice all of them.
func TestEveryPartOfAPolicyMatters(t *testing.T) {
	t.Parallel()
	cells := table(t)
	each(t, func(t *testing.T, set *manifest.Set) {
		policies := manifest.All[*networkingv1.NetworkPolicy](set)
		taken := 0
		for i := range policies {
			for what, without := range weaker(policies[i]) {
				taken++
				changed := slices.Clone(policies)
				if changed[i] = without; without == nil {
					changed = slices.Delete(changed, i, i+1)
				}
				if len(differs(t, set, cells, t.Name(), changed)) == 0 {
					t.Errorf("policy %s: nothing changes without %s", policies[i].Name, what)
				}
			}
		}
		if taken < 25 {
			t.Errorf("only %d parts were taken away", taken)
		}
	})
}

// weaker makes the policies that are left when one part is taken away; nil is no
// policy at all. A rule without its last peer or port would allow more, so
// then it is the rule that goes.
func weaker(policy *networkingv1.NetworkPolicy) map[string]*networkingv1.NetworkPolicy {
	all := map[string]*networkingv1.NetworkPolicy{"it": nil}
	for i, rule := range policy.Spec.Ingress {
		drop := policy.DeepCopy()
		drop.Spec.Ingress = slices.Delete(drop.Spec.Ingress, i, i+1)
		all[fmt.Sprintf("ingress %d", i)] = drop
		parts(rule.From, rule.Ports, func(what string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
			less := policy.DeepCopy()
			less.Spec.Ingress[i].From, less.Spec.Ingress[i].Ports = peers, ports
			all[fmt.Sprintf("ingress %d %s", i, what)] = less
		})
	}
	for i, rule := range policy.Spec.Egress {
		drop := policy.DeepCopy()
		drop.Spec.Egress = slices.Delete(drop.Spec.Egress, i, i+1)
		all[fmt.Sprintf("egress %d", i)] = drop
		parts(rule.To, rule.Ports, func(what string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
			less := policy.DeepCopy()
			less.Spec.Egress[i].To, less.Spec.Egress[i].Ports = peers, ports
			all[fmt.Sprintf("egress %d %s", i, what)] = less
		})
	}
	return all
}

// parts calls back with the peers and ports of a rule, each time without one part:
// a peer among others, all restriction of who it is, an exception, a port among
// others, all restriction of ports.
func parts(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, call func(string, []networkingv1.NetworkPolicyPeer, []networkingv1.NetworkPolicyPort)) {
	if len(peers) > 0 {
		call("open to all", nil, ports)
	}
	if len(ports) > 0 && !(len(peers) == 1 && peers[0].IPBlock == nil && peers[0].NamespaceSelector == nil) {
		call("open on all ports", peers, nil) // to pods of ours: their own policies hold that, too
	}
	for i, peer := range peers {
		if len(peers) > 1 {
			call(fmt.Sprintf("peer %d", i), slices.Delete(slices.Clone(peers), i, i+1), ports)
		}
		if peer.IPBlock != nil {
			for j, except := range peer.IPBlock.Except {
				less := slices.Clone(peers)
				less[i] = *peer.DeepCopy()
				less[i].IPBlock.Except = slices.Delete(less[i].IPBlock.Except, j, j+1)
				call("exception "+except, less, ports)
			}
		}
	}
	for i := range ports {
		if len(ports) > 1 {
			call(fmt.Sprintf("port %d", i), peers, slices.Delete(slices.Clone(ports), i, i+1))
		}
	}
}
