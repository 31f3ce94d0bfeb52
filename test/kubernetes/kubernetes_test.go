// Package kubernetes tests deploy/k8s without a cluster: that each overlay
// renders, that an API server would take each document, that pods are restricted,
// probed and stopped as the services need it, that settings are settings of the
// service that gets them, that what refers to something finds it, and who reaches
// whom through the NetworkPolicies, also with any one part of them taken away.
package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const deployDir = "../../deploy/k8s"

// scaledObject is KEDA's kind, whose Go module would bring hundreds of others;
// TestScaledObjects checks it against KEDA's own schema.
const scaledObject = "ScaledObject"

// An overlay is rendered once, and then looked at by all tests.
type overlay struct {
	name string
	// edit replaces a line of the overlay's kustomization, as its comments tell people to.
	edit [2]string
}

// overlays are those that are there, and what people are told to make of them.
var overlays = []overlay{
	{name: "local"},
	{name: "production"},
	{name: "production", edit: [2]string{"- ../../components/keda #", "- ../../components/hpa-worker #"}},
	{name: "production", edit: [2]string{"# - ../../components/redis-users #", "- ../../components/redis-users #"}},
	{name: "production", edit: [2]string{"# - ../../components/tracing #", "- ../../components/tracing #"}},
	{name: "production", edit: [2]string{"# - ../../components/control-ingress #", "- ../../components/control-ingress #"}},
}

func (o overlay) String() string {
	if o.edit[1] == "" {
		return o.name
	}
	return o.name + " with " + filepath.Base(strings.TrimSuffix(o.edit[1], " #"))
}

// rendered holds what overlays render to: all tests look at it, and it takes a
// good part of a second each.
var rendered sync.Map // of overlay to func() []byte

// render renders an overlay with its edit, once.
func (o overlay) render(t *testing.T) []byte {
	t.Helper()
	once, _ := rendered.LoadOrStore(o, sync.OnceValue(func() []byte { return o.build(t) }))
	documents := once.(func() []byte)()
	if documents == nil {
		t.Fatalf("%s does not render", o)
	}
	return documents
}

func (o overlay) build(t *testing.T) []byte {
	t.Helper()
	dir := filepath.Join(deployDir, "overlays", o.name)
	fs := filesys.MakeFsOnDisk()
	if o.edit[1] != "" {
		fs = edited(t, filepath.Join(dir, "kustomization.yaml"), o.edit)
		dir = "/" + filepath.Join("k8s", "overlays", o.name)
	}
	documents, err := manifest.Render(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	return documents
}

// edited is deploy/k8s in memory, with one line of one file replaced.
func edited(t *testing.T, file string, edit [2]string) filesys.FileSystem {
	t.Helper()
	disk, memory := filesys.MakeFsOnDisk(), filesys.MakeFsInMemory()
	err := disk.Walk(deployDir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := disk.ReadFile(path)
		if err != nil {
			return err
		}
		if path == file {
			if bytes.Count(content, []byte(edit[0])) != 1 {
				t.Fatalf("%s does not have %q once", path, edit[0])
			}
			content = bytes.ReplaceAll(content, []byte(edit[0]), []byte(edit[1]))
		}
		relative, err := filepath.Rel(deployDir, path)
		if err != nil {
			return err
		}
		return memory.WriteFile(filepath.Join("/k8s", relative), content)
	})
	if err != nil {
		t.Fatal(err)
	}
	return memory
}

// each runs a test on each overlay.
func each(t *testing.T, test func(t *testing.T, set *manifest.Set)) {
	t.Helper()
	for _, o := range overlays {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			set, err := manifest.Decode(o.render(t), scaledObject)
			if err != nil {
				t.Fatal(err)
			}
			test(t, set)
		})
	}
}

// workload is what makes pods.
type workload struct {
	manifest.Object
	kind     string
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	replicas *int32
}

func workloads(set *manifest.Set) []workload {
	var all []workload
	for _, d := range manifest.All[*appsv1.Deployment](set) {
		all = append(all, workload{d, "Deployment", d.Spec.Selector, d.Spec.Template, d.Spec.Replicas})
	}
	for _, s := range manifest.All[*appsv1.StatefulSet](set) {
		all = append(all, workload{s, "StatefulSet", s.Spec.Selector, s.Spec.Template, s.Spec.Replicas})
	}
	return all
}

// find returns the workload of a name.
func find(t *testing.T, set *manifest.Set, name string) workload {
	t.Helper()
	all := workloads(set)
	i := slices.IndexFunc(all, func(w workload) bool { return w.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return all[i]
}

// selected lists the names of the workloads whose pods a selector selects.
func selected(t *testing.T, set *manifest.Set, selector *metav1.LabelSelector) []string {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range workloads(set) {
		if s.Matches(labels.Set(w.template.Labels)) {
			names = append(names, w.GetName())
		}
	}
	return names
}

// port finds a container's port by name.
func port(w workload, name string) (int32, bool) {
	for _, c := range w.template.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return p.ContainerPort, true
			}
		}
	}
	return 0, false
}

// TestOverlays holds that the parts are there at all, so that no test below
// holds of nothing.
func TestOverlays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		kinds := map[string]int{}
		for _, object := range set.Objects {
			kinds[object.GetObjectKind().GroupVersionKind().Kind]++
			if object.GetNamespace() != "nightshift" && object.GetName() != "nightshift" {
				t.Errorf("%s %s is in namespace %q", object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), object.GetNamespace())
			}
			if _, isSecret := object.(*corev1.Secret); isSecret {
				t.Errorf("%s is a secret that everybody knows", object.GetName())
			}
		}
		for _, kind := range []string{"Namespace", "ConfigMap", "ServiceAccount", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"} {
			if kinds[kind] == 0 {
				t.Errorf("there is no %s in %v", kind, kinds)
			}
		}
		for _, name := range []string{"gateway", "worker", "scheduler"} {
			find(t, set, name)
		}
	})
}
