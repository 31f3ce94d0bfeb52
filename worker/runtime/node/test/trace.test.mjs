import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterTrace } from '../trace.cjs'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test('the trace context of the attempt replaces that of the caller', () => {
  const event = {
    headers: { host: 'a', traceparent: 'old', tracestate: 'x=1' },
    multiValueHeaders: { host: ['a'], traceparent: ['old'], tracestate: ['x=1'] },
  }
  enterTrace(event, { traceparent, tracestate: 'y=2' })
  assert.deepEqual(event, {
    headers: { host: 'a', traceparent, tracestate: 'y=2' },
    multiValueHeaders: { host: ['a'], traceparent: [traceparent], tracestate: ['y=2'] },
  })
})

test('a trace state that belongs to another trace context does not stay', () => {
  const event = { headers: { traceparent: 'old', tracestate: 'x=1' }, multiValueHeaders: { tracestate: ['x=1'] } }
  enterTrace(event, { traceparent })
  assert.deepEqual(event, { headers: { traceparent }, multiValueHeaders: { traceparent: [traceparent] } })
})

test('without a trace the event stays as it is', () => {
  const event = { headers: { traceparent: 'theirs', tracestate: 'x=1' } }
  enterTrace(event, {})
  assert.deepEqual(event, { headers: { traceparent: 'theirs', tracestate: 'x=1' } })
})

test('an event that is not of a request is left alone', () => {
  for (const event of [null, undefined, 1, 'text', [], {}, { headers: null }, { headers: 'x' }]) {
    assert.doesNotThrow(() => enterTrace(event, { traceparent, tracestate: 'y=2' }))
  }
})
