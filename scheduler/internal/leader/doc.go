// Package leader makes one of several schedulers the one that acts.
//
// # Terms
//
// Leadership comes in terms. A term begins when an elector takes the lock and
// the store gives it the next number; it ends, at the latest, when the lock
// would have expired. The number goes into every write that the leader makes,
// and the store refuses writes of any term but the newest.
//
// So there are two guards, for two purposes. The lock keeps the electors from
// all working at once: it is for efficiency, and it may fail. A leader that was
// frozen for an hour, a Redis that lost its newest second in a failover, two
// holders of one lock: each ends in a write with an old number, which is
// refused. Correctness rests on the number alone.
//
//	       ┌──────────────────────────────┐
//	┌─────▶│           standby            │ tries to take the lock every
//	│      │                              │ TTL/4, or when told of a resignation
//	│      └──────────────┬───────────────┘
//	│                     │ took the lock, and a term number
//	│                     ▼
//	│      ┌──────────────────────────────┐
//	│      │            leader            │ renews every TTL/3
//	│      │   trusted until a deadline   │
//	│      └──────────────┬───────────────┘
//	│                     │ lock lost · trust ran out · superseded · stopping
//	│                     ▼
//	│      ┌──────────────────────────────┐
//	└──────│         stepping down        │ work cancelled and awaited,
//	       │                              │ then the lock is released
//	       └──────────────────────────────┘
//
// # Trust
//
// An elector trusts its lock only until
//
//	start of the attempt that took or renewed it + TTL − margin
//
// by its own monotonic clock. Counting from the start of the attempt, a slow
// reply shortens the trust and never stretches it; the margin, a tenth of the
// TTL, covers clocks that run at different speeds and the time that work needs
// to notice. The leader therefore stops itself before Redis would give the lock
// to another. It may well stop while it still holds the lock: that costs a
// moment without a leader, and nothing else.
//
// A single failed renewal is no reason to step down; it is tried again until
// the trust runs out. A renewal that says that the lock is another's is one, at
// once.
//
// # Work
//
// [Elector.Lead] calls a function for each term that it wins. The function's
// context ends with the term, and its cause tells why: [ErrStopping],
// [ErrLockLost], [ErrTrustExpired]. Only after the function has returned is the
// lock released, so that in the ordinary case the work of two terms does not
// even overlap. A function that returns early gives up its term; it does so
// when a write was refused because of its number.
//
// # Handing over
//
// A leader that stops releases the lock and publishes a message. Standbys that
// hear it try within milliseconds. The message may get lost: those that did not
// hear it find the free lock at their next attempt. A leader that is killed
// releases nothing; its successor waits for the lock to expire, so that no tick
// is late by more than about TTL + TTL/4.
package leader
