const { report } = require('../../lib/report.cjs')
exports.handler = async (event) => { await report(event.headers, { body: event.body, isBase64Encoded: event.isBase64Encoded }); return { statusCode: 200, body: 'x' } }
