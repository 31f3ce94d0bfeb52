package api

import "time"

// Schedule is that of a function of a site's published deploy.
type Schedule struct {
	Function string      `json:"function"`
	Schedule string      `json:"schedule"`
	Timezone string      `json:"timezone,omitempty"` // UTC if it is empty
	NextRuns []time.Time `json:"next_runs"`          // at most five
	// PausedSince is null unless it is paused; PausedBy is who did it.
	PausedSince *time.Time `json:"paused_since"`
	PausedBy    string     `json:"paused_by,omitempty"`
	Recent      []Tick     `json:"recent"` // the last ticks, newest first
}

// Tick is what became of one tick of a schedule, or of several that were
// skipped in a row.
type Tick struct {
	Tick    time.Time  `json:"tick"`           // the newest that it stands for
	From    *time.Time `json:"from,omitempty"` // the oldest, if it stands for several
	Count   int        `json:"count"`          // how many it stands for
	Outcome string     `json:"outcome"`        // fired, caught_up, skipped or suppressed
	Reason  string     `json:"reason,omitempty"`
	// LatenessMS is the time from the tick until it was dealt with, in milliseconds.
	LatenessMS int64  `json:"lateness_ms"`
	Invocation string `json:"invocation,omitempty"` // ID of what it made
}

// Ledger is the answer to GET /sites/<site>/schedules/<function>/ledger.
type Ledger struct {
	Ticks []Tick `json:"ticks"` // newest first
	// NextCursor asks for the next page; empty at the end.
	NextCursor string `json:"next_cursor"`
}

// Backfill is the body of POST /sites/<site>/schedules/<function>/backfill.
type Backfill struct {
	From  time.Time `json:"from"`            // the first tick is at From or later
	To    time.Time `json:"to"`              // and the last one before To, which is past
	Limit int       `json:"limit,omitempty"` // 1 to 1,000; default 100
}

// Backfilled is the answer to it.
type Backfilled struct {
	Invocations []TickMade `json:"invocations"` // oldest tick first
	// NextFrom is the tick to go on with; null at the end.
	NextFrom *time.Time `json:"next_from"`
}

// TickMade is the invocation that was made for a tick.
type TickMade struct {
	Accepted
	Tick time.Time `json:"tick"`
}
