'use strict'
// Fetch-style functions: (Request, Context) => Response | undefined.

const { contextOf } = require('./context.cjs')
const { Fault, describe, print } = require('./errors.cjs')
const { Buffer, Promise, RangeError, TypeError, complain, setImmediate } = require('./intrinsics.cjs')

// A body that ends within this is sent in one piece, with its length.
const SMALL = 64 << 10
const LATER = Symbol('later')

// Node's own classes, see keepFetch.
let Headers, Request, Response

// keepFetch keeps fetch's classes from before user code can replace them. Node
// loads them at this moment, which takes tens of milliseconds the first time.
function keepFetch() {
  ;({ Headers, Request, Response } = globalThis)
}

// invokeV2 calls the handler and sends what it gave. The invocation lasts until
// the promises given to waitUntil have settled, also when the handler throws.
// env are the variables that the process was assigned with the function.
async function invokeV2(handler, event, invocation, env, reply) {
  const request = requestOf(event)
  const pending = []
  const { context, setCookies } = contextOf(event, request, invocation, env, pending)
  invocation.context = context
  try {
    await answer(await handler(request, context), setCookies, reply)
  } finally {
    await settle(pending, invocation, env)
  }
}

async function answer(response, setCookies, reply) {
  if (response === undefined) {
    await reply.whole({ statusCode: 204, multiValueHeaders: withCookies({}, setCookies) }, [])
  } else if (isResponse(response)) {
    await send(response, setCookies, reply)
  } else {
    throw new Fault('NetlifyUserError', "Function returned an unsupported value. Accepted types are 'Response' or 'undefined'")
  }
}

// settle waits for the promises given to waitUntil, later ones included.
async function settle(pending, invocation, env) {
  if (pending.length === 0) return
  const stalled = new Promise((resolve) => {
    invocation.onStall = () => resolve(complain('a promise given to waitUntil can never settle; the invocation ends without it\n'))
  })
  for (let i = 0; i < pending.length; i++) {
    try {
      await Promise.race([pending[i], stalled])
    } catch (error) {
      complain('a promise given to waitUntil was rejected:\n')
      print(describe(error, env.LAMBDA_TASK_ROOT))
    }
  }
  invocation.onStall = null
}

// isResponse also knows the Response of another copy of fetch.
function isResponse(value) {
  return (
    value instanceof Response ||
    (typeof value === 'object' && value !== null && value[Symbol.toStringTag] === 'Response' && typeof value.headers?.getSetCookie === 'function')
  )
}

function requestOf(event) {
  const headers = new Headers()
  const multi = event.multiValueHeaders ?? {}
  for (const [name, values] of Object.entries(multi)) {
    for (const value of values) add(headers, name, value)
  }
  for (const [name, value] of Object.entries(event.headers ?? {})) {
    if (!headers.has(name)) add(headers, name, value)
  }
  const method = event.httpMethod ?? 'GET'
  const init = { method, headers }
  if (event.body !== undefined && event.body !== null && method !== 'GET' && method !== 'HEAD') {
    init.body = Buffer.from(event.body, event.isBase64Encoded ? 'base64' : 'utf8')
    init.duplex = 'half'
  }
  return new Request(event.rawUrl, init)
}

// add leaves out what fetch cannot hold, bytes that were no text for example: a
// caller must not be able to make every call fail by a header.
function add(headers, name, value) {
  try {
    headers.append(name, value)
  } catch {
    complain(`the request header ${name} has characters that a Request cannot hold; it was left out\n`)
  }
}

async function send(response, setCookies, reply) {
  // What a new Response would say, which Netlify makes of it for its own headers.
  if (response.status < 200) throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.')
  if (response.bodyUsed || response.body?.locked) throw new TypeError('Response body object should not be disturbed or locked')
  const head = { statusCode: response.status, multiValueHeaders: withCookies(headersOf(response.headers), setCookies) }
  if (!response.body) return reply.whole(head, [])
  const reader = response.body.getReader()
  const chunks = []
  let size = 0
  let read = reader.read()
  while (size <= SMALL) {
    const part = await Promise.race([read, soon()])
    if (part === LATER) break
    if (part.done) return reply.whole(head, chunks)
    chunks.push(bytes(part.value))
    size += part.value.length
    read = reader.read()
  }
  reply.begin(head)
  for (const chunk of chunks) await reply.write(chunk)
  for (let part = await read; !part.done; part = await reader.read()) await reply.write(bytes(part.value))
  await reply.end()
}

function soon() {
  return new Promise((resolve) => setImmediate(resolve, LATER))
}

function bytes(value) {
  if (typeof value === 'string') return Buffer.from(value)
  if (!ArrayBuffer.isView(value)) throw new TypeError(`a response body must consist of bytes; got ${typeof value}`)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function headersOf(headers) {
  const all = {}
  for (const [name, value] of headers) {
    if (name !== 'set-cookie') all[name] = [value]
  }
  const cookies = headers.getSetCookie()
  if (cookies.length > 0) all['set-cookie'] = cookies
  return all
}

function withCookies(headers, cookies) {
  if (cookies.length > 0) headers['set-cookie'] = [...(headers['set-cookie'] ?? []), ...cookies]
  return headers
}

module.exports = { keepFetch, invokeV2, requestOf }
