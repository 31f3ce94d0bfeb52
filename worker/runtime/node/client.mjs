// The Lambda Runtime API over one kept connection.
//
// Requests go out one after the other and each waits for its answer, and the
// server gives every answer a Content-Length: so a small client does, and it
// costs a tenth of node:http. The socket keeps the event loop alive only while
// an answer is awaited. While user code runs it does not, so that Node itself
// can tell us when nothing is left that could ever settle a promise.

import net from 'node:net'
import { Buffer, Error, Promise, exit, parse, stringify } from './intrinsics.mjs'

const HEAD_END = Buffer.from('\r\n\r\n')
const API = '/2018-06-01/runtime/'
const EMPTY = Buffer.alloc(0)

export class Client {
  #socket
  #host
  #base // what stands before each path: a secret that only this process knows
  #received = EMPTY
  #more = [] // chunks of a body that is not complete yet
  #missing = 0 // bytes until it is
  #waiting = null // {resolve, status, headers} of the answer that is awaited
  #last = Promise.resolve() // settles when the requests so far have been answered
  #holds = 0

  constructor(address) {
    const [authority, secret] = address.split('/', 2)
    const [host, port] = authority.split(':')
    this.#host = authority
    this.#base = secret ? '/' + secret : ''
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.#socket.on('data', (chunk) => this.#take(chunk))
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
    const { status, headers, body } = await this.#request('GET', API + 'invocation/next', '')
    if (status !== 200) throw new Error(`the runtime API answered ${status}: ${body}`)
    return {
      id: headers['lambda-runtime-aws-request-id'],
      attempt: Number(headers['lambda-runtime-nightshift-attempt']),
      deadline: Number(headers['lambda-runtime-deadline-ms']),
      arn: headers['lambda-runtime-invoked-function-arn'],
      clientContext: headers['lambda-runtime-client-context'], // JSON, or undefined
      traceparent: headers['lambda-runtime-nightshift-traceparent'], // undefined: no trace
      tracestate: headers['lambda-runtime-nightshift-tracestate'],
      event: body,
    }
  }

  // respond sends a buffered Lambda result, as JSON text.
  respond(id, text) {
    return this.#request('POST', responsePath(id), 'Content-Type: application/json\r\n', text)
  }

  // respondWhole sends a streamed response whose bytes are all there.
  respondWhole(id, contentType, body) {
    return this.#request('POST', responsePath(id), streamingHeaders(contentType), body)
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

  // #request sends a request once the ones before are answered: an error may
  // have to be reported while a response is still on its way.
  #request(method, path, headers, body = EMPTY) {
    if (this.#waiting) return this.#last.then(() => this.#request(method, path, headers, body))
    const answer = this.#await()
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    const head = `${method} ${this.#base}${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}Content-Length: ${length}\r\n\r\n`
    if (typeof body === 'string') {
      this.#socket.write(head + body)
    } else {
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      if (length > 0) this.#socket.write(body)
      this.#socket.uncork()
    }
    return answer
  }

  #await() {
    this.hold()
    this.#last = new Promise((resolve) => {
      this.#waiting = { resolve, status: 0, headers: null }
    })
    return this.#last
  }

  #take(chunk) {
    if (this.#missing > 0) {
      this.#more.push(chunk)
      this.#missing -= chunk.length
      if (this.#missing <= 0) this.#done(Buffer.concat(this.#more))
      return
    }
    const data = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const end = data.indexOf(HEAD_END)
    if (end < 0) {
      this.#received = data
      return
    }
    this.#received = EMPTY
    const { status, headers } = parseHead(data.latin1Slice(0, end))
    if (status === 100) return this.#take(data.subarray(end + 4))
    this.#waiting.status = status
    this.#waiting.headers = headers
    const body = data.subarray(end + 4)
    const length = Number(headers['content-length'] ?? 0)
    if (body.length >= length) return this.#done(body.subarray(0, length))
    this.#more = [body]
    this.#missing = length - body.length
  }

  #done(body) {
    const { resolve, status, headers } = this.#waiting
    this.#waiting = null
    this.#more = []
    this.#missing = 0
    this.release()
    resolve({ status, headers, body })
  }
}

export function parseHead(text) {
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
