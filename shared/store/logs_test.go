package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
)

// numbered makes lines of an attempt with the texts "from", "from+1" …
func numbered(attempt, from, n int) []invocation.LogLine {
	lines := make([]invocation.LogLine, n)
	for i := range lines {
		lines[i] = invocation.LogLine{
			Time: time.Unix(1_700_000_000, int64(from+i)).UTC(), Attempt: attempt, Stream: "stdout", Text: fmt.Sprint(from + i),
		}
	}
	return lines
}

// append adds lines that must be accepted.
func (b *backend) append(t testing.TB, id string, lines []invocation.LogLine) {
	t.Helper()
	src := LogSource{Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background, Invocation: id}
	if err := b.AppendLog(t.Context(), src, lines); err != nil {
		t.Fatalf("AppendLog = %v", err)
	}
}

// lines is how many lines the invocation's log has.
func (b *backend) lines(t testing.TB, id string) int {
	t.Helper()
	lines, err := b.Log(t.Context(), id, "", 0)
	if err != nil {
		t.Fatalf("Log = %v", err)
	}
	return len(lines)
}

var ignoreCursor = cmpopts.IgnoreFields(invocation.LogLine{}, "Cursor")

func TestLogIsReadInPages(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		if lines, err := b.Log(t.Context(), id, "", 10); err != nil || len(lines) != 0 {
			t.Errorf("Log before the first line = %v, %v, want none", lines, err)
		}
		want := numbered(1, 0, 2*maxBatch+7)
		want[3].Text = "ä \"quoted\" \\ \x1b[0m </script>"
		b.append(t, id, want)
		b.append(t, id, nil)

		var got []invocation.LogLine
		cursor := ""
		for {
			page, err := b.Log(t.Context(), id, cursor, 100)
			if err != nil {
				t.Fatalf("Log(%q) = %v", cursor, err)
			}
			if len(page) > 100 {
				t.Fatalf("a page has %d lines", len(page))
			}
			if len(page) == 0 {
				break
			}
			got, cursor = append(got, page...), page[len(page)-1].Cursor
		}
		if diff := gocmp.Diff(want, got, ignoreCursor); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
		if all, err := b.Log(t.Context(), id, "", 0); err != nil || len(all) != len(want) {
			t.Errorf("Log without a limit = %d lines, %v, want %d", len(all), err, len(want))
		}
		for _, cursor := range []string{"x", "-", "1-1-1", "+", "$", "99999999999999999999", "1 COUNT 5"} {
			if _, err := b.Log(t.Context(), id, cursor, 10); !fault.Is(err, fault.Invalid) {
				t.Errorf("Log after %q = %v, want invalid", cursor, err)
			}
		}
	})
}

func TestLogKeepsTheNewestLines(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		b.opts.MaxLogLines = 200
		id := b.put(t, invocation.Running)
		b.append(t, id, numbered(1, 0, 1000))
		lines, err := b.Log(t.Context(), id, "", 0)
		if err != nil || len(lines) < 200 || len(lines) > 300 {
			t.Fatalf("Log = %d lines, %v, want 200 and at most a hundred more", len(lines), err)
		}
		if diff := gocmp.Diff(numbered(1, 1000-len(lines), len(lines)), lines, ignoreCursor); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
}

// A log that is short is kept with its record, and becomes a stream when it grows:
// whoever reads notices nothing, in the middle of a page neither.
func TestAShortLogGrows(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		for _, tc := range []struct {
			what   string
			first  []invocation.LogLine
			max    int
			stream bool
		}{
			{"a few lines", numbered(1, 0, 3), 0, false},
			{"many bytes", []invocation.LogLine{{Attempt: 1, Stream: "stdout", Text: strings.Repeat("x", maxShort)}}, 0, true},
			{"as many lines as a log keeps", numbered(1, 0, 3), 7, false},
		} {
			b.opts.MaxLogLines = cmp.Or(tc.max, 100)
			id := b.put(t, invocation.Running)
			b.append(t, id, tc.first)
			if got := b.rdb.Exists(t.Context(), logKey(function.Background, id)).Val() == 1; got != tc.stream {
				t.Errorf("%s: a stream: %t, want %t", tc.what, got, tc.stream)
			}
			page, err := b.Log(t.Context(), id, "", 1)
			if err != nil || len(page) != 1 {
				t.Fatalf("%s: Log = %d lines, %v, want 1", tc.what, len(page), err)
			}
			before, err := b.Log(t.Context(), id, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			b.append(t, id, numbered(1, 10, 4))
			rest, err := b.Log(t.Context(), id, page[0].Cursor, 0)
			if diff := gocmp.Diff(slices.Concat(before[1:], numbered(1, 10, 4)), rest, ignoreCursor); diff != "" || err != nil {
				t.Errorf("%s: the log after its first line, %v (-want +got):\n%s", tc.what, err, diff)
			}
			after, err := b.Log(t.Context(), id, "", len(before))
			if diff := gocmp.Diff(before, after); diff != "" || err != nil {
				t.Errorf("%s: the first lines, %v, have changed (-before +after):\n%s", tc.what, err, diff)
			}
			if got := b.field(t, id, fieldLog); got != "" {
				t.Errorf("%s: the record still has the lines %q", tc.what, got)
			}
			b.finish(t, id, 1, ends[invocation.Succeeded])
			b.wantRetention(t, id, b.opts.Retention)
			if left := b.rdb.PTTL(t.Context(), logKey(function.Background, id)).Val(); left <= 0 {
				t.Errorf("%s: the stream is kept for %v", tc.what, left)
			}
		}
	})
}

func TestPagesOfAShortLog(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		want := numbered(1, 0, 5)
		want[2].Text = "ä \"quoted\" \\ \n\x1b[0m </script>"
		b.append(t, id, want)
		for limit := 1; limit <= 6; limit++ {
			var got []invocation.LogLine
			for cursor := ""; ; cursor = got[len(got)-1].Cursor {
				page, err := b.Log(t.Context(), id, cursor, limit)
				if err != nil || len(page) > limit {
					t.Fatalf("Log(%q) = %d lines, %v, want %d at most", cursor, len(page), err, limit)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
			}
			if diff := gocmp.Diff(want, got, ignoreCursor); diff != "" {
				t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
			}
		}
		for _, cursor := range []string{"0-5", "0-9223372036854775808", "0-99", "1-0", "1700000000000-0"} {
			if lines, err := b.Log(t.Context(), id, cursor, 10); err != nil || len(lines) != 0 {
				t.Errorf("Log after %q = %d lines, %v, want none", cursor, len(lines), err)
			}
		}
	})
}

func TestABatchIsStoredOnce(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		b.append(t, id, numbered(1, 0, 2))
		b.append(t, id, numbered(1, 0, 2)) // the reply was lost
		b.append(t, id, numbered(1, 2, 1))
		lines, err := b.Log(t.Context(), id, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(numbered(1, 0, 3), lines, ignoreCursor); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
		src := LogSource{Kind: function.Background, Invocation: id}
		if err := b.AppendLog(t.Context(), src, append(numbered(1, 9, 1), numbered(2, 9, 1)...)); err == nil {
			t.Error("AppendLog of two attempts = nil")
		}
	})
}

// A follower gets each line once and in order, and the last one too, although
// the invocation ends right behind it.
func TestFollowLogLosesNothing(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				id := b.put(t, invocation.Running)
				first := make(chan struct{})
				var got []invocation.LogLine
				var followers sync.WaitGroup
				followers.Go(func() {
					err := b.FollowLog(t.Context(), id, "", func(line invocation.LogLine) error {
						if len(got) == 0 {
							close(first)
						}
						got = append(got, line)
						return nil
					})
					if err != nil {
						t.Errorf("FollowLog = %v", err)
					}
				})
				b.append(t, id, numbered(1, 0, 1))
				<-first
				for i := 1; i <= 20; i++ {
					b.append(t, id, numbered(1, i*30, 30))
				}
				b.append(t, id, numbered(1, 9999, 1))
				b.finish(t, id, 1, ends[invocation.Dead])
				followers.Wait()

				want, err := b.Log(t.Context(), id, "", 0)
				if err != nil {
					t.Error(err)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("followed (-want +got):\n%s", diff)
				}
				if last := got[len(got)-1].Text; last != "9999" {
					t.Errorf("the last line is %q, want 9999", last)
				}
			})
		}
		wg.Wait()
	})
}

func TestFollowLogEnds(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		b.append(t, id, numbered(1, 0, 3))

		stop := errors.New("stop")
		err := b.FollowLog(t.Context(), id, "", func(invocation.LogLine) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("FollowLog = %v, want what emit gave", err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		lines := 0
		err = b.FollowLog(ctx, id, "", func(invocation.LogLine) error {
			if lines++; lines == 3 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || lines != 3 {
			t.Errorf("FollowLog = %v after %d lines, want context.Canceled after 3", err, lines)
		}

		// A record that expires while somebody follows is over.
		done := make(chan error, 1)
		seen := make(chan struct{}, 10)
		go func() {
			done <- b.FollowLog(t.Context(), id, "", func(invocation.LogLine) error { seen <- struct{}{}; return nil })
		}()
		<-seen
		if err := b.rdb.Del(t.Context(), recordKey(function.Background, id)).Err(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("FollowLog of an expired one = %v, want nil", err)
		}

		id = b.put(t, invocation.Succeeded)
		if err := b.FollowLog(t.Context(), id, "", nil); err != nil {
			t.Errorf("FollowLog of a silent one = %v, want nil", err)
		}
	})
}

// More followers than the client has connections must not hold up the rest.
func TestFollowersLeaveConnections(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		id := b.put(t, invocation.Running)
		b.append(t, id, numbered(1, 0, 1))
		const followers = 100
		var following sync.WaitGroup
		following.Add(followers)
		for range followers {
			runs(t, func(ctx context.Context) error {
				return b.FollowLog(ctx, id, "", func(invocation.LogLine) error { following.Done(); return nil })
			})
		}
		following.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 100 {
			if _, err := b.CatalogVersion(ctx); err != nil {
				t.Fatalf("another command = %v", err)
			}
		}
	})
}

func TestWatchLogs(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ready := make(chan struct{})
		entries := make(chan LogEntry, 100)
		stop := runs(t, func(ctx context.Context) error {
			return b.WatchLogs(ctx, "shop", ready, func(e LogEntry) { entries <- e })
		})
		<-ready
		id := b.put(t, invocation.Running)
		if err := b.rdb.Publish(t.Context(), logChannel("shop"), "not ours").Err(); err != nil {
			t.Fatal(err)
		}
		recorded := LogSource{Site: "shop", Deploy: "d1", Function: "f", Kind: function.Background, Invocation: id}
		direct := LogSource{Site: "shop", Deploy: "d1", Function: "g", Kind: function.Sync, Invocation: newID()}
		other := LogSource{Site: "other", Kind: function.Sync}
		expired := LogSource{Site: "shop", Kind: function.Scheduled, Invocation: newID()}
		var want []LogEntry
		for i, src := range []LogSource{recorded, other, direct, expired} {
			lines := numbered(1, 10*i, 2)
			if err := b.AppendLog(t.Context(), src, lines); err != nil {
				t.Fatalf("AppendLog(%s) = %v", src.Function, err)
			}
			if src.Site == "shop" {
				want = append(want, LogEntry{src, lines[0]}, LogEntry{src, lines[1]})
			}
		}
		for _, w := range want {
			if diff := gocmp.Diff(w, <-entries); diff != "" {
				t.Errorf("the feed (-want +got):\n%s", diff)
			}
		}
		for _, src := range []LogSource{direct, expired} {
			if n := b.rdb.Exists(t.Context(), logKey(src.Kind, src.Invocation), recordKey(src.Kind, src.Invocation)).Val(); n != 0 {
				t.Errorf("a %s call without a record left %d keys", src.Kind, n)
			}
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("WatchLogs = %v, want context.Canceled", err)
		}
	})
}

func TestWatchCancels(t *testing.T) {
	contract(t, func(t *testing.T, b *backend) {
		ids := make(chan string, 100)
		stop := runs(t, func(ctx context.Context) error {
			return b.WatchCancels(ctx, func(id string) { ids <- id })
		})
		id := b.put(t, invocation.Running)
		eventually(t, "the message about the cancellation", func() bool {
			if _, err := b.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-ids:
				return got == id
			default:
				return false
			}
		})
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("WatchCancels = %v, want context.Canceled", err)
		}
	})
}
