package kubernetes

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the alerts of components/monitoring from deploy/monitoring/alerts.yml")

const rulesHeader = `# Made from deploy/monitoring/alerts.yml: go test ./test/kubernetes -run TestAlertsAreOne -update
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nightshift
spec:
`

// TestAlertsAreOne: the operator gets the alerts that Compose's Prometheus gets,
// which promtool tests. kustomize cannot put one file into another.
func TestAlertsAreOne(t *testing.T) {
	t.Parallel()
	alerts, err := os.ReadFile("../../deploy/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString(rulesHeader)
	for line := range strings.Lines(string(alerts)) {
		if strings.TrimSpace(line) != "" {
			want.WriteString("  ")
		}
		want.WriteString(line)
	}
	file := filepath.Join(deployDir, "components/monitoring/rules.yaml")
	if *update {
		if err := os.WriteFile(file, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want.String() {
		t.Errorf("%s is not made from alerts.yml as it is now: %v; its first line says how", file, err)
	}
	rule := &monitoringv1.PrometheusRule{}
	if err := yaml.UnmarshalStrict([]byte(want.String()), rule); err != nil || len(rule.Spec.Groups) == 0 {
		t.Errorf("it has %d groups, %v", len(rule.Spec.Groups), err)
	}
}

// TestJobs: alerts and dashboards tell processes apart by the names that the
// Prometheus of Compose gives to their jobs.
func TestJobs(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../deploy/monitoring/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(content, &compose); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, monitor := range manifest.All[*monitoringv1.ServiceMonitor](set) {
			jobs := map[string]bool{}
			for _, name := range services {
				for _, relabeling := range monitor.Spec.Endpoints[0].RelabelConfigs {
					const label = "__meta_kubernetes_pod_label_app_kubernetes_io_component"
					if relabeling.TargetLabel != "job" || len(relabeling.SourceLabels) != 1 || relabeling.SourceLabels[0] != label {
						continue
					}
					component := find(t, set, name).template.Labels["app.kubernetes.io/component"]
					jobs[strings.ReplaceAll(*relabeling.Replacement, "$1", component)] = true
				}
			}
			for _, config := range compose.ScrapeConfigs {
				if !jobs[config.JobName] {
					t.Errorf("the jobs are %v; there is no %s", jobs, config.JobName)
				}
			}
		}
	})
}
