package scenario

import (
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/test/chaos/fault"
	"github.com/nightshift/nightshift/test/chaos/history"
	"github.com/nightshift/nightshift/test/chaos/report"
	"github.com/nightshift/nightshift/test/chaos/validate"
)

func TestAgain(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	attempt := func(worker string, s int, o invocation.Outcome) invocation.Attempt {
		return invocation.Attempt{Worker: worker, StartedAt: at(s), Outcome: o}
	}
	lost, ok := invocation.WorkerLost, invocation.OK
	kill := func(s int) history.Fault { return history.Fault{Name: fault.KillWorker.Name(), Begun: at(s)} }
	tests := []struct {
		name            string
		faults          []history.Fault
		records         [][]invocation.Attempt
		first, suspects []time.Duration
	}{
		{"killed", []history.Fault{kill(10)},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 41, ok)}}, []time.Duration{31 * time.Second}, nil},
		{"another worker was killed before", []history.Fault{kill(10), kill(20)},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 51, ok)}, {attempt("a", 15, ok)}},
			[]time.Duration{31 * time.Second}, nil},
		{"killed twice", []history.Fault{kill(10), kill(50)},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 41, lost), attempt("c", 85, ok)}},
			[]time.Duration{31 * time.Second}, []time.Duration{35 * time.Second}},
		{"frozen, and alive to the end", []history.Fault{kill(10)},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 41, ok)}, {attempt("a", 60, ok)}}, nil, nil},
		{"frozen, and killed after it was replaced", []history.Fault{kill(70)},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 41, ok)}, {attempt("a", 60, ok)}}, nil, nil},
		{"another fault", []history.Fault{{Name: fault.CutRedis.Name(), Begun: at(10)}},
			[][]invocation.Attempt{{attempt("a", 5, lost), attempt("b", 41, ok)}}, nil, nil},
		{"failed by itself", []history.Fault{kill(10)},
			[][]invocation.Attempt{{attempt("a", 5, invocation.Error), attempt("b", 41, ok)}}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := &validate.Run{Records: map[string]invocation.Invocation{}}
			for i, attempts := range tt.records {
				run.Records[string(rune('A'+i))] = invocation.Invocation{Attempts: attempts}
			}
			first, suspects := again(run, tt.faults)
			took := func(reruns []report.Rerun) (all []time.Duration) {
				for _, r := range reruns {
					all = append(all, r.Begun.Sub(r.Died))
				}
				return all
			}
			if got, late := took(first), took(suspects); !slices.Equal(got, tt.first) || !slices.Equal(late, tt.suspects) {
				t.Errorf("again = %v, %v, want %v, %v", got, late, tt.first, tt.suspects)
			}
		})
	}
}
