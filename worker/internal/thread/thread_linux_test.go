package thread

import (
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestWhatIsDoneToAThreadStaysWithIt(t *testing.T) {
	t.Parallel()
	name := func() string {
		var buf [16]byte
		if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&buf[0])), 0, 0, 0); err != nil {
			t.Errorf("reading the thread's name: %v", err)
		}
		return unix.ByteSliceToString(buf[:])
	}
	mark := []byte("marked-thread\x00")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			Do(func() {
				if got := name(); got == "marked-thread" {
					t.Error("a marked thread was used again")
				}
				if syscall.Gettid() == syscall.Getpid() {
					t.Error("got the main thread")
				}
				if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&mark[0])), 0, 0, 0); err != nil {
					t.Errorf("naming the thread: %v", err)
				}
				// Threads that are started from here must not inherit it.
				var more sync.WaitGroup
				for range 4 {
					more.Go(func() {
						if got := name(); got == "marked-thread" {
							t.Error("another goroutine runs on the marked thread")
						}
					})
				}
				more.Wait()
			})
		})
	}
	all.Wait()
}
