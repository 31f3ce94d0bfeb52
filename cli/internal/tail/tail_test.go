package tail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/cli/internal/tail"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
)

// site is a control plane in memory. It is used inside of a synctest bubble,
// where a test changes it while the tail waits.
type site struct {
	mu   sync.Mutex
	list []api.Invocation // newest first
	logs map[string][]api.LogLine
	err  error
	gone map[string]bool // expired
}

func (s *site) Invocations(_ context.Context, _ string, q client.InvocationQuery) (api.InvocationList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return api.InvocationList{}, s.err
	}
	start, _ := strconv.Atoi(q.Cursor)
	var out api.InvocationList
	for i, inv := range s.list[start:] {
		if inv.CreatedAt.Before(q.From) {
			break
		}
		if len(out.Invocations) == q.Limit {
			out.NextCursor = strconv.Itoa(start + i)
			break
		}
		if q.Function == "" || q.Function == inv.Function {
			out.Invocations = append(out.Invocations, inv)
		}
	}
	return out, nil
}

func (s *site) Invocation(_ context.Context, id string) (api.Invocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[id] {
		return api.Invocation{}, fault.New(fault.NotFound, "expired")
	}
	return *s.find(id), s.err
}

func (s *site) Logs(_ context.Context, id, after string) ([]api.LogLine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.Atoi(after)
	return slices.Clone(s.logs[id][n:]), s.err
}

func (s *site) find(id string) *api.Invocation {
	i := slices.IndexFunc(s.list, func(inv api.Invocation) bool { return inv.ID == id })
	return &s.list[i]
}

// add makes an invocation.
func (s *site) add(id, function string) {
	s.list = slices.Insert(s.list, 0, api.Invocation{ID: id, Function: function, State: invocation.Queued, CreatedAt: time.Now()})
}

// runs lets an invocation run and write lines.
func (s *site) runs(id string, texts ...string) {
	inv := s.find(id)
	inv.State, inv.Attempts = invocation.Running, []api.Attempt{{Number: 1}}
	for _, text := range texts {
		s.logs[id] = append(s.logs[id], api.LogLine{Cursor: strconv.Itoa(len(s.logs[id]) + 1), Time: time.Now(), Text: text})
	}
}

func (s *site) ends(id string, texts ...string) {
	s.runs(id, texts...)
	s.find(id).State = invocation.Succeeded
}

// follow runs a tail in a bubble and returns all that it emits. A step changes
// the site; a nil one lets minutes pass.
func follow(t *testing.T, s *site, function string, past int, steps ...func()) (emitted, trouble []string, err error) {
	t.Helper()
	tailer := &tail.Tail{
		Source: s, Site: "default", Function: function, Poll: 250 * time.Millisecond,
		Emit:    func(inv api.Invocation, l api.LogLine) { emitted = append(emitted, inv.ID+":"+l.Text) },
		Trouble: func(err error) { trouble = append(trouble, err.Error()) },
	}
	if _, err := tailer.Past(t.Context(), past); err != nil {
		return emitted, trouble, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- tailer.Follow(ctx) }()
	for _, step := range steps {
		if step == nil {
			<-time.After(2 * time.Minute)
			continue
		}
		s.mu.Lock()
		step()
		s.mu.Unlock()
		<-time.After(time.Second) // of the bubble: four rounds
	}
	synctest.Wait()
	select {
	case err := <-done:
		return emitted, trouble, err
	default:
		cancel()
		return emitted, trouble, <-done
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{logs: map[string][]api.LogLine{}}
		s.add("A", "job")
		s.ends("A", "long ago")
		<-time.After(time.Hour)
		s.add("B", "job")
		s.ends("B", "b1", "b2")
		s.add("C", "other")
		s.runs("C", "of another function")
		s.add("D", "job")
		emitted, _, err := follow(t, s, "job", 1,
			func() { s.runs("D", "d1") },
			func() { s.add("E", "job"); s.runs("E", "e1"); s.runs("D", "d2") },
			func() { s.ends("D", "d3"); s.ends("E") },
			func() { s.add("F", "job"); s.ends("F", "f1") },
		)
		if want := "B:b1 B:b2 D:d1 D:d2 E:e1 D:d3 F:f1"; !errors.Is(err, context.Canceled) || sorted(emitted) != sorted(strings.Fields(want)) {
			t.Errorf("it emitted %q and ended with %v; want %q and the end of the context", emitted, err, want)
		}
		for _, id := range []string{"B", "D", "E"} {
			if own := of(emitted, id); !slices.IsSorted(own) {
				t.Errorf("the lines of %s came as %q", id, own)
			}
		}
	})
}

func sorted(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(list, " ")
}

func of(emitted []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(emitted), func(line string) bool { return !strings.HasPrefix(line, id+":") })
}

// More invocations than a page holds come between two looks, and none is lost.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{logs: map[string][]api.LogLine{}}
		emitted, trouble, _ := follow(t, s, "", 0, func() {
			for i := range 150 {
				s.add(fmt.Sprintf("I%03d", i), "job")
				s.ends(fmt.Sprintf("I%03d", i), "text")
			}
		}, func() {
			for i := range 250 {
				s.add(fmt.Sprintf("Q%03d", i), "job") // that wait
			}
		})
		if len(emitted) != 150 || !slices.IsSorted(emitted) {
			t.Errorf("it emitted %d lines, want 150 in order", len(emitted))
		}
		if len(trouble) == 0 || !strings.Contains(trouble[0], "unfinished") {
			t.Errorf("it told %q; want that too many wait", trouble)
		}
	})
}

func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{logs: map[string][]api.LogLine{}}
		s.add("A", "job")
		emitted, trouble, err := follow(t, s, "job", 10,
			func() { s.err = fault.New(fault.Unavailable, "no answer") },
			func() { s.err = nil; s.runs("A", "back") },
			func() { s.err = fault.New(fault.Unauthorized, "not any more") },
		)
		if strings.Join(emitted, " ") != "A:back" || len(trouble) != 1 || !fault.Is(err, fault.Unauthorized) {
			t.Errorf("it emitted %q, told %q and ended with %v; want A:back, the outage once, and the last error", emitted, trouble, err)
		}
	})
}

// What expires while it is followed is let go.
func TestExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{logs: map[string][]api.LogLine{}, gone: map[string]bool{}}
		s.add("A", "job")
		emitted, trouble, err := follow(t, s, "job", 10,
			nil,
			func() { s.add("B", "job") }, // A is not listed any more
			func() { s.gone["A"] = true },
			func() { s.ends("B", "b") },
		)
		if strings.Join(emitted, " ") != "B:b" || len(trouble) > 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("it emitted %q, told %q and ended with %v", emitted, trouble, err)
		}
	})
}
