package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/nightshift/nightshift/shared/function"
)

func TestStopDrains(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, release := make(chan struct{}), make(chan struct{})
	s := b.serve(ServerConfig{Handler: func(ctx context.Context, _ Delivery) Disposition {
		close(running)
		select {
		case <-release:
		case <-ctx.Done():
			t.Errorf("cancelled with %v", context.Cause(ctx))
		}
		return Done()
	}})
	b.enqueue("a")
	receive(t, "the handler runs", running)
	s.Pause()
	s.Pause()
	b.enqueue("b")
	stopped := make(chan error, 2)
	for range 2 {
		go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	}
	close(release)
	for range 2 {
		if err := receive(t, "Stop returns", stopped); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if b.exists("a") {
		t.Error("the drained task is still there")
	}
	if got := b.pending(function.Background); !slices.Equal(got, []string{"b"}) {
		t.Errorf("pending %v after Pause; want b untouched", got)
	}
	if err := s.Start(); err == nil {
		t.Error("Start after Stop works; want an error")
	}
}

func TestStopHandsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running := make(chan struct{}, 2)
	var causes sync.Map
	s := b.serve(ServerConfig{Handler: func(ctx context.Context, d Delivery) Disposition {
		running <- struct{}{}
		<-ctx.Done()
		causes.Store(d.ID, context.Cause(ctx))
		return HandBack()
	}})
	b.enqueue("a")
	b.enqueue("b")
	receive(t, "a handler runs", running)
	receive(t, "the other one runs", running)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	got := b.pending(function.Background)
	slices.Sort(got)
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("pending %v; want a and b back", got)
	}
	for _, id := range got {
		if cause, _ := causes.Load(id); !errors.Is(cause.(error), ErrStopping) {
			t.Errorf("%s was cancelled with %v; want ErrStopping", id, cause)
		}
	}
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.server(ServerConfig{Handler: func(context.Context, Delivery) Disposition { return Done() }})
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
