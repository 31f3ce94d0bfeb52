package function_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
)

func valid() function.Function {
	return function.Function{
		Name: "hello", Kind: function.Sync, API: function.APIv1, Runtime: "node", Entry: "hello.cjs",
		Artifact: strings.Repeat("a", 64),
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	n := -1
	tests := []struct {
		name   string
		change func(*function.Function)
		want   string // in the error; empty: valid
	}{
		{"as it is", func(*function.Function) {}, ""},
		{"executable", func(f *function.Function) { f.Runtime, f.API, f.Entry = "provided", 0, "bootstrap" }, ""},
		{"scheduled", func(f *function.Function) { f.Kind, f.Schedule = function.Scheduled, "@hourly" }, ""},
		{"no name", func(f *function.Function) { f.Name = "" }, "function name"},
		{"dot in name", func(f *function.Function) { f.Name = "a.b" }, "function name"},
		{"reserved", func(f *function.Function) { f.Name = function.ReservedName }, "reserved"},
		{"no kind", func(f *function.Function) { f.Kind = "" }, "kind"},
		{"schedule on sync", func(f *function.Function) { f.Schedule = "@hourly" }, "go together"},
		{"scheduled without schedule", func(f *function.Function) { f.Kind = function.Scheduled }, "go together"},
		{"runtime", func(f *function.Function) { f.Runtime = "deno" }, "runtime"},
		{"api", func(f *function.Function) { f.API = 3 }, "api"},
		{"entry outside", func(f *function.Function) { f.Entry = "a/../../b" }, "inside the artifact"},
		{"entry absolute", func(f *function.Function) { f.Entry = "/bin/sh" }, "inside the artifact"},
		{"digest", func(f *function.Function) { f.Artifact = "AA" }, "SHA-256"},
		{"timeout", func(f *function.Function) { f.TimeoutMS = 900_001 }, "1 to 900 seconds"},
		{"retries", func(f *function.Function) { f.Retries = &n }, "retries"},
		{"delay", func(f *function.Function) { f.RetryDelaysMS = []int64{-1} }, "retryDelays"},
		{"concurrency", func(f *function.Function) { f.Concurrency = -1 }, "concurrency"},
		{"catch-up", func(f *function.Function) { f.CatchUp = "some" }, "catchUp"},
		{"overlap", func(f *function.Function) { f.Overlap = "some" }, "overlap"},
		{"path", func(f *function.Function) { f.Paths = []string{"x"} }, "must start with a '/'"},
		{"excluded path", func(f *function.Function) { f.ExcludedPaths = []string{"x"} }, "must start with a '/'"},
		{"scheduled with path", func(f *function.Function) {
			f.Kind, f.Schedule, f.Paths = function.Scheduled, "@hourly", []string{"/x"}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := valid()
			tt.change(&f)
			err := f.Validate()
			if tt.want == "" && err != nil {
				t.Fatalf("Validate() = %v, want nil", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("Validate() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestTimeoutDefaultsByKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[function.Kind]time.Duration{
		function.Sync: 10 * time.Second, function.Scheduled: 30 * time.Second, function.Background: 15 * time.Minute,
	} {
		f := function.Function{Kind: kind}
		if got := f.Timeout(); got != want {
			t.Errorf("%s: Timeout() = %s, want %s", kind, got, want)
		}
		f.TimeoutMS = 1500
		if got := f.Timeout(); got != 1500*time.Millisecond {
			t.Errorf("%s: Timeout() = %s, want 1.5s", kind, got)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	zero, four := 0, 4
	tests := []struct {
		name     string
		f        function.Function
		failures int
		want     time.Duration
		again    bool
	}{
		{"first failure", function.Function{}, 1, time.Minute, true},
		{"second failure", function.Function{}, 2, 2 * time.Minute, true},
		{"third failure", function.Function{}, 3, 0, false},
		{"no retries", function.Function{Retries: &zero}, 1, 0, false},
		{"own delay", function.Function{RetryDelaysMS: []int64{5}}, 1, 5 * time.Millisecond, true},
		{"last delay repeats", function.Function{Retries: &four, RetryDelaysMS: []int64{1, 7}}, 4, 7 * time.Millisecond, true},
		{"no failure yet", function.Function{}, 0, time.Minute, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, again := tt.f.RetryDelay(tt.failures)
			if got != tt.want || again != tt.again {
				t.Errorf("RetryDelay(%d) = %s, %v, want %s, %v", tt.failures, got, again, tt.want, tt.again)
			}
		})
	}
}
