package pool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
)

// once is a call of a function that does nothing.
func once(b *testing.B, p *Pool, code Code) time.Duration {
	began := time.Now()
	response, err := p.Invoke(b.Context(), code, Call{
		ID: "01HZX", Attempt: 1, Deadline: began.Add(time.Minute),
		Event: []byte(`{"httpMethod":"GET","rawUrl":"http://site.test/","headers":{"host":"site.test"}}`),
	}, true)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkWarm(b *testing.B) {
	for _, entry := range []string{"noop.js", "noop-v2.mjs"} {
		for _, kind := range []function.Kind{function.Sync, function.Background} {
			b.Run(entry+"/"+string(kind), func(b *testing.B) {
				p := start(b, Config{Max: 2})
				code := corpus(b, entry, entry)
				code.Function.Kind = kind
				for range 2000 { // past the compilers' warm-up
					once(b, p, code)
				}
				var took []time.Duration
				child := p.idle[code.Key][0].proc.PID()
				worker, node := spent(b, os.Getpid()), spent(b, child)
				for b.Loop() {
					took = append(took, once(b, p, code))
				}
				report(b, took)
				b.ReportMetric(perCall(spent(b, os.Getpid())-worker, b.N), "worker-cpu-µs")
				b.ReportMetric(perCall(spent(b, child)-node, b.N), "node-cpu-µs")
			})
		}
	}
}

// spent is the processor time of all threads of a process, which is what counts
// on a machine that does something else as well.
func spent(b *testing.B, pid int) (sum time.Duration) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // else it has ended meanwhile
		var ns int64
		_, _ = fmt.Sscan(string(text), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

func perCall(d time.Duration, calls int) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(calls)
}

func BenchmarkCold(b *testing.B) {
	for _, spares := range []int{0, 1} {
		b.Run(map[int]string{0: "no-spare", 1: "spare"}[spares], func(b *testing.B) {
			p := start(b, Config{Max: 3, Spares: spares})
			code := corpus(b, "noop", "noop.js")
			var took []time.Duration
			var child, before time.Duration
			worker := spent(b, os.Getpid())
			for b.Loop() {
				b.StopTimer()
				awaitSpares(b, p, spares)
				for i := range p.all {
					before += spent(b, i.proc.PID())
				}
				b.StartTimer()
				took = append(took, once(b, p, code))
				b.StopTimer()
				child += spent(b, p.idle[code.Key][0].proc.PID())
				p.Forget(code.Key)
				b.StartTimer()
			}
			report(b, took)
			b.ReportMetric(perCall(child-before, b.N), "node-cpu-µs")
			b.ReportMetric(perCall(spent(b, os.Getpid())-worker, b.N), "worker-cpu-µs")
		})
	}
}

// BenchmarkWalls is a call in a process that is started for it, with and
// without walls, in turns, so that what else the machine does counts for both.
func BenchmarkWalls(b *testing.B) {
	var pools [2]*Pool
	for n := range pools {
		pools[n] = start(b, Config{Max: 3, Jail: jailtest.New(b, func(c *jail.Config) { c.Open = n == 1 })})
	}
	code := corpus(b, "noop", "noop.js")
	var took [2][]time.Duration
	var child [2]time.Duration
	for b.Loop() {
		for n, p := range pools {
			took[n] = append(took[n], once(b, p, code))
			child[n] += spent(b, p.idle[code.Key][0].proc.PID())
			p.Forget(code.Key)
			awaitSpares(b, p, 0)
		}
	}
	for n, name := range []string{"walls", "open"} {
		slices.Sort(took[n])
		b.ReportMetric(float64(took[n][len(took[n])/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(perCall(child[n], b.N), name+"-node-cpu-µs")
	}
}

// awaitSpares waits until the spares are ready and nothing else is left.
func awaitSpares(b *testing.B, p *Pool, want int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		p.mu.Lock()
		ready := len(p.all) == want && len(p.spares) == want
		for _, i := range p.spares {
			ready = ready && i.parked()
		}
		p.mu.Unlock()
		if ready {
			return
		}
		<-tick.C
	}
	b.Fatal("no spare came up")
}
