const { schedule } = require('@netlify/functions')
const handler = schedule('@daily', async () => ({ statusCode: 200 }))
exports.handler = handler
