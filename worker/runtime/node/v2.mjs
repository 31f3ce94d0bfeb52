// Fetch-style functions: (Request, Context) => Response | undefined.

import { contextOf } from './context.mjs'
import { Fault } from './errors.mjs'

// A body that ends within this is sent in one piece, with its length.
const SMALL = 64 << 10
const LATER = Symbol('later')

export async function invokeV2(handler, event, invocation, reply) {
  const request = requestOf(event)
  const pending = []
  const { context, setCookies } = contextOf(event, request, invocation.id, pending)
  invocation.context = context
  const response = await handler(request, context)
  if (response === undefined) {
    await reply.whole({ statusCode: 204, multiValueHeaders: withCookies({}, setCookies) }, [])
  } else if (isResponse(response)) {
    await send(response, setCookies, reply)
  } else {
    throw new Fault('NetlifyUserError', "Function returned an unsupported value. Accepted types are 'Response' or 'undefined'")
  }
  await settle(pending, invocation)
}

// settle waits for the promises given to waitUntil, later ones included.
async function settle(pending, invocation) {
  const stalled = new Promise((resolve) => {
    invocation.onStall = () => resolve(console.error('a promise given to waitUntil can never settle; the invocation ends without it'))
  })
  for (let i = 0; i < pending.length; i++) {
    try {
      await Promise.race([pending[i], stalled])
    } catch (error) {
      console.error('a promise given to waitUntil was rejected:', error)
    }
  }
  invocation.onStall = null
}

// isResponse also knows the Response of another copy of fetch.
function isResponse(value) {
  return (
    value instanceof Response ||
    (typeof value === 'object' && value !== null && value[Symbol.toStringTag] === 'Response' && typeof value.status === 'number')
  )
}

export function requestOf(event) {
  const headers = new Headers()
  const multi = event.multiValueHeaders ?? {}
  for (const [name, values] of Object.entries(multi)) {
    for (const value of values) headers.append(name, value)
  }
  for (const [name, value] of Object.entries(event.headers ?? {})) {
    if (!headers.has(name)) headers.set(name, value)
  }
  const method = event.httpMethod ?? 'GET'
  const init = { method, headers }
  if (event.body !== undefined && event.body !== null && method !== 'GET' && method !== 'HEAD') {
    init.body = Buffer.from(event.body, event.isBase64Encoded ? 'base64' : 'utf8')
    init.duplex = 'half'
  }
  return new Request(event.rawUrl, init)
}

async function send(response, setCookies, reply) {
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
