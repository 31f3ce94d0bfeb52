package execute

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/queue"
	"github.com/nightshift/nightshift/worker/internal/pool"
	"github.com/nightshift/nightshift/worker/internal/process"
	"github.com/nightshift/nightshift/worker/internal/redact"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// always breaks every call; once only the first one.
func always(b breakage) func(int) breakage { return func(int) breakage { return b } }

func once(b breakage) func(int) breakage {
	return func(nth int) breakage {
		if nth == 1 {
			return b
		}
		return works
	}
}

func TestOutcomesBecomeStatesAndDispositions(t *testing.T) {
	t.Parallel()
	broken := func(context.Context, pool.Call) (*pool.Response, error) {
		return response(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(&pool.Failed{Outcome: invocation.Crashed}))), nil
	}
	tests := map[string]struct {
		run     runner
		loadErr error
		outcome invocation.Outcome
		state   invocation.State
		want    queue.Disposition
	}{
		"returns":               {run: answers("ok"), outcome: invocation.OK, state: invocation.Succeeded, want: queue.Done()},
		"throws":                {run: throws(invocation.Error), outcome: invocation.Error, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"times out":             {run: throws(invocation.TimedOut), outcome: invocation.TimedOut, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"crashes half-way":      {run: broken, outcome: invocation.Crashed, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"drained by the pool":   {run: throws(invocation.Drained), outcome: invocation.Drained, state: invocation.Queued, want: queue.HandBack()},
		"no process":            {run: func(context.Context, pool.Call) (*pool.Response, error) { return nil, errors.New("fork: no memory") }, outcome: invocation.InitError, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"no such deploy":        {loadErr: fault.New(fault.NotFound, "the deploy d does not exist any more"), outcome: invocation.InitError, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"damaged artifact":      {loadErr: fault.New(fault.Invalid, "the artifact is damaged"), outcome: invocation.InitError, state: invocation.Failed, want: queue.RetryIn(time.Minute)},
		"artifacts unavailable": {loadErr: errRedis, state: invocation.Queued, want: queue.RetryIn(loadRetry)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, test.run)
				b.loader.err = test.loadErr
				if got := b.Handle(t.Context(), delivery); got != test.want {
					t.Errorf("Handle = %+v, want %+v", got, test.want)
				}
				if b.store.inv.State != test.state {
					t.Errorf("state = %s, want %s", b.store.inv.State, test.state)
				}
				if b.loader.held != b.loader.released {
					t.Errorf("code was held %d times and released %d times", b.loader.held, b.loader.released)
				}
				if test.outcome == "" {
					if n := len(b.store.inv.Attempts); n != 0 {
						t.Errorf("%d attempts were begun, want none", n)
					}
					return
				}
				got := b.store.inv.Attempts[0]
				if got.Outcome != test.outcome {
					t.Errorf("outcome = %s, want %s", got.Outcome, test.outcome)
				}
				if (got.Error == nil) != (test.outcome == invocation.OK) {
					t.Errorf("failure = %+v with outcome %s", got.Error, test.outcome)
				}
				if text := b.store.text(); !strings.Contains(text, "attempt 1 started on worker w1") || !strings.Contains(text, "ended after 0s: "+string(test.outcome)) {
					t.Errorf("the log does not tell of the attempt:\n%s", text)
				}
			})
		})
	}
}

func TestTheLastFailureIsBuried(t *testing.T) {
	t.Parallel()
	b := setup(t, throws(invocation.Error))
	for attempt, want := range []queue.Disposition{queue.RetryIn(time.Minute), queue.RetryIn(2 * time.Minute), queue.Bury("error: boom"), queue.Done()} {
		if got := b.Handle(t.Context(), delivery); got != want {
			t.Errorf("delivery %d: Handle = %+v, want %+v", attempt+1, got, want)
		}
	}
	if b.store.inv.State != invocation.Dead || len(b.store.inv.Attempts) != 3 {
		t.Errorf("state %s after %d attempts, want dead after 3", b.store.inv.State, len(b.store.inv.Attempts))
	}
}

// What a function writes of its secrets is nowhere: not in its log, also where a
// line comes in pieces, not in the failure, and not in the queue.
func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	const canary = "sk_canary_4711"
	b := setup(t, func(_ context.Context, call pool.Call) (*pool.Response, error) {
		call.Log("stdout", "the key is "+canary)
		call.Log("stderr", strings.Repeat("x", process.MaxLine-28-5)+canary[:5])
		call.Log("stderr", canary[5:])
		call.Log("stdout", strings.Repeat("x", process.MaxLine-28-9)+canary[:9])
		return nil, &pool.Failed{Outcome: invocation.Error, Failure: invocation.Failure{Type: canary, Message: "no access with " + canary, Stack: "at " + canary}}
	})
	b.loader.f.Retries = new(int)
	b.loader.redactor = redact.New(environ.Values{"STRIPE_KEY": canary})
	got := b.Handle(t.Context(), delivery)
	if want := queue.Bury("error: no access with [secret STRIPE_KEY]"); got != want {
		t.Errorf("Handle = %+v, want %+v", got, want)
	}
	if want := (invocation.Failure{Type: "[secret STRIPE_KEY]", Message: "no access with [secret STRIPE_KEY]", Stack: "at [secret STRIPE_KEY]"}); *b.store.inv.Attempts[0].Error != want {
		t.Errorf("failure = %+v, want %+v", *b.store.inv.Attempts[0].Error, want)
	}
	text := b.store.text()
	for _, part := range []string{canary, canary[:9], canary[5:]} {
		if strings.Contains(text, part) {
			t.Errorf("the log has %q", part)
		}
	}
	if !strings.Contains(text, "stdout: the key is [secret STRIPE_KEY]\n") || !strings.Contains(text, "stderr: [secret STRIPE_KEY]\n") || !strings.Contains(text, "stdout: [part of a secret]\n") {
		t.Errorf("the log does not say where secrets stood")
	}
}

// TestSeams breaks each remote write in both ways, and delivers again until the
// queue has nothing to deliver: what must hold in the end.
func TestSeams(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		begin, log, finish func(int) breakage
		lostAcks           int // the disposition is lost so often, and the task delivered again
		want               []queue.Disposition
		outcomes           []invocation.Outcome
		runs               int
	}{
		"nothing breaks": {want: []queue.Disposition{queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
		"Begin failed": {
			begin: once(failed), runs: 1,
			want:     []queue.Disposition{queue.RetryIn(storeRetry), queue.Done()},
			outcomes: []invocation.Outcome{invocation.OK},
		},
		"Begin failed but done": {
			begin: once(failedButDone), runs: 1,
			want:     []queue.Disposition{queue.RetryIn(storeRetry), queue.Done()},
			outcomes: []invocation.Outcome{invocation.WorkerLost, invocation.OK},
		},
		"AppendLog failed":          {log: always(failed), want: []queue.Disposition{queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
		"AppendLog failed but done": {log: always(failedButDone), want: []queue.Disposition{queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
		"Finish failed":             {finish: once(failed), want: []queue.Disposition{queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
		"Finish failed but done":    {finish: once(failedButDone), want: []queue.Disposition{queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
		"Finish failed for long": {
			finish: func(nth int) breakage {
				if nth <= 14 { // what fits into finishTimeout
					return failed
				}
				return works
			},
			runs:     2,
			want:     []queue.Disposition{queue.RetryIn(storeRetry), queue.Done()},
			outcomes: []invocation.Outcome{invocation.WorkerLost, invocation.OK},
		},
		"Finish failed for long but done": {
			finish: always(failedButDone), runs: 1,
			want:     []queue.Disposition{queue.RetryIn(storeRetry), queue.Done()},
			outcomes: []invocation.Outcome{invocation.OK},
		},
		"ack lost": {lostAcks: 2, want: []queue.Disposition{queue.Done(), queue.Done(), queue.Done()}, outcomes: []invocation.Outcome{invocation.OK}, runs: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				b := setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
					runs++
					call.Log("stdout", "hello")
					return answers("ok")(ctx, call)
				})
				for seam, breaks := range map[*func(int) breakage]func(int) breakage{&b.store.breakBegin: test.begin, &b.store.breakLog: test.log, &b.store.breakFinish: test.finish} {
					if breaks != nil {
						*seam = breaks
					}
				}
				var got []queue.Disposition
				for acks := 0; acks <= test.lostAcks && len(got) < 5; {
					disposition := b.Handle(t.Context(), delivery)
					got = append(got, disposition)
					if disposition == queue.Done() {
						acks++
					}
				}
				if len(got) != len(test.want) {
					t.Fatalf("dispositions = %+v, want %+v", got, test.want)
				}
				for i := range got {
					if got[i] != test.want[i] {
						t.Errorf("delivery %d: Handle = %+v, want %+v", i+1, got[i], test.want[i])
					}
				}
				if runs != test.runs {
					t.Errorf("the function ran %d times, want %d", runs, test.runs)
				}
				if b.store.inv.State != invocation.Succeeded || b.store.inv.Result == nil || b.store.inv.Result.Body != "ok" {
					t.Errorf("record: state %s, result %+v; want succeeded with the body", b.store.inv.State, b.store.inv.Result)
				}
				for i, a := range b.store.inv.Attempts {
					if i >= len(test.outcomes) || a.Outcome != test.outcomes[i] {
						t.Errorf("attempts = %+v, want the outcomes %v", b.store.inv.Attempts, test.outcomes)
						break
					}
				}
			})
		})
	}
}

func TestFencedAndForgottenTasksAreDropped(t *testing.T) {
	t.Parallel()
	t.Run("a newer attempt owns the invocation", func(t *testing.T) {
		t.Parallel()
		var b *bench
		b = setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
			if _, err := b.store.Begin(ctx, delivery.Queue, delivery.ID, "w2"); err != nil {
				t.Error(err)
			}
			return answers("late")(ctx, call)
		})
		if got := b.Handle(t.Context(), delivery); got != queue.Done() {
			t.Errorf("Handle = %+v, want Done", got)
		}
		if b.store.inv.State != invocation.Running || b.store.inv.Result != nil {
			t.Errorf("the zombie wrote: state %s, result %+v", b.store.inv.State, b.store.inv.Result)
		}
	})
	t.Run("the record has expired before", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answers("ok"))
		b.store.gone = true
		if got := b.Handle(t.Context(), delivery); got != queue.Done() {
			t.Errorf("Handle = %+v, want Done", got)
		}
	})
	t.Run("the record expires meanwhile", func(t *testing.T) {
		t.Parallel()
		var b *bench
		b = setup(t, func(ctx context.Context, call pool.Call) (*pool.Response, error) {
			b.store.gone = true
			return answers("ok")(ctx, call)
		})
		if got := b.Handle(t.Context(), delivery); got != queue.Done() {
			t.Errorf("Handle = %+v, want Done", got)
		}
	})
}

func TestStoppingHandsBack(t *testing.T) {
	t.Parallel()
	t.Run("while it runs", func(t *testing.T) {
		t.Parallel()
		started := make(chan struct{})
		b := setup(t, hangs(started))
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-started; cancel(queue.ErrStopping) }()
		if got := b.Handle(ctx, delivery); got != queue.HandBack() {
			t.Errorf("Handle = %+v, want HandBack", got)
		}
		if got := b.store.inv.Attempts[0].Outcome; got != invocation.Drained || b.store.inv.State != invocation.Queued {
			t.Errorf("outcome %s, state %s; want drained, queued", got, b.store.inv.State)
		}
	})
	t.Run("while its code comes", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil)
		b.loader.wait = true
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(queue.ErrStopping)
		if got := b.Handle(ctx, delivery); got != queue.HandBack() {
			t.Errorf("Handle = %+v, want HandBack", got)
		}
		if len(b.store.inv.Attempts) != 0 {
			t.Errorf("an attempt was begun: %+v", b.store.inv.Attempts)
		}
	})
	t.Run("its code comes too slowly", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, nil)
			b.loader.wait = true
			if got := b.Handle(t.Context(), delivery); got != queue.RetryIn(loadRetry) {
				t.Errorf("Handle = %+v, want a delivery again later", got)
			}
		})
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ways := map[string]func(b *bench){
		"told": func(b *bench) { b.store.cancels <- delivery.ID },
		"asked, after the watch broke": func(b *bench) {
			close(b.store.cancels)
			b.store.mu.Lock()
			b.store.requested = []string{delivery.ID, "somebody else's"}
			b.store.mu.Unlock()
		},
	}
	for name, cancel := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				started := make(chan struct{})
				b := setup(t, hangs(started))
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); b.Run(ctx) }()
				go func() { <-started; cancel(b) }()
				if got := b.Handle(t.Context(), delivery); got != queue.Done() {
					t.Errorf("Handle = %+v, want Done", got)
				}
				if got := b.store.inv.Attempts[0].Outcome; got != invocation.Aborted || b.store.inv.State != invocation.Cancelled {
					t.Errorf("outcome %s, state %s; want cancelled, cancelled", got, b.store.inv.State)
				}
				stop()
				<-ended
			})
		})
	}
}

// TestALostCancellationIsFoundInTime cancels without a message.
func TestALostCancellationIsFoundInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		b := setup(t, hangs(started))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); b.Run(ctx) }()
		var cancelled time.Time
		go func() {
			<-started
			time.Sleep(10 * time.Second) // in the bubble's time: somewhere between two questions
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			b.store.requested, cancelled = []string{delivery.ID}, time.Now()
		}()
		if got := b.Handle(t.Context(), delivery); got != queue.Done() {
			t.Errorf("Handle = %+v, want Done", got)
		}
		if took := time.Since(cancelled); took+pool.CancelGrace >= time.Second {
			t.Errorf("the cancellation was found after %v, which leaves no %v to end the process within a second", took, pool.CancelGrace)
		}
		asked := b.store.asked
		time.Sleep(time.Hour)
		if more := b.store.asked - asked; more > 0 {
			t.Errorf("idle again, the worker asked %d times in an hour", more)
		}
		stop()
		<-ended
	})
}

func TestNothingRunsNothingIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		b.Run(ctx)
		if b.store.asked != 0 {
			t.Errorf("an idle worker asked %d times in an hour", b.store.asked)
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("é", maxBody) // two bytes each
	cut := strings.Repeat("é", (maxBody-1)/2)
	tests := map[string]struct {
		body string
		want invocation.Result
	}{
		"empty":           {"", invocation.Result{}},
		"text":            {"grüße", invocation.Result{Body: "grüße"}},
		"bytes":           {"\xff\xfe", invocation.Result{Body: "//4=", Base64: true}},
		"just fits":       {strings.Repeat("x", maxBody), invocation.Result{Body: strings.Repeat("x", maxBody)}},
		"one too many":    {strings.Repeat("x", maxBody+1), invocation.Result{Body: strings.Repeat("x", maxBody), Truncated: true}},
		"cut in a letter": {"x" + text, invocation.Result{Body: "x" + cut, Truncated: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readResult(&pool.Response{Status: 200, Body: io.NopCloser(strings.NewReader(test.body))})
			if err != nil {
				t.Fatal(err)
			}
			if got.Body != test.want.Body || got.Base64 != test.want.Base64 || got.Truncated != test.want.Truncated {
				t.Errorf("readResult kept %d bytes (base64 %v, truncated %v), want %d (%v, %v)",
					len(got.Body), got.Base64, got.Truncated, len(test.want.Body), test.want.Base64, test.want.Truncated)
			}
		})
	}
}

func TestAResultIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	rest := bytes.NewReader(make([]byte, 4*maxBody))
	if _, err := readResult(&pool.Response{Body: io.NopCloser(rest)}); err != nil || rest.Len() != 0 {
		t.Errorf("readResult left %d bytes, %v: the end of the body is the end of the attempt", rest.Len(), err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	kept := keepHeaders(map[string][]string{"a": {"1"}, "big": {strings.Repeat("x", maxHeaders)}, "z": {"2", "3"}})
	if len(kept) != 2 || kept["a"][0] != "1" || len(kept["z"]) != 2 {
		t.Errorf("keepHeaders = %v, want a and z", kept)
	}
}
