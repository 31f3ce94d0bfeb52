'use strict'
// Two ends of a connection in memory: what is written to one is read from the other.

const { Duplex } = require('node:stream')

class End extends Duplex {
  other = null
  waiting = null // of a write that the other end has no room for

  _read() {
    const ready = this.other.waiting
    this.other.waiting = null
    ready?.()
  }

  _write(chunk, _encoding, callback) {
    if (this.other.destroyed) return callback(new Error('the other end of the connection is gone'))
    if (this.other.push(chunk)) callback()
    else this.waiting = callback
  }

  _final(callback) {
    if (!this.other.destroyed) this.other.push(null)
    callback()
  }

  _destroy(error, callback) {
    if (!this.other.destroyed) process.nextTick(() => this.other.destroy())
    callback(error)
  }

  // What node:http asks of a socket.
  setTimeout() {
    return this
  }
  setNoDelay() {
    return this
  }
  setKeepAlive() {
    return this
  }
  ref() {
    return this
  }
  unref() {
    return this
  }
}

exports.pair = function pair() {
  const [near, far] = [new End(), new End()]
  near.other = far
  far.other = near
  return [near, far]
}
