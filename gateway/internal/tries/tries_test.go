package tries

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailuresAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := New()
		right, wrong := func() bool { return true }, func() bool { return false }
		for i := range First {
			if ok, wait := tries.Check("192.0.2.1", right); !ok || wait != 0 {
				t.Fatalf("a right one after %d failures = %t, %v", i, ok, wait)
			}
			if ok, wait := tries.Check("192.0.2.1", wrong); ok || wait != 0 {
				t.Fatalf("failure %d = %t, %v", i+1, ok, wait)
			}
		}
		asked := false
		if ok, wait := tries.Check("192.0.2.1", func() bool { asked = true; return true }); ok || wait != Next || asked {
			t.Errorf("over the limit = %t, %v, asked %t; want to wait %v", ok, wait, asked, Next)
		}
		if wait := tries.Fail("192.0.2.1"); wait != Next {
			t.Errorf("a failure over the limit waits %v, want %v", wait, Next)
		}
		if ok, _ := tries.Check("192.0.2.2", right); !ok {
			t.Error("somebody else has to wait")
		}
		time.Sleep(Next)
		if ok, wait := tries.Check("192.0.2.1", right); !ok || wait != 0 {
			t.Errorf("later = %t, %v", ok, wait)
		}
		if wait := tries.Fail("192.0.2.1"); wait != 0 {
			t.Errorf("one failure later waits %v", wait)
		}
		if wait := tries.Fail("192.0.2.1"); wait != Next {
			t.Errorf("two failures later wait %v, want %v", wait, Next)
		}
		for range First { // addresses of one network
			tries.Fail("2001:db8::1")
		}
		if wait := tries.Fail("2001:db8::ffff"); wait == 0 {
			t.Error("another address of the same IPv6 network does not wait")
		}
		if wait := tries.Fail("2001:db8:0:1::1"); wait != 0 {
			t.Error("another IPv6 network waits")
		}
	})
}

// Guesses that come at once are no more than those in a row.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	tries, asked := New(), atomic.Int64{}
	var all sync.WaitGroup
	for range 10 * First {
		all.Go(func() { tries.Check("192.0.2.1", func() bool { asked.Add(1); return false }) })
	}
	all.Wait()
	if n := asked.Load(); n < First || n > First+1 { // one more if the machine took ten seconds
		t.Errorf("%d guesses were looked at, want %d", n, First)
	}
}
