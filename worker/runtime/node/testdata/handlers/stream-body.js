const { Readable } = require('node:stream')
exports.handler = async () => ({ statusCode: 200, headers: { 'content-type': 'text/plain' }, body: Readable.from(['one ', 'two']) })
