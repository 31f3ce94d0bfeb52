'use strict'
// The entry of a function that is an API route of a Next.js site.
//
// An event becomes a request to a node:http server that never listens: it is
// given one end of a connection in memory, an http client holds the other. So
// the route sees real req and res objects, with parsing, chunks and HEAD done
// by Node. The route itself is run by the site's own copy of Next.

const http = require('node:http')
const path = require('node:path')
const { pipeline } = require('node:stream/promises')
const { pair } = require('./pair.cjs')
const route = require('./route.json')

// A URL or a cookie may be as long as the gateway lets it be.
const MAX_HEADER = 1 << 20
// Headers that belong to one connection; the one in memory is not the caller's.
const HOP = new Set(['connection', 'content-length', 'expect', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])

const site = path.join(__dirname, '..', route.site)
process.env.NODE_ENV ||= 'production'
process.chdir(site) // Next, and code that reads files, take the site for the working directory

const { load } = require(route.router === 'app' ? './app.cjs' : './pages.cjs')
const loaded = load(site, route)
loaded.catch(() => {}) // the first call rejects with it

const server = http.createServer({ maxHeaderSize: MAX_HEADER }, (req, res) => {
  const { run, settle, fail } = req.socket.call
  res.sendDate = false
  // A throw that reaches us after the response has begun ends it unfinished.
  run(req, res).then(settle, fail)
})

exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const call = await loaded
  const request = requestOf(event, context)
  const [near, far] = pair()
  far.remoteAddress = near.remoteAddress = request.ip
  far.encrypted = request.url.protocol === 'https:'

  let settle, fail
  const ran = new Promise((resolve, reject) => ([settle, fail] = [resolve, reject]))
  far.call = { run: (req, res) => call(req, res, request), settle, fail }
  server.emit('connection', far)

  const client = http.request({
    method: request.method,
    path: request.url.pathname + request.url.search,
    headers: request.headers,
    maxHeaderSize: MAX_HEADER,
    createConnection: () => near,
  })
  const answered = new Promise((resolve, reject) => client.on('response', resolve).on('error', reject))
  answered.catch(() => {}) // ran tells why
  client.end(request.body)
  try {
    const response = await Promise.race([answered, ran.then(() => answered)])
    const head = { statusCode: response.statusCode, multiValueHeaders: headersOf(response.rawHeaders) }
    await Promise.all([pipeline(response, awslambda.HttpResponseStream.from(stream, head)), ran])
  } finally {
    near.destroy()
    far.destroy()
  }
})

// requestOf reads an event. A scheduled call comes to the URL that functions
// have in general, as a POST; the route knows its own.
function requestOf(event, context) {
  const url = new URL(event.rawUrl)
  let method = event.httpMethod ?? 'GET'
  if (url.pathname.startsWith('/.netlify/functions/')) {
    url.pathname = route.path
    method = route.method ?? method
  }
  const values = new Map()
  for (const [name, list] of Object.entries(event.multiValueHeaders ?? {})) values.set(name.toLowerCase(), [name, list])
  for (const [name, value] of Object.entries(event.headers ?? {})) {
    if (!values.has(name.toLowerCase())) values.set(name.toLowerCase(), [name, [value]])
  }
  const headers = []
  for (const [key, [name, list]] of values) {
    if (!HOP.has(key)) for (const value of list) headers.push(name, latin1(value))
  }
  // Routes have no context. Callers cannot send such a header: the gateway drops it.
  if (context.attempt) headers.push('nightshift-attempt', String(context.attempt))
  if (!values.has('host')) headers.push('host', url.host)
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const body = Buffer.from((hasBody && event.body) || '', event.isBase64Encoded ? 'base64' : 'utf8')
  if (body.length > 0 || (hasBody && values.has('content-length'))) headers.push('content-length', String(body.length))
  headers.push('connection', 'close')
  return { url, method, headers, body, ip: event.headers?.['x-nf-client-connection-ip'] ?? '' }
}

// latin1 spells text as node:http does: one character for each byte.
function latin1(text) {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function headersOf(raw) {
  const all = {}
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase()
    if (name === 'content-length' || !HOP.has(name)) (all[name] ??= []).push(raw[i + 1])
  }
  return all
}
