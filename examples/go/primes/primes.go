// Package primes counts prime numbers, the slow way on purpose: it stands for
// the work that a site hands to Go.
package primes

// Count counts the primes up to limit. It tells progress ten times on the way.
func Count(limit int, progress func(upTo, count int)) int {
	count := 0
	step := max(limit/10, 1)
	for n := 2; n <= limit; n++ {
		if isPrime(n) {
			count++
		}
		if n%step == 0 {
			progress(n, count)
		}
	}
	return count
}

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}
