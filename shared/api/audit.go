package api

import "time"

// AuditEntry is what somebody did on the control plane, or was refused.
type AuditEntry struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Actor is root, dev, or the name of a token; empty: nobody that is known.
	Actor string `json:"actor"`
	Token string `json:"token,omitempty"` // ID of the token
	From  string `json:"from,omitempty"`  // address
	// Action is what it was, as thing.verb.
	Action     string `json:"action"`
	Site       string `json:"site,omitempty"`
	Deploy     string `json:"deploy,omitempty"`
	Function   string `json:"function,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	Details    string `json:"details,omitempty"`
	Status     int    `json:"status"`          // of the answer: from 400 on it was not done
	Trace      string `json:"trace,omitempty"` // ID of the trace
	// Missed is how many refusals before it were left out, because there were too many.
	Missed int `json:"missed,omitempty"`
}

// AuditList is a page of the audit log, newest first.
type AuditList struct {
	Entries    []AuditEntry `json:"entries"`
	NextCursor string       `json:"next_cursor"`
}
