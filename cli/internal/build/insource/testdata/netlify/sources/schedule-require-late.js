const functions = require('@netlify/functions')
const { schedule } = functions
exports.handler = schedule('@daily', async () => ({ statusCode: 200 }))
