'use strict'
// The Lambda Runtime API over one kept connection.
//
// The server gives every answer a Content-Length and answers one request after
// the other: so a small client does, and it costs a tenth of node:http. The
// worker knows the two requests of nearly every call by their very bytes (see its
// package runtimeapi): a response, whose answer nobody waits for, and behind it
// the request for the next invocation.
//
// The socket keeps the event loop alive only while an answer is awaited. While
// user code runs it does not, so that Node itself can tell us when nothing is
// left that could ever settle a promise.

const net = require('node:net')
const { Buffer, Error, Promise, exit, parse, stringify } = require('./intrinsics.cjs')

const HEAD_END = Buffer.from('\r\n\r\n')
const API = '/2018-06-01/runtime/'
const EMPTY = Buffer.alloc(0)
const RECEIVED = 64 << 10 // at once, in bytes

class Client {
  // awaited tells whether somebody waits for each response; else it goes out with
  // the request for the next invocation.
  awaited = true
  #socket
  #host
  #base // what stands before each path: a secret that only this process knows
  #next // the request for an invocation
  #unsent = EMPTY // a response, text or bytes, see awaited
  #received = EMPTY // a head that is not complete yet
  #more = [] // chunks of a body that is not complete yet
  #missing = 0 // bytes until it is
  #status = 0 // of the answer whose body that is
  #headers = null
  #waiting = [] // what to do with the answers to come; null: nothing
  #holds = 0

  constructor(address) {
    const [authority, secret] = address.split('/', 2)
    const [host, port] = authority.split(':')
    this.#host = authority
    this.#base = secret ? '/' + secret : ''
    this.#next = this.#head('GET', API + 'invocation/next', '', 0)
    // With a buffer of ours a chunk does not take the way through a stream.
    const onread = { buffer: Buffer.allocUnsafe(RECEIVED), callback: (size, buffer) => this.#take(buffer.subarray(0, size)) }
    this.#socket = net.connect({ host, port: Number(port), noDelay: true, onread })
    this.#socket.on('error', () => {}) // 'close' follows
    // Without its worker a process is of no use to anybody.
    this.#socket.on('close', () => exit(0))
    this.#socket.unref()
  }

  // hold keeps the event loop alive until release.
  hold() {
    if (this.#holds++ === 0) this.#socket.ref()
  }

  release() {
    if (--this.#holds === 0) this.#socket.unref()
  }

  async assignment() {
    const { body } = await this.#request('GET', '/nightshift/assignment', '')
    return parse(body.toString())
  }

  // next waits for an invocation.
  async next() {
    const { status, headers, body } = await this.#ask()
    if (status !== 200) throw new Error(`the runtime API answered ${status}: ${body}`)
    return {
      id: headers['lambda-runtime-aws-request-id'],
      attempt: Number(headers['lambda-runtime-nightshift-attempt']),
      deadline: Number(headers['lambda-runtime-deadline-ms']),
      arn: headers['lambda-runtime-invoked-function-arn'],
      clientContext: headers['lambda-runtime-client-context'], // JSON, or undefined
      traceparent: headers['lambda-runtime-nightshift-traceparent'], // undefined: no trace
      tracestate: headers['lambda-runtime-nightshift-tracestate'],
      event: body.toString(),
    }
  }

  #ask() {
    const unsent = this.#unsent
    this.#unsent = EMPTY
    if (typeof unsent === 'string') this.#socket.write(unsent + this.#next)
    else if (unsent.length > 0) this.#socket.write(Buffer.concat([unsent, Buffer.from(this.#next, 'latin1')]))
    else this.#socket.write(this.#next, 'latin1')
    return this.#await()
  }

  // respond sends a buffered Lambda result, as JSON text.
  respond(id, text) {
    this.#send(this.#head('POST', responsePath(id), 'Content-Type: application/json\r\n', Buffer.byteLength(text)) + text)
  }

  // respondWhole sends a streamed response whose bytes are all there.
  respondWhole(id, contentType, body) {
    const head = this.#head('POST', responsePath(id), streamingHeaders(contentType), body.length)
    this.#send(Buffer.concat([Buffer.from(head, 'latin1'), body]))
  }

  #send(response) {
    this.#unsent = response
    this.#waiting.push(null)
    if (this.awaited) this.flush()
  }

  // flush sends a response that waits for the next request.
  flush() {
    const unsent = this.#unsent
    if (unsent.length === 0) return
    this.#unsent = EMPTY
    if (this.#socket.writable) this.#socket.write(unsent)
  }

  // openResponse begins a streamed response of unknown length.
  openResponse(id, contentType) {
    this.#socket.write(
      `POST ${this.#base}${responsePath(id)} HTTP/1.1\r\nHost: ${this.#host}\r\n${streamingHeaders(contentType)}` +
        'Transfer-Encoding: chunked\r\n' +
        'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n',
      'latin1',
    )
  }

  // write sends a part of an opened response and calls back when it is out.
  write(chunk, callback) {
    if (chunk.length === 0) return callback()
    this.hold()
    this.#socket.cork()
    this.#socket.write(chunk.length.toString(16) + '\r\n', 'latin1')
    this.#socket.write(chunk)
    this.#socket.write('\r\n', 'latin1', (error) => {
      this.release()
      callback(error)
    })
    this.#socket.uncork()
  }

  // close ends an opened response, with the error it failed with if there is one.
  close(error) {
    let trailers = ''
    if (error) {
      const body = Buffer.from(stringify(error)).toString('base64')
      trailers = `Lambda-Runtime-Function-Error-Type: ${headerSafe(error.errorType)}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n`
    }
    const answer = this.#await()
    this.#socket.write(`0\r\n${trailers}\r\n`, 'latin1')
    return answer
  }

  fail(id, error) {
    return this.#report(`invocation/${encodeURIComponent(id)}/error`, error)
  }

  failInit(error) {
    return this.#report('init/error', error)
  }

  #report(path, error) {
    const headers = `Content-Type: application/vnd.aws.lambda.error+json\r\nLambda-Runtime-Function-Error-Type: ${headerSafe(error.errorType)}\r\n`
    return this.#request('POST', API + path, headers, stringify(error))
  }

  #request(method, path, headers, body = '') {
    this.flush()
    this.#socket.write(this.#head(method, path, headers, Buffer.byteLength(body)) + body)
    return this.#await()
  }

  #head(method, path, headers, length) {
    return `${method} ${this.#base}${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}Content-Length: ${length}\r\n\r\n`
  }

  #await() {
    this.hold()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  // #take takes bytes that are ours until it returns.
  #take(data) {
    if (this.#received.length > 0) {
      data = Buffer.concat([this.#received, data])
      this.#received = EMPTY
    }
    let at = 0
    if (this.#missing > 0) {
      at = Math.min(this.#missing, data.length)
      this.#more.push(Buffer.from(data.subarray(0, at)))
      this.#missing -= at
      if (this.#missing > 0) return true
      this.#done(Buffer.concat(this.#more))
    }
    while (at < data.length) {
      const end = data.indexOf(HEAD_END, at)
      if (end < 0) {
        this.#received = Buffer.from(data.subarray(at))
        return true
      }
      const { status, headers } = parseHead(data.latin1Slice(at, end))
      at = end + 4
      if (status === 100) continue
      this.#status = status
      this.#headers = headers
      const length = Number(headers['content-length'] ?? 0)
      const body = Buffer.from(data.subarray(at, at + length))
      at += body.length
      this.#missing = length - body.length
      if (this.#missing === 0) this.#done(body)
      else this.#more = [body]
    }
    return true
  }

  #done(body) {
    const resolve = this.#waiting.shift()
    this.#more = []
    if (!resolve) return
    this.release()
    resolve({ status: this.#status, headers: this.#headers, body })
  }
}

function parseHead(text) {
  const lines = text.split('\r\n')
  const headers = {}
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(':')
    headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim()
  }
  return { status: Number(lines[0].split(' ', 2)[1]), headers }
}

function streamingHeaders(contentType) {
  return `Content-Type: ${headerSafe(contentType)}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n`
}

// headerSafe keeps user text from ending a header line early.
function headerSafe(text) {
  return String(text).replace(/[^\x20-\x7e]/g, '?')
}

function responsePath(id) {
  return `${API}invocation/${encodeURIComponent(id)}/response`
}

module.exports = { Client, parseHead }
