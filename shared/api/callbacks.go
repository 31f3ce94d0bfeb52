package api

import "time"

// DeadCallback is a callback that was given up.
type DeadCallback struct {
	DiedAt     time.Time  `json:"died_at"`
	Invocation Invocation `json:"invocation"` // without its result
}

// DeadCallbackList is the answer to GET /sites/<site>/callbacks, newest first.
type DeadCallbackList struct {
	Callbacks []DeadCallback `json:"callbacks"`
	// NextCursor asks for the next page; empty at the end.
	NextCursor string `json:"next_cursor"`
}
