package queue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/hibiken/asynq"
)

// FuzzPayload: whatever stands in the payload of a task, the handler gets a
// target that says the same, or the task is put away with a reason. A payload
// that cannot be read must not come back for ever.
func FuzzPayload(f *testing.F) {
	for _, payload := range []string{
		`{"site":"shop","deploy":"0123456789abcdef01234567","function":"send-mail","published":true}`,
		`{"site":"shop"}`, `{}`, `null`, ``, `[]`, `{"site":1}`, `{"site":"\ud800"}`, `{"SITE":"a","site":"b"}`, `{"site":"a"} {}`, "\xff",
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var got []Target
		s := &Server{ctx: context.Background(), idle: make(chan struct{}), cfg: ServerConfig{
			Logger: slog.New(slog.DiscardHandler),
			Handler: func(_ context.Context, d Delivery) Disposition {
				got = append(got, d.Target)
				return Done()
			},
		}}
		err := s.process(t.Context(), asynq.NewTask(taskType, payload))
		var want Target
		if json.Unmarshal(payload, &want) != nil {
			if _, buried := errors.AsType[buryError](err); !buried || !errors.Is(err, asynq.SkipRetry) || len(got) > 0 {
				t.Fatalf("process(%q) = %v, handled %v; want it put away", payload, err, got)
			}
			return
		}
		if err != nil || len(got) != 1 || got[0] != want {
			t.Fatalf("process(%q) = %v, handled %+v, want %+v once", payload, err, got, want)
		}
		// What the client would write of it must mean the same.
		again, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var same Target
		if err := json.Unmarshal(again, &same); err != nil || same != want {
			t.Fatalf("%q was written as %q and read as %+v, %v", payload, again, same, err)
		}
	})
}

// What is remembered of one payload is never taken for another.
func TestReadsEachPayload(t *testing.T) {
	t.Parallel()
	var r lastTarget
	for _, payload := range []string{`{"site":"a"}`, `{"site":"a"}`, `{"site":"b"}`, `{"site":1}`, `{"site":"b"}`, `{"site":"a"}`, ``} {
		var want Target
		wantErr := json.Unmarshal([]byte(payload), &want)
		got, err := r.target([]byte(payload))
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Errorf("target(%q) = %+v, %v, want %+v, %v", payload, got, err, want, wantErr)
		}
	}
}

func BenchmarkTarget(b *testing.B) {
	var r lastTarget
	payload := []byte(`{"site":"shop","deploy":"0123456789abcdef01234567","function":"send-mail","published":true}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.target(payload); err != nil {
			b.Fatal(err)
		}
	}
}
