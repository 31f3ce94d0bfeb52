package tick

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		registry := prometheus.NewPedanticRegistry()
		w.registry = registry
		w.publish("acme", "d1", scheduled("minutely", "* * * * *"), scheduled("half", "30 * * * * *"))
		stop := w.start()
		defer stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		told := figures(t, registry)
		if told["schedules"] != 2 || told["tick_lateness_seconds"] != 4 || told["passes_failed_total"] != 0 {
			t.Errorf("after four ticks of two schedules: %v", told)
		}
		if at := told["last_pass_timestamp_seconds"]; at != float64(time.Now().Unix()) || told["pass_duration_seconds"] < 4 {
			t.Errorf("%v passes, the last one at %v; want one for each tick, and the last one now", told["pass_duration_seconds"], at)
		}
		w.set(func() { w.down = true })
		time.Sleep(time.Minute)
		w.set(func() { w.down = false })
		down := figures(t, registry)
		if down["passes_failed_total"] == 0 || time.Now().Unix()-int64(down["last_pass_timestamp_seconds"]) < 29 {
			t.Errorf("while Redis is down: %v", down)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := figures(t, registry)["schedules"]; n != 0 {
			t.Errorf("%v schedules after the term, want none", n)
		}
	})
}

// figures are the values of what a scheduler tells; of histograms, how often.
func figures(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]float64{}
	for _, family := range families {
		name, m := family.GetName()[len("nightshift_scheduler_"):], family.GetMetric()[0]
		told[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return told
}
