package kubernetes

import (
	"slices"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy" // what the API server refuses pods with
)

// TestPodsAreRestricted asks what the API server asks in a namespace with our labels.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, namespace := range manifest.All[*corev1.Namespace](set) {
			levels, errs := api.PolicyToEvaluate(namespace.Labels, api.Policy{})
			if len(errs) > 0 || levels.Enforce.Level != api.LevelRestricted || levels.Warn.Level != api.LevelRestricted {
				t.Errorf("namespace %s enforces %v, %v; want restricted", namespace.Name, levels, errs)
			}
		}
		restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, w := range workloads(set) {
			for _, result := range evaluator.EvaluatePod(restricted, &w.template.ObjectMeta, &w.template.Spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", w.GetName(), result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	})
}

// TestPodsHaveNoMoreThanTheyNeed is what restricted does not ask for.
func TestPodsHaveNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, w := range workloads(set) {
			spec := w.template.Spec
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Errorf("%s gets a token of the API server", w.GetName())
			}
			if spec.ServiceAccountName != w.GetName() {
				t.Errorf("%s has the service account %q, want one of its own", w.GetName(), spec.ServiceAccountName)
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Errorf("%s gets variables of Services beside its settings", w.GetName())
			}
			for _, c := range spec.Containers {
				if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s may write to its image", w.GetName())
				}
				for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
					request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
					if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
						t.Errorf("%s requests %s and may have %s of %s", w.GetName(), request.String(), limit.String(), resource)
					}
				}
			}
			for _, v := range spec.Volumes {
				if v.EmptyDir != nil && v.EmptyDir.SizeLimit.IsZero() {
					t.Errorf("%s: the volume %s has no limit", w.GetName(), v.Name)
				}
			}
		}
		for _, account := range manifest.All[*corev1.ServiceAccount](set) {
			if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
				t.Errorf("the service account %s gives its token away", account.Name)
			}
		}
	})
}

// TestPodsCanWriteWhereTheyMust: the file system of the image is read-only.
func TestPodsCanWriteWhereTheyMust(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, name := range services {
			w := find(t, set, name)
			env := settings(t, set, w)
			folders := map[string]bool{"/tmp": false} // the folder, and whether it is only read
			if dir := env["NIGHTSHIFT_WORKER_DATA_DIR"]; name == "worker" {
				folders[dir] = false
			}
			if dir, ok := strings.CutPrefix(env["NIGHTSHIFT_BLOB_URL"], "file://"); ok {
				folders[dir] = name == "worker" // beside functions, who have no business there
			}
			mounts := w.template.Spec.Containers[0].VolumeMounts
			for folder, readOnly := range folders {
				i := slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.MountPath == folder })
				if i < 0 || mounts[i].ReadOnly != readOnly {
					t.Errorf("%s: %q is not mounted with readOnly %v", name, folder, readOnly)
				}
			}
		}
	})
}

// TestProbes: liveness asks only whether the process lives, readiness also
// whether it can work, and each asks a port that is there.
func TestProbes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, name := range services {
			w := find(t, set, name)
			c := w.template.Spec.Containers[0]
			for _, probe := range []struct {
				name  string
				probe *corev1.Probe
				path  string
			}{{"startup", c.StartupProbe, "/healthz"}, {"readiness", c.ReadinessProbe, "/readyz"}, {"liveness", c.LivenessProbe, "/healthz"}} {
				if probe.probe == nil || probe.probe.HTTPGet == nil || probe.probe.HTTPGet.Path != probe.path {
					t.Errorf("%s has no %s probe of %s", name, probe.name, probe.path)
					continue
				}
				address := map[string]string{"gateway": "NIGHTSHIFT_ADMIN_ADDR", "worker": "NIGHTSHIFT_WORKER_ADDR", "scheduler": "NIGHTSHIFT_SCHEDULER_ADDR"}[name]
				number, ok := port(w, probe.probe.HTTPGet.Port.StrVal)
				if _, listens := portOf(settings(t, set, w)[address]); !ok || listens != number {
					t.Errorf("%s: the %s probe asks port %s, %d; health is on %d", name, probe.name, probe.probe.HTTPGet.Port.StrVal, number, listens)
				}
			}
		}
		for _, w := range workloads(set) {
			for _, c := range w.template.Spec.Containers {
				if c.StartupProbe == nil || c.ReadinessProbe == nil || c.LivenessProbe == nil {
					t.Errorf("%s lacks a probe", w.GetName())
				}
			}
		}
	})
}
