'use strict'
// What may be sent for one invocation: one response or one error, and how far
// that has got. Several things can try to end an invocation (the handler, a
// callback, an uncaught exception, an event loop that ran dry); the first wins.

const { Buffer, Error, Promise, stringify } = require('./intrinsics.cjs')

const HTTP_RESPONSE = 'application/vnd.awslambda.http-integration-response'
const PRELUDE_END = Buffer.alloc(8)

class Reply {
  #client
  #id
  state = 'none' // then 'streaming', then 'sent', or straight to 'sent'

  constructor(client, id) {
    this.#client = client
    this.#id = id
  }

  // result sends a Lambda-style result. An empty text stands for undefined,
  // which JSON cannot say.
  async result(value) {
    if (this.state !== 'none') return
    const text = stringify(value) ?? '' // throws on cycles and BigInts
    this.state = 'sent'
    await this.#client.respond(this.#id, text)
  }

  // whole sends an HTTP response whose body is there.
  async whole(head, chunks) {
    if (this.state !== 'none') return
    this.state = 'sent'
    await this.#client.respondWhole(this.#id, HTTP_RESPONSE, Buffer.concat([prelude(head), ...chunks]))
  }

  // begin starts a streamed response. head is null for bytes without metadata.
  begin(head, contentType = HTTP_RESPONSE) {
    if (this.state !== 'none') throw new Error('the invocation has been answered already')
    this.state = 'streaming'
    this.#client.openResponse(this.#id, contentType)
    if (head) this.#client.write(prelude(head), () => {})
  }

  write(chunk) {
    return new Promise((resolve, reject) => {
      if (this.state !== 'streaming') return reject(new Error('the response has ended already'))
      this.#client.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  }

  async end() {
    if (this.state !== 'streaming') return
    this.state = 'sent'
    await this.#client.close()
  }

  // fail sends an error in the way that is still open.
  async fail(error) {
    const before = this.state
    this.state = 'sent'
    if (before === 'streaming') await this.#client.close(error)
    else await this.#client.fail(this.#id, error)
  }
}

function prelude(head) {
  return Buffer.concat([Buffer.from(stringify(head)), PRELUDE_END])
}

module.exports = { HTTP_RESPONSE, Reply }
