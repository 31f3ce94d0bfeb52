'use strict'
// The response stream of a streaming handler.

const { Writable } = require('node:stream')
const { Promise } = require('./intrinsics.cjs')
const { HTTP_RESPONSE } = require('./reply.cjs')

class ResponseStream extends Writable {
  #reply
  #head = null
  #contentType = 'application/octet-stream'

  constructor(reply) {
    super({ decodeStrings: true })
    this.#reply = reply
    // sent settles when all is out, or rejects with what destroyed the stream.
    this.sent = new Promise((resolve, reject) => {
      this.once('finish', resolve)
      this.once('error', reject)
    })
    this.sent.catch(() => {}) // the handler may see the error first
  }

  setContentType(type) {
    this.#contentType = type
  }

  // setHead gives the response a status and headers; without it, it is 200.
  setHead(head) {
    this.#head = head ?? {}
    this.#contentType = HTTP_RESPONSE
  }

  _write(chunk, _encoding, callback) {
    this.#begin()
    this.#reply.write(chunk).then(() => callback(), callback)
  }

  _final(callback) {
    this.#begin()
    this.#reply.end().then(() => callback(), callback)
  }

  #begin() {
    if (this.#reply.state === 'none') this.#reply.begin(this.#head, this.#contentType)
  }
}

module.exports = { ResponseStream }
