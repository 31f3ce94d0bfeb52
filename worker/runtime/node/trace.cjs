'use strict'
// Where an attempt stands in a trace.

// enterTrace puts the trace context of the attempt into the headers of its
// event, in place of what the caller sent: whatever the function calls with it
// is then a part of this attempt. Without one the event stays as it is.
function enterTrace(event, { traceparent, tracestate }) {
  if (!traceparent || typeof event?.headers !== 'object' || event.headers === null) return
  set(event.headers, traceparent, tracestate)
  const multi = event.multiValueHeaders
  if (typeof multi === 'object' && multi !== null) set(multi, [traceparent], tracestate && [tracestate])
}

function set(headers, traceparent, tracestate) {
  headers.traceparent = traceparent
  // One belongs to the other.
  if (tracestate) headers.tracestate = tracestate
  else delete headers.tracestate
}

module.exports = { enterTrace }
