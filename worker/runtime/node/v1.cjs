'use strict'
// Lambda-style functions: handler(event, context[, callback]).

const { STREAMING } = require('./awslambda.cjs')
const { Buffer, Error, Promise, now, parse } = require('./intrinsics.cjs')
const { ResponseStream } = require('./stream.cjs')

// invokeV1 calls the handler and sends what it gave: by promise, by callback,
// by context.done/succeed/fail, or by a plain return value.
//
// A response goes out as soon as it is there; callbackWaitsForEmptyEventLoop
// is false, and setting it has no effect, as on a local Netlify server. env are
// the variables that the process was assigned with the function.
async function invokeV1(handler, event, invocation, env, reply) {
  if (handler[STREAMING]) return invokeStreaming(handler, event, invocation, env, reply)

  let settle
  const settled = new Promise((resolve, reject) => {
    settle = (error, value) => (error === null || error === undefined ? resolve(value) : reject(error))
  })
  const context = contextOf(invocation, env, settle)
  invocation.onStall = () => settle(null, null) // as Lambda answers for a callback that never came
  const returned = handler(event, context, settle)
  if (typeof returned?.then === 'function') {
    invocation.onStall = null
    returned.then((value) => settle(null, value), (error) => settle(error ?? new Error(`rejected with ${error}`)))
  } else if (returned !== undefined) {
    settle(null, returned)
  }
  await send(await settled, reply)
}

// send passes a result on. A stream as the body cannot be put into JSON; what
// only has such a body and no status, a Response for example, is no result.
async function send(result, reply) {
  const body = result?.body
  if (!isStream(body) || !(result.statusCode >= 100)) return reply.result(result)
  const { statusCode, headers, multiValueHeaders } = result
  reply.begin({ statusCode, headers, multiValueHeaders })
  for await (const chunk of body) await reply.write(Buffer.from(chunk))
  await reply.end()
}

function isStream(body) {
  return typeof body === 'object' && body !== null && typeof body[Symbol.asyncIterator] === 'function'
}

// invokeStreaming calls handler(event, responseStream, context). The
// invocation lasts until both the handler and its stream have ended.
async function invokeStreaming(handler, event, invocation, env, reply) {
  const stream = new ResponseStream(reply)
  await handler(event, stream, contextOf(invocation, env, () => {}))
  if (!stream.writableEnded) stream.end()
  await stream.sent
}

function contextOf({ id, attempt, deadline, arn, clientContext }, env, settle) {
  return {
    attempt, // ours: together with the id it names this try, from 1
    awsRequestId: id,
    callbackWaitsForEmptyEventLoop: false,
    clientContext: clientContext ? parse(clientContext) : {},
    done: settle,
    fail: (error) => settle(error ?? new Error('handled')),
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    getRemainingTimeInMillis: () => deadline - now(),
    identity: null,
    invokedFunctionArn: arn,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    succeed: (value) => settle(null, value),
  }
}

module.exports = { invokeV1 }
