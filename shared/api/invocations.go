package api

import "github.com/nightshift/nightshift/shared/invocation"

// InvocationList is the answer to GET /sites/<site>/invocations, newest first.
// Results are left out.
type InvocationList struct {
	Invocations []Invocation `json:"invocations"`
	// NextCursor asks for the next page; empty at the end. A page that has one
	// may have fewer invocations than were asked for, or none.
	NextCursor string `json:"next_cursor"`
}

// FromInvocations translates a page of records.
func FromInvocations(list []invocation.Invocation, next string) InvocationList {
	out := InvocationList{Invocations: make([]Invocation, 0, len(list)), NextCursor: next}
	for _, inv := range list {
		out.Invocations = append(out.Invocations, FromInvocation(inv))
	}
	return out
}

// Callback is a URL that the end of an invocation is posted to.
type Callback struct {
	URL      string                   `json:"url"`
	State    invocation.CallbackState `json:"state"`
	Attempts int                      `json:"attempts"`        // requests made so far
	Error    string                   `json:"error,omitempty"` // what the last one met
}
