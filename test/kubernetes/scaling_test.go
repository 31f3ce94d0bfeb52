package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/test/kubernetes/manifest"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/kube-openapi/pkg/validation/spec" // how the API server reads a custom kind's schema, and the next two how it uses it
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// keda is the release that its objects here are checked against.
const keda = "github.com/kedacore/keda/v2@v2.21.0"

// kedaSource is a folder with KEDA's source, which the go command fetches once.
// It is not a dependency: that would be hundreds of modules.
func kedaSource(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", keda)
	cmd.Dir = t.TempDir() // in no module
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if err := json.Unmarshal(out, &module); err != nil || module.Dir == "" {
		t.Fatalf("%s: %v %s %s", cmd, err, module.Error, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return module.Dir
}

// schema reads the schema that KEDA gives an API server for a kind.
func schema(t *testing.T, file string) *spec.Schema {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(kedaSource(t), "config/crd/bases", file))
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema spec.Schema `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &definition); err != nil {
		t.Fatal(err)
	}
	for _, version := range definition.Spec.Versions {
		if version.Name == "v1alpha1" {
			return &version.Schema.OpenAPIV3Schema
		}
	}
	t.Fatalf("%s has no v1alpha1", file)
	return nil
}

// unknown lists the fields of a value that its schema does not have.
func unknown(s *spec.Schema, value any, path string) []string {
	var all []string
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			property, ok := s.Properties[key]
			switch {
			case ok:
				all = append(all, unknown(&property, inner, path+"."+key)...)
			case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
				all = append(all, unknown(s.AdditionalProperties.Schema, inner, path+"."+key)...)
			case len(s.Properties) > 0:
				all = append(all, path+"."+key)
			}
		}
	case []any:
		if s.Items != nil && s.Items.Schema != nil {
			for i, inner := range v {
				all = append(all, unknown(s.Items.Schema, inner, fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	}
	return all
}

// TestScaledObjects checks them against KEDA's own schema, and the words in their
// triggers, which no schema knows, against those that KEDA's source reads.
func TestScaledObjects(t *testing.T) {
	t.Parallel()
	s := schema(t, "keda.sh_scaledobjects.yaml")
	source := kedaSource(t)
	words := map[string]string{"prometheus": "prometheus_scaler.go", "cpu": "cpu_memory_scaler.go"}
	each(t, func(t *testing.T, set *manifest.Set) {
		for _, object := range set.Foreign {
			if err := validate.AgainstSchema(s, object.Object, strfmt.Default); err != nil {
				t.Error(err)
			}
			for _, field := range unknown(s, object.Object, object.GetKind()) {
				t.Errorf("%s is no field", field)
			}
			for _, trigger := range triggers(t, object) {
				code, err := os.ReadFile(filepath.Join(source, "pkg/scalers", words[trigger.Type]))
				if err != nil {
					t.Fatal(err)
				}
				for word := range trigger.Metadata {
					if !regexp.MustCompile(`keda:"name=` + word + `[,;"]`).Match(code) {
						t.Errorf("the trigger %s has %q, which KEDA does not read", trigger.Name, word)
					}
				}
			}
		}
	})
}

// TestSchemaIsStrict keeps the test above from holding of anything.
func TestSchemaIsStrict(t *testing.T) {
	t.Parallel()
	s := schema(t, "keda.sh_scaledobjects.yaml")
	read := func(text string) map[string]any {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		return object
	}
	good := `{spec: {scaleTargetRef: {name: worker}, triggers: [{type: cpu, metadata: {value: "80"}}]}}`
	if err := validate.AgainstSchema(s, read(good), strfmt.Default); err != nil || len(unknown(s, read(good), "")) > 0 {
		t.Errorf("%s: %v", good, err)
	}
	for _, bad := range []string{
		`{spec: {scaleTargetRef: {name: worker}}}`,
		`{spec: {scaleTargetRef: {name: worker}, triggers: [{type: cpu, metadata: {value: 80}}]}}`,
		`{spec: {scaleTargetRef: {name: worker}, minReplicaCount: "2", triggers: [{type: cpu, metadata: {}}]}}`,
	} {
		if err := validate.AgainstSchema(s, read(bad), strfmt.Default); err == nil {
			t.Errorf("%s is taken for valid", bad)
		}
	}
	if bad := `{spec: {scaleTargetRef: {nmae: worker}, triggers: [{tpye: cpu}]}}`; len(unknown(s, read(bad), "")) != 2 {
		t.Errorf("unknown fields of %s = %v", bad, unknown(s, read(bad), ""))
	}
}

// trigger is one of a ScaledObject's.
type trigger struct {
	Type       string
	Name       string
	MetricType string            `json:"metricType"`
	Metadata   map[string]string `json:"metadata"`
}

func triggers(t *testing.T, object *unstructured.Unstructured) []trigger {
	t.Helper()
	var body struct{ Spec struct{ Triggers []trigger } }
	convert(t, object.Object, &body)
	return body.Spec.Triggers
}

func convert(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// scaler is what both ways to scale workers have in common.
type scaler struct {
	Min, Max int32
	Depth    string // per worker
	Age      string // seconds
	Busy     string // percent of the CPU that is requested
	Queries  [2]string
	Behavior string
}

// TestBothWaysToScaleAreOne: with KEDA or without, workers are scaled by the
// same figures to the same targets at the same pace.
func TestBothWaysToScaleAreOne(t *testing.T) {
	t.Parallel()
	var found []scaler
	for _, o := range overlays[1:3] {
		set, err := manifest.Decode(o.render(t), scaledObject)
		if err != nil {
			t.Fatal(err)
		}
		var s scaler
		if len(set.Foreign) > 0 {
			s = scalerOfKEDA(t, set.Foreign[0])
		} else {
			s = scalerOfHPA(t, set)
		}
		if want := settings(t, set, find(t, set, "worker"))["NIGHTSHIFT_WORKER_CONCURRENCY"]; s.Depth != want {
			t.Errorf("%s: a worker is wanted per %s invocations, and runs %s", o, s.Depth, want)
		}
		found = append(found, s)
	}
	if len(found) != 2 || found[0] != found[1] {
		t.Errorf("the ways to scale workers differ:\n%+v", found)
	}
}

func scalerOfKEDA(t *testing.T, object *unstructured.Unstructured) scaler {
	t.Helper()
	var body struct {
		Spec struct {
			MinReplicaCount, MaxReplicaCount int32
			Advanced                         struct {
				HorizontalPodAutoscalerConfig struct {
					Behavior autoscalingv2.HorizontalPodAutoscalerBehavior
				}
			}
		}
	}
	convert(t, object.Object, &body)
	s := scaler{Min: body.Spec.MinReplicaCount, Max: body.Spec.MaxReplicaCount, Behavior: text(t, body.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior)}
	for _, trigger := range triggers(t, object) {
		query := strings.ReplaceAll(trigger.Metadata["query"], `namespace="nightshift"`, "<<.LabelMatchers>>")
		switch trigger.Name + " " + trigger.MetricType {
		case "depth AverageValue":
			s.Depth, s.Queries[0] = trigger.Metadata["threshold"], query
		case "age Value":
			s.Age, s.Queries[1] = trigger.Metadata["threshold"], query
		case "cpu Utilization":
			s.Busy = trigger.Metadata["value"]
		}
	}
	return s
}

func scalerOfHPA(t *testing.T, set *manifest.Set) scaler {
	t.Helper()
	var adapter struct {
		Rules struct {
			External []struct {
				Name         struct{ As string }
				MetricsQuery string `json:"metricsQuery"`
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(deployDir, "components/hpa-worker/adapter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &adapter); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, rule := range adapter.Rules.External {
		queries[rule.Name.As] = rule.MetricsQuery
	}
	var s scaler
	for _, hpa := range manifest.All[*autoscalingv2.HorizontalPodAutoscaler](set) {
		if hpa.Spec.ScaleTargetRef.Name != "worker" {
			continue
		}
		s.Min, s.Max, s.Behavior = *hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas, text(t, hpa.Spec.Behavior)
		for _, metric := range hpa.Spec.Metrics {
			switch {
			case metric.Resource != nil:
				s.Busy = fmt.Sprint(*metric.Resource.Target.AverageUtilization)
			case metric.External.Target.Type == autoscalingv2.AverageValueMetricType:
				s.Depth, s.Queries[0] = metric.External.Target.AverageValue.String(), queries[metric.External.Metric.Name]
			default:
				s.Age, s.Queries[1] = metric.External.Target.Value.String(), queries[metric.External.Metric.Name]
			}
		}
	}
	return s
}

var metricName = regexp.MustCompile(`nightshift_[a-z_]+`)

// TestQueriesAskForWhatIsTold: no scaler waits for a figure that nobody tells.
func TestQueriesAskForWhatIsTold(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	names := metricName.FindAllString(query(t, "depth")+query(t, "age"), -1)
	for _, name := range names {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("the triggers ask for %s, which docs/metrics.md does not have", name)
		}
	}
	if len(names) == 0 {
		t.Error("no query asks for a metric")
	}
}

// query is that of a trigger.
func query(t *testing.T, name string) string {
	t.Helper()
	set, err := manifest.Decode(overlays[1].render(t), scaledObject)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range set.Foreign {
		for _, trigger := range triggers(t, object) {
			if trigger.Name == name {
				return trigger.Metadata["query"]
			}
		}
	}
	t.Fatalf("there is no trigger %s", name)
	return ""
}

// TestQueriesMeanWhatTheySay lets Prometheus work them out, for two gateways
// that tell the same.
func TestQueriesMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	type situation struct {
		name                                 string
		active, pending, waiting, age, slots int
		depth, oldest                        int
	}
	situations := []situation{
		{name: "idle", slots: 16},
		{name: "full", active: 14, waiting: 100, age: 45, slots: 16, depth: 114, oldest: 45},
		{name: "held by a function's concurrency", active: 1, waiting: 100, age: 900, slots: 16, depth: 1},
		{name: "without a worker", pending: 3, waiting: 5, age: 60, depth: 8, oldest: 60},
	}
	var tests []any
	for _, s := range situations {
		var series []any
		for _, gateway := range []string{"10.244.0.1:9464", "10.244.0.2:9464"} {
			tell := func(metric, labels string, value int) {
				series = append(series, map[string]string{
					"series": fmt.Sprintf("%s{namespace=%q,instance=%q%s}", metric, ours, gateway, labels), "values": fmt.Sprintf("%dx5", value),
				})
			}
			for state, value := range map[string]int{"active": s.active, "pending": s.pending, "waiting": s.waiting, "retry": 7, "delayed": 7} {
				tell("nightshift_queue_tasks", fmt.Sprintf(`,queue="background",state=%q`, state), value)
				tell("nightshift_queue_tasks", fmt.Sprintf(`,queue="scheduled",state=%q`, state), 0)
			}
			tell("nightshift_queue_oldest_age_seconds", `,queue="background"`, s.age)
			tell("nightshift_queue_oldest_age_seconds", `,queue="scheduled"`, 0)
			tell("nightshift_workers_concurrency", "", s.slots)
		}
		expect := func(name string, value int) any {
			return map[string]any{"expr": query(t, name), "eval_time": "3m", "exp_samples": []any{map[string]any{"value": value}}}
		}
		tests = append(tests, map[string]any{
			"name": s.name, "interval": "1m", "input_series": series,
			"promql_expr_test": []any{expect("depth", s.depth), expect("age", s.oldest)},
		})
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, []byte(text(t, map[string]any{"rule_files": []string{}, "tests": tests})), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v (it is in Debian's package prometheus)\n%s", err, out)
	}
}

// text makes a value comparable.
func text(t *testing.T, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}
