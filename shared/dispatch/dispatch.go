// Package dispatch is the wire between gateway and worker for a sync call.
//
// The gateway POSTs the event, byte for byte as it would have been queued, to
// [Path] on the worker. Who is to be called stands in the request headers below.
// The worker answers with the function's own status, headers and (streamed)
// body, and sets [HeaderOutcome] on every answer. When the outcome is not
// "succeeded" the body is the failure as JSON ([invocation.Failure]) and the
// gateway, not the worker, words the answer for the caller.
//
// Busy workers answer 503 with HeaderOutcome "busy" before they read the body;
// the gateway may then try another one. After any other answer it must not,
// [Misdirected] and a 401 excepted: the function may have run.
//
// # Signatures
//
// Whoever reaches a worker's port could run any function, so a call is signed
// ([HeaderSignature]) with a key that gateways and workers have from Redis
// (package keyring). A signature is good for one call of one worker within
// [Window]. It keeps nothing secret: calls and answers are plain HTTP, for a
// network that is the installation's own.
package dispatch

// Path is where a worker takes sync calls.
const Path = "/v1/invoke"

// Request headers. All but the last, and HeaderSignature, are required.
const (
	HeaderWorker     = "Nightshift-Worker"     // ID of the worker that is meant
	HeaderInvocation = "Nightshift-Invocation" // the request's ULID
	HeaderSite       = "Nightshift-Site"       // site name
	HeaderDeploy     = "Nightshift-Deploy"     // deploy ID
	HeaderFunction   = "Nightshift-Function"   // function name

	// HeaderClientContext is base64 of the JSON that v1 functions get as
	// context.clientContext, if there is one.
	HeaderClientContext = "Nightshift-Client-Context"
)

// HeaderOutcome is the response header with the attempt's outcome: one of the
// invocation outcomes, [Busy], [Refused] or [Misdirected].
const HeaderOutcome = "Nightshift-Outcome"

// Outcomes beyond those of an attempt. In all cases the function has not run.
const (
	Busy        = "busy"        // no process free within the worker's ceiling; try another worker
	Refused     = "refused"     // the request is malformed or names an unknown deploy or function; body: {"message": …}. With 401: its signature is no good
	Misdirected = "misdirected" // the worker that is meant is not here any more; try another worker
)

// HeaderPrefix is what all our own headers start with. None of them is passed
// on from an outside caller, and none to one.
const HeaderPrefix = "Nightshift-"
