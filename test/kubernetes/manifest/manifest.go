// Package manifest reads deploy/k8s as a cluster would: kustomize renders an
// overlay, and each document of it becomes the Go type that the API server has
// for it. A field that the type does not have is an error, as it is with
// kubectl apply --validate=strict.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1" // the operator's own types
	appsv1 "k8s.io/api/apps/v1"                                                              // the API server's own types, as those below
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty" // what kubectl kustomize is made of
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Object is a document of an overlay.
type Object interface {
	runtime.Object
	metav1.Object
}

// Set is what an overlay renders to.
type Set struct {
	// Objects are of the types of k8s.io/api and of the Prometheus operator.
	Objects []Object
	// Foreign are of kinds without such a type.
	Foreign []*unstructured.Unstructured
}

// Render renders the kustomization in a directory.
func Render(fs filesys.FileSystem, dir string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: what others need comes first
	resources, err := krusty.MakeKustomizer(options).Run(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	return resources.AsYaml()
}

// Decode reads rendered documents. foreign are the kinds that have no type here.
func Decode(documents []byte, foreign ...string) (*Set, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, autoscalingv2.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	set := &Set{}
	typed := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(documents))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return set, nil
		}
		if err != nil {
			return nil, err
		}
		if err := set.add(typed, doc, foreign); err != nil {
			return nil, err
		}
	}
}

// add decodes one document.
func (s *Set) add(typed runtime.Decoder, doc []byte, foreign []string) error {
	raw := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(doc, &raw.Object); err != nil {
		return fmt.Errorf("%w in\n%s", err, doc)
	}
	for _, kind := range foreign {
		if raw.GetKind() == kind {
			s.Foreign = append(s.Foreign, raw)
			return nil
		}
	}
	decoded, _, err := typed.Decode(doc, nil, nil)
	if err != nil {
		return fmt.Errorf("%s %s: %w", raw.GetKind(), raw.GetName(), err)
	}
	object, ok := decoded.(Object)
	if !ok {
		return fmt.Errorf("%s has no metadata", raw.GetKind())
	}
	s.Objects = append(s.Objects, object)
	return nil
}

// All returns the objects of one type.
func All[T Object](s *Set) []T {
	var all []T
	for _, object := range s.Objects {
		if t, ok := object.(T); ok {
			all = append(all, t)
		}
	}
	return all
}
