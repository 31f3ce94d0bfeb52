package api

import "time"

// Accepted is the answer to a request that made an invocation.
type Accepted struct {
	ID string `json:"id"`
	// Existed says that an earlier request with the same Idempotency-Key made it.
	Existed bool `json:"existed,omitempty"`
}

// Replay is an invocation that repeats another one.
type Replay struct {
	Accepted
	ReplayOf string `json:"replay_of"`
}

// ReplayInvocations is the body of POST /sites/<site>/invocations/replay. What
// is left out leaves nothing out.
type ReplayInvocations struct {
	Function string     `json:"function,omitempty"`
	State    string     `json:"state,omitempty"` // a finished one; default dead
	Deploy   string     `json:"deploy,omitempty"`
	From     *time.Time `json:"from,omitempty"` // time of creation: From or later,
	To       *time.Time `json:"to,omitempty"`   // and before To
	Cursor   string     `json:"cursor,omitempty"`
	Limit    int        `json:"limit,omitempty"` // 1 to 1,000; default 100
	DryRun   bool       `json:"dry_run,omitempty"`
}

// Replays is the answer to it. Of each list the oldest stands first.
type Replays struct {
	DryRun   bool      `json:"dry_run"`
	Matched  []string  `json:"matched"`  // IDs of the invocations that the filter let through
	Replays  []Replay  `json:"replays"`  // what was made of them
	Refusals []Refusal `json:"refusals"` // and of which nothing could be made
	// NextCursor goes on with older ones; empty at the end.
	NextCursor string `json:"next_cursor"`
}

// Refusal is an invocation that could not be replayed, and why.
type Refusal struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}
