// Package thread runs code on an operating system thread of its own.
//
// On Linux, user ID, system call filters, Landlock domain and parent-death
// signal belong to a thread and not to its process, and a child inherits them
// from the thread that forked it. What is done to a thread of this package
// stays with it and its children: Go starts new threads from another one while
// a goroutine is locked, and the thread ends with its goroutine.
package thread

import "runtime"

// Go runs f on a thread that nothing has run on in a changed state before, and
// that ends when f returns. It does not wait for that.
func Go(f func()) {
	go func() {
		runtime.LockOSThread() // for good: a goroutine that ends locked takes its thread along
		if !isMain() {
			f()
			return
		}
		// The main thread stands for the whole process in /proc and cannot end
		// alone. While this goroutine holds it, the next one gets another.
		begun := make(chan struct{})
		Go(func() {
			close(begun)
			f()
		})
		<-begun
		runtime.UnlockOSThread()
	}()
}

// Do is Go, and waits until f has returned.
func Do(f func()) {
	done := make(chan struct{})
	Go(func() {
		defer close(done)
		f()
	})
	<-done
}
