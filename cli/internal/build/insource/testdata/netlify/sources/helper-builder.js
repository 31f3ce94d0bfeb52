const { builder } = require('@netlify/functions')
exports.handler = builder(async () => ({ statusCode: 200, body: 'x' }))
