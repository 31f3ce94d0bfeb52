//go:build !linux

package thread

// isMain makes no difference where threads have no state of their own.
func isMain() bool { return false }
