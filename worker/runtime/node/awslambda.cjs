'use strict'
// The global that Lambda gives to handlers that stream, and that Netlify's own
// function bundles expect before they are loaded.

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming')

function install() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response'
      if (options?.highWaterMark) handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = options.highWaterMark
      return handler
    },
    HttpResponseStream: {
      from(stream, head) {
        stream.setHead(head)
        return stream
      },
    },
  }
}

module.exports = { STREAMING, install }
