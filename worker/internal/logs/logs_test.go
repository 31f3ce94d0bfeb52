package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a log store with a will of its own.
type sink struct {
	mu      sync.Mutex
	err     error
	hangs   bool
	batches [][]invocation.LogLine
	tries   int
}

func (s *sink) AppendLog(ctx context.Context, _ store.LogSource, lines []invocation.LogLine) error {
	if s.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.err != nil {
		return s.err
	}
	s.batches = append(s.batches, lines)
	return nil
}

func (s *sink) sent() [][]invocation.LogLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func (s *sink) texts() (texts []string) {
	for _, b := range s.sent() {
		for _, l := range b {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

func newWriter(t *testing.T, s *sink) *Writer {
	return NewWriter(s, store.LogSource{Invocation: "i"}, 2, NewMetrics(nil), slog.New(slog.NewTextHandler(t.Output(), nil)))
}

func TestLinesAreBatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := newWriter(t, s)
		w.Line("stdout", "one")
		w.Line("stderr", "two\xff")
		synctest.Wait()
		if len(s.sent()) != 0 {
			t.Fatalf("sent %v at once, want a batch after %v", s.texts(), flushAfter)
		}
		time.Sleep(flushAfter)
		synctest.Wait()
		if got := fmt.Sprint(s.texts()); len(s.sent()) != 1 || got != "[one two\uFFFD]" {
			t.Fatalf("after %v: %d batches with %s, want one with both", flushAfter, len(s.sent()), got)
		}
		if l := s.sent()[0][1]; l.Attempt != 2 || l.Stream != "stderr" || l.Time.IsZero() {
			t.Errorf("line = %+v", l)
		}
		w.System("three %d", 3)
		w.Close()
		if got := s.texts(); got[2] != "three 3" {
			t.Errorf("after Close: %v", got)
		}
		w.Line("stdout", "too late")
		w.Close()
		if got := s.texts(); len(got) != 3 {
			t.Errorf("a line after Close was sent: %v", got)
		}
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := newWriter(t, s)
		started := time.Now()
		w.Line("stdout", strings.Repeat("x", batchSize))
		synctest.Wait()
		if len(s.sent()) != 1 || time.Since(started) != 0 {
			t.Errorf("%d batches after %v, want one at once", len(s.sent()), time.Since(started))
		}
		w.Close()
	})
}

func TestManyLinesAreSentInBoundedBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := newWriter(t, s)
		const n = 5000
		for i := range n {
			w.Line("stdout", fmt.Sprint(i))
		}
		w.Close()
		texts := s.texts()
		if len(texts) != n || texts[0] != "0" || texts[n-1] != fmt.Sprint(n-1) {
			t.Fatalf("%d lines arrived, want %d in order", len(texts), n)
		}
		for _, b := range s.sent() {
			if len(b)*lineOverhead > batchSize+lineOverhead {
				t.Errorf("a batch has %d lines", len(b))
			}
		}
	})
}

// The last batch is the caller's; what comes before it is sent.
func TestFinish(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, maxLines - 1, maxLines, 2*maxLines + 7} {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{}
			w := newWriter(t, s)
			for i := range n {
				w.Line("stdout", fmt.Sprint(i))
			}
			last := w.Finish()
			if len(last) > maxLines || n > 0 && len(last) == 0 {
				t.Errorf("%d of %d lines are left", len(last), n)
			}
			texts := s.texts()
			for _, line := range last {
				texts = append(texts, line.Text)
			}
			if len(texts) != n || n > 0 && (texts[0] != "0" || texts[n-1] != fmt.Sprint(n-1)) {
				t.Errorf("%d lines arrived, want %d in order", len(texts), n)
			}
			if n <= maxLines && len(s.sent()) != 0 {
				t.Errorf("%d batches of %d lines were sent, want none", len(s.sent()), n)
			}
			w.Line("stdout", "too late")
			w.Close()
			if got := s.texts(); len(got)+len(last) != n {
				t.Errorf("a line after Finish was sent: %v", got)
			}
		})
	}
}

// What is lost is told with the last lines, too.
func TestFinishTellsWhatWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: errors.New("away")}
		w := newWriter(t, s)
		w.Line("stdout", "a")
		time.Sleep(time.Second)
		w.Line("stdout", "b")
		last := w.Finish()
		if len(last) != 2 || last[0].Text != "b" || !strings.HasPrefix(last[1].Text, "1 log lines were lost") {
			t.Errorf("the last lines are %+v", last)
		}
	})
}

func TestLostLinesAreCounted(t *testing.T) {
	t.Parallel()
	t.Run("more than the buffer holds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &sink{}
			w := newWriter(t, s)
			s.mu.Lock() // the sink is busy
			const n = 40
			for range n {
				w.Line("stdout", strings.Repeat("x", 32<<10))
			}
			s.mu.Unlock()
			w.Close()
			texts := s.texts()
			lost := n - (len(texts) - 1)
			if want := fmt.Sprintf("%d log lines were lost", lost); lost <= 0 || !strings.HasPrefix(texts[len(texts)-1], want) {
				t.Errorf("the last of %d lines is %.60q, want %q", len(texts), texts[len(texts)-1], want)
			}
			if n := testutil.ToFloat64(w.metrics.lost); n != float64(lost) {
				t.Errorf("%v lost lines are told, want %d", n, lost)
			}
		})
	})
	t.Run("not taken by the sink", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &sink{err: errors.New("away")}
			w := newWriter(t, s)
			w.Line("stdout", "a")
			w.Line("stdout", "b")
			time.Sleep(time.Second)
			s.mu.Lock()
			s.err = nil
			s.mu.Unlock()
			w.Line("stdout", "c")
			w.Close()
			if got := fmt.Sprint(s.texts()); got != "[c 2 log lines were lost before this one: the log store did not take them]" {
				t.Errorf("the log is %s", got)
			}
			if s.tries != 2 {
				t.Errorf("%d tries, want one per batch: what may be there must not come twice", s.tries)
			}
			if n := testutil.ToFloat64(w.metrics.lost); n != 2 {
				t.Errorf("%v lost lines are told, want 2", n)
			}
		})
	})
}

func TestASinkThatHangsHoldsUpNothingForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{hangs: true}
		w := newWriter(t, s)
		started := time.Now()
		for range 10_000 {
			w.Line("stdout", "hello")
		}
		if took := time.Since(started); took != 0 {
			t.Errorf("Line waited %v", took)
		}
		w.Close()
		if took := time.Since(started); took > closeTimeout {
			t.Errorf("Close came after %v, want %v at most", took, closeTimeout)
		}
	})
}
