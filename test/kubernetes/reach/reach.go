// Package reach works out which connections NetworkPolicies let through.
//
// A connection from one pod to another is let through if the policies of both
// sides let it: the egress of the one, the ingress of the other. A side that no
// policy of that direction selects lets everything through; one that some select
// lets through what at least one rule of one of them names. An end outside of the
// cluster has no policies.
//
// What it does not know of is an error: ports by name.
package reach

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// End is one end of a connection: a pod, or an address outside of the cluster.
type End struct {
	// Namespace is empty outside of the cluster, as are the labels.
	Namespace       string
	NamespaceLabels map[string]string
	Labels          map[string]string
	Addr            netip.Addr
}

// Policies are those of a cluster.
type Policies struct {
	All []*networkingv1.NetworkPolicy
	// BlocksHoldPods lets an ipBlock match pods, by their addresses. The API
	// leaves it to the network plugin, so both must come out right.
	BlocksHoldPods bool
}

// Allow reports whether a connection is let through.
func (p Policies) Allow(from, to End, protocol corev1.Protocol, port int32) (bool, error) {
	out, err := p.side(networkingv1.PolicyTypeEgress, from, to, protocol, port)
	if err != nil || !out {
		return false, err
	}
	return p.side(networkingv1.PolicyTypeIngress, to, from, protocol, port)
}

// rule is of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// rules are those of a policy in a direction, and whether it has that direction.
func rules(policy *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) ([]rule, bool) {
	var all []rule
	if direction == networkingv1.PolicyTypeIngress {
		for _, r := range policy.Spec.Ingress {
			all = append(all, rule{r.From, r.Ports})
		}
	} else {
		for _, r := range policy.Spec.Egress {
			all = append(all, rule{r.To, r.Ports})
		}
	}
	if len(policy.Spec.PolicyTypes) == 0 { // the API's default
		return all, direction == networkingv1.PolicyTypeIngress || len(all) > 0
	}
	for _, t := range policy.Spec.PolicyTypes {
		if t == direction {
			return all, true
		}
	}
	return nil, false
}

// side reports whether one end lets a connection with its peer through.
func (p Policies) side(direction networkingv1.PolicyType, of, peer End, protocol corev1.Protocol, port int32) (bool, error) {
	selected := false
	for _, policy := range p.All {
		all, has := rules(policy, direction)
		if !has || of.Namespace == "" || policy.Namespace != of.Namespace {
			continue
		}
		if match, err := selects(&policy.Spec.PodSelector, of.Labels); err != nil || !match {
			if err != nil {
				return false, fmt.Errorf("policy %s: %w", policy.Name, err)
			}
			continue
		}
		selected = true
		for _, r := range all {
			if ok, err := p.matches(r, policy.Namespace, peer, protocol, port); err != nil {
				return false, fmt.Errorf("policy %s: %w", policy.Name, err)
			} else if ok {
				return true, nil
			}
		}
	}
	return !selected, nil
}

func (p Policies) matches(r rule, namespace string, peer End, protocol corev1.Protocol, port int32) (bool, error) {
	if ok, err := hasPort(r.ports, protocol, port); err != nil || !ok {
		return false, err
	}
	if len(r.peers) == 0 {
		return true, nil
	}
	for _, candidate := range r.peers {
		if ok, err := p.isPeer(candidate, namespace, peer); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// isPeer reports whether an end is one that a rule names.
func (p Policies) isPeer(candidate networkingv1.NetworkPolicyPeer, namespace string, peer End) (bool, error) {
	if candidate.IPBlock != nil {
		if peer.Namespace != "" && !p.BlocksHoldPods {
			return false, nil
		}
		return inBlock(candidate.IPBlock, peer.Addr)
	}
	if peer.Namespace == "" {
		return false, nil
	}
	if candidate.NamespaceSelector == nil {
		if peer.Namespace != namespace {
			return false, nil
		}
	} else if ok, err := selects(candidate.NamespaceSelector, peer.NamespaceLabels); err != nil || !ok {
		return false, err
	}
	if candidate.PodSelector == nil {
		return true, nil
	}
	return selects(candidate.PodSelector, peer.Labels)
}

func selects(selector *metav1.LabelSelector, set map[string]string) (bool, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return s.Matches(labels.Set(set)), nil
}

func inBlock(block *networkingv1.IPBlock, addr netip.Addr) (bool, error) {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return false, err
	}
	for _, text := range block.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			return false, err
		}
		if except.Contains(addr) {
			return false, nil
		}
	}
	return prefix.Contains(addr), nil
}

func hasPort(ports []networkingv1.NetworkPolicyPort, protocol corev1.Protocol, port int32) (bool, error) {
	if len(ports) == 0 {
		return true, nil
	}
	for _, p := range ports {
		want := corev1.ProtocolTCP
		if p.Protocol != nil {
			want = *p.Protocol
		}
		if want != protocol {
			continue
		}
		if p.Port == nil {
			return true, nil
		}
		if p.Port.Type == intstr.String {
			return false, fmt.Errorf("the port %q has a name; number it", p.Port.StrVal)
		}
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		if p.Port.IntVal <= port && port <= last {
			return true, nil
		}
	}
	return false, nil
}
