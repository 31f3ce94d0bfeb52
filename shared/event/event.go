// Package event builds the Lambda-style event that a function is called with.
//
// It is built once, by whoever accepts the call, and travels as bytes from
// there to the function's process: nobody on the way parses or changes it.
package event

import (
	"net/http"
	"time"
)

// Meta is what the platform knows about a call beside the request itself.
type Meta struct {
	RequestID string // ULID, becomes x-nf-request-id
	Site      string
	Deploy    string
	Published bool   // the deploy was the published one
	ClientIP  string // as resolved by the gateway
	// BaseURL is scheme://host as the caller sees it, without a trailing slash.
	BaseURL string
	// Route is the pattern that matched, when it was one of the function's own paths.
	Route string
}

// FromRequest builds the event of an HTTP call. body is the whole body.
func FromRequest(r *http.Request, body []byte, meta Meta) []byte { panic("stub") }

// ForTick builds the event of a scheduled call: POST to the function's URL with
// the body {"next_run": "<next>"}, user agent "Netlify Clockwork" and header
// "X-NF-Event: schedule".
func ForTick(function string, next time.Time, meta Meta) []byte { panic("stub") }
